"""The 2-D residual networks: parameters, geometry, options."""

import importlib
import inspect
import math

import keras
import numpy as np
import pytest

import keras_resnets as kr
from keras_resnets.models.conv_norm_act import EVONORMS
from keras_resnets.models.residual import STEM_POOLS


def trainable(model):
    return sum(math.prod(w.shape) for w in model.trainable_weights)


def batch_norm_affine(model):
    layers = model._flatten_layers()
    norms = [x for x in layers if isinstance(x, keras.layers.BatchNormalization)]
    return sum(math.prod(w.shape) for norm in norms for w in norm.trainable_weights)


def many(rows):
    """Cases of a table, the deep and the wide ones marked slow."""
    return [
        row[1:] if row[0] else pytest.param(*row[1:], marks=pytest.mark.release) for row in rows
    ]


# fast, factory, options, parameters, of them batch normalisation's (None: not given)
IMAGENET = [
    (1, kr.resnet18, {}, 11_689_512, 9_600),
    (0, kr.resnet34, {}, 21_797_672, 17_024),
    (1, kr.resnet50, {}, 25_557_032, 53_120),
    (0, kr.resnet101, {}, 44_549_160, 105_344),
    (0, kr.resnet152, {}, 60_192_808, 151_424),
    (0, kr.resnet200, {}, 64_673_832, 176_000),
    (1, kr.resnet18d, {}, 11_708_744, 9_728),
    (0, kr.resnet34d, {}, 21_816_904, 17_152),
    (0, kr.resnet50d, {}, 25_576_264, 53_248),
    (0, kr.resnet101d, {}, 44_568_392, 105_472),
    (0, kr.resnet152d, {}, 60_212_040, 151_552),
    (0, kr.resnet200d, {}, 64_693_064, 176_128),
    (0, kr.resnet50c, {}, 25_576_264, None),
    (0, kr.resnet50c, {"stem_width": 64}, 25_680_808, None),
    (0, kr.resnet50d, {"stem_width": (24, 32, 64)}, 25_573_728, None),
    (0, kr.resnet101, {"stem": "deep", "stem_width": 64}, 44_672_936, None),
    (0, kr.resnet152s, {}, 60_316_584, None),
    (0, kr.resnext50_32x4d, {}, 25_028_904, 68_224),
    (0, kr.resnext101_32x4d, {}, 44_177_704, 137_856),
    (0, kr.resnext101_32x8d, {}, 88_791_336, 202_880),
    (0, kr.resnext101_64x4d, {}, 83_455_272, 202_880),
    (0, kr.wide_resnet50_2, {}, 68_883_240, 68_224),
    (0, kr.wide_resnet101_2, {}, 126_886_696, 137_856),
    (1, kr.resnet18, {"attention": "se"}, 11_779_624, None),
    (0, kr.resnet34, {"attention": "se"}, 21_960_416, None),
    (0, kr.seresnet50, {}, 28_088_024, None),
    (0, kr.resnet101, {"attention": "se"}, 49_326_872, None),
    (0, kr.resnet152, {"attention": "se"}, 66_821_848, None),
    (0, kr.seresnext50_32x4d, {}, 27_559_896, 68_224),
    (0, kr.senet154, {}, 115_088_984, 247_552),
    (0, kr.skresnet50, {}, 25_803_160, None),
    (0, kr.resnext50_32x4d, {"attention": "sk_whole"}, 27_479_784, None),
    (0, kr.resnet50v2, {}, 25_549_352, 45_440),
    (0, kr.resnet101v2, {}, 44_541_480, 97_664),
    (0, kr.resnet152v2, {}, 60_185_128, 143_744),
    (0, kr.resnet50v2, {"stem": "deep", "shortcut": "avg"}, 25_568_584, 45_568),
    (0, kr.resnet50_evos, {}, 25_591_368, 0),
    (0, kr.resnet50_v1, {}, 25_583_592, 53_120),
    (0, kr.resnet50_v1, {"depths": (3, 4, 23, 3)}, 44_601_832, 105_344),
    (0, kr.resnet50_v1, {"depths": (3, 8, 36, 3)}, 60_268_520, 151_424),
    (0, kr.resnet50v2_keras, {}, 25_568_360, 45_440),
    (0, kr.resnet50v2_keras, {"depths": (3, 4, 23, 3)}, 44_577_896, 97_664),
    (0, kr.resnet50v2_keras, {"depths": (3, 8, 36, 3)}, 60_236_904, 143_744),
    (1, kr.resnet18, {"width_multiplier": 0.5}, 3_055_880, None),
    (0, kr.resnet18, {"width_multiplier": 2}, 45_693_032, None),
    (0, kr.resnet18, {"width_multiplier": 4}, 180_645_096, None),
    (0, kr.resnet50, {"depths": (3, 30, 48, 8)}, 102_073_384, None),
    (0, kr.resnext50_e2gc, {"group_size": 1}, 23_682_216, None),
    (0, kr.resnext50_e2gc, {"group_size": 4}, 23_886_120, None),
    (0, kr.resnext50_e2gc, {"group_size": 8}, 24_157_992, None),
    (0, kr.resnext50_e2gc, {"group_size": 16}, 24_701_736, None),
    (0, kr.resnext50_e2gc, {"group_size": 32}, 25_789_224, None),
    (0, kr.resnext50_e2gc, {"group_size": 64}, 27_964_200, None),
    (0, kr.resnext50_e2gc, {"group_size": 2}, 23_750_184, None),
    (0, kr.resnext50_e2gc, {"groups": 64}, 24_321_576, None),
    (0, kr.resnext50_e2gc, {"groups": 32}, 25_028_904, None),
    (0, kr.resnext50_e2gc, {"groups": 16}, 26_443_560, None),
    (0, kr.resnext50_e2gc, {"groups": 8}, 29_272_872, None),
    (0, kr.resnext50_e2gc, {"groups": 4}, 34_931_496, None),
    (0, kr.resnext50_e2gc, {"groups": 1}, 68_883_240, None),
]


@pytest.mark.parametrize(("factory", "options", "total", "norms"), many(IMAGENET))
def test_parameters(factory, options, total, norms):
    model = factory(**options)
    assert trainable(model) == total
    if norms is not None:
        assert batch_norm_affine(model) == norms


def test_thin_network_of_biased_convolutions():
    model = kr.resnet(filters=(32, 64, 128, 256), norm_act="none+relu", classes=2)
    assert trainable(model) == 5_891_266 and not model.non_trainable_weights


CIFAR = [
    (1, 14, 16, "B", 175_258, 1_120),
    (1, 20, 16, "B", 272_474, 1_568),
    (1, 20, 16, "A", 269_722, None),
    (0, 32, 16, "B", 466_906, 2_464),
    (0, 32, 16, "A", 464_154, None),
    (0, 44, 16, "B", 661_338, 3_360),
    (0, 44, 16, "A", 658_586, None),
    (0, 56, 16, "B", 855_770, 4_256),
    (0, 56, 16, "A", 853_018, None),
    (0, 110, 16, "B", 1_730_714, 8_288),
    (0, 110, 16, "A", 1_727_962, None),
    (0, 218, 16, "B", 3_480_602, 16_352),
    (0, 434, 16, "B", 6_980_378, 32_480),
    (0, 866, 16, "B", 13_979_930, 64_736),
    (0, 1202, 16, "B", 19_424_026, 89_824),
    (0, 1202, 16, "A", 19_421_274, None),
    (1, 14, 32, "B", 696_618, 2_240),
    (1, 14, 64, "B", 2_777_674, 4_480),
    (0, 14, 128, "B", 11_093_130, 8_960),
    (0, 14, 256, "B", 44_337_418, 17_920),
    (0, 14, 512, "B", 177_279_498, 35_840),
]


@pytest.mark.parametrize(("depth", "width", "shortcut", "total", "norms"), many(CIFAR))
def test_cifar_parameters(depth, width, shortcut, total, norms):
    model = kr.cifar_resnet(depth, width, shortcut, scan_blocks=False)
    assert trainable(model) == total
    if norms is not None:
        assert batch_norm_affine(model) == norms


WIDE = [(1, 16, 8, 10_961_370), (0, 28, 10, 36_479_194), (0, 40, 2, 2_243_546)]


@pytest.mark.parametrize(("depth", "k", "total"), many(WIDE))
def test_wide_parameters(depth, k, total):
    assert trainable(kr.wide_resnet(depth, k)) == total


# depth, width, sk_ratio, trainable parameters, all of them, billions of products at 224 pixels
SIMCLR = [
    (50, 1, 0, 23_508_032, 23_561_152, 4.09),
    (50, 1, 1 / 16, 35_215_584, 35_277_408, 6.18),
    (50, 2, 0, 93_907_072, 94_013_312, 16.11),
    (50, 2, 1 / 16, 140_306_048, 140_428_864, 24.69),
    (50, 3, 0, 211_197_120, 211_356_480, 36.08),
    (50, 3, 1 / 16, 315_493_600, 315_677_600, 55.53),
    (101, 1, 0, 42_500_160, 42_605_504, 7.80),
    (101, 1, 1 / 16, 64_662_304, 64_786_144, 11.85),
    (101, 2, 0, 169_771_136, 169_981_824, 30.96),
    (101, 2, 1 / 16, 257_132_224, 257_377_984, 47.40),
    (101, 3, 0, 381_812_928, 382_128_960, 69.49),
    (101, 3, 1 / 16, 578_260_288, 578_628_704, 106.62),
    (152, 1, 0, 58_143_808, 58_295_232, 11.51),
    (152, 1, 1 / 16, 88_940_896, 89_119_584, 17.53),
    (152, 2, 0, 232_253_568, 232_556_416, 45.81),
    (152, 2, 1 / 16, 353_398_528, 353_752_896, 70.11),
    (152, 3, 0, 522_329_280, 522_783_552, 102.90),
    (152, 3, 1 / 16, 794_704_160, 795_235_360, 157.72),
]


def simclr_shapes(depth, width, sk_ratio=0, side=None):
    """The network without its numbers: the largest would take 3 GB."""
    with keras.StatelessScope(initialize_variables=False):
        return kr.simclr_resnet(
            *(depth, width, sk_ratio),
            include_top=False,
            pooling="avg",
            input_shape=(side, side, 3),
        )


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "width", "sk", "total", "all_weights", "macs"), SIMCLR)
def test_simclr_parameters(depth, width, sk, total, all_weights, macs):
    model = simclr_shapes(depth, width, sk)
    assert (trainable(model), model.count_params()) == (total, all_weights)


@pytest.mark.release
@pytest.mark.parametrize(("depth", "width", "sk", "total", "all_weights", "macs"), SIMCLR)
def test_simclr_products(depth, width, sk, total, all_weights, macs):
    found = kr.analysis.cost(simclr_shapes(depth, width, sk, side=224)).macs
    assert round(found / 1e9, 2) == macs


def test_simclr_parameters_of_small_networks():
    for (depth, side), expected in {
        (18, None): (11_180_736, 11_190_464),
        (18, 32): (11_173_056, 11_182_784),
        (50, 32): (23_500_352, 23_553_472),
    }.items():
        model = simclr_shapes(depth, 1, side=side)
        assert (trainable(model), model.count_params()) == expected


@pytest.mark.parametrize(("width", "total"), ((4, 375_378_176), (5, 586_450_240)))
def test_swav_parameters(width, total):
    with keras.StatelessScope(initialize_variables=False):
        model = kr.swav_resnet50(width, include_top=False)
    assert trainable(model) == total


def sine_weights(model):
    """The rule of the structural check: a weight is a function of its kind and shape."""
    for weight in model.weights:
        i = np.arange(math.prod(weight.shape), dtype="float64")
        if weight.name == "kernel":
            fan_in = math.prod(weight.shape[:-1])
            value = np.modf(np.sin(12.9898 * i + 78.233) * 43758.5453)[0] * math.sqrt(2 / fan_in)
        else:
            value = {
                "gamma": 1 + 0.1 * np.sin(0.7 * i + 0.1),
                "beta": 0.05 * np.cos(1.3 * i + 0.2),
                "moving_mean": 0.05 * np.sin(0.9 * i + 0.3),
                "moving_variance": 1 + 0.2 * np.cos(0.5 * i + 0.4),
            }[weight.name]
        weight.assign(value.reshape(weight.shape))


@pytest.mark.release
@pytest.mark.parametrize(
    ("depth", "width", "sk", "first", "mean", "std", "projected", "largest"),
    [
        (
            *(50, 2, 1 / 16, [0.29641587, 0, 0, 0.08429476], 0.10690275, 0.14825343),
            *([-0.01046705, -0.03160908, -0.01885092, -0.00616855], 0.10715994),
        ),
        (
            *(101, 1, 1 / 16, [1.258801, 0.01241609, 2.0519178, 0], 0.50619096, 0.6611163),
            *([-0.01624776, 0.13392085, 0.06746709, 0.00241294], 0.19496037),
        ),
        (
            *(152, 1, 0, [1.4346226, 0.28829807, 2.8559265, 0], 0.63083506, 0.7938278),
            *([-0.02174547, 0.15002376, 0.07195331, -0.03374505], 0.2975583),
        ),
    ],
    ids=("50_2x_sk", "101_1x_sk", "152_1x"),
)
def test_simclr_features_equal_the_official_networks(
    depth, width, sk, first, mean, std, projected, largest
):
    model = kr.simclr_resnet(depth, width, sk, include_top=False, pooling="avg")
    sine_weights(model)
    x = 0.5 + 0.5 * np.sin(0.01 * np.arange(2 * 64 * 64 * 3)).reshape(2, 64, 64, 3)
    features = keras.ops.convert_to_numpy(model(x.astype("float32"), training=False))
    np.testing.assert_allclose(features[0, :4], first, rtol=1e-5, atol=1e-5 * std)
    np.testing.assert_allclose([features.mean(), features.std()], [mean, std], rtol=1e-5)
    head = kr.layers.ProjectionHead()
    head.build(features.shape)
    sine_weights(head)
    projection = keras.ops.convert_to_numpy(head(features))
    np.testing.assert_allclose(projection[0, :4], projected, atol=1e-5 * largest)
    assert np.abs(projection).max() == pytest.approx(largest, rel=1e-5)


@keras.saving.register_keras_serializable("tests")
class ScaledRelu(keras.layers.ReLU):
    """A normalisation of one's own."""


def custom_norm(channels, apply_act, name, zero_init):
    assert isinstance(channels, int) and isinstance(zero_init, bool)
    return ScaledRelu(name=name) if apply_act else keras.layers.Identity(name=name)


def small(**options):
    settings = dict(depths=(1, 2, 1, 1), filters=(8, 16, 32, 64), classes=5)
    return kr.resnet(**{**settings, **options})


# every value of every option, alone or with what it needs
OPTIONS = [
    {"depths": (1, 1, 2), "filters": (8, 8, 16)},
    {"block": "basic"},
    {"width_multiplier": 0.5},
    {"preactivation": True},
    {"preactivation": True, "block": "basic", "block_dropout": 0.3},
    {"stride_on": "1x1"},
    {"stride_on": "last"},
    {"stem": "deep"},
    {"stem": "deep", "stem_width": 4},
    {"stem": "deep", "stem_width": (3, 4, 8)},
    {"stem": "cifar", "stem_width": 8},
    {"stem": "none"},
    *({"stem_pool": pool} for pool in STEM_POOLS),
    {"shortcut": "avg"},
    {"shortcut": "avg_always", "project_first": True},
    {"shortcut": "pad", "stem_width": 8},
    {"shortcut": "pad", "shortcut_pad": "end", "stem_width": 8},
    {"shortcut": "maxpool_identity", "stride_on": "last", "preactivation": True},
    {"shortcut_kernel": 3},
    {"groups": 4, "base_width": 16},
    {"group_size": 4},
    {"reduce_first": 2},
    {"attention": "se", "se_ratio": 0.25},
    {"attention": "eca"},
    {"attention": "sk"},
    {"attention": "sk", "groups": 2, "base_width": 32, "sk_ratio": 0.25},
    {"attention": "sk", "group_size": 4},
    {"attention": "sk_whole", "groups": 2, "base_width": 32},
    {"attention": "sk_simclr", "sk_ratio": 0.25},
    {"attention": "sk", "preactivation": True},
    {"attention": "sk_simclr", "preactivation": True},
    *({"norm_act": f"batch_norm+{act}"} for act in ("silu", "leaky_relu", "gelu", "none")),
    *({"norm_act": name} for name in ("group_norm+silu", "frn+tlu", "frn+relu", "none+relu")),
    {"norm_act": "frn+tlu", "preactivation": True},
    {"norm_act": custom_norm},
    *({"norm_act": name} for name in EVONORMS),
    *({"norm_act": name, "preactivation": True} for name in ("evonorm_b0", "evonorm_s0")),
    {"norm_epsilon": 1e-3, "norm_momentum": 0.99, "synchronized": True},
    {"zero_init_residual": True},
    {"anti_alias": "blur"},
    {"anti_alias": "blur", "block": "basic", "stem_pool": "conv"},
    {"drop_path": 0.2, "dropout": 0.5},
    {"drop_block": 0.1, "depths": (1, 1, 1), "filters": (8, 8, 8)},
    {"use_bias": True},
    {"use_bias": "unnormalized", "preactivation": True},
    {"gamma_initializer": "uniform01"},
    {"dense_init": "normal_0.01"},
    {"output_stride": 8, "depths": (1, 1, 1), "filters": (8, 8, 8)},
    {"output_stride": 16, "shortcut": "avg", "depths": (1, 1, 1, 1), "filters": (8, 8, 8, 8)},
    {"scan_blocks": True, "depths": (1, 3)},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: str(options).split(" at ")[0])
def test_options_train_and_survive_saving(options, tmp_path):
    tiny = dict(depths=(1, 2), filters=(8, 16), classifier_activation=None)
    model = small(**{**tiny, **options})
    x = np.random.default_rng(0).standard_normal((2, 32, 33, 3)).astype("float32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1e-3), loss, run_eagerly=True)
    assert np.isfinite(model.train_on_batch(x, np.array([1, 4])))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(x), model(x), rtol=1e-6, atol=1e-6)


def test_options_do_what_they_say():
    def shape(layer, **options):
        return small(**options).get_layer(layer).kernel.shape

    assert shape("stage1_block1_conv1", reduce_first=2) == (1, 1, 64, 4)
    assert shape("stage1_block1_conv2", reduce_first=2) == (3, 3, 4, 8)
    assert shape("stage1_block1_conv2", groups=4, base_width=16) == (3, 3, 2, 8)
    assert shape("stage2_block1_shortcut_conv", shortcut_kernel=3) == (3, 3, 32, 64)
    assert shape("stage1_block1_se_fc1", attention="se", se_ratio=0.5) == (1, 1, 32, 16)
    assert shape("stage1_block1_eca_conv", attention="eca") == (3, 1, 1)
    assert shape("stem_conv", width_multiplier=0.5) == (7, 7, 3, 32)
    assert shape("stem_conv3", stem="deep", width_multiplier=2) == (3, 3, 64, 128)
    zeroed = small(zero_init_residual=True)
    norms = {x.name: x.gamma.numpy() for x in zeroed.layers if "_norm" in x.name and x.weights}
    assert all((gamma == 0).all() == name.endswith("norm3") for name, gamma in norms.items())
    rates = [x.rate for x in small(drop_path=0.2).layers if x.name.endswith("drop_path")]
    np.testing.assert_allclose(rates, [0.05, 0.1, 0.15, 0.2])
    for place, layer in [("3x3", "conv2"), ("1x1", "conv1")]:
        model = small(stride_on=place)
        assert model.get_layer(f"stage2_block1_{layer}").strides == (2, 2), place
    assert small(stride_on="last").get_layer("stage2_block2_conv2").strides == (2, 2)
    blur = small(anti_alias="blur")
    assert blur.get_layer("stage2_block1_conv2").strides == (1, 1)
    assert blur.get_layer("stage2_block1_blur").strides == 2
    epsilon = small(norm_epsilon=1e-3, norm_momentum=0.99).get_layer("stem_norm")
    assert (epsilon.epsilon, epsilon.momentum) == (1e-3, 0.99)
    assert not small(norm_act="frn+tlu").non_trainable_weights


@pytest.mark.parametrize("side", [224, 225, 32, None])
def test_shapes_and_strides(side):
    model = small(input_shape=(side, side, 3), classifier_activation=None)
    assert model.output_shape == (None, 5)
    levels = [keras.ops.shape(y) for y in kr.models.feature_extractor(model).outputs]
    sides = [None if side is None else -(-side // 2**n) for n in (2, 3, 4, 5)]
    assert [shape[1] for shape in levels] == sides
    assert [shape[3] for shape in levels] == [32, 64, 128, 256]


def test_dilation_keeps_the_features():
    """Without strides the maps are larger, and at every stride's step they are the same."""
    x = np.random.default_rng(0).standard_normal((1, 64, 64, 3)).astype("float32")
    strided, dilated = (small(include_top=False, output_stride=n) for n in (32, 8))
    dilated.set_weights(strided.get_weights())
    fine = keras.ops.convert_to_numpy(dilated(x))
    assert fine.shape == (1, 8, 8, 256)
    coarse = keras.ops.convert_to_numpy(strided(x))
    np.testing.assert_allclose(fine[:, ::4, ::4], coarse, rtol=1e-4, atol=1e-5)


def test_layers_of_one_shape_start_with_different_kernels():
    model = small(depths=(1, 3))
    a, b = (model.get_layer(f"stage2_block{i}_conv2").kernel.numpy() for i in (2, 3))
    assert a.shape == b.shape and not np.allclose(a, b)
    assert a.std() == pytest.approx((2 / (9 * 16)) ** 0.5, rel=0.1)


def test_two_models_can_be_joined():
    a, b = small(name="a"), small(name="b")
    x = keras.Input((32, 32, 3))
    both = keras.Model(x, keras.layers.Average()([a(x), b(x)]))
    assert both.count_params() == 2 * a.count_params()


def test_input_tensor():
    x = keras.Input((48, 48, 3), name="bytes")
    model = small(input_tensor=keras.layers.Rescaling(1 / 255)(x))
    assert model.inputs[0].name == "bytes" and model.output_shape == (None, 5)


def test_mixed_precision():
    x = np.random.default_rng(0).standard_normal((2, 64, 64, 3)).astype("float32")
    single = small()
    keras.config.set_dtype_policy("mixed_bfloat16")
    half = small()
    half.set_weights(single.get_weights())
    assert half(x).dtype == "float32"
    np.testing.assert_allclose(half(x), single(x), atol=0.02)


def test_channels_first_builds():
    """TensorFlow runs it on GPU only."""
    options = dict(stem="deep", shortcut="avg", attention="se", preactivation=True)
    last = small(**options)
    keras.config.set_image_data_format("channels_first")
    try:
        first = small(**options, input_shape=(3, 65, 64))
        assert [w.shape for w in first.weights] == [w.shape for w in last.weights]
        features = kr.models.feature_extractor(first, [2, 5])
    finally:
        keras.config.set_image_data_format("channels_last")
    assert features.output_shape == [(None, 32, 17, 16), (None, 256, 3, 2)]


def test_nested_runs_of_blocks_are_the_flat_network(monkeypatch):
    options = dict(depths=(3, 2, 2), filters=(4, 8, 16), block="basic", stem="cifar", classes=3)
    flat = kr.resnet(**options)
    builder = importlib.import_module("keras_resnets.models.resnet")
    monkeypatch.setattr(builder, "MAX_FLAT", 0)
    monkeypatch.setattr(builder.residual, "RUN", 2)
    nested = kr.resnet(**options)
    names = [layer.name for layer in nested.layers if isinstance(layer, keras.Model)]
    assert names == ["stage1_blocks1_2", "stage1_blocks3_3", "stage2_blocks1_2", "stage3_blocks1_2"]
    assert [w.path for w in nested.weights] == [w.path for w in flat.weights]
    nested.set_weights(flat.get_weights())
    x = np.random.default_rng(0).standard_normal((2, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(nested(x), flat(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block": "other"}, "`block`.*bottleneck.*'other'"),
        ({"stem": "9x9"}, "`stem`.*7x7.*'9x9'"),
        ({"shortcut": "none"}, "`shortcut`"),
        ({"attention": "cbam"}, "`attention`"),
        ({"norm_act": "layer_norm+relu"}, "`norm_act`.*layer_norm"),
        ({"norm_act": "batch_norm"}, "`norm_act`"),
        ({"group_size": 3}, "`group_size`.*nearest divisors"),
        ({"group_size": 4, "groups": 2}, "`groups` or `group_size`"),
        ({"input_shape": (31, 64, 3)}, "`input_shape`.*32"),
        ({"input_shape": (64, 64)}, "`input_shape`"),
        ({"pooling": "min", "include_top": False}, "`pooling`"),
        ({"classes": 0}, "`classes`"),
        ({"output_stride": 4}, "`output_stride`"),
        ({"use_bias": "always"}, "`use_bias`"),
        ({"block": "basic", "groups": 4}, "groups"),
        ({"dense_init": "zeros"}, "`dense_init`"),
        ({"attention": "sk", "block": "basic"}, "selective kernels"),
        ({"attention": "sk", "anti_alias": "blur"}, "Selective kernels take no.*'blur'"),
        ({"attention": "sk_simclr", "output_stride": 8}, "Selective kernels take no.*8"),
        ({"attention": "sk", "norm_act": "frn+tlu"}, "Selective kernels need.*frn"),
        ({"anti_alias": "gauss"}, "`anti_alias`"),
        ({"scan_blocks": "yes"}, "`scan_blocks`"),
        ({"norm_act": "batch_norm+other"}, "other"),
        ({"stem_pool": "avg"}, "`stem_pool`.*max_ceil"),
        ({"stride_on": "2x2"}, "`stride_on`"),
        ({"shortcut_pad": "front"}, "`shortcut_pad`"),
        ({"filters": (8,)}, "`filters` must have one entry"),
        ({"input_shape": (64, 64, None)}, "known channels"),
        ({"drop_path": 1.5}, "`rate` must be in"),
        ({"classes": 2.5}, "`classes`.*2.5"),
        ({"shortcut": "pad"}, "`filters` must be at least the 64 channels"),
    ],
    ids=str,
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


@pytest.mark.parametrize("depth", [0, 19, 21, 110.5])
def test_bad_cifar_depth(depth):
    with pytest.raises(ValueError, match="`depth` must be 6 n"):
        kr.cifar_resnet(depth)
    with pytest.raises(ValueError, match="`depth` must be 6 n"):
        kr.wide_resnet(depth)


def test_bad_cifar_input():
    with pytest.raises(ValueError, match="sides of at least 8"):
        kr.cifar_resnet(8, input_shape=(7, 32, 3))
    with pytest.raises(ValueError, match="`shortcut`"):
        kr.cifar_resnet(8, shortcut="C")
    with pytest.raises(FileNotFoundError, match=r"no\.safetensors"):
        kr.cifar_resnet(8, weights="no.safetensors")


@pytest.mark.parametrize(
    ("options", "inner"),
    [
        ({}, 8),
        ({"group_size": 4}, 4),
        ({"groups": 4}, 32),
        ({"groups": 32}, 4),
        ({"groups": 1}, 128),
    ],
    ids=str,
)
def test_groups_of_e2gc(options, inner):
    model = kr.resnext50_e2gc(**options, depths=(1,), include_top=False)
    assert model.get_layer("stage1_block1_conv2").kernel.shape == (3, 3, inner, 128)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group_size": 8, "groups": 32}, "`groups` or `group_size`, not both.*groups=32"),
        ({"groups": 3}, r"`groups` must divide.*\[1, 2, 4, 8, 16, 32, 64, 128\].*groups=3"),
        ({"group_size": 3}, "`group_size`.*nearest divisors"),
    ],
    ids=str,
)
def test_bad_groups_of_e2gc(options, message):
    with pytest.raises(ValueError, match=message):
        kr.resnext50_e2gc(**options)


def test_factories_share_their_first_arguments():
    """Those of `keras.applications`, in its order, after what a family needs."""
    common = (
        "include_top weights input_tensor input_shape pooling classes classifier_activation name"
    )
    for name in kr.models.resnet_variants.__dict__:
        factory = getattr(kr.models, name, None)
        if inspect.isfunction(factory) and factory.__module__.endswith("resnet_variants"):
            parameters = [*inspect.signature(factory).parameters]
            start = parameters.index("include_top")
            assert parameters[start : start + 8] == common.split(), name
            assert all(p in factory.__doc__ for p in parameters), name
            assert factory.__name__ == name


def test_simclr_options():
    options = dict(include_top=False, input_shape=(32, 32, 3))
    model = kr.simclr_resnet(18, **options, se_ratio=0.25)
    assert model.name == "simclr_resnet18" and model.get_layer("stem_conv").strides == (1, 1)
    assert model.get_layer("stage1_block1_se_fc1").filters == 16
    assert kr.simclr_resnet50(**options, depths=(1,)).name == "simclr_resnet50"
    with pytest.raises(ValueError, match="`sk_ratio` or `se_ratio`"):
        kr.simclr_resnet(50, sk_ratio=1 / 16, se_ratio=0.25)
    with pytest.raises(ValueError, match="`depth` must be one of"):
        kr.simclr_resnet(19)
    with pytest.raises(ValueError, match="selective kernels"):
        kr.simclr_resnet(34, sk_ratio=1 / 16)


@pytest.mark.parametrize(("sk_ratio", "stem"), ((0, "stem_conv"), (1 / 16, "stem_conv3")))
def test_simclr_intermediate_outputs(sk_ratio, stem):
    tiny = dict(depths=(1, 1, 1, 1), include_top=False, pooling="avg")
    model = kr.simclr_resnet50(sk_ratio=sk_ratio, **tiny)
    outputs = kr.feature_extractor(model, [stem, "stem_pool", 2, 3, 4, 5, "avg_pool"])
    images = np.random.default_rng(0).random((1, 64, 64, 3)).astype("float32")
    conv, pool, *groups, features = (y.numpy() for y in outputs(images))
    assert conv.shape == (1, 32, 32, 64) and pool.shape == (1, 16, 16, 64)
    assert conv.min() < 0 <= pool.min()  # before its normalisation, behind the ReLU
    sides = [(y.shape[1], y.shape[3]) for y in groups]
    assert sides == [(16, 256), (8, 512), (4, 1024), (2, 2048)]
    np.testing.assert_allclose(features, groups[-1].mean((1, 2)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("factory", (kr.simclr_resnet50, kr.swav_resnet50))
def test_widths_are_whole(factory):
    tiny = dict(depths=(1,), include_top=False)
    assert factory(2.0, **tiny).output_shape[-1] == 512
    for width in (1.5, 0, -1, True):
        with pytest.raises(ValueError, match=f"whole number of at least 1.*{width}"):
            factory(width, **tiny)


def test_contrastive_networks_of_small_images():
    tiny = dict(depths=(1, 1, 1, 1), include_top=False)
    with pytest.warns(UserWarning, match=r"\(16, 16, 3\) shrink to a single place"):
        model = kr.simclr_resnet50(small_stem=False, input_shape=(16, 16, 3), **tiny)
    assert model.output_shape == (None, 1, 1, 2048)
    with pytest.warns(UserWarning, match="shrink"):
        kr.swav_resnet50(input_shape=(8, 40, 3), **tiny)
    for factory in (kr.simclr_resnet50, kr.swav_resnet50):
        with pytest.raises(ValueError, match="sides of at least 8"):
            factory(input_shape=(7, 64, 3), **tiny)


def test_small_stems_do_not_warn(recwarn):
    tiny = dict(depths=(1, 1, 1, 1), include_top=False, input_shape=(12, 12, 3))
    assert kr.simclr_resnet50(**tiny).output_shape == (None, 2, 2, 2048)
    kr.swav_resnet50(stem="cifar", **tiny)
    kr.swav_resnet50(depths=(1,), include_top=False)
    assert not [w for w in recwarn if "shrink" in str(w.message)]
