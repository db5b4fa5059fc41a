"""What one call of one layer does: the answer of a cost rule."""

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class ConvSpec:
    """Geometry of a convolution, all that the cost of grouping it depends on.

    Attributes:
        in_channels: Input channels `N`.
        filters: Output channels `M`.
        kernel_size: Window, one number an axis.
        out_positions: Positions of the output, `height * width` (times the batch).
        in_positions: Positions of the input. Default: as many as of the output.
        groups: Number of groups; `in_channels` of them for a depthwise convolution.

    Example:

    >>> spec = ConvSpec(64, 64, (3, 3), out_positions=56 * 56, groups=32)
    >>> spec.group_size, spec.macs, spec.words
    (2, 3612672, 402560)
    """

    in_channels: int
    filters: int
    kernel_size: tuple
    out_positions: int
    in_positions: int | None = None
    groups: int = 1

    def __post_init__(self):
        for name in ("in_channels", "filters", "out_positions", "groups"):
            value = getattr(self, name)
            if int(value) != value or value < 1:
                raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value}")
        if self.in_channels % self.groups:
            raise ValueError(
                f"`groups` must divide in_channels={self.in_channels}. "
                f"Received: groups={self.groups}"
            )
        if self.in_positions is None:
            object.__setattr__(self, "in_positions", self.out_positions)

    @property
    def window(self):
        """Weights of the window: 9 for 3x3."""
        return math.prod(self.kernel_size)

    @property
    def group_size(self):
        """Input channels a group, `G`."""
        return self.in_channels // self.groups

    @property
    def params(self):
        """Weights of the kernel."""
        return self.window * self.filters * self.group_size

    @property
    def macs(self):
        """Multiply-accumulates."""
        return self.out_positions * self.params

    @property
    def words(self):
        """Numbers moved if each is moved once: input, output and kernel."""
        inputs = self.in_channels * self.in_positions
        return inputs + self.filters * self.out_positions + self.params

    def with_group_size(self, group_size):
        """The same layer at another group size; dense where it has fewer channels than that."""
        group_size = min(group_size, self.in_channels)
        if self.in_channels % group_size:
            raise ValueError(
                f"`group_size` must divide in_channels={self.in_channels}; its divisors are "
                f"{divisors(self.in_channels)}. Received: group_size={group_size}"
            )
        return replace(self, groups=self.in_channels // group_size)


@dataclass(frozen=True)
class Work:
    """What a cost rule returns where multiply-accumulates alone do not say it.

    Attributes:
        macs: Multiply-accumulates of the linear operations.
        elementwise: Other arithmetic operations, roughly one an element a step.
        weight_words: Weights read. Default: all of the layer's.
        moves: Whether the inputs are read and the outputs written; False for a view.
        words: Numbers read and numbers written, weights not counted. Default: the inputs' and the
            outputs'.
        conv: Geometry, for a convolution.

    Example:

    >>> Work(macs=8).elementwise
    0
    """

    macs: int = 0
    elementwise: int = 0
    weight_words: int | None = None
    moves: bool = True
    words: tuple | None = None
    conv: ConvSpec | None = None


def divisors(n):
    """The divisors of `n`, ascending."""
    return [d for d in range(1, n + 1) if n % d == 0]
