"""Layer-wise adaptive rates: LARS, and LARC as SwAV uses it."""

import math
import re

import keras
from keras import ops

from keras_resnets.optimizers.checks import rate

VARIANTS = ("lars", "larc")


@keras.saving.register_keras_serializable("keras_resnets")
class LARS(keras.optimizers.Optimizer):
    """Momentum whose rate for each variable follows the ratio of its norm to its gradient's.

    `variant="lars"` (SimCLR): `g += weight_decay * p`; `trust = trust_coefficient * ||p|| / ||g||`,
    or 1 where either norm is zero; `v = momentum * v + rate * trust * g`; `p -= v`. With
    `classic_momentum=False` the momentum is taken first and the trust from its update. Variables
    that `exclude` names have neither decay nor trust.

    `variant="larc"` (SwAV; NVIDIA Apex without clipping): where both norms are above zero
    `g = a * (g + weight_decay * p)` with
    `a = trust_coefficient * ||p|| / (||g|| + weight_decay * ||p|| + 1e-8)`; then for every variable
    `v = momentum * v + g`; `p -= rate * v`.

    Norms are over whole variables, in float32.

    Args:
        learning_rate: Float, schedule or function.
        momentum: Float in [0, 1).
        nesterov: Whether the momentum looks ahead.
        weight_decay: L2 rate, inside the norms (unlike Keras' own `weight_decay`).
        trust_coefficient: Positive float.
        variant: `"lars"` or `"larc"`.
        classic_momentum: Whether the trust acts on the gradient, before the momentum; LARS only.
        exclude: What has neither decay nor trust: `"vectors"` (variables of rank 0 and 1: scales,
            offsets, biases) and regular expressions searched in `variable.path`. Default:
            `("vectors",)` for LARS, nothing for LARC. `(".*",)` makes it SGD with momentum.
        multipliers: Factors of the learning rate, as `{"predictions": 20.0}`, for variables in
            whose path the regular expression is found; several that fit are multiplied.
        name: Name of the optimizer.
        **kwargs: As `keras.optimizers.Optimizer`: clipping, averages, accumulation.

    Raises:
        ValueError: an argument out of range; sparse gradients.

    Example:

    >>> optimizer = LARS(0.1, weight_decay=0.1)
    >>> kernel = keras.Variable([[3.0, 4.0]])
    >>> optimizer.apply([keras.ops.array([[0.6, 0.8]])], [kernel])
    >>> [round(float(k), 4) for k in kernel[0]]
    [2.9997, 3.9996]

    Reference:
        You et al., Large Batch Training of Convolutional Networks, 2017 (arXiv 1708.03888);
        google-research/simclr, `lars_optimizer.py`; NVIDIA/apex, `LARC.py`.
    """

    def __init__(
        self,
        learning_rate=0.1,
        momentum=0.9,
        nesterov=False,
        weight_decay=0.0,
        trust_coefficient=0.001,
        variant="lars",
        classic_momentum=True,
        exclude=None,
        multipliers=None,
        name="lars",
        **kwargs,
    ):
        super().__init__(learning_rate, name=name, **kwargs)
        if variant not in VARIANTS:
            raise ValueError(f"`variant` must be one of {VARIANTS}. Received: variant={variant!r}")
        if not 0 <= momentum < 1:
            raise ValueError(f"`momentum` must be in [0, 1). Received: momentum={momentum}")
        if not trust_coefficient > 0:
            raise ValueError(
                "`trust_coefficient` must be positive. "
                f"Received: trust_coefficient={trust_coefficient}"
            )
        if exclude is None:
            exclude = ("vectors",) if variant == "lars" else ()
        self.momentum = float(momentum)
        self.nesterov = nesterov
        # not `weight_decay`: Keras would apply it once more, decoupled
        self.l2 = rate("weight_decay", weight_decay)
        self.trust_coefficient = float(trust_coefficient)
        self.variant = variant
        self.classic_momentum = classic_momentum
        self.exclude = tuple([exclude] if isinstance(exclude, str) else exclude)
        self.multipliers = {
            pattern: rate("multipliers", factor) for pattern, factor in (multipliers or {}).items()
        }

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.momentums = self.add_optimizer_variables(variables, "momentum")
        self.adapts = [not self.excluded(v) for v in variables]
        self.factors = [self.factor(v) for v in variables]

    def excluded(self, variable):
        """Whether a variable has neither decay nor trust."""
        return any(
            len(variable.shape) < 2 if what == "vectors" else re.search(what, variable.path)
            for what in self.exclude
        )

    def factor(self, variable):
        """What the learning rate of a variable is multiplied by."""
        fitting = [f for p, f in self.multipliers.items() if re.search(p, variable.path)]
        return math.prod(fitting)

    def update_step(self, gradient, variable, learning_rate):
        if hasattr(gradient, "indices"):
            raise ValueError(
                "`LARS` needs dense gradients: use an embedding without sparse gradients. "
                f"Received: {type(gradient).__name__} for {variable.name!r}"
            )
        index = self._get_variable_index(variable)
        learning_rate = ops.cast(learning_rate, variable.dtype) * self.factors[index]
        gradient = ops.cast(gradient, variable.dtype)
        step = self.larc if self.variant == "larc" else self.lars
        step(gradient, variable, self.momentums[index], learning_rate, self.adapts[index])

    def lars(self, gradient, variable, velocity, learning_rate, adapted):
        if adapted:
            gradient = gradient + self.l2 * variable
        if self.classic_momentum:
            trust = self.trust(variable, gradient) if adapted else 1.0
            step = learning_rate * trust * gradient
            moved = self.momentum * velocity + step
            update = self.momentum * moved + step if self.nesterov else moved
        else:
            moved = self.momentum * velocity + gradient
            update = self.momentum * moved + gradient if self.nesterov else moved
            trust = self.trust(variable, update) if adapted else 1.0
            update = learning_rate * trust * update
        self.assign(velocity, moved)
        self.assign_sub(variable, update)

    def larc(self, gradient, variable, velocity, learning_rate, adapted):
        if adapted:
            weight, slope = norm(variable), norm(gradient)
            scale = self.trust_coefficient * weight / (slope + self.l2 * weight + 1e-8)
            scale = ops.cast(scale, variable.dtype)
            scaled = scale * (gradient + self.l2 * variable)
            gradient = ops.where((weight > 0) & (slope > 0), scaled, gradient)
        moved = self.momentum * velocity + gradient
        update = self.momentum * moved + gradient if self.nesterov else moved
        self.assign(velocity, moved)
        self.assign_sub(variable, learning_rate * update)

    def trust(self, variable, direction):
        weight, length = norm(variable), norm(direction)
        both = (weight > 0) & (length > 0)
        ratio = self.trust_coefficient * weight / ops.where(both, length, 1.0)
        return ops.cast(ops.where(both, ratio, 1.0), variable.dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "nesterov": self.nesterov,
            "weight_decay": self.l2,
            "trust_coefficient": self.trust_coefficient,
            "variant": self.variant,
            "classic_momentum": self.classic_momentum,
            "exclude": self.exclude,
            "multipliers": self.multipliers,
        }


def norm(x):
    return ops.sqrt(ops.sum(ops.square(ops.cast(ops.convert_to_tensor(x), "float32"))))
