import json

import pytest

from keras_resnets.analysis import Runs, plot_spread, spread


def test_runs_are_found_again(tmp_path):
    path = tmp_path / "runs.json"
    runs = Runs(path, "3 epochs")
    assert json.loads(path.read_text())["results"] == {} and not runs.has(0, "a")
    runs.put(0, "a", 0.5)
    runs.put(1, "a", 0.25)
    runs.put(1, "b", {"top1": 0.75})
    again = Runs(path, "3 epochs")
    assert again.of("a") == [0.5, 0.25] and again.of("b") == [{"top1": 0.75}]
    assert again.has(1, "b") and not again.has(0, "b") and again.of("c") == []
    assert json.loads(path.read_text())["setting"] == "3 epochs"
    assert [p.name for p in tmp_path.iterdir()] == ["runs.json"]


def test_runs_of_another_setting_are_not_mixed(tmp_path):
    Runs(tmp_path / "runs.json", "3 epochs").put(0, "a", 1)
    with pytest.raises(ValueError, match=r"another setting.*'4 epochs', found: '3 epochs'"):
        Runs(tmp_path / "runs.json", "4 epochs")
    assert Runs(tmp_path / "runs.json", "4 epochs", restart=True).of("a") == []


def test_spread():
    assert spread([1.0, 2.0, 6.0], digits=2) == "3.00 ± 2.65"
    assert spread([3.14159]) == "3.1"


def test_plot(tmp_path):
    plot_spread({"a": [1.0, 2.0], "b": [3.0]}, tmp_path / "p.svg", "accuracy (%)", "a title")
    drawing = (tmp_path / "p.svg").read_text()
    assert "<svg" in drawing and len([*tmp_path.iterdir()]) == 1
