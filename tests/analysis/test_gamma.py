import keras
import numpy as np
import pytest

from keras_resnets import analysis
from keras_resnets.models.cifar_resnet import cifar_resnet


def randomize(model, seed=0):
    """Random statistics, scales and offsets, so that no channel is like another."""
    rng = np.random.default_rng(seed)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            layer.gamma.assign(rng.uniform(0.5, 1.5, shape))
            layer.beta.assign(rng.normal(size=shape))
            layer.moving_mean.assign(rng.normal(size=shape))
            layer.moving_variance.assign(rng.uniform(0.5, 2, shape))
    return model


def small_resnet(**kwargs):
    return randomize(cifar_resnet(8, 4, input_shape=(8, 8, 3), **kwargs))


def two_norms():
    return keras.Sequential(
        [
            keras.Input((6, 6, 4)),
            keras.layers.BatchNormalization(name="first"),
            keras.layers.Activation("relu", name="relu"),
            keras.layers.Conv2D(2, 3, name="conv"),
            keras.layers.BatchNormalization(name="second"),
            keras.layers.ReLU(name="last_relu"),
        ]
    )


def test_gamma_report():
    model = two_norms()
    model.get_layer("first").gamma.assign([0.0, -0.005, 0.01, -0.5])
    model.get_layer("second").gamma.assign([0.009, 2.0])
    model.get_layer("second").beta.assign([1.0, 2.0])
    report = analysis.gamma_report(model)
    assert report.small_gammas == 3 / 6
    assert report.small_betas == 4 / 6
    assert [row["small gammas"] for row in report.table()] == [0.5, 0.5, 0.5]
    assert list(report.gammas) == ["first", "second"]
    counts, _ = report.histogram(bins=[0, 0.1, 1, 3])
    assert counts.tolist() == [4, 1, 1]
    assert report.histogram(bins=[0, 0.1, 3], layer="second")[0].tolist() == [1, 1]
    assert analysis.gamma_report(model, threshold=0.0).small_gammas == 0
    assert "second" in str(report)


def test_disabled_activations():
    model = two_norms()
    model.get_layer("first").beta.assign([-10.0, 10.0, 0.0, -10.0])
    x = np.random.default_rng(0).normal(size=(9, 6, 6, 4)).astype("float32")
    report = analysis.disabled_activations(model, x, batch_size=4)
    assert list(report.zeros) == ["relu", "last_relu"]
    np.testing.assert_allclose(report.zeros["relu"][[0, 1, 3]], [1, 0, 1])
    expected = (x[..., 2] <= 0).mean()
    assert report.zeros["relu"][2] == pytest.approx(expected)
    rows = {row["layer"]: row for row in report.table()}
    assert rows["relu"]["disabled"] == 0.5
    assert report.disabled == (2 + (report.zeros["last_relu"] >= 0.99).sum()) / 6
    assert (
        analysis.disabled_activations(model, x, threshold=expected).table().rows[0]["disabled"]
        == 0.75
    )
    # the layers are as they were
    assert "call" not in vars(model.get_layer("relu"))
    # batches of a stream, with labels, weigh by their size
    stream = [(x[:2], np.zeros(2)), (x[2:], np.zeros(7))]
    again = analysis.disabled_activations(model, stream)
    np.testing.assert_allclose(again.zeros["last_relu"], report.zeros["last_relu"])


def test_disabled_activations_in_nested_models():
    inner = two_norms()
    inputs = keras.Input((6, 6, 4))
    outer = keras.Model(inputs, keras.layers.Flatten()(inner(inputs)))
    inner.get_layer("second").beta.assign([-50.0, 50.0])
    report = analysis.disabled_activations(outer, np.random.rand(3, 6, 6, 4))
    assert report.zeros["last_relu"].tolist() == [1, 0]


def test_zero_small_gamma():
    model = small_resnet()
    norm = model.get_layer("stage1_block1_norm1")
    norm.gamma.assign([0.005, -0.005, 0.5, 0.01])
    x, y = np.random.rand(20, 8, 8, 3).astype("float32"), np.arange(20) % 10
    result = analysis.zero_small_gamma(model, 0.01, data=(x, y), batch_size=8)
    assert result.zeroed == 2
    assert result.total == sum(len(g) for g in analysis.gamma_report(model).gammas.values())
    changed = result.model.get_layer("stage1_block1_norm1").gamma
    np.testing.assert_allclose(changed, [0, 0, 0.5, 0.01], rtol=1e-6)
    np.testing.assert_allclose(norm.gamma, [0.005, -0.005, 0.5, 0.01], rtol=1e-6)
    before = (model.predict(x, verbose=0).argmax(-1) == y).mean()
    after = (result.model.predict(x, verbose=0).argmax(-1) == y).mean()
    assert (result.before, result.after) == (before, after)
    assert result.change == after - before
    assert analysis.zero_small_gamma(model).change is None


def test_prune_resnet_keeps_what_padding_would_show():
    model = small_resnet()
    x = np.random.default_rng(1).normal(size=(3, 8, 8, 3)).astype("float32")
    first = model.get_layer("stage1_block1_norm1")
    first.gamma.assign([0.0, 0.0, 1.0, 0.0])
    first.beta.assign([-1.0, 1.0, 0.5, 0.0])  # the second is seen through the padding
    last = model.get_layer("stage3_block1_norm1")
    last.gamma.assign(np.zeros(16))
    last.beta.assign(-np.ones(16))
    # of outputs of blocks nothing is taken away
    model.get_layer("stage1_block1_norm2").gamma.assign([0.0, 1.0, 1.0, 1.0])
    pruned = analysis.prune_zero_features(model)
    assert pruned.get_layer("stage1_block1_conv1").filters == 2
    assert pruned.get_layer("stage1_block1_conv2").kernel.shape == (3, 3, 2, 4)
    assert pruned.get_layer("stage1_block1_conv2").filters == 4
    assert pruned.get_layer("stage3_block1_conv1").filters == 1
    assert pruned.count_params() < model.count_params()
    assert np.ptp(np.array(model(x))) > 1e-3
    np.testing.assert_allclose(pruned(x), model(x), atol=1e-6)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize(("kernel", "pads"), [(3, 0), (1, 0), (3, 1)])
def test_prune_folds_constants(kernel, pads, use_bias, nested):
    layers = keras.layers
    inputs = keras.Input((9, 9, 3))
    x = layers.Conv2D(6, 3, use_bias=use_bias, name="a")(inputs)
    x = layers.ReLU()(layers.BatchNormalization(name="norm_a")(x))
    if pads:
        x = layers.ZeroPadding2D(pads)(x)
    x = layers.Conv2D(5, kernel, strides=2, use_bias=use_bias, name="b")(x)
    x = layers.Activation("relu")(layers.BatchNormalization(name="norm_b")(x))
    model = keras.Model(inputs, layers.Conv2D(2, 1, padding="same", name="c")(x))
    randomize(model)
    for name in ("a", "b"):
        norm = model.get_layer(f"norm_{name}")
        norm.gamma.assign([0.0, 0.0] + [1.0] * (norm.gamma.shape[0] - 2))
        norm.beta.assign([0.7, -0.7] + [0.1] * (norm.gamma.shape[0] - 2))
    if nested:
        outer = keras.Input((9, 9, 3))
        model.name = "inside"
        model = keras.Model(outer, model(outer))
    pruned = analysis.prune_zero_features(model)
    inside = pruned.get_layer("inside") if nested else pruned
    filters = [inside.get_layer(name).filters for name in "abc"]
    assert filters == [5 if pads else 4, 3, 2]
    x = np.random.default_rng(0).normal(size=(4, 9, 9, 3)).astype("float32")
    np.testing.assert_allclose(pruned(x), model(x), rtol=1e-4, atol=1e-5)


def test_plot(tmp_path):
    report = analysis.gamma_report(two_norms())
    path = tmp_path / "gammas.png"
    figure = analysis.plot_gammas({"BN only": report, "all": report}, path)
    assert len(figure.axes[0].get_legend().get_texts()) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["gammas.png"]
    with pytest.raises(ValueError, match="reports"):
        analysis.plot_gammas({})


@pytest.mark.parametrize("threshold", [-0.1, 1.1])
def test_thresholds(threshold):
    model = two_norms()
    for call in (
        lambda: analysis.gamma_report(model, threshold),
        lambda: analysis.disabled_activations(model, np.zeros((1, 6, 6, 4)), threshold),
        lambda: analysis.zero_small_gamma(model, threshold),
    ):
        with pytest.raises(ValueError, match="threshold"):
            call()


def test_bad_input():
    plain = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="BatchNormalization"):
        analysis.gamma_report(plain)
    with pytest.raises(ValueError, match="ReLU"):
        analysis.disabled_activations(plain, np.zeros((1, 3)))
    with pytest.raises(ValueError, match="data"):
        analysis.disabled_activations(two_norms(), [])
    with pytest.raises(ValueError, match="labels"):
        analysis.zero_small_gamma(two_norms(), data=np.zeros((1, 6, 6, 4)))

    class Subclassed(keras.Model):
        pass

    with pytest.raises(ValueError, match="functional"):
        analysis.prune_zero_features(Subclassed())
