import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnets.metrics import knn_evaluate
from trainers import KNNCallback, SimCLR

RNG = np.random.default_rng(0)
IMAGES = RNG.random((30, 8, 8, 3)).astype("float32")
LABELS = np.arange(30) % 3
VIEWS = np.stack([IMAGES, IMAGES[:, ::-1]], 1)


def trainer():
    backbone = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(6, 3),
            keras.layers.BatchNormalization(),
            keras.layers.GlobalMaxPooling2D(),
        ]
    )
    trainer = SimCLR(backbone)
    trainer.compile(keras.optimizers.SGD(0.1))
    return trainer


def fit(trainer, *callbacks, epochs=2):
    return trainer.fit(
        VIEWS, batch_size=10, epochs=epochs, shuffle=False, verbose=0, callbacks=[*callbacks]
    ).history


def test_logs_the_accuracy_of_the_features_at_that_time():
    ours, bank, queries = trainer(), (IMAGES[:20], LABELS[:20]), (IMAGES[20:], LABELS[20:])
    expected = []

    def measure(epoch, logs):
        features = ours.backbone.predict(IMAGES, verbose=0)
        expected.append(knn_evaluate(features[:20], bank[1], features[20:], queries[1], k=3))
        assert logs["val_knn_top1"] == expected[-1].top1  # callbacks behind it see it

    after = keras.callbacks.LambdaCallback(on_epoch_end=measure)
    history = fit(ours, KNNCallback(bank, queries, k=3, batch_size=7), after)
    assert history["val_knn_top1"] == [score.top1 for score in expected]
    assert history["val_knn_top5"] == [score.top5 for score in expected]


def test_several_neighbours_streams_and_epochs():
    stream = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(8)
    several = KNNCallback(stream, stream, k=(1, 5), every=2, prefix="train_")
    other = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    pixels = KNNCallback(stream, stream, k=1, model=other, prefix="pixels_")
    history = fit(trainer(), several, pixels, epochs=4)
    assert history["train_knn1_top1"] == [1, 1] and len(history["train_knn5_top5"]) == 2
    assert history["pixels_knn_top1"] == [1, 1, 1, 1]


def test_training_is_the_same_with_and_without():
    one, two = trainer(), trainer()
    two.set_weights(one.get_weights())
    fit(one)
    fit(two, KNNCallback((IMAGES, LABELS), (IMAGES, LABELS), k=1))
    for ours, theirs in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_two_replicas_measure_what_one_does(two_replicas):
    bank, queries = (IMAGES[:20], LABELS[:20]), (IMAGES[20:], LABELS[20:])
    with two_replicas.scope():
        ours = trainer()
    callback = KNNCallback(bank, queries, k=3)
    found = fit(ours, callback, epochs=1)["val_knn_top1"]
    features = [ours.backbone(x, training=False).numpy() for x in (bank[0], queries[0])]
    expected = knn_evaluate(features[0], bank[1], features[1], queries[1], k=3)
    assert found == [expected.top1]


def test_bad_input():
    with pytest.raises(ValueError, match="`every` must be at least 1"):
        KNNCallback((IMAGES, LABELS), (IMAGES, LABELS), every=0)
    with pytest.raises(ValueError, match="`k` must be at least 1"):
        fit(trainer(), KNNCallback((IMAGES, LABELS), (IMAGES, LABELS), k=0))
    with pytest.raises(ValueError, match=r"one vector an example.*\(30, 8, 8, 3\)"):
        maps = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.ReLU()])
        fit(trainer(), KNNCallback((IMAGES, LABELS), (IMAGES, LABELS), model=maps))
