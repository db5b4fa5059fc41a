"""Grouped convolution beside torch's, and beside `keras.layers.Conv2D(groups=...)`.

python benchmarks/group_conv.py [--rounds N] [torch keras]

Forward and both gradients. TensorFlow turns oneDNN on by itself only on processors with VNNI;
elsewhere set TF_ENABLE_ONEDNN_OPTS=1, without which the native kernel has no gradients.
"""

import argparse
import functools

import numpy as np
from paired import ROUNDS, compare, conditions, table

BATCH = 8
# height and width, channels, groups, kernel size
CASES = (
    (56, 128, 32, 3),
    (28, 256, 32, 3),
    (14, 512, 32, 3),
    (7, 1024, 32, 3),
    (14, 512, 128, 3),
    (14, 512, 512, 3),
    (14, 512, 32, 1),
    (28, 256, 16, 3),
)
TORCH_TARGET, KERAS_TARGET, KERAS_CASE = 1.1, 1 / 50, (14, 512, 32, 3)


def arrays(size, channels, groups, kernel):
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(2, BATCH, size, size, channels))
    weights = rng.normal(size=(kernel, kernel, channels // groups, channels)) / kernel
    return [array.astype("float32") for array in (x, dy, weights)]


def keras_step(layer, case):
    import keras
    import tensorflow as tf

    import keras_resnets as kr

    kind = kr.layers.GroupConv2D if layer == "ours" else keras.layers.Conv2D
    _, channels, groups, kernel = case
    x, dy, weights = arrays(*case)
    conv = kind(channels, kernel, padding="same", groups=groups, use_bias=False)
    conv.build(x.shape)
    conv.kernel.assign(weights)
    x, dy = tf.constant(x), tf.constant(dy)

    @tf.function
    def step(x, dy):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = conv(x)
        return tape.gradient(y, [x, conv.kernel.value], dy)

    return lambda: step(x, dy)[1].numpy()


def torch_step(case):
    import torch

    torch.set_num_threads(1)
    _, channels, groups, kernel = case
    x, dy, weights = arrays(*case)
    conv = torch.nn.Conv2d(channels, channels, kernel, padding="same", groups=groups, bias=False)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor(weights.transpose(3, 2, 0, 1)))
    x, dy = (torch.tensor(np.moveaxis(a, -1, 1).copy()) for a in (x, dy))
    x.requires_grad_()

    def step():
        x.grad = conv.weight.grad = None
        conv(x).backward(dy)
        return conv.weight.grad.numpy().transpose(2, 3, 1, 0)

    return step


def rows(kinds, rounds):
    timed = functools.partial(compare, tolerance=0.01, examples=BATCH)
    for case in CASES:
        name = "{0}x{0}x{1}, {2} groups, {3}x{3}".format(*case)
        ours = functools.partial(keras_step, "ours", case)
        if "torch" in kinds:
            peer = functools.partial(torch_step, case)
            yield timed(f"{name} to torch", ours, peer, TORCH_TARGET, rounds=rounds)
        if "keras" in kinds and case == KERAS_CASE:
            peer = functools.partial(keras_step, "keras", case)
            yield timed(f"{name} to Keras", ours, peer, KERAS_TARGET, rounds=min(rounds, 2))


def onednn():
    from keras_resnets.kernels.group_conv import has_native_gradient

    return "on" if has_native_gradient("float32") else "off"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kinds", nargs="*", help="torch, keras; both by default")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    found = list(rows(arguments.kinds or ["torch", "keras"], arguments.rounds))
    facts = conditions("tensorflow", "keras", "torch")
    print(f"{facts}; oneDNN {onednn()}", table(found), sep="\n\n")


if __name__ == "__main__":
    main()
