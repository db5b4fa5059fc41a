"""FBNetV3's space: its size, the published networks in it, and what its networks cost."""

import dataclasses
import math

import numpy as np
import pytest

import keras_resnets as kr
import tuners
from keras_resnets.analysis import cost
from keras_resnets.models.fbnet_v3 import CONFIGS
from trainers.recipes import FBNETV3
from tuners.fbnet_v3 import CHOICES

SPACE = tuners.fbnet_v3_space()
POINTS = SPACE.sample(300, seed=0)


def test_size():
    stages = [
        2 * 2 * 5 * 4,  # kernels, channels, depths
        *(2 * 2 * 4 * 4 * channels * depths for channels, depths in ((4, 4), (7, 4), (8, 5))),
        *(2 * 2 * 4 * 4 * channels * depths for channels, depths in ((13, 5), (16, 5))),
        2 * 16,
    ]
    assert SPACE.size() == 5 * math.prod(stages) * 7 == 8_964_978_008_234_393_600_000
    recipes = tuners.fbnet_v3_recipe_space()
    assert recipes.size() == 11 * 2 * 2 * 31 * 22 * 42 * 15 == 18_905_040
    both = SPACE + recipes
    assert both.size() == SPACE.size() * recipes.size()
    assert len(both.dimensions) == 45 and both.recipe is recipes.recipe


def test_the_recipe_space_varies_the_recipe():
    space = tuners.fbnet_v3_recipe_space()
    values = {d.name: d.values for d in space.dimensions}
    assert (values["learning_rate"][0], values["learning_rate"][-1]) == (0.02, 0.03)
    assert (values["dropout"][0], values["dropout"][-1]) == (0.01, 0.31)
    assert (values["drop_path"][0], values["drop_path"][-1]) == (0.1, 0.31)
    assert (values["mixup"][0], values["mixup"][-1]) == (0.0, 0.41)
    assert (values["weight_decay"][0], values["weight_decay"][-1]) == (7e-6, 2.1e-5)
    assert {d.part for d in space.dimensions} == {"recipe"}
    recipe = dataclasses.replace(space.recipe, **space.sample(seed=0)[0])
    assert (recipe.epochs, recipe.gamma) == (150, 0.963)
    assert tuners.fbnet_v3_recipe_space(FBNETV3).recipe.epochs == 400


def symmetric(config):
    """Without the narrow paddings, which are no part of the space."""
    stages = [dataclasses.replace(stage, first_padding=None) for stage in config.stages]
    return dataclasses.replace(config, stages=stages)


def point_of(config):
    """A point of the space that is this architecture, by what its stages say."""
    values = {"stem": config.stem, "input_size": config.input_size}
    for s, stage in enumerate(config.stages, start=1):
        values |= {f"stage{s}_{name}": v for name, v in dataclasses.asdict(stage).items()}
    names = [d.name for d in SPACE.dimensions]
    rounded = {("stage4_channels", 88): 84}  # as the paper's range has it
    return {name: rounded.get((name, values[name]), values[name]) for name in names}


@pytest.mark.parametrize("letter", "bcde")
def test_published_networks_are_points(letter):
    point = point_of(CONFIGS[letter])
    assert point in SPACE
    assert tuners.fbnet_v3_config(point) == symmetric(CONFIGS[letter])


def test_points_are_networks():
    for point in POINTS:
        config = tuners.fbnet_v3_config(point)
        assert config.stem % 8 == 0 and config.input_size == point["input_size"]
        for s, stage in enumerate(config.stages, start=1):
            assert stage.channels % 8 == 0
            assert abs(stage.channels - point.get(f"stage{s}_channels")) <= 6
            assert stage.depth == point.get(f"stage{s}_depth", 1)
            assert stage.stride == (1, 2, 2, 2, 1, 2, 1)[s - 1]
            assert stage.use_se == (s in (3, 5, 6, 7))
        assert (config.head_expansion, config.head_width) == (6, 1984)
    with_recipe = {**POINTS[0], "mixup": 0.2}
    assert tuners.fbnet_v3_config(with_recipe) == tuners.fbnet_v3_config(POINTS[0])


def test_equal_networks_have_one_canonical_point():
    """Points in pairs that differ in one dimension: equal if, and only if, the networks are."""
    equal = 0
    rng = np.random.default_rng(1)
    for point in POINTS[:100]:
        for dimension in SPACE.dimensions:
            other = {**point, dimension.name: dimension.sample(rng)}
            same = tuners.fbnet_v3_config(point) == tuners.fbnet_v3_config(other)
            a, b = map(tuners.fbnet_v3_canonical, (point, other))
            assert (a == b) == same
            equal += same and point != other
        assert a in SPACE and tuners.fbnet_v3_canonical(a) == a
        assert tuners.fbnet_v3_config(a) == tuners.fbnet_v3_config(point)
    assert equal > 100
    with_recipe = tuners.fbnet_v3_canonical({**POINTS[0], "dropout": 0.1})
    assert with_recipe == {**tuners.fbnet_v3_canonical(POINTS[0]), "dropout": 0.1}
    one = {**POINTS[0], "stage1_depth": 1, "stage1_kernel_first": 5}
    kernels = [tuners.fbnet_v3_canonical({**one, "stage1_kernel_rest": k}) for k in (3, 5)]
    assert kernels[0] == kernels[1] and kernels[0]["stage1_kernel_rest"] == 5


# trainable parameters, multiply-accumulates, and the official "FLOPs"
PUBLISHED = {
    "a0": (6_309_964, 217_917_744, None),
    "a": (8_598_464, 355_514_328, 356_598_280),
    "b": (8_598_464, 460_150_000, 461_550_136),
    "c": (9_973_800, 555_578_368, 556_969_904),
    "d": (10_306_272, 642_628_864, 644_420_352),
    "e": (10_772_872, 759_952_160, 762_046_336),
    "f": (13_896_136, 1_178_860_656, 1_181_644_520),
    "g": (16_623_888, 2_125_187_200, 2_129_656_384),
}
# timm's, at its sizes
SYMMETRIC = {
    ("b", 224): 407_508_576,
    ("b", 256): 530_631_936,
    ("d", 224): 501_971_056,
    ("d", 256): 653_862_016,
    ("g", 224): 1_045_075_744,
    ("g", 240): 1_253_584_000,
    ("g", 288): 1_722_792_736,
}


def test_published_costs():
    found = tuners.fbnet_v3_statistics([CONFIGS[letter] for letter in PUBLISHED])
    for i, (params, macs, flops) in enumerate(PUBLISHED.values()):
        assert (found["params"][i], found["macs"][i]) == (params, macs)
        assert flops in (None, found["macs"][i] + found["pooled"][i])
    sized = [dataclasses.replace(CONFIGS[x], input_size=size) for x, size in SYMMETRIC]
    found = tuners.fbnet_v3_statistics(sized, dw_padding="symmetric")
    assert found["macs"].tolist() == [*SYMMETRIC.values()]


def built(config, **options):
    """The same statistics, of the network itself."""
    side = config.input_size
    report = cost(kr.FBNetV3(config, **options), (side, side, 3))
    linear = [row for row in report.rows if row.type in ("Conv2D", "GroupConv2D", "Dense")]
    return {
        "params": report.trainable_params,
        "macs": report.macs,
        "pooled": sum(r.words_in for r in report.rows if r.type == "GlobalAveragePooling2D"),
        "activations": sum(row.words_out for row in linear),
    }


SMALL_STAGES = (
    kr.StageConfig(3, 5, 1, 2.5, 12, 3),
    kr.StageConfig(5, 3, 4, 3, 20, 2, 2, True, 0),
    kr.StageConfig(5, 5, 2, 2, 20, 1, 2, True, 1),
)


@pytest.mark.parametrize("size", [32, 47])
@pytest.mark.parametrize("stages", [1, 3])
@pytest.mark.parametrize("padding", ["official", "symmetric"])
def test_statistics_equal_a_small_network(stages, size, padding):
    config = kr.FBNetV3Config(10, SMALL_STAGES[:stages], 3, 24, size)
    found = tuners.fbnet_v3_statistics(config, classes=7, dw_padding=padding)
    assert found == built(config, classes=7, dw_padding=padding)
    together = tuners.fbnet_v3_statistics([CONFIGS["a"], config], classes=7)
    alone = tuners.fbnet_v3_statistics(config, classes=7)
    assert {name: values[1] for name, values in together.items()} == alone


RELEASE = pytest.mark.release


@pytest.mark.parametrize("number", [0, *(pytest.param(n, marks=RELEASE) for n in range(1, 10))])
def test_statistics_equal_networks_of_the_space(number):
    point = POINTS[number]
    assert tuners.fbnet_v3_statistics(point) == built(tuners.fbnet_v3_config(point))


@pytest.mark.release
@pytest.mark.parametrize("letter", PUBLISHED)
def test_statistics_equal_the_published_networks(letter):
    config = CONFIGS[letter]
    assert tuners.fbnet_v3_statistics(config) == built(config)


def test_statistics_of_points_and_of_their_architectures():
    found = tuners.fbnet_v3_statistics(POINTS)
    others = tuners.fbnet_v3_statistics([tuners.fbnet_v3_config(point) for point in POINTS])
    assert found.keys() == others.keys() == {"params", "macs", "pooled", "activations"}
    for name, values in found.items():
        np.testing.assert_array_equal(values, others[name])
        assert values.dtype == "int64"
    with_recipe = tuners.fbnet_v3_statistics({**POINTS[4], "ema": True})
    assert with_recipe == {name: int(values[4]) for name, values in found.items()}
    canonical = tuners.fbnet_v3_statistics([*map(tuners.fbnet_v3_canonical, POINTS)])
    np.testing.assert_array_equal(canonical["macs"], found["macs"])


def without(name):
    return {key: value for key, value in POINTS[0].items() if key != name}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tuners.fbnet_v3_config(without("stem")), r"Missing: \['stem'\]"),
        (lambda: tuners.fbnet_v3_statistics([without("stem")]), "a value of 'stem'"),
        (lambda: tuners.fbnet_v3_statistics([]), "one or more `FBNetV3Config`s"),
        (lambda: tuners.fbnet_v3_statistics(["a", POINTS[0]]), r"a list of \['dict', 'str'\]"),
        (lambda: tuners.fbnet_v3_statistics(POINTS, dw_padding="same"), "`dw_padding`.*'same'"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_every_dimension_is_a_choice():
    assert {d.name for d in SPACE.dimensions} <= CHOICES.keys()
    assert all(len(d.values) > 1 and d.part == "architecture" for d in SPACE.dimensions)
