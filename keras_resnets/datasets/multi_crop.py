"""Batches of views of unlabelled images (first form: arrays and datasets of images)."""

from keras_resnets.datasets import pipeline
from keras_resnets.preprocessing.image import multi_crop


def multi_crop_dataset(
    source, batch_size, views=multi_crop, seed=0, epoch=0, start_batch=0, repeat=False, shuffle=1024
):
    """Batches of views."""
    import tensorflow as tf

    arrays = hasattr(source, "shape")
    count = len(source)
    steps = count // batch_size

    def one_epoch(e):
        key = tf.random.fold_in(tf.cast((seed, 0), tf.int64), e)
        if arrays:
            order = tf.random.experimental.stateless_shuffle(tf.range(count), key)
            images = tf.data.Dataset.from_tensor_slices(order).map(lambda i: tf.gather(source, i))
        else:
            images = source.shuffle(shuffle, seed=seed)
        images = images.take(steps * batch_size)
        images = images.skip(
            tf.where(e == epoch, tf.constant(start_batch * batch_size, tf.int64), 0)
        )
        return images.enumerate(e * count)

    images = pipeline.epochs(one_epoch, epoch, repeat)
    images = images.map(
        lambda n, x: views(x, tf.random.fold_in(tf.cast((seed, 1), tf.int64), n)),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    images = images.batch(batch_size, drop_remainder=True)
    return images.prefetch(tf.data.AUTOTUNE)
