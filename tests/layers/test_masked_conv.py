import keras
import numpy as np
import pytest

from keras_resnets.layers import MaskedConv1D, MaskedConv2D

RNG = np.random.default_rng(0)
LENGTHS = (1, 2, 3, 5, 9)
GARBAGE = (0.0, 1e6, np.nan)


def ragged(shape, fill):
    """Examples of `LENGTHS` frames in one batch padded with `fill`, and its mask."""
    x = RNG.normal(size=(len(LENGTHS), max(LENGTHS) + 4, *shape)).astype("float32")
    mask = np.arange(x.shape[1]) < np.array(LENGTHS)[:, None]
    x[~mask] = fill
    return x, mask


def reference(layer, x):
    """`layer` on one example `(T, C)`, by NumPy's padding and plain loops."""
    (k,), (d,), (stride,) = layer.kernel_size, layer.dilation_rate, layer.strides
    kernel, bias = layer.get_weights()
    mode = {"same": "constant", "reflect": "reflect"}.get(layer.edge_padding)
    if mode:
        x = np.pad(x, [(d * (k - 1) // 2,) * 2, (0, 0)], mode=mode)
    starts = range(0, len(x) - d * (k - 1), stride)
    return np.stack([sum(x[t + d * j] @ kernel[j] for j in range(k)) + bias for t in starts])


@pytest.mark.parametrize("fill", GARBAGE)
@pytest.mark.parametrize(
    "options",
    [
        dict(kernel_size=3),
        dict(kernel_size=3, dilation_rate=4),
        dict(kernel_size=5, strides=2),
        dict(kernel_size=1),
        dict(kernel_size=1, strides=2),
        dict(kernel_size=3, dilation_rate=4, padding="reflect"),
        dict(kernel_size=5, padding="reflect"),
        dict(kernel_size=5, padding="reflect", strides=2),
    ],
    ids=str,
)
def test_each_example_is_convolved_as_if_alone(options, fill):
    x, mask = ragged((3,), fill)
    layer = MaskedConv1D(2, bias_initializer="normal", **options)
    result = np.array(layer(x, mask=mask))
    stride = layer.strides[0]
    assert result.shape == (5, -(-13 // stride), 2)
    for row, example, length in zip(result, x, LENGTHS):
        expected = reference(layer, example[:length])
        np.testing.assert_allclose(row[: len(expected)], expected, atol=1e-5)
        np.testing.assert_allclose(layer(example[None, :length])[0], expected, atol=1e-5)


@pytest.mark.parametrize("fill", GARBAGE)
def test_unpadded_convolution(fill):
    x, mask = ragged((3,), fill)
    layer = MaskedConv1D(2, 3, dilation_rate=2, padding="valid", bias_initializer="normal")
    result = np.array(layer(x, mask=mask))
    assert result.shape == (5, 9, 2)
    np.testing.assert_allclose(result[3, :1], reference(layer, x[3, :5]), atol=1e-5)
    np.testing.assert_allclose(result[4, :5], reference(layer, x[4, :9]), atol=1e-5)
    with pytest.raises(ValueError, match=r"at least \[5\] long.*\(1, 4, 3\)"):
        layer(x[:1, :4])


@pytest.mark.parametrize("padding", ["same", "reflect", "valid"])
def test_full_mask_is_bit_equal_to_none(padding):
    x = RNG.normal(size=(2, 20, 3)).astype("float32")
    layer = MaskedConv1D(4, 3, dilation_rate=3, padding=padding)
    np.testing.assert_array_equal(layer(x), layer(x, mask=np.ones((2, 20), bool)))


@pytest.mark.parametrize("fill", GARBAGE)
@pytest.mark.parametrize("kernel_size, strides", [(3, 1), (3, 2), (1, 2)])
def test_convolution_of_images(kernel_size, strides, fill):
    x, mask = ragged((7, 2), fill)
    layer = MaskedConv2D(3, kernel_size, strides)
    kernel = layer(x, mask=mask) is not None and layer.get_weights()[0]
    result = np.array(layer(x, mask=mask))
    pad = kernel_size // 2
    for row, example, length in zip(result, x, LENGTHS):
        padded = np.pad(example[:length], [(pad, pad), (pad, pad), (0, 0)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[:2], axis=(0, 1))
        expected = np.einsum("tfcij,ijco->tfo", windows, kernel)[::strides, ::strides]
        assert expected.shape[:2] == (-(-length // strides), -(-7 // strides))
        np.testing.assert_allclose(row[: len(expected)], expected, atol=1e-5)


def test_window_of_one_is_a_matrix_product():
    x = RNG.normal(size=(2, 5, 4)).astype("float32")
    layer = MaskedConv1D(6, 1, activation="relu", bias_initializer="normal")
    result = np.array(layer(x))
    kernel, bias = layer.get_weights()
    np.testing.assert_allclose(result, np.maximum(x @ kernel[0] + bias, 0), atol=1e-6)
    grouped = MaskedConv1D(6, 1, groups=2, use_bias=False)
    result = np.array(grouped(x))
    (kernel,) = grouped.get_weights()
    expected = [x[..., :2] @ kernel[0, :, :3], x[..., 2:] @ kernel[0, :, 3:]]
    np.testing.assert_allclose(result, np.concatenate(expected, -1), atol=1e-6)


@pytest.mark.parametrize(
    "options, lengths",
    [
        (dict(kernel_size=3), [2, 6]),
        (dict(kernel_size=3, strides=2), [1, 3]),
        (dict(kernel_size=3, dilation_rate=2, padding="valid"), [0, 2]),
    ],
)
def test_keras_mask_is_taken_and_passed_on(options, lengths):
    x = np.where(np.arange(6)[:, None] < np.array([[[2]], [[6]]]), 1.0, 0.0).astype("float32")
    outputs = MaskedConv1D(2, **options)(keras.layers.Masking()(x))
    assert outputs._keras_mask.shape == outputs.shape[:2]
    np.testing.assert_array_equal(np.sum(outputs._keras_mask, axis=1), lengths)


@pytest.mark.parametrize(
    "layer, shape",
    [
        (MaskedConv1D(4, 3, dilation_rate=2), (2, 9, 3)),
        (MaskedConv1D(4, 5, padding="reflect"), (2, 9, 3)),
        (MaskedConv1D(4, 5, padding="valid"), (2, 9, 3)),
        (MaskedConv1D(4, 3, strides=2, activation="relu", use_bias=False), (2, 9, 3)),
        (MaskedConv1D(4, 1), (2, 9, 3)),
        (MaskedConv2D(4, 3), (2, 9, 8, 3)),
        (MaskedConv2D(4, 3, strides=2), (2, 9, 8, 3)),
        (MaskedConv2D(4, (3, 5), padding="valid"), (2, 9, 8, 3)),
    ],
)
def test_as_a_keras_layer(check_layer, layer, shape):
    check_layer(layer, RNG.normal(size=shape).astype("float32"))
    clone = type(layer).from_config(layer.get_config())
    assert clone.padding == layer.padding, "the same arithmetic after loading"


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"`padding` must be one of.*'causal'"):
        MaskedConv1D(2, 3, padding="causal")
    for padding in ("same", "reflect"):
        with pytest.raises(ValueError, match=r"`kernel_size` must be odd.*kernel_size=4"):
            MaskedConv1D(2, 4, padding=padding)
    with pytest.raises(ValueError, match="`padding` must be"):
        MaskedConv2D(2, 3, padding="reflect")
    with pytest.raises(ValueError, match="channels_last"):
        MaskedConv1D(2, 3, data_format="channels_first")
    with pytest.raises(ValueError, match=r"at least \[3, 3\] long.*\(1, 4, 2, 1\)"):
        MaskedConv2D(2, 3, padding="valid")(np.zeros((1, 4, 2, 1), "float32"))
