"""Pieces of images: random crops and flips, the crop of evaluation."""

import math


def random_pad_crop(images, seed, pad=4):
    """Pads with zeros on all sides and cuts a piece of the old size at a random place.

    Args:
        images: tensor `(batch, height, width, channels)`; each is cut at a place of its own.
        seed: two integers.
        pad: int, pixels on each side.

    Returns:
        Tensor, of the shape and type of `images`.

    Raises:
        ValueError: not a batch of images.

    Example:

    >>> images = np.ones((2, 8, 8, 1), "uint8")
    >>> a, b = (random_pad_crop(images, seed=(0, 1), pad=2) for _ in range(2))
    >>> a.shape, bool(np.all(a == b))
    (TensorShape([2, 8, 8, 1]), True)

    Reference:
        He et al., Deep Residual Learning for Image Recognition, CVPR 2016, section 4.2.
    """
    import tensorflow as tf

    images = tf.convert_to_tensor(images)
    if images.shape.rank != 4:
        raise ValueError(
            "`images` must be (batch, height, width, channels). "
            f"Received: images.shape={tuple(images.shape)}"
        )
    batch, height, width, _ = tf.unstack(tf.shape(images))
    corners = tf.random.stateless_uniform((batch, 2), seed, 0, 2 * pad + 1, tf.int32)
    crops = tf.pad(images, [(0, 0), (pad, pad), (pad, pad), (0, 0)])
    crops = tf.gather(crops, corners[:, :1] + tf.range(height), axis=1, batch_dims=1)
    crops = tf.gather(crops, corners[:, 1:] + tf.range(width), axis=2, batch_dims=1)
    return tf.ensure_shape(crops, images.shape)


def random_flip(images, seed):
    """Mirrors each image, left and right, or leaves it, with equal chances.

    Args:
        images: tensor `(..., height, width, channels)`.
        seed: two integers.

    Returns:
        Tensor, of the shape and type of `images`.

    Example:

    >>> images = np.tile(np.arange(3.0)[:, None], (4, 1, 1, 1))
    >>> np.array(random_flip(images, seed=(0, 0)))[:, 0, 0, 0].tolist()
    [2.0, 0.0, 0.0, 0.0]
    """
    import tensorflow as tf

    images = tf.convert_to_tensor(images)
    flipped = tf.random.stateless_uniform(tf.shape(images)[:-3], seed) < 0.5
    return tf.where(flipped[..., None, None, None], tf.reverse(images, [-2]), images)


def random_resized_crop(
    image,
    seed,
    size,
    area=(0.08, 1.0),
    ratio=(3 / 4, 4 / 3),
    method="bilinear",
    antialias=False,
    attempts=10,
):
    """Cuts a piece of random area, shape and place, and scales it to a square.

    The shape is drawn uniformly between the two ratios, as in TensorFlow's ImageNet code
    (torchvision draws its logarithm). If no attempt fits, the whole image is taken.

    Args:
        image: tensor `(height, width, channels)`.
        seed: two integers.
        size: int, side of the result.
        area: least and greatest share of the image's area.
        ratio: least and greatest width by height.
        method, antialias: of `tf.image.resize`.
        attempts: int, to find a piece that fits.

    Returns:
        float32 tensor `(size, size, channels)`, in the range of `image`; bicubic goes beyond it.

    Example:

    >>> random_resized_crop(np.zeros((30, 40, 3), "uint8"), seed=(0, 0), size=16).shape
    TensorShape([16, 16, 3])

    Reference:
        Szegedy et al., Going Deeper with Convolutions, CVPR 2015, section 6.
    """
    import tensorflow as tf

    image = tf.convert_to_tensor(image)
    begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.shape(image),
        tf.zeros((0, 0, 4)),
        seed,
        min_object_covered=0.0,
        area_range=area,
        aspect_ratio_range=ratio,
        max_attempts=attempts,
        use_image_if_no_bounding_boxes=True,
    )
    piece = tf.ensure_shape(tf.slice(image, begin, extent), (None, None, image.shape[-1]))
    return tf.image.resize(piece, (size, size), method, antialias=antialias)


def eval_crop(image, size, share=0.875):
    """The middle of an image: its shorter side is scaled to `size / share`, then `size` is cut.

    Args:
        image: tensor `(height, width, channels)`.
        size: int, side of the result.
        share: float, in (0, 1], part of the shorter side that is kept: 224 of 256 by default.

    Returns:
        float32 tensor `(size, size, channels)`, in the range of `image`.

    Raises:
        ValueError: `share` out of range.

    Example:

    >>> image = np.tile(np.arange(40.0)[:, None], (30, 1, 1))
    >>> eval_crop(image, 15, share=0.5)[0, :, 0].numpy()[[0, -1]].tolist()
    [12.0, 26.0]

    Reference:
        Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks, NIPS
        2012, section 2; 224 of 256 as in torchvision's references.
    """
    import tensorflow as tf

    if not 0 < share <= 1:
        raise ValueError(f"`share` must be in (0, 1]. Received: share={share}")
    image = tf.convert_to_tensor(image)
    sides = tf.shape(image)[:2]
    scale = math.floor(size / share) / tf.reduce_min(sides)
    scaled = tf.cast(tf.round(scale * tf.cast(sides, scale.dtype)), tf.int32)
    image = tf.image.resize(image, scaled, antialias=True)
    top, left = tf.unstack((scaled - size) // 2)
    return tf.image.crop_to_bounding_box(image, top, left, size, size)
