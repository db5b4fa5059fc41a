import keras
import numpy as np
import pytest

from keras_resnets.analysis import FeatureExtractor, representation_health
from keras_resnets.layers import Prototypes

RNG = np.random.default_rng(0)


def test_equal_embeddings():
    health = representation_health(np.tile(RNG.normal(size=16), (50, 1)))
    assert health.deviation == pytest.approx(0, abs=1e-7)
    assert health.effective_rank == pytest.approx(1, abs=1e-5)
    assert representation_health(np.zeros((5, 4))).effective_rank == 0


def test_embeddings_everywhere():
    health = representation_health(RNG.normal(size=(20000, 64)))
    assert health.deviation == pytest.approx(1 / 8, rel=0.01)
    assert health.effective_rank == pytest.approx(64, rel=0.01)
    assert (health.examples, health.width) == (20000, 64)


@pytest.mark.parametrize("examples", (6, 40))  # fewer and more than the width
def test_effective_rank_by_singular_values(examples):
    x = RNG.normal(size=(examples, 12)) * np.arange(1, 13)
    rows = x / np.linalg.norm(x, axis=1, keepdims=True)
    shares = np.linalg.svd(rows, compute_uv=False)
    shares /= shares.sum()
    expected = np.exp(-np.sum(shares * np.log(shares)))
    assert representation_health(x).effective_rank == pytest.approx(expected, rel=1e-6)
    assert representation_health(x * 7).effective_rank == pytest.approx(expected, rel=1e-6)


def test_rank_of_a_plane():
    plane = RNG.normal(size=(3000, 2)) @ np.linalg.qr(RNG.normal(size=(10, 2)))[0].T
    assert representation_health(plane).effective_rank == pytest.approx(2, rel=0.02)


def test_prototypes():
    embeddings, kernel = np.repeat(np.eye(4)[:3], 2, 0), 3 * np.eye(4)
    health = representation_health(embeddings, prototypes=kernel, temperature=1.0, loss=1.2)
    near, far = np.e / (np.e + 3), 1 / (np.e + 3)
    mean = np.array([(near + 2 * far) / 3] * 3 + [far])
    assert health.assignment_entropy == pytest.approx(-np.sum(mean * np.log(mean)))
    assert (health.used_prototypes, health.num_prototypes, health.loss) == (3, 4, 1.2)
    balanced = representation_health(np.eye(4), prototypes=kernel)
    assert balanced.assignment_entropy == pytest.approx(np.log(4))
    text = str(health)
    assert "used prototypes" in text and "below 1.386" in text
    assert "prototypes" not in str(representation_health(embeddings))


def test_a_model_its_data_and_the_layer():
    head = keras.layers.Dense(8)
    model = keras.Sequential(
        [keras.Input((6, 6, 3)), keras.layers.BatchNormalization(), keras.layers.Flatten(), head]
    )
    layer = Prototypes(5)
    layer.build((None, 8))
    images = RNG.random((11, 6, 6, 3)).astype("float32")
    found = representation_health(model, images, layer, batch_size=4)
    features, labels = FeatureExtractor(model)(images)
    np.testing.assert_allclose(features, model.predict(images, verbose=0), rtol=1e-5)
    assert labels is None
    assert found == representation_health(features, prototypes=layer.kernel)
    batches = [(images[:6], np.arange(6)), (images[6:], np.arange(5))]
    features, labels = FeatureExtractor(model)(batches)
    assert len(features) == 11 and labels.tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4]


def test_bad_input():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    x = np.ones((5, 4), "float32")
    for arguments, match in (
        (dict(features=model), "a model and `data`"),
        (dict(features=x, data=x), "a model and `data`"),
        (dict(features=x[0]), r"\(examples, width\)"),
        (dict(features=np.where(np.eye(5, 4), np.inf, x)), "row 0 is not"),
        (dict(features=x, loss=3.0), "`loss` is held against"),
        (dict(features=x, prototypes=np.ones((5, 4))), r"\(4, K\).*\(5, 4\)"),
        (dict(features=x, prototypes=np.ones((4, 2)), temperature=0), "`temperature`"),
    ):
        with pytest.raises(ValueError, match=match):
            representation_health(**arguments)
