"""The picture of a `CostReport`."""

import numpy as np

from keras_resnets.files import write_whole


def new_figure(*args, **kwargs):
    """A figure that no window owns, and its axes."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("A plot needs matplotlib: pip install keras_resnets[plot]") from error
    figure = Figure(figsize=kwargs.pop("figsize", (12, 5)), layout="constrained")
    return figure, figure.subplots(*args, **kwargs)


def plot_report(report, path=None, largest=15):
    figure, (roof, bars) = new_figure(1, 2)
    _roofline(roof, report)
    top = sorted(report.rows, key=report.energy)[-largest:]
    bars.barh([row.name for row in top], [1e3 * report.energy(row) for row in top], color="C1")
    share = sum(map(report.energy, top)) / report.energy()
    bars.set_xlabel("mJ, estimated")
    bars.set_title(f"Energy: the {len(top)} largest layers, {share:.0%} of all")
    figure.suptitle(f"{report.name}, batch of {report.batch_size}")
    if path is not None:
        with write_whole(path) as place:
            figure.savefig(place, dpi=120)
    return figure


def _roofline(axes, report):
    device = report.device
    rows = [row for row in report.rows if row.macs]
    intensity = np.array([row.intensity for row in rows])
    reached = [row.macs / device.seconds(row.macs, row.traffic_bytes) / 1e9 for row in rows]
    share = np.array([row.macs for row in rows]) / report.macs
    axes.scatter(intensity, reached, 20 + 1500 * share, alpha=0.5, label="layers, area: MACs")
    line = np.geomspace(min(intensity.min(), 1), max(intensity.max(), device.ridge) * 2, 50)
    peak = device.peak_flops / 2 * device.efficiency
    slope = device.bandwidth / 4 * device.efficiency
    axes.plot(line, np.minimum(peak, slope * line) / 1e9, color="gray", label=device.name)
    axes.set(xscale="log", yscale="log", xlabel="MACs a word", ylabel="GMAC/s, at best")
    axes.set_title(f"{report.macs / 1e9:.3g} GMACs, {report.params / 1e6:.3g} M parameters")
    axes.legend(loc="lower right")
