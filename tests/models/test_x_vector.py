import numpy as np
import pytest

from keras_resnets import x_vector

X = np.random.default_rng(0).normal(size=(2, 20, 80)).astype("float32")


def test_statistics_and_multiply_adds(count_macs):
    model = x_vector()
    # the normalisation after the frame layers and after `a` has statistics and nothing else
    assert model.count_params() == 4_610_524 + 2 * (4 * 512 + 1500 + 512)
    assert round(count_macs(model, np.zeros((1, 200, 80), "float32")) / 1e9, 2) == 0.53


@pytest.mark.parametrize(
    "options, shape",
    [
        (dict(), (2, 512)),
        (dict(pooling="avg"), (2, 512)),
        (dict(pooling=None), (2, 6, 1500)),
        (dict(include_top=True, classes=3), (2, 3)),
    ],
)
def test_options(options, shape):
    model = x_vector(**options)
    assert model(X).shape == model.compute_output_shape(X.shape) == shape


def test_fifteen_frames_are_needed():
    model = x_vector(embedding_dim=12)
    with pytest.raises(ValueError, match=r"At least 15 frames are needed.*\(2, 14, 80\)"):
        model(X[:, :14])
    with pytest.raises(ValueError, match=r"At least 15 frames are needed.*\(None, 14, 80\)"):
        x_vector(input_shape=(14, 80))
    result = np.array(model([X, np.array([15, 14])]))
    np.testing.assert_allclose(result[0], model(X[:1, :15])[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(result[1], 0)


@pytest.mark.parametrize("frontend, samples", [("kaldi_fbank", 2640), ("speechbrain", 2240)])
def test_fifteen_frames_of_a_waveform(frontend, samples):
    """Centred framing adds frames at the edges: 15 frames then need fewer samples."""
    model = x_vector(embedding_dim=12, frontend=frontend)
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 4000)).astype("float32")
    result = np.array(model([np.repeat(wave, 2, axis=0), np.array([samples, samples - 1])]))
    alone = np.array(model(wave[:, :samples]))[0]
    assert np.linalg.norm(alone) > 0.1
    np.testing.assert_allclose(result[0], alone, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(result[1], 0)


@pytest.mark.parametrize(
    "options", [dict(include_top=True), dict(input_shape=(80,)), dict(pooling="max")], ids=str
)
def test_bad_arguments(options):
    with pytest.raises(
        ValueError, match=r"`pooling` must be|needs `classes`|`input_shape` must be"
    ):
        x_vector(**options)
