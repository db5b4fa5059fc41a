"""FBNetV3's search space: its dimensions, and the network that a point of it is."""

from keras_resnets.models import FBNetV3Config, StageConfig
from keras_resnets.models.fbnet_v3 import round8
from trainers.recipes import FBNETV3_SEARCH
from tuners.dimensions import Categorical, Ordinal
from tuners.recipe import recipe_space
from tuners.search_space import SearchSpace

# expansions of a stage's first block and of the rest, channels, depths; stride, SE
STAGES = (
    ((1,), (1,), range(16, 25, 2), range(1, 5), 1, False),
    (range(4, 8), range(2, 6), range(20, 33, 4), range(4, 8), 2, False),
    (range(4, 8), range(2, 6), range(24, 49, 4), range(4, 8), 2, True),
    (range(4, 8), range(2, 6), range(56, 85, 4), range(4, 9), 2, False),
    (range(4, 8), range(2, 6), range(96, 145, 4), range(6, 11), 1, True),
    (range(4, 8), range(4, 8), range(180, 241, 4), range(5, 10), 2, True),
    ((6,), (6,), range(180, 241, 4), (1,), 1, True),
)
FIELDS = ("kernel_first", "kernel_rest", "expansion_first", "expansion_rest", "channels", "depth")


def _choices():
    found = {"stem": range(16, 25, 2), "input_size": range(224, 273, 8)}
    for s, row in enumerate(STAGES, start=1):
        values = zip(FIELDS, ((3, 5), (3, 5), *row))
        found |= {f"stage{s}_{field}": choices for field, choices in values}
    return {**found, "stage7_kernel_rest": (3,)}  # of no block


CHOICES = _choices()
FIXED = {name: values[0] for name, values in CHOICES.items() if len(values) == 1}
# the least width that rounds to the same as a given one
LEAST = {
    (name, width): next(w for w in widths if round8(w) == round8(width))
    for name, widths in CHOICES.items()
    if name.endswith(("stem", "channels"))
    for width in widths
}


def fbnet_v3_space():
    """The architectures that FBNetV3 is searched among.

    The paper's table, with first and further blocks of a stage apart, and up to 240 channels in the
    last two stages, as its published networks need. Widths are rounded to multiples of 8 when a
    network is built. Narrow paddings are no part of the space: a point has symmetric ones.

    Returns:
        A `SearchSpace` of part `"architecture"`.

    Example:

    >>> space = tuners.fbnet_v3_space()
    >>> len(space.dimensions), space.size()
    (38, 8964978008234393600000)

    Reference:
        Dai et al., FBNetV3, CVPR 2021 (arXiv 2006.02049).
    """
    free = {name: list(values) for name, values in CHOICES.items() if name not in FIXED}
    dimensions = [Ordinal(name, free[name], part="architecture") for name in free]
    return SearchSpace(dimensions, canonical=fbnet_v3_canonical)


def fbnet_v3_recipe_space(recipe=FBNETV3_SEARCH):
    """The recipes that are searched together with FBNetV3's architecture.

    Args:
        recipe: `trainers.recipes.FBNetRecipe` whose other figures stay.

    Returns:
        A `SearchSpace` of part `"recipe"`, which knows the recipe.

    Example:

    >>> space = tuners.fbnet_v3_recipe_space()
    >>> space.size(), space.recipe.epochs
    (18905040, 150)

    Reference:
        Dai et al., FBNetV3, CVPR 2021 (arXiv 2006.02049).
    """
    return recipe_space(
        recipe,
        learning_rate=[n / 1000 for n in range(20, 31)],
        optimizer=["rmsprop", "sgd"],
        ema=Categorical("ema", [True, False]),
        dropout=_hundredths(1, 31),
        drop_path=_hundredths(10, 31),
        mixup=_hundredths(0, 41),
        weight_decay=[n / 1e6 for n in range(7, 22)],
    )


def _hundredths(low, high):
    return [n / 100 for n in range(low, high + 1)]


def fbnet_v3_config(config):
    """The architecture of a point of `fbnet_v3_space`.

    Args:
        config: `{name: value}`; what it says of a recipe is passed over.

    Returns:
        An `FBNetV3Config`. Points are the same network if, and only if, theirs are equal.

    Raises:
        ValueError: a dimension is missing.

    Example:

    >>> point = tuners.fbnet_v3_space().sample(seed=0)[0]
    >>> architecture = tuners.fbnet_v3_config(point)
    >>> architecture.stages[6].depth, architecture.stages[3].channels % 8
    (1, 0)
    """
    values = FIXED | config
    if missing := [name for name in CHOICES if name not in values]:
        raise ValueError(f"`config` must have a value of every dimension. Missing: {missing}")
    stages = []
    for s, (*_, stride, use_se) in enumerate(STAGES, start=1):
        stage = {field: values[f"stage{s}_{field}"] for field in FIELDS}
        if stage["depth"] == 1:
            stage["kernel_rest"] = stage["kernel_first"]
        stage["channels"] = round8(stage["channels"])
        stages.append(StageConfig(**stage, stride=stride, use_se=use_se))
    return FBNetV3Config(round8(values["stem"]), tuple(stages), input_size=values["input_size"])


def fbnet_v3_canonical(config):
    """The point that stands for all that are the same network as this one.

    Widths that round alike are replaced by the least of them, and a kernel of further blocks where
    there are none by the first block's.

    Args:
        config: `{name: value}` of `fbnet_v3_space`, perhaps with a recipe's, which stay.

    Returns:
        A new `{name: value}`, also of the space.

    Example:

    >>> point = tuners.fbnet_v3_space().sample(seed=0)[0]
    >>> a, b = (tuners.fbnet_v3_canonical({**point, "stem": stem}) for stem in (20, 24))
    >>> a == b, a["stem"]
    (True, 18)
    """
    canonical = {name: LEAST.get((name, value), value) for name, value in config.items()}
    if canonical.get("stage1_depth") == 1:
        canonical["stage1_kernel_rest"] = canonical["stage1_kernel_first"]
    return canonical
