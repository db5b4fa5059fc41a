"""FBNetV3: block, geometry, options. Parameters and costs are in tests/analysis."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_resnets as kr
from keras_resnets.analysis import cost
from keras_resnets.models.fbnet_v3 import CONFIGS, inverted_residual, round8

# every kind of block: with and without expansion, residual, gate, stride, narrow padding
STAGES = (
    kr.StageConfig(3, 3, 1, 1, 8, 2),
    kr.StageConfig(5, 3, 4, 2, 16, 2, 2, False, 1),
    kr.StageConfig(3, 5, 3, 2, 24, 2, 2, True, 0),
)
TINY = kr.FBNetV3Config(8, STAGES, head_width=32)


def tiny(**options):
    return kr.FBNetV3(TINY, **{"classes": 5, "classifier_activation": None, **options})


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).standard_normal((2, 48, 40, 3)).astype("float32")


@pytest.mark.parametrize(
    ("channels", "expected"),
    [(1, 8), (8, 8), (12, 16), (18, 24), (20, 24), (35, 40), (36, 40), (84, 88), (100, 104)],
)
def test_round8(channels, expected):
    assert round8(channels) == expected


def hard_sigmoid(x):
    return np.clip(x + 3, 0, 6) / 6


def numpy_block(model, x, kernel, stride, padding, name):
    """The block by its definition, from the weights of the layers in float64."""

    def weights(part):
        found = [layer for layer in model.layers if layer.name == f"{name}_{part}"]
        return [keras.ops.convert_to_numpy(w).astype("float64") for w in found[0].weights]

    def norm(x, part):
        gamma, beta, mean, variance = weights(part)
        return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta

    def swish(x):
        return x * hard_sigmoid(x)

    y = x.astype("float64")
    if f"{name}_expand_conv" in [layer.name for layer in model.layers]:
        y = swish(norm(y @ weights("expand_conv")[0][0, 0], "expand_norm"))
    y = np.pad(y, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(y, (kernel, kernel), axis=(1, 2))
    windows = windows[:, ::stride, ::stride]
    y = np.einsum("bhwcij,ijc->bhwc", windows, weights("depthwise_conv")[0][:, :, 0])
    y = swish(norm(y, "depthwise_norm"))
    (w1, b1), (w2, b2) = weights("se_fc1"), weights("se_fc2")
    gate = swish(y.mean((1, 2)) @ w1[0, 0] + b1)
    y = y * hard_sigmoid(gate @ w2[0, 0] + b2)[:, None, None]
    y = norm(y @ weights("project_conv")[0][0, 0], "project_norm")
    return y + x if y.shape == x.shape else y


@pytest.mark.parametrize(
    ("kernel", "expansion", "channels", "stride", "padding", "shape", "hidden"),
    [
        (3, 1, 8, 1, None, (9, 8), 8),
        (5, 3, 8, 1, None, (9, 8), 8),
        (5, 4, 12, 2, 1, (4, 3), 8),
        (3, 6, 12, 2, 0, (4, 3), 8),
        (3, 2.5, 12, 2, None, (5, 4), 8),
    ],
)
def test_a_block_is_its_definition(
    randomize, kernel, expansion, channels, stride, padding, shape, hidden
):
    inputs = keras.Input((9, 8, 8))
    settings = (kernel, expansion, channels, stride, True, padding)
    model = keras.Model(inputs, inverted_residual(inputs, *settings, name="block"))
    randomize(model)
    assert model.output_shape == (None, *shape, channels)
    assert model.get_layer("block_se_fc1").filters == hidden
    assert any("expand" in layer.name for layer in model.layers) == (expansion != 1)
    x = np.random.default_rng(1).standard_normal((2, 9, 8, 8)).astype("float32")
    padding = kernel // 2 if padding is None else padding
    expected = numpy_block(model, x, kernel, stride, padding, "block")
    np.testing.assert_allclose(model(x), expected, rtol=1e-4, atol=1e-5)


def sides(config, size, official=True):
    found = []
    size = -(-size // 2)
    for stage in config.stages:
        padding = stage.first_padding if official else None
        padding = stage.kernel_first // 2 if padding is None else padding
        size = max(size + 2 * padding - stage.kernel_first, 0) // stage.stride + 1
        found.append(size)
    return found


@pytest.mark.parametrize(
    ("letter", "size", "expected"),
    [
        ("a", 224, [112, 56, 28, 13, 13, 6, 6]),
        ("b", 248, [124, 62, 31, 15, 15, 7, 7]),
        ("c", 248, [124, 62, 31, 15, 15, 7, 7]),
        ("d", 248, [124, 62, 31, 16, 16, 8, 8]),
        ("e", 264, [132, 66, 33, 16, 16, 8, 8]),
        ("f", 272, [136, 68, 34, 17, 17, 8, 8]),
        ("g", 320, [160, 80, 40, 20, 20, 10, 10]),
    ],
)
def test_the_published_maps(letter, size, expected):
    """By the rule that `test_shapes` finds in the models."""
    assert CONFIGS[letter].input_size == size and sides(CONFIGS[letter], size) == expected


@pytest.fixture(scope="module")
def features_a():
    """FBNetV3-A without top, for images of any size, and the same of symmetric padding."""
    official = kr.fbnet_v3_a(include_top=False)
    return official, kr.fbnet_v3_a(include_top=False, dw_padding="symmetric")


@pytest.mark.parametrize("size", [32, 48, 49, 65, 224, 248, 320])
@pytest.mark.parametrize("official", [True, False])
def test_shapes(features_a, size, official):
    model = features_a[0 if official else 1]
    last = sides(CONFIGS["a"], size, official)[-1]
    assert model.compute_output_shape((1, size, size, 3)) == (1, last, last, 1344)


@pytest.mark.parametrize("size", [32, 224, 248, 320, None])
def test_static_shapes(size):
    model = tiny(input_shape=(size, size, 3))
    assert model.output_shape == (None, 5)
    features = tiny(input_shape=(size, size, 3), include_top=False)
    last = None if size is None else sides(TINY, size)[-1]
    assert features.output_shape == (None, last, last, 144)


def test_small_images(features_a):
    """At 32 pixels the sixth stage's window of 3 meets one pixel, without padding."""
    x = np.random.default_rng(0).standard_normal((1, 32, 33, 3)).astype("float32")
    features = keras.ops.convert_to_numpy(features_a[0](x))
    assert features.shape == (1, 1, 1, 1344) and np.isfinite(features).all() and features.any()


@pytest.mark.parametrize("compiled", [False, True])
def test_small_maps_grow_to_the_window(images, compiled):
    config = kr.FBNetV3Config(8, (kr.StageConfig(5, 5, 2, 2, 8, 1, 2, False, 0),) * 4)
    static = kr.FBNetV3(config, include_top=False, input_shape=(48, 40, 3))
    dynamic = kr.FBNetV3(config, include_top=False)
    dynamic.set_weights(static.get_weights())
    call = tf.function(dynamic, jit_compile=True) if compiled else dynamic
    assert static.output_shape == (None, 1, 1, 48)
    np.testing.assert_allclose(call(images), static(images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("factory", "macs"),
    [
        (kr.fbnet_v3_b, {224: 407_508_576, 256: 530_631_936}),
        (kr.fbnet_v3_d, {224: 501_971_056, 256: 653_862_016}),
        (kr.fbnet_v3_g, {224: 1_045_075_744, 240: 1_253_584_000, 288: 1_722_792_736}),
    ],
)
@pytest.mark.release
def test_timms_costs(factory, macs):
    model = factory(dw_padding="symmetric")
    assert {size: cost(model, (size, size, 3)).macs for size in macs} == macs


def test_residual_blocks_start_as_the_identity(images):
    model = tiny(include_top=False)
    adds = [layer for layer in model.layers if layer.name.endswith("_add")]
    assert [x.name for x in adds] == [f"stage{s}_block{b}_add" for s, b in ((1, 1), *ALIKE)]
    pairs = keras.Model(model.input, [[x.input[1], x.output] for x in adds])(images)
    for before, after in pairs:
        np.testing.assert_array_equal(before, after)
    gammas = {x.name: x.gamma.numpy() for x in model.layers if x.name.endswith("norm")}
    residual = {f"{x.name[:-4]}_project_norm" for x in adds}
    assert all((g == (name not in residual)).all() for name, g in gammas.items())


ALIKE = ((1, 2), (2, 2), (3, 2))  # the blocks after the first of a stage


def test_every_variable_has_a_gradient(images, randomize):
    model = randomize(tiny(drop_path_rate=0.2))
    with tf.GradientTape() as tape:
        loss = keras.ops.mean(model(images, training=True) ** 2)
    gradients = tape.gradient(loss, [w.value for w in model.trainable_weights])
    assert all(np.abs(g).max() > 0 for g in map(keras.ops.convert_to_numpy, gradients))


def test_stochastic_depth_grows_linearly(images):
    layers = [x for x in tiny(drop_path_rate=0.2).layers if x.name.endswith("drop_path")]
    rates = {layer.name: layer.rate for layer in layers}
    expected = {(1, 2): 0.04, (2, 2): 0.12, (3, 2): 0.2}
    assert rates == {
        f"stage{s}_block{b}_drop_path": pytest.approx(rate) for (s, b), rate in expected.items()
    }
    dropped = [x.rate for x in tiny(dropout_rate=0.3).layers if x.name == "dropout"]
    assert dropped == [0.3]


def test_mixed_precision(images):
    single = tiny()
    keras.config.set_dtype_policy("mixed_float16")
    half = tiny(classifier_activation="softmax")
    half.set_weights(single.get_weights())
    assert half(images).dtype == "float32"
    np.testing.assert_allclose(half(images), keras.ops.softmax(single(images)), atol=0.01)


def test_saving(images, tmp_path, randomize):
    model = randomize(tiny())
    expected = keras.ops.convert_to_numpy(model(images))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images), expected)
    assert loaded.preprocessing == model.preprocessing
    np.testing.assert_array_equal(tiny(weights=tmp_path / "model.keras")(images), expected)
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    np.testing.assert_allclose(served.serve(images), expected, rtol=1e-5, atol=1e-6)


def test_folded_batch_norm(images, randomize):
    model = randomize(tiny())
    folded = kr.fold_batch_norm(model)
    assert not any("norm" in layer.name and layer.weights for layer in folded.layers)
    np.testing.assert_allclose(folded(images), model(images), rtol=1e-3, atol=1e-4)


def test_without_top(images):
    maps = tiny(include_top=False)(images)
    assert maps.shape == (2, 5, 4, 144)
    for pooling, reduce in (("avg", np.mean), ("max", np.max)):
        pooled = tiny(include_top=False, pooling=pooling)
        assert pooled.output_shape == (None, 144)
        again = tiny(include_top=False)
        again.set_weights(pooled.get_weights())
        expected = reduce(keras.ops.convert_to_numpy(again(images)), axis=(1, 2))
        np.testing.assert_allclose(pooled(images), expected, rtol=1e-5, atol=1e-6)


def test_feature_taps(features_a):
    """By strides, though the narrow paddings make the maps smaller than the image's parts."""
    taps = kr.feature_extractor(features_a[0], [1, 2, 3, 4, 5])
    shapes = taps.compute_output_shape((1, 224, 224, 3))
    assert [(shape[1], shape[3]) for shape in shapes] == [
        (112, 16), (56, 24), (28, 40), (13, 120), (6, 224)
    ]  # fmt: skip
    tap = kr.feature_extractor(tiny(input_shape=(48, 40, 3)), 3)
    assert tap.output_shape == (None, 5, 4, 24)
    with pytest.raises(ValueError, match=r"among \[1, 2, 3\]"):
        kr.feature_extractor(tiny(), 5)


def test_an_architecture_goes_through_json():
    text = json.dumps(dataclasses.asdict(CONFIGS["f"]))
    assert kr.FBNetV3Config(**json.loads(text)) == CONFIGS["f"]


def test_preprocessing_is_timms():
    found = tiny().preprocessing
    assert (found["mean"][0], found["crop_pct"], found["interpolation"]) == (
        0.485,
        0.95,
        "bilinear",
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tiny(dw_padding="same"), "`dw_padding` must be one of.*official.*'same'"),
        (lambda: tiny(input_shape=(31, 64, 3)), "`input_shape`.*32"),
        (lambda: kr.FBNetV3("a"), "`config` must be an `FBNetV3Config`.*'a'"),
        (lambda: kr.StageConfig(4, 3, 1, 1, 8, 1), "`kernel_first` must be odd.*=4"),
        (lambda: kr.StageConfig(3, 3, 1, 0, 8, 1), "`expansion_rest` must be positive"),
        (lambda: kr.StageConfig(3, 3, 1, 1, 8, 0), "`depth` must be a positive integer"),
        (lambda: kr.StageConfig(3, 3, 1, 1, 8, 1, 1, False, 0), "`first_padding` must be None"),
        (lambda: kr.StageConfig(3, 3, 1, 1, 8, 1, 2, False, 2), "at most half of the kernel.*=2"),
        (lambda: kr.FBNetV3Config(16, ()), "`stages` must be one or more"),
        (lambda: kr.FBNetV3Config(0, STAGES), "`stem` must be a positive integer"),
        (lambda: kr.FBNetV3Config(16, STAGES, head_expansion=0), "`head_expansion`"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
