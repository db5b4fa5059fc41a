import sys

import numpy as np
import pytest

from keras_resnets.metrics import equal_error_rate, plot_det

pytest.importorskip("matplotlib")


def trials(shift):
    rng = np.random.default_rng(0)
    labels = np.arange(20_000) % 2
    return rng.normal(size=20_000) + shift * labels, labels


def test_gaussian_scores_give_a_straight_line_with_slope_minus_one_through_the_eer():
    figure = plot_det({"plain": trials(2.0), "better": trials(3.0)})
    axes = figure.axes[0]
    line, marker = axes.lines[0], axes.lines[1]
    x, y = line.get_data()
    middle = (np.abs(x) < 2) & (np.abs(y) < 2)
    slope, offset = np.polyfit(x[middle], y[middle], 1)
    assert slope == pytest.approx(-1.0, abs=0.05)
    assert offset == pytest.approx(-2.0, abs=0.05)
    assert marker.get_xdata() == pytest.approx([-1.0], abs=0.03)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts[0] == f"plain: EER {100 * equal_error_rate(*trials(2.0)):.2f} %"
    assert [name.split(":")[0] for name in texts] == ["plain", "better"]


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_file(tmp_path, suffix):
    plot_det({"a": trials(2.0)}, tmp_path / f"det.{suffix}")
    assert [path.name for path in tmp_path.iterdir()] == [f"det.{suffix}"]
    head = (tmp_path / f"det.{suffix}").read_bytes()[:8]
    assert head.startswith({"png": b"\x89PNG", "svg": b"<?xml"}[suffix])


def test_a_failed_save_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="nosuch"):
        plot_det({"a": trials(2.0)}, tmp_path / "det.nosuch")
    assert not list(tmp_path.iterdir())


def test_perfect_scores_can_be_drawn(tmp_path):
    plot_det({"perfect": ([1.0, 0.0], [1, 0])}, tmp_path / "det.png")


def test_no_curve_and_bad_trials():
    with pytest.raises(ValueError, match="at least one curve"):
        plot_det({})
    with pytest.raises(ValueError, match="needs both target and non-target trials"):
        plot_det({"a": ([0.1], [1])})


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install keras_resnets\[plot\]"):
        plot_det({"a": trials(2.0)})
