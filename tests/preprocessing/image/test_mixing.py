import numpy as np
import pytest
import tensorflow as tf

from keras_resnets.preprocessing import image
from keras_resnets.preprocessing.image.mixing import _beta


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    return rng.standard_normal((6, 5, 4, 3)).astype("float32"), np.eye(6, dtype="float32")


def test_images_and_labels_are_mixed_alike(batch):
    """The labels tell the images apart, so they say what was mixed."""
    mixed, shares = image.mixup(*batch, (3, 4), alpha=1.0)
    np.testing.assert_allclose(np.tensordot(shares, batch[0], 1), mixed, atol=1e-6)
    np.testing.assert_allclose(np.sum(shares, 0), 1, atol=1e-6)  # every image comes twice
    values = np.unique(np.round(shares[shares > 0], 5))
    assert len(values) <= 3 and 0 < values[0] < 1  # the share, the rest, and 1 with itself


def test_a_function_of_the_seed(batch):
    graph = tf.function(image.mixup)(*batch, tf.constant([1, 2]))
    for a, b in zip(graph, image.mixup(*batch, (1, 2))):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert not np.allclose(graph[0], image.mixup(*batch, (1, 3))[0])


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 5.0])
def test_shares_are_of_the_beta_distribution(alpha):
    """Mean 1 / 2 and variance 1 / (4 (2 alpha + 1)), also where a gamma is below float32."""

    @tf.function
    def draw(seeds):
        return tf.map_fn(lambda seed: _beta(seed, alpha), seeds, fn_output_signature=tf.float32)

    n = 2000
    shares = np.sort(draw(tf.stack([tf.fill((n,), 7), tf.range(n)], 1)))
    assert np.isfinite(shares).all() and shares[0] >= 0 and shares[-1] <= 1
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(shares.mean() - 0.5) < 4 * np.sqrt(variance / n)
    assert shares.var() == pytest.approx(variance, rel=0.1)
    if alpha == 1:  # uniform, by Kolmogorov and Smirnov at 1 %
        assert np.abs(shares - np.arange(n) / n).max() < 1.63 / np.sqrt(n)


@pytest.mark.parametrize(
    ("labels", "alpha", "message"),
    [
        (np.eye(6, dtype="float32"), 0, "`alpha` must be positive"),
        (np.arange(6), 0.2, r"`labels` must be probabilities.*int64 of shape \(6,\)"),
    ],
)
def test_bad_arguments(batch, labels, alpha, message):
    with pytest.raises(ValueError, match=message):
        image.mixup(batch[0], labels, (0, 0), alpha)
