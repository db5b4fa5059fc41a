"""Plot of detection error trade-off curves."""

from statistics import NormalDist

import numpy as np

from keras_resnets.files import write_whole
from keras_resnets.metrics.verification import det_curve

_TICKS = (0.0001, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
_DEVIATES = np.linspace(-5.0, 5.0, 2001)
_PROBABILITIES = np.array([NormalDist().cdf(x) for x in _DEVIATES])


def plot_det(curves, path=None):
    """Plots miss against false-alarm rate on normal-deviate axes, with each curve's EER marked.

    Scores that are normally distributed in both classes give a straight line.

    Args:
        curves: Dict of name -> `(scores, labels)`, see `det_curve`.
        path: Optional image file to write, such as `det.png` or `det.svg`.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ValueError: for no curve or bad trials.
        ImportError: without matplotlib.

    Example:

    >>> trials = ([0.9, 0.8, 0.3, 0.6, 0.2, 0.1], [1, 1, 1, 0, 0, 0])
    >>> figure = plot_det({"cosine": trials})
    >>> figure.legends[0].get_texts()[0].get_text()
    'cosine: EER 33.33 %'

    Reference:

    - Martin et al., "The DET curve in assessment of detection task performance", Eurospeech 1997.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("`plot_det` needs matplotlib: pip install keras_resnets[plot]") from error
    if not curves:
        raise ValueError(f"`curves` must hold at least one curve. Received: curves={curves}")
    figure = Figure(figsize=(6, 6.8), layout="constrained")
    axes = figure.add_subplot(aspect="equal")
    smallest = _TICKS[1]
    for name, (scores, labels) in curves.items():
        curve = det_curve(scores, labels)
        eer = curve.equal_error_rate()
        rates = np.concatenate([curve.miss, curve.false_alarm])
        smallest = min(smallest, rates[rates > 0].min())
        label = f"{name}: EER {100 * eer:.2f} %"
        (line,) = axes.plot(*_thin(_probit(curve.false_alarm), _probit(curve.miss)), label=label)
        axes.plot(_probit(eer), _probit(eer), "o", color=line.get_color())
    low, high = _probit(max(smallest, _TICKS[0])), _probit(_TICKS[-1])
    axes.plot([low, high], [low, high], ":", color="grey", linewidth=1)
    ticks = [tick for tick in _TICKS if _probit(tick) >= low]
    names = [f"{100 * tick:g}" for tick in ticks]
    axes.set_xticks(_probit(ticks), names)
    axes.set_yticks(_probit(ticks), names)
    axes.set(xlim=(low, high), ylim=(low, high))
    axes.set(xlabel="false alarm rate (%)", ylabel="miss rate (%)")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize="small")
    if path is not None:
        with write_whole(path) as place:
            figure.savefig(place, dpi=150)
    return figure


def _probit(p):
    """The normal deviate of a rate, held within +-5 so that rates of 0 and 1 stay on the page."""
    return np.interp(p, _PROBABILITIES, _DEVIATES)


def _thin(x, y, resolution=1e-3):
    """The curve without the points that would be drawn onto the one before."""
    cells = np.round(np.stack([x, y]) / resolution)
    keep = np.append(True, (cells[:, 1:] != cells[:, :-1]).any(axis=0))
    return x[keep], y[keep]
