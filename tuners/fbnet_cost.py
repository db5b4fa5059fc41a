"""What networks of FBNetV3's space cost, from closed forms: thousands at once, none is built."""

from operator import itemgetter

import numpy as np

from keras_resnets.models import FBNetV3Config
from keras_resnets.models.fbnet_v3 import PADDINGS, round8
from tuners.fbnet_v3 import CHOICES, FIELDS, FIXED, STAGES

STATISTICS = ("params", "macs", "pooled", "activations")


def fbnet_v3_statistics(configs, classes=1000, dw_padding="official"):
    """Parameters and operations of FBNetV3s, exact, for square RGB images of their `input_size`.

    Args:
        configs: an `FBNetV3Config`, a point of `fbnet_v3_space` (values of a recipe are passed
            over), or a list of the one or of the other.
        classes: number of classes.
        dw_padding: as in `FBNetV3`; points of the space have no other than the symmetric.

    Returns:
        A dict; for a list, of arrays.

        - `params`: those that are trained, which excludes moving statistics;
        - `macs`: multiply-accumulates of convolutions and the classifier;
        - `pooled`: numbers that average pooling reads. The official "FLOPs" are `macs + pooled`;
        - `activations`: numbers that convolutions and the classifier return.

    Raises:
        ValueError: a list of neither, a point without all of the space's dimensions.

    Example:

    >>> statistics = tuners.fbnet_v3_statistics(kr.models.fbnet_v3.CONFIGS["a"])
    >>> statistics["params"], statistics["macs"], statistics["macs"] + statistics["pooled"]
    (8598464, 355514328, 356598280)
    >>> points = tuners.fbnet_v3_space().sample(3, seed=0)
    >>> tuners.fbnet_v3_statistics(points)["macs"].shape
    (3,)

    Reference:
        Dai et al., FBNetV3, CVPR 2021 (arXiv 2006.02049): what the predictor is pretrained on.
    """
    if dw_padding not in PADDINGS:
        raise ValueError(
            f"`dw_padding` must be one of {PADDINGS}. Received: dw_padding={dw_padding!r}"
        )
    if isinstance(configs, dict | FBNetV3Config):
        found = fbnet_v3_statistics([configs], classes, dw_padding)
        return {name: int(values[0]) for name, values in found.items()}
    configs = list(configs)
    if configs and all(isinstance(config, dict) for config in configs):
        network, stages = _of_points(configs)
    elif configs and all(isinstance(config, FBNetV3Config) for config in configs):
        network, stages = _of_configs(configs)
    else:
        kinds = sorted({type(config).__name__ for config in configs})
        raise ValueError(
            "`configs` must be one or more `FBNetV3Config`s, or points of `fbnet_v3_space`. "
            f"Received: a list of {kinds}"
        )
    return _count(network, stages, classes, dw_padding == "official")


def _count(network, stages, classes, official):
    """The statistics of arrays: a network's `stem` ..., and of every stage `channels` ..."""
    total = dict.fromkeys(STATISTICS, 0)

    def add(blocks=1, **numbers):
        for name, number in numbers.items():
            total[name] = total[name] + blocks * number

    def conv(x, out, positions, window=1, blocks=1):
        """A convolution without bias of `x` channels, each output of which sees `window * x`."""
        weights = window * x * out
        add(blocks, params=weights, macs=weights * positions, activations=out * positions)

    def block(x, stage, which, side, stride, padding, blocks):
        kernel, expansion = stage[f"kernel_{which}"], stage[f"expansion_{which}"]
        inner, out, gate = _rounded(x * expansion), stage["channels"], stage["use_se"] * blocks
        expands = blocks * (inner != x)
        conv(x, inner, side**2, blocks=expands)
        side = np.maximum(side + 2 * padding - kernel, 0) // stride + 1
        conv(1, inner, side**2, kernel**2, blocks=blocks)
        conv(inner, out, side**2, blocks=blocks)
        add(2 * blocks, params=inner + out)
        add(2 * expands, params=inner)
        hidden = _rounded(np.floor(inner * 0.25 / expansion))
        conv(inner, hidden, 1, blocks=gate)
        conv(hidden, inner, 1, blocks=gate)
        add(gate, params=inner + hidden, pooled=inner * side**2)
        return side

    channels, side = network["stem"], (network["input_size"] + 1) // 2
    conv(3, channels, side**2, window=9)
    add(2, params=channels)
    for stage in stages:
        there = stage["depth"] > 0
        half = stage["kernel_first"] // 2
        padding = np.where(official & (stage["padding"] >= 0), stage["padding"], half)
        after = block(channels, stage, "first", side, stage["stride"], padding, 1 * there)
        channels = np.where(there, stage["channels"], channels)
        side = np.where(there, after, side)
        rest = np.maximum(stage["depth"] - 1, 0)
        block(channels, stage, "rest", side, 1, stage["kernel_rest"] // 2, rest)
    width, last = _rounded(network["head_expansion"] * channels), network["head_width"]
    conv(channels, width, side**2)
    conv(width, last, 1)
    conv(last, classes, 1)
    add(params=2 * width + classes, pooled=width * side**2 + last)
    return total


def _rounded(channels):
    values, places = np.unique(channels, return_inverse=True)
    return np.array([round8(value) for value in values])[places]


def _of_points(points):
    """Arrays, or numbers, of what points of the space say; their padding is symmetric."""
    names = [name for name in CHOICES if name not in FIXED]
    try:
        values = np.array([*map(itemgetter(*names), points)])
    except KeyError as error:
        raise ValueError(f"Every point must have a value of {error}.") from None
    columns = FIXED | dict(zip(names, values.T))
    stages = []
    for s, (*_, stride, use_se) in enumerate(STAGES, start=1):
        stage = {field: columns[f"stage{s}_{field}"] for field in FIELDS}
        channels = _rounded(stage["channels"])
        stages.append(
            {**stage, "channels": channels, "stride": stride, "use_se": use_se, "padding": -1}
        )
    head = {"head_expansion": 6, "head_width": 1984}
    return {**head, "input_size": columns["input_size"], "stem": _rounded(columns["stem"])}, stages


def _of_configs(configs):
    """Arrays of architectures; those with fewer stages have some of no block at their end."""
    names = ("stem", "head_expansion", "head_width", "input_size")
    network = {name: np.array([getattr(config, name) for config in configs]) for name in names}
    fields = (*FIELDS, "stride", "use_se")
    stages = []
    for s in range(max(len(config.stages) for config in configs)):
        found = [config.stages[s] if s < len(config.stages) else None for config in configs]
        known = next(stage for stage in found if stage)
        stage = {f: np.array([getattr(x or known, f) for x in found]) for f in fields}
        stage["depth"] = stage["depth"] * np.array([x is not None for x in found])
        padding = [x.first_padding if x else None for x in found]
        stage["padding"] = np.array([-1 if p is None else p for p in padding])
        stages.append(stage)
    return network, stages
