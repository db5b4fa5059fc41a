"""The base of the random waveform layers, and two ways to combine them."""

import keras
import numpy as np
from keras import ops


class Seeds(keras.random.SeedGenerator):
    """Independent draws from one seed pair, without any state of its own.

    A random layer draws all its numbers from here, so that its output is a pure function of the
    waveform and one seed pair.
    """

    def __init__(self, seed, dtype):
        self.seed = ops.cast(ops.convert_to_tensor(seed), dtype)
        self.draws = 0

    def next(self, ordered=True):
        self.draws += 1
        step = np.array([self.draws * 0x9E3779B9 % 2**31, 0])
        return self.seed + ops.cast(step, self.seed.dtype)

    def uniform(self, shape, low=0.0, high=1.0):
        """Uniform floats from random integers, on which TensorFlow and XLA agree to the bit."""
        draw = keras.random.randint(shape, 0, 2**24, seed=self)
        return low + (high - low) * (ops.cast(draw, "float32") / 2**24)

    def split(self):
        """A seed pair for another layer."""
        return keras.random.randint((2,), 0, 2**31 - 1, seed=self)


def as_waveform(waveform):
    """A float32 `(batch, samples)` tensor; int16 is scaled to [-1, 1]."""
    waveform = ops.convert_to_tensor(waveform)
    dtype, shape = keras.backend.standardize_dtype(waveform.dtype), tuple(waveform.shape)
    if len(shape) != 2:
        hint = {1: " Add a batch axis: waveform[None].", 3: " Mix down to one channel first."}
        raise ValueError(
            f"`waveform` must be (batch, samples).{hint.get(len(shape), '')} "
            f"Received: waveform of shape {shape}"
        )
    if dtype == "int16":
        return ops.cast(waveform, "float32") / 32768.0
    if "float" not in dtype:
        raise ValueError(
            "`waveform` must be floating in [-1, 1], or int16 with full scale 32768. "
            f"Received: waveform of dtype {dtype}"
        )
    return ops.cast(waveform, "float32")


def per_example(condition, yes, no):
    """Row-wise `where`: `condition` is `(batch,)`, the others `(batch, samples)`."""
    return ops.where(condition[:, None], yes, no)


class SeededLayer(keras.layers.Layer):
    """A float32 waveform layer with a seed generator whose count is saved with the weights.

    Args:
        seed: int, or `None` for a random one.
    """

    def __init__(self, seed=None, **kwargs):
        # Half precision would drown quiet speech in rounding noise.
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def seeds(self, seed):
        pair = self.seed_generator.next() if seed is None else seed
        return Seeds(pair, self.seed_generator.state.dtype)

    def save_own_variables(self, store):
        store["seed"] = self.seed_generator.state

    def load_own_variables(self, store):
        self.seed_generator.state.assign(store["seed"])

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


class RandomWaveform(SeededLayer):
    """Changes each waveform of a batch at random, in training only.

    Subclasses implement `augment(waveform, seeds)`.

    Call arguments:
        waveform: `(batch, samples)` float in [-1, 1], or int16.
        training: bool, `True` unless the surrounding model says otherwise. `False` returns the
            waveform as it is.
        seed: optional integer tensor `(2,)`, or a pair of ints. With it the result is a pure
            function of waveform and seed, e.g. `seed=ops.stack([run_seed, step])`. Without it the
            layer's own generator counts the calls.

    Args:
        rate: float in [0, 1], the probability that an example is changed.
        seed: int, or `None` for a random one.
    """

    def __init__(self, rate=1.0, seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        if not 0 <= rate <= 1:
            raise ValueError(f"`rate` must lie in [0, 1]. Received: rate={rate}")
        self.rate = rate

    def call(self, waveform, training=True, seed=None):
        waveform = as_waveform(waveform)
        if not training or self.rate == 0:
            return waveform
        seeds = self.seeds(seed)
        augmented = self.augment(waveform, seeds)
        if self.rate < 1:
            draw = seeds.uniform((ops.shape(waveform)[0],))
            augmented = per_example(draw < self.rate, augmented, waveform)
        return augmented

    def augment(self, waveform, seeds):
        raise NotImplementedError(f"{type(self).__name__} must implement `augment`.")

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}


class _Combination(RandomWaveform):
    def __init__(self, layers, rate=1.0, seed=None, **kwargs):
        super().__init__(rate=rate, seed=seed, **kwargs)
        self.layers = list(layers)
        if not self.layers or not all(isinstance(layer, SeededLayer) for layer in self.layers):
            raise ValueError(
                "`layers` must be a non-empty list of random layers of "
                f"keras_resnets.preprocessing.audio. Received: layers={layers}"
            )

    def get_config(self):
        layers = [keras.saving.serialize_keras_object(layer) for layer in self.layers]
        return {**super().get_config(), "layers": layers}

    @classmethod
    def from_config(cls, config):
        layers = [keras.saving.deserialize_keras_object(layer) for layer in config["layers"]]
        return cls(**{**config, "layers": layers})


@keras.saving.register_keras_serializable("keras_resnets")
class Chain(_Combination):
    """Applies random waveform layers one after the other.

    Args:
        layers: list of random layers of this module that keep the shape, e.g. babble, then music.
        rate: float, the probability that an example goes through the chain at all.
        seed: int or `None`.

    Example:

    >>> import numpy as np
    >>> from keras_resnets.preprocessing.audio import Chain, SimulatedCodec
    >>> tuple(Chain([SimulatedCodec(), SimulatedCodec()])(np.zeros((2, 800))).shape)
    (2, 800)
    """

    def augment(self, waveform, seeds):
        for layer in self.layers:
            waveform = layer(waveform, training=True, seed=seeds.split())
        return waveform


@keras.saving.register_keras_serializable("keras_resnets")
class OneOf(_Combination):
    """Puts each example through one of several random waveform layers.

    "Pick one of six" augments a batch as the paper's six copies an utterance do over time. Every
    layer is computed for the whole batch, so the cost is the sum of all; shapes stay static.

    Args:
        layers: list of random layers of this module that keep the shape.
        weights: optional list of non-negative numbers, how often each layer is picked; all alike
            by default.
        rate: float, the probability that an example is changed; the rest stay clean.
        seed: int or `None`.

    Example:

    >>> import numpy as np
    >>> from keras_resnets.preprocessing.audio import AddNoise, OneOf, SimulatedCodec
    >>> augment = OneOf([AddNoise([np.ones(100)]), SimulatedCodec()], weights=[3, 1])
    >>> tuple(augment(np.zeros((2, 800))).shape)
    (2, 800)

    Reference: Desplanques et al., ECAPA-TDNN (https://arxiv.org/abs/2005.07143), section 4.1.
    """

    def __init__(self, layers, weights=None, rate=1.0, seed=None, **kwargs):
        super().__init__(layers, rate=rate, seed=seed, **kwargs)
        weights = [1.0] * len(self.layers) if weights is None else [float(w) for w in weights]
        if len(weights) != len(self.layers) or min(weights) < 0 or not 0 < sum(weights) < np.inf:
            raise ValueError(
                "`weights` must be one non-negative number for each of the "
                f"{len(self.layers)} layers, not all zero. Received: weights={weights}"
            )
        self.weights_of_layers = weights

    def augment(self, waveform, seeds):
        share = np.cumsum(self.weights_of_layers) / np.sum(self.weights_of_layers)
        draw = seeds.uniform((ops.shape(waveform)[0],))
        picked = ops.sum(ops.cast(draw[:, None] >= share[:-1].astype("float32"), "int32"), axis=1)
        augmented = waveform
        for index, layer in enumerate(self.layers):
            changed = layer(waveform, training=True, seed=seeds.split())
            augmented = per_example(picked == index, changed, augmented)
        return augmented

    def get_config(self):
        return {**super().get_config(), "weights": self.weights_of_layers}
