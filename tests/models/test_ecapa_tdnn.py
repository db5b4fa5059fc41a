"""The paper's network layer by layer, and what the factory's arguments change."""

import keras
import numpy as np
import pytest

from keras_resnets import ecapa_tdnn

X = np.random.default_rng(0).normal(size=(2, 20, 80)).astype("float32")


def formula(c):
    """The parameters of the paper's network, part by part."""
    w = c // 8
    block = 2 * (c**2 + 3 * c) + 7 * (3 * w**2 + 3 * w) + 257 * c + 128
    mfa = 3 * c * 1536 + 1536
    attention = 4608 * 128 + 128 + 128 * 1536 + 1536
    return 403 * c + 3 * block + mfa + attention + 6144 + (3072 * 192 + 192) + 384


@pytest.mark.parametrize("channels", [64, 512])
def test_parameters_by_formula(channels):
    model = ecapa_tdnn(channels)
    assert sum(int(np.prod(w.shape)) for w in model.trainable_variables) == formula(channels)


@pytest.mark.parametrize("channels, giga", [(512, 0.959), (1024, 2.571)])
def test_multiply_adds_of_a_call(count_macs, channels, giga):
    """Counted while it runs, and so with the context computed once an utterance."""
    macs = count_macs(ecapa_tdnn(channels), np.zeros((1, 200, 80), "float32"))
    assert round(macs / 1e9, 3) == giga


def test_topology_of_the_paper(make_ecapa, randomize):
    model = randomize(make_ecapa())

    def layer(name, x):
        return model.get_layer(name)(x, training=False)

    x0 = layer("bn1", layer("conv1", X))
    x1 = layer("block1", x0)
    x2 = layer("block2", x0 + x1)
    x3 = layer("block3", x0 + x1 + x2)
    h = layer("mfa", keras.ops.concatenate([x1, x2, x3], axis=-1))
    pooled = layer("pool_bn", layer("pool", h))
    expected = layer("embedding_bn", layer("fc", pooled))
    np.testing.assert_allclose(model(X), expected, rtol=1e-4, atol=1e-5)
    assert [model.get_layer(f"block{i}").dilation_rate for i in (1, 2, 3)] == [2, 3, 4]
    assert float(keras.ops.min(h)) >= 0, "no normalisation between the ReLU and the pooling"


def test_topology_when_chained(make_ecapa, randomize):
    model = randomize(make_ecapa("wespeaker", pooling=None))
    x, outputs = X, []
    for name in ("conv1", "bn1", "block1", "block2", "block3"):
        x = model.get_layer(name)(x, training=False)
        outputs.append(x)
    expected = model.get_layer("mfa")(keras.ops.concatenate(outputs[2:], axis=-1))
    np.testing.assert_allclose(model(X), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pooling, width", [("asp", 48), ("stats", 48), ("avg", 24)])
def test_poolings_see_the_mask(make_ecapa, randomize, pooling, width):
    model = randomize(make_ecapa(pooling=pooling))
    assert model.get_layer("pool_bn").gamma.shape == (width,)
    result = np.array(model([X, np.array([20, 7])]))
    np.testing.assert_allclose(result[1:], model(X[1:, :7]), rtol=1e-4, atol=1e-5)


def test_sizes(make_ecapa):
    model = make_ecapa(
        channels=12, scale=4, dilations=(1, 2), mfa_channels=10, attention_channels=3,
        se_channels=5, embedding_dim=7, input_shape=(20, 80), name="tiny",
    )  # fmt: skip
    assert (model.name, model(X).shape) == ("tiny", (2, 7))
    assert len(model.get_layer("block2").res2.convs) == 3
    assert model.get_layer("block1").se.fc1.units == 5
    assert model.get_layer("pool").attention_channels == 3
    assert model.get_layer("mfa").filters == 10
    with pytest.raises(ValueError, match="20"):
        model(X[:, :19])


@pytest.mark.parametrize("frames", [1, 3])
def test_static_input_of_few_frames(make_ecapa, frames):
    """Fewer than the reflection of the `speechbrain` variant reaches."""
    model = make_ecapa("speechbrain", input_shape=(frames, 80))
    assert np.all(np.isfinite(model(X[:, :frames])))


def test_fit_with_a_classifier(make_ecapa):
    model = make_ecapa(
        include_top=True, classes=3, classifier_activation="softmax", scale=4, dilations=(2,)
    )
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    before = model.get_weights()[0]
    inputs = {"inputs": X, "lengths": np.array([20, 9])}
    history = model.fit(inputs, np.array([0, 2]), epochs=2, verbose=0).history
    assert np.all(np.isfinite(history["loss"]))
    assert np.any(model.get_weights()[0] != before)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(dilations=()), "`dilations` must"),
        (dict(scale=0), "`scale` must be at least 2"),
        (dict(se_channels=0), "`bottleneck` must be at least 1"),
        (dict(include_top=True, classes=3, pooling=None), "needs `classes` and a `pooling`"),
        (dict(include_top=True, classes=0), "`classes` must be a positive integer"),
        (dict(input_shape=(None, 80), frontend="mfcc"), "`input_shape` must be like"),
    ],
    ids=str,
)
def test_bad_arguments(make_ecapa, options, message):
    with pytest.raises(ValueError, match=message):
        make_ecapa(**options)


def test_missing_weights_file(make_ecapa, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.keras"):
        make_ecapa(weights=str(tmp_path / "none.keras"))
