"""Parameters and shapes of the 2-D families beside the residual networks."""

import math

import keras
import numpy as np
import pytest

import keras_resnets as kr

SLOW = pytest.mark.release


@pytest.mark.parametrize(
    ("factory", "options", "trainable", "statistics"),
    [
        (kr.mobilenet_v1, {}, 4_231_976, None),
        (kr.mobilenet_v1, {"group_size": 8}, 4_544_456, None),
        pytest.param(kr.mobilenet_v1, {"group_size": 2}, 4_276_616, None, marks=SLOW),
        pytest.param(kr.mobilenet_v1, {"group_size": 4}, 4_365_896, None, marks=SLOW),
        pytest.param(kr.mobilenet_v1, {"group_size": 16}, 4_901_576, None, marks=SLOW),
        pytest.param(kr.mobilenet_v1, {"group_size": 32}, 5_615_816, None, marks=SLOW),
        pytest.param(kr.mobilenet_v1, {"groups": 64}, 4_579_880, None, marks=SLOW),
        pytest.param(kr.mobilenet_v1, {"groups": 32}, 4_972_136, None, marks=SLOW),
        pytest.param(kr.mobilenet_v1, {"groups": 16}, 5_756_936, None, marks=SLOW),
        pytest.param(kr.mobilenet_v1, {"groups": 8}, 7_326_536, None, marks=SLOW),
        pytest.param(kr.mobilenet_v3_small, {"alpha": 0.75}, 2_041_872, 9_680, marks=SLOW),
        pytest.param(kr.mobilenet_v3_small, {}, 2_542_856, 12_112, marks=SLOW),
        pytest.param(kr.mobilenet_v3_large, {}, 5_483_032, 24_400, marks=SLOW),
        # and 7 numbers of the normalisation of bytes
        pytest.param(kr.efficientnet_b0, {}, 5_288_548, 42_016 + 7, marks=SLOW),
        pytest.param(kr.densenet121, {}, 7_978_856, 83_648, marks=SLOW),
        pytest.param(kr.densenet161, {"classes": 14}, 26_502_926, 219_936, marks=SLOW),
        pytest.param(kr.densenet161, {}, 28_681_000, 219_936, marks=SLOW),
        (kr.alexnet, {}, 61_100_840, 0),
        (kr.googlenet, {}, 6_624_904, 14_560),
        (kr.googlenet, {"aux_logits": True}, 13_004_888, 15_072),
        pytest.param(kr.vgg16, {}, 138_357_544, 0, marks=SLOW),
        pytest.param(kr.inception_v3, {}, 23_834_568, 34_432, marks=SLOW),
        pytest.param(kr.inception_v3, {"classes": 14}, 21_814_254, 34_432, marks=SLOW),
        pytest.param(kr.inception_v3, {"bn_scale": False}, 23_834_568 - 17_216, 34_432, marks=SLOW),
        pytest.param(kr.inception_v3, {"include_aux": True}, 27_161_264, 36_224, marks=SLOW),
        pytest.param(kr.inception_resnet_v2, {}, 55_843_464, 60_544, marks=SLOW),
        pytest.param(kr.inception_resnet_v2, {"classes": 14}, 54_327_982, 60_544, marks=SLOW),
    ],
)
def test_parameters(factory, options, trainable, statistics):
    model = factory(**options)
    assert sum(math.prod(w.shape) for w in model.trainable_weights) == trainable
    if statistics is not None:
        assert model.count_params() - trainable == statistics


@pytest.mark.parametrize(("side", "out"), [(64, 2), (65, 2), (97, 3)])
def test_googlenet_pools_over_the_edge(side, out):
    """Four times `ceil((n - k) / 2) + 1` behind a convolution, as torch's ceil mode."""
    model = kr.googlenet(include_top=False, input_shape=(side, side, 3))
    n = -(-side // 2)
    for size in (3, 3, 3, 2):
        n = -(-(n - size) // 2) + 1
    assert model.output_shape == (None, n, n, 1024) and n == out


def test_alexnet_wants_224_pixels_for_its_classifier():
    with pytest.raises(ValueError, match="224x224"):
        kr.alexnet(input_shape=(256, 256, 3))
    features = kr.alexnet(include_top=False)(np.zeros((1, 224, 224, 3), "float32"))
    assert features.shape == (1, 6, 6, 256)


def test_alexnet_flattens_channels_first():
    model = kr.alexnet()
    x = np.random.default_rng(0).standard_normal((1, 6, 6, 256)).astype("float32")
    start = model.get_layer("pool5").output
    flat = keras.Model(start, model.get_layer("flatten").output)(x)
    np.testing.assert_array_equal(flat[0], x[0].transpose(2, 0, 1).ravel())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group_size": 3}, "nearest divisors"),
        ({"group_size": 2, "groups": 2}, "not both"),
        ({"input_shape": (16, 64, 3)}, "`input_shape`"),
    ],
)
def test_bad_mobilenet(options, message):
    with pytest.raises(ValueError, match=message):
        kr.mobilenet_v1(**options)


def test_bad_densenet():
    with pytest.raises(ValueError, match="`depth`"):
        kr.models.densenet(100)


@pytest.mark.parametrize("side", [2, 4, 7, 14, 15])
def test_adaptive_pooling(side):
    """torch's windows: from floor(i n / size) to ceil((i + 1) n / size)."""
    x = np.random.default_rng(0).standard_normal((2, side, side + 1, 3)).astype("float32")
    expected = np.zeros((2, 4, 4, 3))
    for i in range(4):
        for j in range(4):
            rows = slice(i * side // 4, -(-(i + 1) * side // 4))
            columns = slice(j * (side + 1) // 4, -(-(j + 1) * (side + 1) // 4))
            expected[:, i, j] = x[:, rows, columns].mean((1, 2))
    np.testing.assert_allclose(kr.layers.AdaptiveMeanPooling2D(4)(x), expected, atol=1e-6)
    first = kr.layers.AdaptiveMeanPooling2D(4, data_format="channels_first")
    result = keras.ops.convert_to_numpy(first(x.transpose(0, 3, 1, 2)))
    np.testing.assert_allclose(result.transpose(0, 2, 3, 1), expected, atol=1e-6)


def test_googlenets_auxiliary_heads(tmp_path):
    model = kr.googlenet(aux_logits=True, classes=4)
    x = np.random.default_rng(0).standard_normal((2, 65, 64, 3)).astype("float32")
    outputs = model(x)
    assert [y.shape for y in outputs] == [(2, 4)] * 3
    plain = kr.googlenet(classes=4)
    plain.set_weights([w for w in model.weights if not w.path.startswith("aux")])
    np.testing.assert_allclose(outputs[0], plain(x), rtol=1e-5, atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for a, b in zip(loaded(x), outputs):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="`aux_logits=True` needs the classifier"):
        kr.googlenet(aux_logits=True, include_top=False)


FACTORIES = [
    *(getattr(kr.models, name) for name in ("alexnet", "vgg16", "googlenet", "densenet121")),
    *(getattr(kr.models, name) for name in ("inception_v3", "inception_resnet_v2", "wide_resnet")),
    *(getattr(kr.models, name) for name in ("mobilenet_v1", "mobilenet_v3_small", "cifar_resnet")),
    *(getattr(kr.models, name) for name in ("mobilenet_v3_large", "efficientnet_b0", "fbnet_v3_a")),
]
RESNETS = [
    getattr(kr.models, name)
    for name in kr.models.__all__
    if getattr(kr.models, name).__module__.endswith("resnet_variants")
]


@pytest.mark.parametrize("factory", [*FACTORIES, *RESNETS], ids=lambda f: f.__name__)
def test_channels_first_builds(factory):
    """TensorFlow runs it on GPU only."""
    size = 224 if factory is kr.alexnet else 96
    options = {"depths": (1, 1, 1, 1)} if factory in RESNETS else {}
    keras.config.set_image_data_format("channels_first")
    try:
        first = factory(input_shape=(3, size, size), classes=5, **options)
    finally:
        keras.config.set_image_data_format("channels_last")
    last = factory(input_shape=(size, size, 3), classes=5, **options)
    assert first.output_shape == (None, 5)
    assert [w.shape for w in first.weights] == [w.shape for w in last.weights]
