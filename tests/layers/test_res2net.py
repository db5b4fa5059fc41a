import numpy as np
import pytest

from keras_resnets.layers import Res2Conv1D, SERes2Block1D

RNG = np.random.default_rng(0)
MODES = {"same": "constant", "reflect": "reflect"}


def conv(layer, x, padding="same"):
    (k,), (d,) = layer.kernel_size, layer.dilation_rate
    kernel, bias = layer.get_weights()
    padded = np.pad(x, [(d * (k - 1) // 2,) * 2, (0, 0)], mode=MODES[padding])
    y = sum(padded[d * j : d * j + len(x)] @ kernel[j] for j in range(k)) + bias
    return y if layer.activation.__name__ == "linear" else np.maximum(y, 0)


def bn(layer, x):
    gamma, beta, mean, variance = layer.get_weights()
    return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta


def res2(layer, x):
    """Res2 on one example `(T, C)`."""
    y = np.split(x, layer.scale, axis=-1)
    if layer.pass_through == "first":
        y = y[1:] + y[:1]
    z = []
    for i in range(layer.scale - 1):
        inputs = y[i] + (z[-1] if z else 0)
        z.append(bn(layer.bns[i], conv(layer.convs[i], inputs, layer.padding)))
    z = [y[-1], *z] if layer.pass_through == "first" else [*z, y[-1]]
    return np.concatenate(z, axis=-1)


def block(layer, x):
    """SE-Res2Block on one example `(T, C)`."""
    y = bn(layer.bn1, conv(layer.conv1, x))
    y = res2(layer.res2, y)
    y = bn(layer.bn2, conv(layer.conv2, y))
    w1, b1, w2, b2 = layer.se.get_weights()
    gate = 1 / (1 + np.exp(-(np.maximum(y.mean(axis=0) @ w1 + b1, 0) @ w2 + b2)))
    return y * gate + (x if layer.shortcut is None else conv(layer.shortcut, x))


def check(layer, reference, channels, randomize, fill):
    """One example at a time by NumPy, and the layer on them all, padded with `fill`."""
    lengths = np.array([1, 2, 7, 12])
    layer.build((None, None, channels))
    randomize(layer)
    x = RNG.normal(size=(4, 15, channels)).astype("float32")
    mask = np.arange(15) < lengths[:, None]
    x[~mask] = fill
    result = np.array(layer(x, mask=mask))
    for row, example, n in zip(result, x, lengths):
        np.testing.assert_allclose(row[:n], reference(layer, example[:n]), atol=2e-5)
        np.testing.assert_allclose(layer(example[None, :n])[0], row[:n], atol=2e-5)
    full = x[3:, :12]
    np.testing.assert_array_equal(layer(full), layer(full, mask=np.ones((1, 12), bool)))


@pytest.mark.parametrize("fill", [0.0, 1e6])
@pytest.mark.parametrize("padding", MODES)
@pytest.mark.parametrize("pass_through", ["first", "last"])
def test_res2_equals_a_plain_loop(pass_through, padding, fill, randomize):
    layer = Res2Conv1D(3, 2, scale=4, pass_through=pass_through, padding=padding)
    check(layer, res2, 12, randomize, fill)


@pytest.mark.parametrize("channels", [16, 6], ids=["identity", "projected shortcut"])
@pytest.mark.parametrize(
    "options",
    [dict(), dict(dilation_rate=3, pass_through="first", padding="reflect"), dict(kernel_size=5)],
    ids=str,
)
def test_block_equals_a_plain_loop(options, channels, randomize):
    layer = SERes2Block1D(16, scale=4, se_channels=5, **options)
    check(layer, block, channels, randomize, fill=1e6)


def test_seven_convolutions_of_eight_groups():
    layer = Res2Conv1D()
    layer.build((None, None, 64))
    assert len(layer.convs) == len(layer.bns) == 7
    assert all(conv.kernel.shape == (3, 8, 8) for conv in layer.convs)
    assert layer.count_params() == 7 * (3 * 8 * 8 + 8 + 4 * 8)


@pytest.mark.parametrize(
    "layer",
    [
        Res2Conv1D(scale=2, dilation_rate=2),
        Res2Conv1D(5, 2, scale=4, pass_through="first", padding="reflect"),
        SERes2Block1D(8, scale=2, se_channels=4),
        SERes2Block1D(12, 5, 2, 4, 3, "first", "reflect"),
    ],
)
def test_as_a_keras_layer(layer, check_layer, randomize):
    layer.build((None, None, 8))
    check_layer(randomize(layer), RNG.normal(size=(2, 9, 8)).astype("float32"), tolerance=0.05)


def test_training_reaches_every_normalisation(randomize):
    x = RNG.normal(size=(2, 9, 8)).astype("float32")
    layer = SERes2Block1D(8, scale=4, se_channels=4)
    layer.build(x.shape)
    before = [w.numpy() for w in layer.non_trainable_variables]
    layer(x, training=False)
    for old, new in zip(before, layer.non_trainable_variables):
        np.testing.assert_array_equal(old, new)
    layer(x, mask=np.arange(9) < [[4], [9]], training=True)
    for old, new in zip(before, layer.non_trainable_variables):
        assert np.any(old != new.numpy()), new.path


def test_bad_arguments():
    for cls, args in ((Res2Conv1D, ()), (SERes2Block1D, (16,))):
        for scale in (1, 0):
            with pytest.raises(ValueError, match=f"`scale` must be at least 2.*scale={scale}"):
                cls(*args, scale=scale)
        with pytest.raises(ValueError, match=r"`pass_through` must be.*'middle'"):
            cls(*args, pass_through="middle").build((None, None, 16))
        with pytest.raises(ValueError, match=r"`padding` must be one of.*'zeros'"):
            cls(*args, padding="zeros").build((None, None, 16))
    with pytest.raises(ValueError, match="channels=12, scale=8"):
        SERes2Block1D(12)
    with pytest.raises(ValueError, match="channels=12, scale=8"):
        Res2Conv1D().build((None, None, 12))
