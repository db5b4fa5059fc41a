"""What is searched: the space that several dimensions span."""

import contextlib
import math
from collections import defaultdict
from operator import itemgetter

import numpy as np

from tuners import encoding, variation
from tuners.dimensions import PARTS, Categorical, Integer, Ordinal, Real
from tuners.extra import import_keras_tuner
from tuners.sampling import distinct_points

CELLS = 5  # parts of a wide dimension: within one, values are nearly the same
KINDS = {kind.__name__: kind for kind in (Categorical, Ordinal, Integer, Real)}


class SearchSpace:
    """The configurations that can be tried: one value for every dimension.

    Spaces are added (`architecture + recipe`), sampled, counted, turned into vectors, and read from
    the `HyperParameters` of any KerasTuner tuner. A configuration says nothing of dimensions whose
    condition it doesn't meet.

    Args:
        dimensions: `Categorical`, `Ordinal`, `Integer` and `Real`, with different names; those that
            others' conditions name come first.
        recipe: The `trainers.recipes.Recipe` that the dimensions of part `"recipe"` change.
        canonical: Of a configuration, the one that stands for all that are the same in truth, such
            as `fbnet_v3_canonical`. By default, every one stands for itself.

    Example:

    >>> space = tuners.SearchSpace([
    ...     tuners.Ordinal("channels", [256, 512], part="architecture"),
    ...     tuners.Integer("batch_size", 32, 128, step=32),
    ... ])
    >>> space.size()
    8
    >>> {"channels": 512, "batch_size": 64} in space
    True
    >>> sorted(space.sample(seed=0)[0])
    ['batch_size', 'channels']
    >>> vectors = space.encode([{"channels": 512, "batch_size": 64}])
    >>> vectors.round(2).tolist()
    [[1.0, 0.0, 1.0, 0.33, 0.0, 1.0, 0.0, 0.0]]
    >>> space.decode(vectors)
    [{'channels': 512, 'batch_size': 64}]
    """

    def __init__(self, dimensions, recipe=None, canonical=None):
        self.dimensions = tuple(dimensions)
        self.recipe = recipe
        self.canonical = canonical
        if not self.dimensions:
            raise ValueError("`dimensions` must hold at least one dimension. Received: none")
        for dimension in self.dimensions:
            if type(dimension) not in KINDS.values():
                raise ValueError(
                    f"`dimensions` must be of {sorted(KINDS)}. Received: {dimension!r}"
                )
        names = [dimension.name for dimension in self.dimensions]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"`dimensions` must have different names. Received twice: {twice}")
        self._check_conditions()

    def size(self):
        """How many configurations there are: an exact integer, or `inf` with a `Real`."""
        children = defaultdict(list)
        for dimension in self.dimensions:
            children[dimension.active_if and dimension.active_if[0]].append(dimension)

        def count(dimension):
            if not children[dimension.name]:
                return dimension.size()
            return sum(
                math.prod(count(c) for c in children[dimension.name] if value in c.active_if[1])
                for value in dimension.values
            )

        return math.prod(count(dimension) for dimension in children[None])

    def sample(self, n=1, method="sobol", seed=0, feasible=None):
        """Draws different configurations; no two have the same canonical one.

        Args:
            n: How many.
            method: `"sobol"`: scrambled Sobol points, which fill spaces of at most 64 dimensions
                evenly, and of which any first ones do so; or `"random"`. Either way, all values of
                a dimension are equally likely (in the logarithm, where it says so).
            seed: A whole number, from which the points follow on any platform.
            feasible: Of a list of configurations, which may be drawn: a list of booleans.

        Returns:
            A list of `{name: value}`. Fewer than `n`, with a warning, if that many are not found
            in `50 * n` draws, and none if the first `n` draws have none that is feasible.
        """
        return distinct_points(self, n, method, seed, feasible)

    def validate(self, config):
        """Raises a `ValueError` that names what is missing, unknown or out of range."""
        names = {d.name for d in self.dimensions if self._is_active(d, config)}
        if names != set(config):
            raise ValueError(
                "`config` must name every dimension of the space. "
                f"Missing: {sorted(names - set(config))}, unknown: {sorted(set(config) - names)}"
            )
        for dimension in self.dimensions:
            if dimension.name in names and config[dimension.name] not in dimension:
                raise ValueError(
                    f"{dimension.name!r} must lie in {dimension}. "
                    f"Received: {config[dimension.name]!r}"
                )

    def __contains__(self, config):
        try:
            self.validate(config)
        except ValueError:
            return False
        return True

    def __add__(self, other):
        def canonical(config):
            found = dict(config)
            for space in (self, other):
                if space.canonical is not None:
                    own = {d.name for d in space.dimensions}
                    found |= space.canonical({k: v for k, v in config.items() if k in own})
            return found

        return SearchSpace(
            self.dimensions + other.dimensions,
            self.recipe or other.recipe,
            canonical if self.canonical or other.canonical else None,
        )

    def part(self, config, part):
        """The `{name: value}` of one part, `"architecture"` or `"recipe"`."""
        return {
            d.name: config[d.name] for d in self.dimensions if d.part == part and d.name in config
        }

    def to_codes(self, configs):
        """Configurations as numbers `(n, dimensions)`, NaN where inactive."""
        codes = np.full((len(configs), len(self.dimensions)), np.nan)
        for place, dimension in enumerate(self.dimensions):
            if dimension.active_if is None:
                codes[:, place] = dimension.to_codes([*map(itemgetter(dimension.name), configs)])
            else:
                there = [i for i, config in enumerate(configs) if dimension.name in config]
                codes[there, place] = dimension.to_codes(
                    [configs[i][dimension.name] for i in there]
                )
        return codes

    def to_configs(self, codes):
        """The configurations of rows of `to_codes`."""
        columns = [
            d.to_values(column) if d.active_if is None else _values_or_none(d, column)
            for d, column in zip(self.dimensions, codes.T)
        ]
        names = [d.name for d in self.dimensions]
        configs = [dict(zip(names, row)) for row in zip(*columns)]
        for place in self._conditional:
            for i in np.flatnonzero(np.isnan(codes[:, place])):
                del configs[i][names[place]]
        return configs

    def keys(self, configs):
        """One hashable key a configuration: equal for those with the same canonical one."""
        if self.canonical is not None:
            configs = [*map(self.canonical, configs)]
        return [row.tobytes() for row in self.to_codes(configs)]

    def cells(self, configs):
        """`keys` that also those share whose wide dimensions lie in the same of `CELLS` parts."""
        codes = self.to_codes(configs)
        for place, dimension in enumerate(self.dimensions):
            if encoding.is_wide(dimension):
                part = np.floor(dimension.position(codes[:, place]) * CELLS)
                codes[:, place] = np.minimum(part, CELLS - 1)
        return [row.tobytes() for row in codes]

    @property
    def layout(self):
        """The names of the columns of `encode`; those of the architecture come first."""
        return [name for d in self._by_part for name in encoding.column_names(d)]

    @property
    def architecture_width(self):
        """How many of the columns of `encode` are of the architecture."""
        dimensions = [d for d in self.dimensions if d.part == PARTS[0]]
        return sum(len(encoding.column_names(d)) for d in dimensions)

    def encode(self, configs):
        """Configurations as vectors `(n, len(layout))` of numbers from 0 to 1."""
        return encoding.encode(self._by_part, self.to_codes(configs)[:, self._order])

    def decode(self, vectors):
        """The configurations of which `vectors` are the encoding, or the nearest."""
        vectors = np.asarray(vectors, float)
        if vectors.ndim != 2 or vectors.shape[1] != len(self.layout):
            raise ValueError(
                f"`vectors` must have {len(self.layout)} columns. "
                f"Received: an array of shape {vectors.shape}"
            )
        codes = np.empty((len(vectors), len(self.dimensions)))
        codes[:, self._order] = encoding.decode(self._by_part, vectors)
        return self.to_configs(variation.settle(self.dimensions, codes, np.random.default_rng(0)))

    def neighbours(self, config):
        """All configurations that differ in one dimension: by a step, or in an unordered value."""
        code = self.to_codes([config])[0]
        return self.to_configs(variation.neighbours(self.dimensions, code))

    def mutate(self, config, rng, rate):
        """A configuration of which every dimension is drawn anew with the probability `rate`.

        Seven in ten of an ordered dimension's are steps to a neighbour.
        """
        codes = variation.mutate(self.dimensions, self.to_codes([config]), rng, rate)
        return self.to_configs(codes)[0]

    def crossover(self, a, b, rng):
        """A configuration of which every dimension is as in `a` or as in `b`, evenly."""
        codes = variation.crossover(self.dimensions, *(self.to_codes([c]) for c in (a, b)), rng)
        return self.to_configs(codes)[0]

    def from_hyperparameters(self, hp):
        """Reads a configuration, after telling `hp` of dimensions it doesn't know yet.

        Args:
            hp: A `keras_tuner.HyperParameters`, as a hypermodel's `build(hp)` gets it.

        Returns:
            `{name: value}`.
        """
        config = {}
        for dimension in self.dimensions:
            with contextlib.ExitStack() as scopes:
                for parent, values in self._conditions(dimension):
                    values = [parent.to_hyperparameter(value) for value in values]
                    scopes.enter_context(hp.conditional_scope(parent.name, values))
                value = dimension.declare(hp)
            if self._is_active(dimension, config):
                config[dimension.name] = dimension.from_hyperparameter(value)
        return config

    def to_hyperparameters(self, config=None):
        """The space as a new `keras_tuner.HyperParameters`, for any KerasTuner tuner.

        Args:
            config: Whose values it has; by default, those of KerasTuner's choice.
        """
        keras_tuner = import_keras_tuner()
        hp = keras_tuner.HyperParameters()
        if config is not None:
            self.validate(config)
            hp.values = {
                d.name: d.to_hyperparameter(config[d.name])
                for d in self.dimensions
                if d.name in config
            }
        self.from_hyperparameters(hp)
        return hp

    def get_config(self):
        """The dimensions as plain values that JSON can hold; no recipe and no function is."""
        return {"dimensions": [dimension.get_config() for dimension in self.dimensions]}

    @classmethod
    def from_config(cls, config, recipe=None, canonical=None):
        """Rebuilds the space; a recipe and `canonical` are given again."""
        dimensions = [dict(dimension) for dimension in config["dimensions"]]
        return cls([KINDS[d.pop("kind")](**d) for d in dimensions], recipe, canonical)

    @property
    def _conditional(self):
        return [place for place, d in enumerate(self.dimensions) if d.active_if is not None]

    @property
    def _order(self):
        """Places of the dimensions, those of the architecture first."""
        parts = [PARTS.index(dimension.part) for dimension in self.dimensions]
        return np.argsort(parts, kind="stable")

    @property
    def _by_part(self):
        return [self.dimensions[place] for place in self._order]

    def _is_active(self, dimension, config):
        if dimension.active_if is None:
            return True
        parent, values = dimension.active_if
        return parent in config and config[parent] in values

    def _conditions(self, dimension):
        """All conditions of a dimension, its ancestors' first: `(parent, values)`."""
        if dimension.active_if is None:
            return []
        name, values = dimension.active_if
        parent = next(d for d in self.dimensions if d.name == name)
        return [*self._conditions(parent), (parent, values)]

    def _check_conditions(self):
        before = {}
        for dimension in self.dimensions:
            if dimension.active_if is not None:
                parent, values = dimension.active_if
                if parent not in before or before[parent].size() == math.inf:
                    raise ValueError(
                        f"`active_if` of {dimension.name!r} must name an earlier dimension that is "
                        f"no `Real`: one of {[*before]}. Received: {parent!r}"
                    )
                if wrong := [value for value in values if value not in before[parent]]:
                    raise ValueError(
                        f"`active_if` of {dimension.name!r} must have values of "
                        f"{before[parent]}. Received: {wrong}"
                    )
            before[dimension.name] = dimension


def _values_or_none(dimension, codes):
    there = ~np.isnan(codes)
    values = np.full(len(codes), None)
    values[there] = np.array(dimension.to_values(codes[there]), object)
    return values.tolist()
