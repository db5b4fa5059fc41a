"""Models made from models."""

import keras
import numpy as np
import pytest

import keras_resnets as kr
from keras_resnets import models
from keras_resnets.layers import StandardizedConv2D


@pytest.fixture
def images():
    return np.random.default_rng(0).standard_normal((2, 32, 33, 3)).astype("float32")


def small(**options):
    settings = dict(depths=(1, 1), filters=(8, 16), classes=5, name="small")
    model = kr.resnet(**{**settings, **options})
    rng = np.random.default_rng(1)
    for weight in model.weights:
        if weight.name == "moving_variance":
            weight.assign(0.5 + rng.random(weight.shape))
        elif weight.name in ("gamma", "beta", "moving_mean"):
            weight.assign(weight + 0.3 * rng.standard_normal(weight.shape))
    return model


@pytest.mark.parametrize("name", ["stage1_block1_conv2", "stage2_block1_out"])
def test_features_by_name(images, name):
    model = small()
    features = models.feature_extractor(model, name)(images)
    assert features.shape[-1] == model.get_layer(name).output.shape[-1]
    head = keras.layers.GlobalAveragePooling2D()(features)
    if name == "stage2_block1_out":
        logits = keras.ops.softmax(model.get_layer("predictions")(head))
        np.testing.assert_allclose(logits, model(images), rtol=1e-5, atol=1e-6)


def test_features_share_weights(images):
    model = small()
    extractor = models.feature_extractor(model, [2, 3])
    before = extractor(images)[1]
    model.get_layer("stem_conv").kernel.assign(model.get_layer("stem_conv").kernel * 2)
    assert not np.allclose(before, extractor(images)[1])


@pytest.mark.parametrize("level", [1, 7, "absent"])
def test_bad_level(level):
    with pytest.raises(ValueError, match="`levels`"):
        models.feature_extractor(small(), level)


@pytest.mark.parametrize("fused", [False, True])
def test_as_logits_model(images, fused):
    model = small(classifier_activation="softmax")
    if fused:  # the activation inside the last layer, as in keras.applications
        logits = small(classifier_activation=None)
        head = keras.layers.Dense(5, activation="softmax")
        model = keras.Model(logits.inputs, head(logits.output))
    logits = models.as_logits_model(model)
    np.testing.assert_allclose(
        keras.ops.softmax(logits(images)), model(images), rtol=1e-4, atol=1e-6
    )
    assert models.as_logits_model(logits) is logits


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"preactivation": True},
        {"use_bias": True, "stem": "deep", "shortcut": "avg", "attention": "se"},
        {"groups": 4},
    ],
    ids=str,
)
def test_fold_batch_norm(images, options):
    model = small(**options)
    folded = models.fold_batch_norm(model)
    np.testing.assert_allclose(folded(images), model(images), rtol=1e-4, atol=1e-6)
    left = [x for x in folded.layers if isinstance(x, keras.layers.BatchNormalization)]
    # before a pre-activation block, and at the end, a norm follows a sum
    assert len(left) == (3 if options.get("preactivation") else 0)
    assert len(folded.layers) < len(model.layers)


def test_fold_batch_norm_of_depthwise_and_nested(images):
    x = keras.Input((32, 33, 3))
    y = keras.layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False)(x)
    y = keras.layers.BatchNormalization()(y)
    inner = keras.Model(x, y, name="inner")
    x = keras.Input((32, 33, 3))
    model = keras.Model(x, keras.layers.GlobalAveragePooling2D()(inner(x)))
    rng = np.random.default_rng(0)
    model.set_weights([0.5 + rng.random(w.shape) for w in model.get_weights()])
    folded = models.fold_batch_norm(model)
    np.testing.assert_allclose(folded(images), model(images), rtol=1e-4)
    assert len(folded.weights) == 2


def test_regroup_keeps_blocks_within_groups(images):
    model = small()
    copy = models.regroup(model, groups=2, init="slice")
    layer, new = (m.get_layer("stage2_block1_conv2") for m in (model, copy))
    assert new.groups == 2 and new.kernel.shape == (3, 3, 8, 16)
    np.testing.assert_array_equal(new.kernel[..., :8], layer.kernel[:, :, :8, :8])
    np.testing.assert_array_equal(new.kernel[..., 8:], layer.kernel[:, :, 8:, 8:])
    np.testing.assert_array_equal(
        copy.get_layer("stem_conv").kernel, model.get_layer("stem_conv").kernel
    )
    same = models.regroup(model, groups=1, init="slice")
    np.testing.assert_allclose(same(images), model(images), rtol=1e-5)


def test_regroup_makes_mobilenets_depthwise_grouped():
    model = kr.mobilenet_v1(input_shape=(32, 32, 3), classes=10)
    copy = models.regroup(model, group_size=8)
    assert copy.count_params() == kr.mobilenet_v1(8, classes=10).count_params()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "`group_size` or `groups`"),
        ({"group_size": 2, "groups": 2}, "`group_size` or `groups`"),
        ({"group_size": 3}, "nearest divisors"),
        ({"groups": 3}, "divide"),
        ({"groups": 2, "init": "zeros"}, "`init`"),
        ({"groups": 2, "layers": lambda layer: False}, "`layers`"),
    ],
)
def test_regroup_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        models.regroup(small(), **options)


def test_standardised_kernels_are_not_folded_and_stay_standardised():
    options = dict(depths=(1,), filters=(8,), classes=3, weight_standardization=True)
    model = kr.resnet(**options)
    kinds = [type(layer) for layer in model.layers]
    assert StandardizedConv2D in kinds and keras.layers.Conv2D not in kinds
    x = np.random.default_rng(0).standard_normal((1, 32, 32, 3)).astype("float32")
    folded = kr.fold_batch_norm(model)
    assert len(folded.layers) == len(model.layers)
    np.testing.assert_array_equal(folded(x), model(x))
    grouped = kr.regroup(model, groups=2)
    assert type(grouped.get_layer("stage1_block1_conv2")) is StandardizedConv2D


def test_the_models_own_normalisation_of_images_is_copied(images):
    x = keras.Input((None, None, 3))
    normalization = keras.layers.Normalization()
    y = keras.layers.Conv2D(4, 3, name="conv1")(normalization(x))
    y = keras.layers.Conv2D(4, 3, name="conv2")(y)
    model = keras.Model(x, keras.layers.BatchNormalization()(y))
    normalization.adapt(3 * images + 1)
    expected = model(images)
    np.testing.assert_allclose(kr.fold_batch_norm(model)(images), expected, atol=1e-5)
    regrouped = kr.regroup(model, groups=2)
    np.testing.assert_array_equal(regrouped.layers[1](images), model.layers[1](images))
