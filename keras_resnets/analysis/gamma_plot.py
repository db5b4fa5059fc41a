"""The picture of `GammaReport`s."""

import numpy as np

from keras_resnets.analysis.cost_plot import new_figure
from keras_resnets.files import write_whole


def plot_gammas(reports, path=None, bins=40):
    """Histograms of the BatchNorm scales' magnitudes of several networks.

    Args:
        reports: dict from a name to the `GammaReport` of a network.
        path: image file to write; optional.
        bins: int.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ValueError: there is no report.
        ImportError: without matplotlib.

    Example:

    >>> from keras_resnets.analysis import GammaReport
    >>> report = GammaReport(0.01, {"norm": np.array([0.0, 0.5, 1.0])}, {})
    >>> plot_gammas({"a network": report}).axes[0].get_xlabel()
    '|gamma|'
    """
    if not reports:
        raise ValueError(f"`reports` must hold at least one report. Received: reports={reports}")
    figure, axes = new_figure(figsize=(7, 4.5))
    largest = max(np.abs(g).max() for r in reports.values() for g in r.gammas.values())
    edges = np.linspace(0, largest or 1.0, bins + 1)
    for name, report in reports.items():
        counts, _ = report.histogram(edges)
        label = f"{name}: {report.small_gammas:.0%} below {report.threshold}"
        axes.stairs(counts / counts.sum(), edges, label=label, linewidth=1.5)
    axes.set(xlabel="|gamma|", ylabel="share of the features")
    axes.legend()
    if path is not None:
        with write_whole(path) as place:
            figure.savefig(place, dpi=120)
    return figure
