"""The operations that an FBNetV3 is made of, as a table of latencies has them."""

from typing import NamedTuple

from keras_resnets.models.fbnet_v3 import round8, squeezed


class Operation(NamedTuple):
    """One step of a network on square maps.

    Attributes:
        kind: `"unit"` (convolution, normalisation, activation), `"linear"` (without activation),
            `"gate"` (squeeze-excite), `"add"`, `"head"` (pooling, convolution, activation) or
            `"dense"`.
        side: of the maps that go in.
        inputs: channels that go in.
        outputs: channels that come out; of a gate, those in between.
        kernel: of the convolution.
        stride: of the convolution.
        groups: of the convolution.
    """

    kind: str
    side: int
    inputs: int
    outputs: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1

    def macs(self):
        """Multiply-accumulates.

        Example:

        >>> Operation("unit", 8, 16, 16, kernel=3, stride=2, groups=16).macs()
        2304
        """
        if self.kind == "add":
            return 0
        if self.kind == "gate":
            return 2 * self.inputs * self.outputs
        positions = 1 if self.kind in ("head", "dense") else (-(-self.side // self.stride)) ** 2
        return positions * self.kernel**2 * self.inputs * self.outputs // self.groups


def fbnet_v3_operations(config, classes=1000):
    """The operations of an `FBNetV3` with symmetric paddings, in their order.

    Args:
        config: `FBNetV3Config`; its `input_size` counts.
        classes: number of classes.

    Returns:
        A list of `Operation`.

    Example:

    >>> operations = fbnet_v3_operations(kr.models.fbnet_v3.CONFIGS["a0"])
    >>> operations[0]
    Operation(kind='unit', side=224, inputs=3, outputs=12, kernel=3, stride=2, groups=1)
    """
    side, x = config.input_size, config.stem
    found = [Operation("unit", side, 3, x, 3, 2)]
    side = -(-side // 2)
    for stage in config.stages:
        for b in range(stage.depth):
            kernel, expansion, stride, _ = stage.block(b)
            inner = round8(x * expansion)
            if inner != x:
                found.append(Operation("unit", side, x, inner))
            found.append(Operation("unit", side, inner, inner, kernel, stride, inner))
            side = -(-side // stride)
            if stage.use_se:
                found.append(Operation("gate", side, inner, squeezed(inner, expansion)))
            found.append(Operation("linear", side, inner, stage.channels))
            if stride == 1 and x == stage.channels:
                found.append(Operation("add", side, x, x))
            x = stage.channels
    width = round8(config.head_expansion * x)
    found.append(Operation("unit", side, x, width))
    found.append(Operation("head", side, width, config.head_width))
    return [*found, Operation("dense", 1, config.head_width, classes)]
