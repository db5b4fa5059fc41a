"""A trained classifier as a SavedModel, and what that answers."""

import numpy as np
import tensorflow as tf

import keras_resnets as kr


def export_classifier(model, batches, path):
    """Write a SavedModel that takes images of 0 to 255, and ask it for every test image.

    Args:
        model: `keras.Model` from normalised images to logits.
        batches: `trainers.ImageBatches` it was trained on; their normalisation goes inside.
        path: of the SavedModel, `NAME/VERSION` as TF Serving reads it; replaced if it is there.

    Returns:
        float, the test accuracy of what it serves, 0 to 1; None without test images.

    Example:

    >>> import tempfile
    >>> data = kr.datasets.load("fashion_sample")
    >>> batches = trainers.ImageBatches(data, trainers.recipes.RESNET_SMALL)
    >>> model = keras.Sequential([
    ...     keras.Input(batches.image_shape), keras.layers.Flatten(), keras.layers.Dense(10)])
    >>> served = trainers.export_classifier(model, batches, tempfile.mkdtemp() + "/demo/1")
    >>> 0 <= served <= 1
    True
    """

    def classify(images):
        return {"probabilities": tf.nn.softmax(model(batches.normalize(images), training=False))}

    inputs = {"images": tf.TensorSpec([None, *batches.image_shape], tf.uint8)}
    signatures = {"serving_default": (classify, inputs)}
    kr.export.to_saved_model(model, path, signatures, overwrite=True)
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    test = batches.test(normalized=False)
    if test is None:
        return None
    right = [
        np.argmax(serve(images=tf.cast(tf.round(x), tf.uint8))["probabilities"], 1) == y
        for x, y in test
    ]
    return float(np.mean(np.concatenate(right)))
