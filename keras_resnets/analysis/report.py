"""What `cost` returns: one row a layer, totals, table, plot."""

import math
from dataclasses import dataclass, field

from keras_resnets.analysis.energy import DeviceProfile, device_profile
from keras_resnets.analysis.table import Table
from keras_resnets.analysis.work import ConvSpec


@dataclass
class LayerCost:
    """What all calls of one layer cost together.

    Attributes:
        name: Path of the layer, `block/conv1`.
        type: Its class.
        output_shape: Shape of the (last) output, batch included; None if never called.
        params: Weights that no earlier row counts.
        trainable_params: Those of them that train.
        macs: Multiply-accumulates.
        elementwise: Other operations, roughly.
        words_in: Numbers read from the inputs.
        words_out: Numbers written to the outputs.
        weight_words: Weights read, anew in every call.
        traffic_bytes: Bytes of these three.
        calls: Number of calls.
        conv: A `ConvSpec` for a convolution.
        supported: False for a layer that holds weights and has no rule: its `macs` are unknown.
    """

    name: str
    type: str
    output_shape: tuple | None = None
    params: int = 0
    trainable_params: int = 0
    macs: int = 0
    elementwise: int = 0
    words_in: int = 0
    words_out: int = 0
    weight_words: int = 0
    traffic_bytes: float = 0
    calls: int = 0
    conv: ConvSpec | None = None
    supported: bool = True

    @property
    def flops(self):
        """Two a multiply-accumulate, and the elementwise operations."""
        return 2 * self.macs + self.elementwise

    @property
    def words(self):
        """Numbers moved."""
        return self.words_in + self.words_out + self.weight_words

    @property
    def intensity(self):
        """Arithmetic intensity: multiply-accumulates a number moved."""
        return self.macs / self.words if self.words else 0.0


TOTALS = (
    "params", "trainable_params", "macs", "elementwise", "flops",
    "words_in", "words_out", "weight_words", "words", "traffic_bytes",
)  # fmt: skip


def _total(name):
    return property(
        lambda self: sum(getattr(row, name) for row in self.rows),
        doc=f"The rows' `{name}` together.",
    )


@dataclass
class CostReport:
    """Cost of a model, layer by layer; made by `keras_resnets.analysis.cost`.

    Every number of `LayerCost` is also a total of the report: `report.macs`, `report.params` ...

    Attributes:
        name: The model's name.
        rows: `LayerCost`s in the order in which they first return.
        batch_size: Examples that the numbers are for.
        device: `DeviceProfile` of bounds and energies.
        count: `"macs"`, or `"flops"`: two a multiply-accumulate.
        include_elementwise: Whether `operations` counts elementwise ones too.

    Example:

    >>> x = keras.Input((8,))
    >>> report = kr.analysis.cost(keras.Model(x, keras.layers.Dense(4, name="fc")(x)))
    >>> report.macs, report.params, report.intensity, report["fc"].words
    (32, 36, 0.6666666666666666, 48)
    """

    name: str
    rows: list[LayerCost]
    batch_size: int
    device: DeviceProfile
    count: str = "macs"
    include_elementwise: bool = False
    _names: dict = field(init=False, repr=False)

    def __post_init__(self):
        self._names = {row.name: row for row in self.rows}

    params, trainable_params, macs, elementwise, flops = map(_total, TOTALS[:5])
    words_in, words_out, weight_words, words, traffic_bytes = map(_total, TOTALS[5:])

    def __getitem__(self, name):
        return self._names[name]

    @property
    def intensity(self):
        """Multiply-accumulates a number moved, over the whole model."""
        return self.macs / self.words if self.words else 0.0

    @property
    def unsupported(self):
        """Names of the layers that hold weights and have no rule."""
        return [row.name for row in self.rows if not row.supported]

    def operations(self, row=None):
        """Operations of a row, or of all, in the report's convention."""
        source = self if row is None else row
        elementwise = source.elementwise if self.include_elementwise else 0
        return (1 if self.count == "macs" else 2) * source.macs + elementwise

    def bound(self, row):
        """`"compute"` or `"memory"`: what limits a row on the device."""
        return self.device.bound(row.macs, row.traffic_bytes)

    def energy(self, row=None, device=None):
        """Estimated joules of a row, or of all rows together."""
        device = self.device if device is None else device_profile(device)
        rows = self.rows if row is None else [row]
        return math.fsum(device.joules(row.macs, row.traffic_bytes) for row in rows)

    def seconds(self, device=None):
        """Estimated seconds, one layer after the other."""
        device = self.device if device is None else device_profile(device)
        return math.fsum(device.seconds(row.macs, row.traffic_bytes) for row in self.rows)

    def table(self):
        """The rows and, last, their totals, as a `Table`."""
        rows = [
            self._line(row.name, row, row.type, row.output_shape, self.bound(row), self.energy(row))
            for row in self.rows
        ]
        total = self._line("total", self, "", None, "", self.energy())
        return Table([*rows, total])

    def _line(self, name, row, kind, shape, bound, energy):
        return {
            "layer": name,
            "type": kind,
            "output": None if shape is None else list(shape),
            "params": row.params,
            "trainable": row.trainable_params,
            {"macs": "MACs", "flops": "FLOPs"}[self.count]: self.operations(
                None if row is self else row
            ),
            "words in": row.words_in,
            "words out": row.words_out,
            "weight words": row.weight_words,
            "traffic bytes": int(row.traffic_bytes),
            "MACs/word": row.intensity,
            "bound": bound,
            "energy J (estimate)": energy,
        }

    def to_markdown(self):
        """The table as GitHub's Markdown."""
        return self.table().to_markdown()

    def to_json(self, path=None):
        """The table as JSON text; written to `path` too, if given."""
        return self.table().to_json(path)

    def to_dataframe(self):
        """The table as a `pandas.DataFrame`, without the totals."""
        return Table(self.table().rows[:-1]).to_dataframe()

    def summary(self):
        """The table and what to know of it, as text."""
        lines = [
            f"{self.name}, batch of {self.batch_size}; bounds and energies: {self.device.name}",
            str(self.table()),
        ]
        if self.unsupported:
            lines.append(f"MACs unknown, no rule: {', '.join(self.unsupported)}")
        return "\n".join(lines)

    def plot(self, path=None, largest=15):
        """Draws the layers under the device's roofline, and where the energy goes.

        Args:
            path: File to save to, or None.
            largest: Number of layers in the bar chart.

        Returns:
            The `matplotlib` figure.
        """
        from keras_resnets.analysis.cost_plot import plot_report

        return plot_report(self, path, largest)
