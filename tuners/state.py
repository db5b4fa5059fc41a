"""A search's state on disk: whole at any moment, even if its process is killed."""

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
