"""Views of an image to contrast: SimCLR's pairs, SwAV's multi-crop."""

from keras_resnets.preprocessing.image.blur import random_blur
from keras_resnets.preprocessing.image.checks import check_range
from keras_resnets.preprocessing.image.color import random_color_jitter, random_grayscale
from keras_resnets.preprocessing.image.crops import random_flip, random_resized_crop
from keras_resnets.preprocessing.image.normalization import normalize

SWAV_MEAN, SWAV_DEVIATION = (0.485, 0.456, 0.406), (0.228, 0.224, 0.225)


def simclr_views(
    image,
    seed,
    size=224,
    area=(0.08, 1.0),
    ratio=(3 / 4, 4 / 3),
    color_strength=1.0,
    brightness="multiplicative",
    grayscale=0.2,
    blur=True,
    views=2,
):
    """Views of one image, each cut, mirrored, coloured and blurred by chance.

    Images of another number of channels than three are taken with `color_strength=0, grayscale=0`.

    Args:
        image: tensor `(height, width, channels)`; integers are scaled to [0, 1], floats are there.
        seed: two integers.
        size: int, side of the views.
        area: least and greatest share of the image's area.
        ratio: least and greatest width by height.
        color_strength: float, 1 for ImageNet, 0.5 for CIFAR, 0 for no jitter.
        brightness: `"multiplicative"`, or `"additive"` as in SimCLR's first version.
        grayscale: float, probability of a grey view.
        blur: bool, whether half the views are blurred: for ImageNet, not for CIFAR.
        views: int.

    Returns:
        float32 tensor `(views, size, size, channels)` in [0, 1].

    Raises:
        ValueError: an argument out of range; colours of an image without three channels.

    Example:

    >>> simclr_views(np.zeros((40, 30, 3), "uint8"), seed=(0, 0), size=32).shape
    TensorShape([2, 32, 32, 3])

    Reference:
        Chen et al., SimCLR, 2020 (arXiv 2002.05709), appendix A; SimCLRv2, 2020 (arXiv 2006.10029).
    """
    import tensorflow as tf

    check_arguments(size, views, area, ratio, color_strength, grayscale)
    if brightness not in ("multiplicative", "additive"):
        raise ValueError(
            '`brightness` must be "multiplicative" or "additive". '
            f"Received: brightness={brightness!r}"
        )
    crop_seed, flip_seed, color_seed, gray_seed, blur_seed = tf.unstack(tf.random.split(seed, 5))
    x = _crops(image, crop_seed, views, size, area, ratio, method="bicubic", attempts=100)
    x = random_flip(x, flip_seed)
    if color_strength:
        x = random_color_jitter(x, color_seed, color_strength, brightness)
    if grayscale:
        x = random_grayscale(x, gray_seed, grayscale)
    if blur:
        x = random_blur(x, blur_seed, radius=size // 20)
    return tf.clip_by_value(x, 0.0, 1.0)


def crop_and_flip(image, seed, size=224, area=(0.08, 1.0), ratio=(3 / 4, 4 / 3)):
    """The one view that is trained on with labels, or with a teacher: cut and mirrored by chance.

    Args:
        image: tensor `(height, width, channels)`; integers are scaled to [0, 1], floats are there.
        seed: two integers.
        size: int, side of the result.
        area: least and greatest share of the image's area.
        ratio: least and greatest width by height.

    Returns:
        float32 tensor `(size, size, channels)` in [0, 1].

    Raises:
        ValueError: an argument out of range.

    Example:

    >>> crop_and_flip(np.zeros((40, 30, 3), "uint8"), seed=(0, 0), size=32).shape
    TensorShape([32, 32, 3])

    Reference:
        Chen et al., SimCLRv2, 2020 (arXiv 2006.10029), appendix B.
    """
    return simclr_views(image, seed, size, area, ratio, 0, grayscale=0, blur=False, views=1)[0]


def multi_crop(
    image,
    seed,
    sizes=(224, 96),
    counts=(2, 6),
    areas=((0.14, 1.0), (0.05, 0.14)),
    ratio=(3 / 4, 4 / 3),
    color_strength=1.0,
    grayscale=0.2,
    blur=True,
    mean=SWAV_MEAN,
    deviation=SWAV_DEVIATION,
):
    """SwAV's views of one image: a few large crops and several small ones of small parts.

    Images of another number of channels than three are taken with `color_strength=0, grayscale=0`,
    and a `mean` and `deviation` of theirs.

    Args:
        image: tensor `(height, width, channels)`; integers are scaled to [0, 1], floats are there.
        seed: two integers.
        sizes: for each group of crops, their side.
        counts: for each group, how many.
        areas: for each group, least and greatest share of the image's area.
        ratio: least and greatest width by height.
        color_strength: float, 0 for no jitter.
        grayscale: float, probability of a grey crop.
        blur: bool, whether half the crops are blurred.
        mean, deviation: of the channels in [0, 1], subtracted and divided by; default: those of
            SwAV's published weights. None: the crops stay in [0, 1].

    Returns:
        Tuple of float32 tensors `(count, size, size, channels)`, one a group.

    Raises:
        ValueError: an argument out of range; colours of an image without three channels.

    Example:

    >>> image = np.zeros((40, 30, 3), "uint8")
    >>> large, small = multi_crop(image, seed=(0, 0), sizes=(32, 16), counts=(2, 4))
    >>> large.shape, small.shape
    (TensorShape([2, 32, 32, 3]), TensorShape([4, 16, 16, 3]))

    Reference:
        Caron et al., SwAV, NeurIPS 2020 (arXiv 2006.09882), section 3.3 and appendix A.
    """
    import tensorflow as tf

    if not len(sizes) == len(counts) == len(areas):
        raise ValueError(
            "`sizes`, `counts` and `areas` must be equally long. "
            f"Received: sizes={sizes}, counts={counts}, areas={areas}"
        )
    groups = []
    for number, (size, count, area) in enumerate(zip(sizes, counts, areas)):
        check_arguments(size, count, area, ratio, color_strength, grayscale)
        seeds = tf.random.split(tf.random.fold_in(seed, number), 5)
        crop_seed, flip_seed, color_seed, gray_seed, blur_seed = tf.unstack(seeds)
        x = _crops(image, crop_seed, count, size, area, ratio, antialias=True)
        x = random_flip(x, flip_seed)
        if color_strength:
            x = random_color_jitter(x, color_seed, color_strength)
        if grayscale:
            x = random_grayscale(x, gray_seed, grayscale)
        if blur:
            x = random_blur(x, blur_seed, radius=size // 20)
        x = tf.clip_by_value(x, 0.0, 1.0)
        groups.append(x if mean is None else normalize(x, mean, deviation))
    return tuple(groups)


def check_arguments(size, views, area, ratio, color_strength, grayscale):
    for name, value in (("size", size), ("views", views)):
        if value < 1:
            raise ValueError(f"`{name}` must be at least 1. Received: {name}={value}")
    check_range("area", area, 0, 1)
    check_range("ratio", ratio, 0, float("inf"))
    if color_strength < 0:
        raise ValueError(f"`color_strength` must be >= 0. Received: {color_strength}")
    if not 0 <= grayscale <= 1:
        raise ValueError(f"`grayscale` must be in [0, 1]. Received: grayscale={grayscale}")


def _crops(image, seed, count, size, area, ratio, **how):
    """Random pieces of one image, `(count, size, size, channels)`, in about [0, 1]."""
    import tensorflow as tf

    image = tf.convert_to_tensor(image)
    greatest = image.dtype.max if image.dtype.is_integer else 1
    crops = tf.stack(
        [
            random_resized_crop(image, one, size, area, ratio, **how)
            for one in tf.unstack(tf.random.split(seed, count))
        ]
    )
    return crops if greatest == 1 else crops / greatest
