"""EvoNorm beside timm's, beside its formula in `keras.ops`, and beside batch normalisation.

python benchmarks/norms.py [--rounds N] [timm formula batch_norm]

Each layer alone, in training, forward and backward, on three activations of a ResNet-50.
"""

import argparse
import functools
import sys
from pathlib import Path

import numpy as np
from paired import ROUNDS, compare, conditions, table

SHAPES = ((8, 56, 56, 64), (8, 28, 28, 512), (8, 14, 14, 1024))
TARGETS = {
    ("s0", "timm"): 0.65,
    ("b0", "timm"): 0.45,
    ("s0", "formula"): 0.7,
}


def arrays(shape):
    return np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")


# The sides: a tensor's gradient after one step forward and one back


def keras_step(make, shape):
    import tensorflow as tf

    layers = make()
    x, dy = (tf.constant(array) for array in arrays(shape))
    for layer in layers:
        layer.build(shape)
    weights = [w.value for layer in layers for w in layer.trainable_variables]

    @tf.function
    def step(x, dy):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = x
            for layer in layers:
                y = layer(y, training=True)
        return tape.gradient(y, [x, *weights], dy)

    return lambda: step(x, dy)[0].numpy()


def evonorm(name):
    from keras_resnets import layers

    return [layers.evonorm(name)]


def fused_batch_norm():
    import keras

    from keras_resnets import layers

    return [layers.BatchNorm2D(), keras.layers.ReLU()]


def keras_batch_norm():
    import keras

    return [keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5), keras.layers.ReLU()]


def formula(name):
    """The paper's formula, word for word."""
    import keras
    from keras import ops

    class Formula(keras.layers.Layer):
        def build(self, shape):
            channels = (shape[-1],)
            self.gamma, self.v = (self.add_weight(shape=channels, initializer="ones") for _ in "gv")
            self.beta = self.add_weight(shape=channels, initializer="zeros")

        def call(self, x):
            shape = ops.shape(x)
            if name == "b0":
                batch = ops.sqrt(ops.var(x, (0, 1, 2)) + 1e-5)
                instance = ops.sqrt(ops.var(x, (1, 2), keepdims=True) + 1e-5)
                return x / ops.maximum(batch, self.v * x + instance) * self.gamma + self.beta
            groups = ops.reshape(x, (*shape[:3], 32, shape[3] // 32))
            deviation = ops.sqrt(ops.var(groups, (1, 2, 4), keepdims=True) + 1e-5)
            deviation = ops.reshape(ops.broadcast_to(deviation, ops.shape(groups)), shape)
            return x * ops.sigmoid(self.v * x) / deviation * self.gamma + self.beta

    return [Formula()]


def timm_step(name, shape):
    import torch

    sys.path.append(str(Path(__file__).parents[1] / "tests" / "peers"))
    import image_models

    image_models.timm()
    from timm.layers import evo_norm

    torch.set_num_threads(1)
    layer = getattr(evo_norm, f"EvoNorm2d{name.upper()}")(shape[-1], eps=1e-5).train()
    x, dy = (torch.tensor(np.moveaxis(a, -1, 1).copy()) for a in arrays(shape))
    x.requires_grad_()

    def step():
        x.grad = None
        layer.zero_grad(set_to_none=True)
        layer(x).backward(dy)
        return x.grad.numpy().transpose(0, 2, 3, 1)

    return step


def rows(kinds, rounds):
    for shape in SHAPES:
        size = "x".join(map(str, shape[1:]))
        for name in ("s0", "b0"):
            ours = functools.partial(keras_step, functools.partial(evonorm, name), shape)
            peers = {
                "timm": functools.partial(timm_step, name, shape),
                "formula": functools.partial(keras_step, functools.partial(formula, name), shape),
                "batch_norm": functools.partial(keras_step, fused_batch_norm, shape),
            }
            for kind in kinds:
                yield compare(
                    f"EvoNorm-{name.upper()} {size} to {kind}",
                    ours,
                    peers[kind],
                    target=TARGETS.get((name, kind)),
                    # B0 has a maximum: a near tie may fall to the other side
                    tolerance=None if kind == "batch_norm" else 0.1 if name == "b0" else 1e-3,
                    examples=shape[0],
                    rounds=rounds,
                )
        if "batch_norm" in kinds:
            yield compare(
                f"BatchNorm2D, ReLU {size} to Keras' layer",
                functools.partial(keras_step, fused_batch_norm, shape),
                functools.partial(keras_step, keras_batch_norm, shape),
                tolerance=1e-3,
                examples=shape[0],
                rounds=rounds,
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kinds", nargs="*", help="timm, formula, batch_norm; all by default")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    found = list(rows(arguments.kinds or ["timm", "formula", "batch_norm"], arguments.rounds))
    print(conditions("tensorflow", "keras", "torch", "timm"), table(found), sep="\n\n")


if __name__ == "__main__":
    main()
