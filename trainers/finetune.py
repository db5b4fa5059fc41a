"""From a network trained without labels to a classifier."""

import keras

from keras_resnets.layers import BatchNorm2D

FROZEN = ("stem", "stage1", "stage2", "stage3", "stage4")


def finetune_model(backbone, head, classes, from_layer, freeze_after, name):
    """A classifier on a backbone and the first layers of its projection head, which are copied.

    Args: as `SimCLR.finetune_model`.
    """
    if not 0 <= from_layer < head.num_layers:
        raise ValueError(
            f"`from_layer` must be in [0, {head.num_layers - 1}]. Received: from_layer={from_layer}"
        )
    if freeze_after not in range(-1, 5):
        raise ValueError(
            f"`freeze_after` must be in -1 ... 4. Received: freeze_after={freeze_after}"
        )
    x, copies = backbone.output, []
    for i in range(from_layer):
        for kind, layer in ((keras.layers.Dense, head.dense[i]), (BatchNorm2D, head.norms[i])):
            copy = kind.from_config({**layer.get_config(), "name": f"head_{layer.name}"})
            x = copy(x)
            copy.set_weights(layer.get_weights())
            copies.append(copy)
        x = keras.layers.Activation("relu", name=f"head_relu{i + 1}")(x)
    x = keras.layers.Dense(
        classes, kernel_initializer="zeros", dtype="float32", name="predictions"
    )(x)
    model = keras.Model(backbone.input, x, name=name)
    if freeze_after >= 0:
        for layer in backbone.layers:
            if freeze_after == 4 or layer.name.startswith(FROZEN[: freeze_after + 1]):
                layer.trainable = False
    if freeze_after == 4:
        for layer in copies:
            layer.trainable = False
    return model
