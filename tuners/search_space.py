"""What is searched: the space that several dimensions span."""

import math

import numpy as np

from tuners.dimensions import Categorical, Integer, Ordinal, Real

KINDS = {kind.__name__: kind for kind in (Categorical, Ordinal, Integer, Real)}


class SearchSpace:
    """The configurations that can be tried: one value for every dimension.

    Spaces are added (`architecture + recipe`), sampled, counted, and read from the
    `HyperParameters` of any KerasTuner tuner.

    Args:
        dimensions: `Categorical`, `Ordinal`, `Integer` and `Real`, with different names.
        recipe: The `trainers.recipes.Recipe` that the dimensions of part `"recipe"` change.

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
    """

    def __init__(self, dimensions, recipe=None):
        self.dimensions = tuple(dimensions)
        self.recipe = recipe
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

    def size(self):
        """How many configurations there are: an exact integer, or `inf` with a `Real`."""
        return math.prod(dimension.size() for dimension in self.dimensions)

    def sample(self, n=1, seed=None):
        """Draws `n` configurations, each dimension independently.

        Args:
            n: How many.
            seed: A whole number or a `numpy.random.Generator`.

        Returns:
            A list of `{name: value}`.
        """
        rng = np.random.default_rng(seed)
        return [{d.name: d.sample(rng) for d in self.dimensions} for _ in range(n)]

    def validate(self, config):
        """Raises a `ValueError` that names what is missing, unknown or out of range."""
        names = {dimension.name for dimension in self.dimensions}
        if names != set(config):
            raise ValueError(
                "`config` must name every dimension of the space. "
                f"Missing: {sorted(names - set(config))}, unknown: {sorted(set(config) - names)}"
            )
        for dimension in self.dimensions:
            if config[dimension.name] not in dimension:
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
        return SearchSpace(self.dimensions + other.dimensions, self.recipe or other.recipe)

    def part(self, config, part):
        """The `{name: value}` of one part, `"architecture"` or `"recipe"`."""
        return {d.name: config[d.name] for d in self.dimensions if d.part == part}

    def from_hyperparameters(self, hp):
        """Reads a configuration, after telling `hp` of dimensions it doesn't know yet.

        Args:
            hp: A `keras_tuner.HyperParameters`, as a hypermodel's `build(hp)` gets it.

        Returns:
            `{name: value}`.
        """
        return {d.name: d.from_hyperparameters(hp) for d in self.dimensions}

    def to_hyperparameters(self):
        """The space as a new `keras_tuner.HyperParameters`, for any KerasTuner tuner."""
        try:
            import keras_tuner
        except ImportError as error:
            raise ImportError(
                "A KerasTuner search needs keras-tuner: pip install keras_resnets[tuner]"
            ) from error
        hp = keras_tuner.HyperParameters()
        self.from_hyperparameters(hp)
        return hp

    def get_config(self):
        """The dimensions as plain values that JSON can hold; the recipe is not among them."""
        return {"dimensions": [dimension.get_config() for dimension in self.dimensions]}

    @classmethod
    def from_config(cls, config, recipe=None):
        """Rebuilds the space; a recipe is given again."""
        dimensions = [dict(dimension) for dimension in config["dimensions"]]
        return cls([KINDS[d.pop("kind")](**d) for d in dimensions], recipe)
