"""The state of a search: on disk, whole at any moment, even if its process is killed."""

import json
import os
from pathlib import Path

from keras_resnets.files import write_whole


def previous(path):
    """Where the file's last but one version is kept."""
    return Path(path).with_suffix(".previous.json")


def save_state(path, state):
    """Write JSON to a file that is replaced at once; the version before it is kept beside it.

    Args:
        path: `str` or `Path`, on a local or shared disk.
        state: What JSON can hold.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "oracle.json"
    >>> save_state(path, {"trials": 1})
    >>> save_state(path, {"trials": 2})
    >>> _ = path.write_text('{"tri')  # a crash of the disk
    >>> load_state(path)
    {'trials': 1}
    """
    path = Path(path)
    text = json.dumps(state)
    with write_whole(path) as place:
        place.write_text(text, encoding="utf-8")
        if path.exists():
            os.replace(path, previous(path))


def load_state(path):
    """Read what `save_state` wrote, or the version before it where the last one is torn.

    Args:
        path: As for `save_state`.

    Returns:
        The state; `None` if there is neither a whole file nor a whole previous one.
    """
    for place in (Path(path), previous(path)):
        try:
            return json.loads(place.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
            continue
    return None


def checked_state(state, own):
    """A search's state, as JSON gives it back, if a search like one's own can go on from it.

    Args:
        state: of `NARSCore.state_dict`.
        own: the same, of the search that is to go on from it.

    Raises:
        ValueError: it is of another space, of other options or of a newer format.
    """
    if not isinstance(state, dict) or type(state.get("format")) is not int:
        raise ValueError(f"`state` must be of `state_dict`. Received: {str(state)[:80]}")
    if state["format"] > own["format"]:
        raise ValueError(
            f"`state` must be of format {own['format']} or older. Received: {state['format']}"
        )
    state, own = (json.loads(json.dumps(one)) for one in (state, own))
    if state["space"] != own["space"]:
        theirs, mine = (one["space"]["dimensions"] for one in (state, own))
        names = {d["name"] for d in [*theirs, *mine] if d not in theirs or d not in mine}
        if not names:  # the same, encoded otherwise
            names = set(state["space"]["layout"]) ^ set(own["space"]["layout"])
        raise ValueError(
            f"`state` must be of the same space. Of one only: {sorted(names)}. Received: {theirs}"
        )
    for name, value in own["options"].items():
        if state["options"].get(name) != value:
            raise ValueError(
                f"`state` must be of a search with {name}={value!r}. "
                f"Received: {name}={state['options'].get(name)!r}"
            )
    return state
