import pytest

from keras_resnets.files import write_whole


def test_whole_or_not_at_all(tmp_path):
    path = tmp_path / "runs.json"
    with write_whole(path) as place:
        assert place.name.endswith(path.name) and place.parent == tmp_path
        place.write_text("one")
        assert not path.exists()
    assert path.read_text() == "one"
    with pytest.raises(KeyboardInterrupt), write_whole(path) as place:
        place.write_text("half of")
        raise KeyboardInterrupt
    assert path.read_text() == "one"
    assert [p.name for p in tmp_path.iterdir()] == ["runs.json"]


def test_nothing_written_and_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError), write_whole(tmp_path / "a.txt"):
        pass
    with pytest.raises(FileNotFoundError), write_whole(tmp_path / "no" / "a.txt") as place:
        place.write_text("a")
    assert not [*tmp_path.iterdir()]
