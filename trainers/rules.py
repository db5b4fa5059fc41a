"""Choosing what is trained: rules on the variables of a network."""

import re
from dataclasses import dataclass, field

import keras
import numpy as np

from keras_resnets.layers import StackedBlocks


def _is_batch_norm(variable, layer):
    return isinstance(layer, keras.layers.BatchNormalization)


def _is_evonorm(variable, layer):
    return any(kind.__name__.startswith("EvoNorm") for kind in type(layer).__mro__)


def _is_shortcut(variable, layer):
    named = re.search("shortcut|downsample|projection", f"{layer.path}/{layer.name}")
    return bool(named) and _is_kernel_layer(layer)


def _is_kernel_layer(layer):
    return getattr(layer, "kernel", None) is not None


RULES = {
    "all": lambda variable, layer: True,
    "batch_norm": _is_batch_norm,
    "bias": lambda variable, layer: variable.name == "bias",
    "evonorm": _is_evonorm,
    "output": None,  # depends on the model, see `_output_rule`
    "shortcut": _is_shortcut,
}


@dataclass(frozen=True, eq=False)
class TrainOnly:
    """What `train_only` chose; as a context manager it undoes the choice at the end.

    Args:
        rule: as given.
        paths: tuple of str, the paths of the variables that are trained.
        trainable: int, parameters in them.
        total: int, parameters that could be trained.
    """

    rule: object
    paths: tuple
    trainable: int
    total: int
    _undo: object = field(default=None, repr=False)

    @property
    def share(self):
        """The part of the parameters that is trained, 0 to 1."""
        return self.trainable / self.total

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._undo()


def train_only(model, rule):
    """Makes exactly the variables that a rule chooses trainable.

    The rule acts on variables, never on whole layers: a BatchNormalization whose scale and offset
    are frozen so still normalises by the batch in training and still updates its moving statistics.
    Layers that were frozen as a whole are unfrozen. The choice lives in this model object only:
    saving and cloning lose it. `PartialTrainer` keeps it.

    Args:
        model: built `keras.Model` that is not compiled yet.
        rule: one of

            - a name: `"batch_norm"` (scale and offset), `"evonorm"`, `"output"` (the last layer),
              `"bias"`, `"shortcut"` (convolutions on shortcuts, by their layers' names), `"all"`;
            - names joined by `+` and `-`, read from the left: `"batch_norm+output"`,
              `"all-batch_norm"`;
            - any other string: a regular expression, searched in `variable.path`;
            - a function `(variable, layer) -> bool`;
            - a list of rules: what any of them chooses.

    Returns:
        `TrainOnly`, with counts. In a `with` statement the former state comes back at its end.

    Raises:
        ValueError: the model is not built or is compiled, or the rule chooses nothing.

    Example:

    >>> model = keras.Sequential([
    ...     keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization(),
    ...     keras.layers.Flatten(), keras.layers.Dense(2)])
    >>> with train_only(model, "batch_norm") as report:
    ...     report.trainable, report.total, len(model.trainable_variables)
    (8, 410, 2)
    >>> len(model.trainable_variables)
    6

    Reference:
        [Frankle et al., Training BatchNorm and Only BatchNorm, 2021](https://arxiv.org/abs/2003.00152),
        section 3.
    """
    if model.compiled:
        raise ValueError(
            "`model` must not be compiled: an optimizer is built for the variables that it finds. "
            "Call `train_only` first and `compile` after it, or use `PartialTrainer`. "
            f"Received: model={model.name!r}, compiled"
        )
    return apply_rule(model, rule)


def apply_rule(model, rule):
    if not model.built:
        raise ValueError(f"`model` must be built. Received: model={model.name!r}, not built")
    owned = owned_variables(model)
    chooses = _predicate(model, rule)
    chosen = [v for v, layer in owned if chooses(v, layer)]
    if not chosen:
        raise ValueError(
            "`trainable` rule must choose at least one variable. Names of rules are "
            f"{sorted(RULES)}; other strings are searched in paths such as "
            f"{[v.path for v, _ in owned[:3]]}. Received: {rule!r}"
        )
    layers = [(layer, layer.trainable) for layer in model._flatten_layers()]
    flags = [(v, v.trainable) for v, _ in owned]

    def undo():
        for layer, trainable in layers:
            layer._trainable = trainable
        for variable, trainable in flags:
            variable.trainable = trainable

    model.trainable = True
    keep = {id(v) for v in chosen}
    for variable, _ in owned:
        variable.trainable = id(variable) in keep
    return TrainOnly(
        rule,
        tuple(v.path for v in chosen),
        sum(size(v) for v in chosen),
        sum(size(v) for v, _ in owned),
        undo,
    )


def size(variable):
    return int(np.prod(variable.shape))


def _layers_in_order(layer):
    """The layers inside, from the input to the output, each after its own parts."""
    parts = layer.layers if isinstance(layer, keras.Model) else layer._layers
    for part in parts:
        yield from _layers_in_order(part)
    yield layer


def owned_variables(model):
    """`(variable, layer that made it)` of all that training can change, frozen now or not."""
    owned = {}
    for layer in _layers_in_order(model):
        made_by = {}
        if isinstance(layer, StackedBlocks):
            made_by = {id(stacked): owner for stacked, _, owner in layer.parts}
        for variable in layer._trainable_variables:
            owned.setdefault(id(variable), (variable, made_by.get(id(variable), layer)))
    return list(owned.values())


def _predicate(model, rule):
    """The rule as a function `(variable, layer) -> bool`."""
    if callable(rule):
        return rule
    if isinstance(rule, list | tuple) and rule:
        any_of = [_predicate(model, part) for part in rule]
        return lambda variable, layer: any(part(variable, layer) for part in any_of)
    if not isinstance(rule, str):
        raise ValueError(
            "A `trainable` rule must be a string, a function (variable, layer) or a list of them. "
            f"Received: {rule!r}"
        )
    first, *rest = re.split("([+-])", rule)
    if not {first, *rest[1::2]} <= set(RULES):
        return lambda variable, layer: re.search(rule, variable.path) is not None
    terms = [("+", first), *zip(rest[::2], rest[1::2])]
    terms = [(sign, RULES[name] or _output_rule(model)) for sign, name in terms]

    def choose(variable, layer):
        chosen = False
        for sign, term in terms:
            if term(variable, layer):
                chosen = sign == "+"
        return chosen

    return choose


def _output_rule(model):
    with_variables = [layer for _, layer in owned_variables(model)]
    if not with_variables or not _is_kernel_layer(with_variables[-1]):
        found = with_variables[-1].name if with_variables else "none"
        raise ValueError(
            "'output' needs a model whose last layer with variables is dense or a convolution. "
            f"Received: {model.name!r}, which ends in {found!r}"
        )
    return lambda variable, layer: layer is with_variables[-1]
