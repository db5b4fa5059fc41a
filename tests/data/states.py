"""State dicts as a function of their tensors' names, so that golden files hold outputs only.

numpy's legacy `RandomState` streams are frozen, hence the same numbers with every numpy.
"""

import zlib

import numpy as np

ATTENTION = ("asp.", "pool.", "attention.")


def random_array(name, shape):
    """Normal noise that depends on the name alone."""
    seed = zlib.crc32(name.encode()) & 0xFFFFFFFF
    return np.random.RandomState(seed).standard_normal(shape).astype("float32")


def random_state(shapes):
    """A state dict of these names and shapes, scaled so that activations stay near one.

    Batch norm statistics and affine parameters are random too: at their initial values a
    misplaced one would not show. Attention is sharp, or its context would hardly matter.
    """
    return {name: _tensor(name, tuple(shape)) for name, shape in shapes.items()}


def random_features(name, frames):
    """Two examples of 80-bin features, centred over time as every recipe does."""
    x = random_array(f"features of {name}", (2, frames, 80))
    return x - x.mean(axis=1, keepdims=True)


def _tensor(name, shape):
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, "int64")
    noise = random_array(name, shape)
    if len(shape) > 1:
        gain = 3.0 if name.startswith(ATTENTION) else 1.0
        return noise * np.float32(gain * np.prod(shape[1:]) ** -0.5)
    if name.endswith("running_var"):
        return np.float32(0.5) + np.abs(noise)
    if name.endswith("weight"):
        return np.float32(0.5) + np.float32(0.2) * noise
    return np.float32(0.2) * noise


# With 1.4 float32 itself is 3e-4 away from float64 in the first, and the others hardly see their
# input.
GAINS = {
    "senet154": 1.2,
    "torchvision_inception_v3": 1.7,
    "mobilenetv1_100": 1.7,
    "tf_mobilenetv3_small_100": 1.6,
    "tf_mobilenetv3_large_100": 1.5,
    "tf_efficientnet_b0": 1.6,
}


def image_state(name, shapes):
    """As `random_state`, for networks over images: they keep telling inputs apart."""
    state = random_state(shapes)
    for key, array in state.items():
        if array.ndim > 1:
            state[key] = array * np.float32(GAINS.get(name, 1.4))
        elif key.endswith("weight"):
            state[key] = array + np.float32(0.4)
    return state
