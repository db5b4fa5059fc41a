import keras
import numpy as np
import tensorflow as tf

import trainers
from keras_resnets.datasets.image import make_image_data
from trainers.recipes import RESNET_SMALL


def test_what_is_served_is_what_was_trained(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (300, 8, 8), dtype="uint8")
    data = make_image_data(images, np.arange(300) % 3, images, np.arange(300) % 3)
    batches = trainers.ImageBatches(data, RESNET_SMALL.replace(batch_size=30))
    model = keras.Sequential(
        [keras.Input(batches.image_shape), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=["accuracy"])
    expected = model.evaluate(batches.test(), verbose=0, return_dict=True)["accuracy"]
    for _ in range(2):  # an older one is replaced
        served = trainers.export_classifier(model, batches, tmp_path / "net" / "1")
        assert abs(served - expected) < 1e-6
    serve = tf.saved_model.load(str(tmp_path / "net" / "1")).signatures["serving_default"]
    answer = serve(images=tf.constant(images[:2, ..., None]))["probabilities"]
    np.testing.assert_allclose(np.sum(answer, 1), 1, rtol=1e-6)
