"""What a model of images says of their preparation."""

import keras
import numpy as np
import pytest

import keras_resnets as kr

SMALL = dict(depths=(1, 1), filters=(4, 8), classes=3)


@pytest.mark.parametrize(
    ("factory", "options", "mean", "scale", "order"),
    [
        (kr.resnet18, {"depths": (1,)}, 0.485, 1 / 255, "rgb"),
        (kr.resnet50_v1, {"depths": (1,)}, 103.939, 1.0, "bgr"),
        (kr.resnet50v2_keras, {"depths": (1,)}, 0.5, 1 / 255, "rgb"),
        (kr.resnet50v2, {"depths": (1,)}, 0.5, 1 / 255, "rgb"),
        (kr.simclr_resnet50, {"depths": (1,)}, 0.0, 1 / 255, "rgb"),
        (kr.cifar_resnet, {"depth": 8}, 0.485, 1 / 255, "rgb"),
        (kr.mobilenet_v1, {}, 0.485, 1 / 255, "rgb"),
        (kr.fbnet_v3_a0, {}, 0.485, 1 / 255, "rgb"),
        (kr.mobilenet_v3_small, {}, 0.5, 1 / 255, "rgb"),
        (kr.mobilenet_v3_small, {"include_preprocessing": True}, 0.0, 1.0, "rgb"),
        (kr.efficientnet_b0, {}, 0.0, 1.0, "rgb"),
    ],
)
def test_preprocessing_of_the_families(factory, options, mean, scale, order):
    found = factory(**options).preprocessing
    assert (found["mean"][0], found["scale"], found["channel_order"]) == (mean, scale, order)
    assert set(found) == {"mean", "std", "scale", "channel_order", "interpolation", "crop_pct"}


def test_it_is_saved(tmp_path):
    model = kr.resnet(**SMALL)
    model.preprocessing = {**model.preprocessing, "crop_pct": 0.95, "mean": (0.1, 0.2, 0.3)}
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.preprocessing == model.preprocessing
    x = np.ones((1, 32, 32, 3), "float32")
    np.testing.assert_array_equal(loaded(x), model(x))


def test_surgery_keeps_it():
    model = kr.resnet(**SMALL, preprocessing="caffe")
    changed = [
        kr.fold_batch_norm(model),
        kr.as_logits_model(model),
        kr.feature_extractor(model, 2),
        kr.regroup(model, group_size=2),
    ]
    assert [x.preprocessing for x in changed] == [model.preprocessing] * 4


def test_a_factorys_model_is_functional():
    model = kr.resnet(**SMALL)
    inputs = keras.Input((1,))
    assert isinstance(model, type(keras.Model(inputs, inputs)))
    assert not any("preprocessing" in w.path for w in model.weights)


def test_bad_preprocessing():
    model = kr.resnet(**SMALL)
    with pytest.raises(ValueError, match=r"`preprocessing` must be None or a dict of.*'torch'"):
        model.preprocessing = "torch"
    with pytest.raises(ValueError, match=r"`preprocessing` must be one of.*unit.*'imagenet'"):
        kr.resnet(**SMALL, preprocessing="imagenet")
    model.preprocessing = None
    assert model.preprocessing is None
