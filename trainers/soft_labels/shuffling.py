"""Shuffling that depends on a seed and an epoch, and on nothing else."""

import tensorflow as tf


def shuffled(examples, block, seed, epoch):
    """Examples shuffled within blocks, as a pure function of seed and epoch.

    `tf.data.Dataset.shuffle` would mix in the program's global seed.
    """
    spec = examples.element_spec
    flat = tf.nest.flatten(spec)

    def pack(*example):
        return tuple(tf.io.serialize_tensor(part) for part in tf.nest.flatten(example))

    def unpack(*parts):
        parts = [
            tf.ensure_shape(tf.io.parse_tensor(part, like.dtype), like.shape)
            for part, like in zip(parts, flat)
        ]
        return tf.nest.pack_sequence_as(spec, parts)

    def mix(number, parts):
        here = tf.random.fold_in(tf.random.fold_in(tf.constant(seed, tf.int64), epoch), number)
        count = tf.shape(parts[0])[0]
        order = tf.random.experimental.stateless_shuffle(tf.range(count), here)
        return tf.data.Dataset.from_tensor_slices(tuple(tf.gather(p, order) for p in parts))

    blocks = examples.map(pack).batch(block).enumerate()
    return blocks.flat_map(lambda number, parts: mix(number, parts)).map(unpack)
