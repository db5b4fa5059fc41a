import os

import pytest

from tuners.state import load_state, previous, save_state


@pytest.fixture
def path(tmp_path):
    return tmp_path / "oracle.json"


def test_what_is_saved_is_read(path):
    assert load_state(path) is None
    save_state(path, {"a": [1, None, "é"]})
    assert load_state(path) == {"a": [1, None, "é"]}


@pytest.mark.parametrize("size", (0, 3))
def test_torn_file(path, size):
    save_state(path, {"step": 1})
    save_state(path, {"step": 2})
    os.truncate(path, size)
    assert load_state(path) == {"step": 1}
    os.truncate(previous(path), size)
    assert load_state(path) is None


@pytest.mark.parametrize("call", ("fsync", "replace"))
def test_cut_off_while_writing(path, monkeypatch, call):
    """What is there at any moment is whole: the new version or the old one."""
    save_state(path, {"step": 1})

    def cut(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, call, cut)
        with pytest.raises(KeyboardInterrupt):
            save_state(path, {"step": 2})
    assert load_state(path) == {"step": 1}
    save_state(path, {"step": 3})
    assert load_state(path) == {"step": 3}


def test_what_json_cannot_hold_leaves_the_file(path):
    save_state(path, {"step": 1})
    with pytest.raises(TypeError):
        save_state(path, {"step": object()})
    assert load_state(path) == {"step": 1}
