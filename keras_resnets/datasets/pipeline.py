"""What the audio sources share: crops, speeds, batches.

Audio travels as int16 until it is batched: half the memory of float32, and exact for 16-bit files.
"""

from fractions import Fraction

import numpy as np

from keras_resnets.preprocessing.resample import resample


def check_arguments(crop, batch_size, seed, epoch, start_batch, speeds):
    for name, value, least in [
        ("crop", 1 if crop is None else crop, 1),
        ("batch_size", 1 if batch_size is None else batch_size, 1),
        ("seed", seed, 0),
        ("epoch", epoch, 0),
        ("start_batch", start_batch, 0),
    ]:
        check_integer(name, value, least)
    if start_batch and batch_size is None:
        raise ValueError("`start_batch` needs a `batch_size`. Received: batch_size=None")
    if not len(speeds) or not all(0.1 <= speed <= 10 for speed in speeds):
        raise ValueError(f"`speeds` must be numbers in [0.1, 10]. Received: speeds={speeds}")


def check_integer(name, value, least):
    if not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"`{name}` must be an integer >= {least}. Received: {name}={value}")


def to_int16(waveform):
    return np.clip(np.rint(waveform * 32768.0), -32768, 32767).astype("int16")


def resampled(waveform, orig_rate, target_rate):
    """`resample` for int16."""
    return to_int16(resample(waveform / np.float32(32768), orig_rate, target_rate))


def at_speed(waveform, speed):
    """An int16 waveform played at `speed` times its speed (and pitch)."""
    if speed == 1:
        return waveform
    ratio = Fraction(speed).limit_denominator(100)
    return resampled(waveform, ratio.numerator, ratio.denominator)


def random_crop(waveform, crop, seed):
    """`crop` samples from a start that is uniform over all valid ones; short audio is tiled."""
    if len(waveform) <= crop:
        return np.resize(waveform, crop)
    start = np.random.default_rng(seed).integers(len(waveform) - crop, endpoint=True)
    return waveform[start : start + crop]


def finish(dataset, crop, batch_size, drop_remainder):
    """Batches int16 examples, and scales them to float32."""
    import tensorflow as tf

    if crop is None and batch_size is not None:
        dataset = dataset.map(lambda waveform, label: ((waveform, tf.size(waveform)), label))
        dataset = dataset.padded_batch(batch_size, drop_remainder=drop_remainder)
        return dataset.map(lambda x, label: ((_to_float(x[0]), x[1]), label))
    if batch_size is not None:
        dataset = dataset.batch(batch_size, drop_remainder=drop_remainder)
    return dataset.map(lambda waveform, label: (_to_float(waveform), label))


def _to_float(waveform):
    import tensorflow as tf

    return tf.cast(waveform, tf.float32) / 32768.0


def epochs(one_epoch, epoch, repeat):
    """The epoch `epoch`, and with `repeat` all that follow it, without end."""
    import tensorflow as tf

    if repeat:
        infinite = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
        dataset = tf.data.Dataset.counter(start=epoch).flat_map(one_epoch).apply(infinite)
    else:
        dataset = one_epoch(tf.constant(epoch, tf.int64))
    return dataset.prefetch(tf.data.AUTOTUNE)
