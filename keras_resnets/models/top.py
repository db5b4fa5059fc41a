"""The classifier that `include_top=True` puts on an encoder."""

import keras

from keras_resnets.layers import AdditiveAngularMargin


def check_top(include_top, classes, pooling):
    if include_top and (classes is None or pooling is None):
        raise ValueError(
            "`include_top=True` needs `classes` and a `pooling`. "
            f"Received: classes={classes}, pooling={pooling!r}"
        )


def cosine_classifier(embedding, classes, activation=None):
    """Margin-free cosine logits of the embedding; the weights are those of a margin head."""
    logits = AdditiveAngularMargin(classes, margin=0.0, name="predictions")(embedding)
    if activation is None:
        return logits
    return keras.layers.Activation(activation, name="predictions_activation")(logits)
