"""Views of an image to contrast: SimCLR's pairs, SwAV's multi-crop."""

import numpy as np

from keras_resnets.preprocessing.image.appearance import Appearance
from keras_resnets.preprocessing.image.boxes import UNIFORM_AREAS, UNIFORM_HEIGHTS
from keras_resnets.preprocessing.image.crop_group import CropGroup
from keras_resnets.weights import imagenet


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
            Or a batch of images of one known size: for small ones, below about 100 pixels, that is
            several times as fast.
        seed: two integers; for a batch `(batch, 2)`.
        size: int, side of the views.
        area: least and greatest share of the image's area.
        ratio: least and greatest width by height.
        color_strength: float, 1 for ImageNet, 0.5 for CIFAR, 0 for no jitter.
        brightness: `"multiplicative"`, or `"additive"` as in SimCLR's first version.
        grayscale: float, probability of a grey view.
        blur: bool, whether half the views are blurred: for ImageNet, not for CIFAR.
        views: int.

    Returns:
        float32 tensor `(views, size, size, channels)` in [0, 1]; for a batch
        `(batch, views, size, size, channels)`.

    Raises:
        ValueError: an argument out of range; colours of an image without three channels; floats in
            0 to 255, which in a graph are an `InvalidArgumentError`.

    Example:

    >>> image = np.zeros((40, 30, 3), "uint8")
    >>> kr.preprocessing.image.simclr_views(image, seed=(0, 0), size=32).shape
    TensorShape([2, 32, 32, 3])

    Reference:
        Chen et al., SimCLR, 2020 (arXiv 2002.05709), appendix A; SimCLRv2, 2020 (arXiv 2006.10029).
    """
    _check(image, seed, size, views, area, ratio, color_strength, grayscale)
    if brightness not in ("multiplicative", "additive"):
        raise ValueError(
            '`brightness` must be "multiplicative" or "additive". '
            f"Received: brightness={brightness!r}"
        )
    appearance = Appearance(
        color_strength, brightness == "additive", grayscale, size // 20 if blur else None
    )
    group = CropGroup(
        size, views, tuple(area), tuple(ratio), UNIFORM_HEIGHTS, "bicubic", False, appearance
    )
    return group(image, seed)


def crop_and_flip(image, seed, size=224, area=(0.08, 1.0), ratio=(3 / 4, 4 / 3)):
    """The one view that is trained on with labels, or with a teacher: cut and mirrored by chance.

    Args:
        image: tensor `(height, width, channels)`; integers are scaled to [0, 1], floats are there.
            Or a batch of images of one known size: for small ones, below about 100 pixels, that is
            several times as fast.
        seed: two integers; for a batch `(batch, 2)`.
        size: int, side of the result.
        area: least and greatest share of the image's area.
        ratio: least and greatest width by height.

    Returns:
        float32 tensor `(size, size, channels)` in [0, 1]; for a batch
        `(batch, size, size, channels)`.

    Raises:
        ValueError: an argument out of range; floats in 0 to 255, which in a graph are an
            `InvalidArgumentError`.

    Example:

    >>> image = np.zeros((40, 30, 3), "uint8")
    >>> kr.preprocessing.image.crop_and_flip(image, seed=(0, 0), size=32).shape
    TensorShape([32, 32, 3])

    Reference:
        Chen et al., SimCLRv2, 2020 (arXiv 2006.10029), appendix B.
    """
    views = simclr_views(image, seed, size, area, ratio, 0, grayscale=0, blur=False, views=1)
    return views[..., 0, :, :, :]


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
    mean=imagenet.MEAN,
    deviation=imagenet.SWAV_DEVIATION,
):
    """SwAV's views of one image: a few large crops and several small ones of small parts.

    Images of another number of channels than three are taken with `color_strength=0, grayscale=0`,
    and a `mean` and `deviation` of theirs.

    Args:
        image: tensor `(height, width, channels)`; integers are scaled to [0, 1], floats are there.
            Or a batch of images of one known size: for small ones, below about 100 pixels, that is
            several times as fast.
        seed: two integers; for a batch `(batch, 2)`.
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
        Tuple of float32 tensors `(count, size, size, channels)`, one a group; for a batch
        `(batch, count, size, size, channels)`.

    Raises:
        ValueError: an argument out of range; colours of an image without three channels; floats in
            0 to 255, which in a graph are an `InvalidArgumentError`.

    Example:

    >>> image = np.zeros((40, 30, 3), "uint8")
    >>> large, small = kr.preprocessing.image.multi_crop(
    ...     image, seed=(0, 0), sizes=(32, 16), counts=(2, 4))
    >>> large.shape, small.shape
    (TensorShape([2, 32, 32, 3]), TensorShape([4, 16, 16, 3]))

    Reference:
        Caron et al., SwAV, NeurIPS 2020 (arXiv 2006.09882), section 3.3 and appendix A.
    """
    if not len(sizes) == len(counts) == len(areas):
        raise ValueError(
            "`sizes`, `counts` and `areas` must be equally long. "
            f"Received: sizes={sizes}, counts={counts}, areas={areas}"
        )
    groups = []
    for number, (size, count, area) in enumerate(zip(sizes, counts, areas)):
        _check(image, seed, size, count, area, ratio, color_strength, grayscale)
        appearance = Appearance(
            color_strength,
            grayscale=grayscale,
            blur=min(size // 20, 6) if blur else None,  # three of the greatest deviation
            mean=mean and tuple(mean),
            deviation=deviation and tuple(deviation),
        )
        group = CropGroup(
            size,
            count,
            tuple(area),
            tuple(ratio),
            UNIFORM_AREAS,
            "bilinear",
            True,
            appearance,
            number,
        )
        groups.append(group(image, seed))
    return tuple(groups)


def _check(image, seed, size, count, area, ratio, color_strength, grayscale):
    for name, value in (("size", size), ("views", count)):
        if value < 1:
            raise ValueError(f"`{name}` must be at least 1. Received: {name}={value}")
    for name, value, high in (("area", area, 1), ("ratio", ratio, float("inf"))):
        if len(value) != 2 or not 0 < value[0] <= value[1] <= high:
            raise ValueError(
                f"`{name}` must be two numbers in order, in (0, {high}]. Received: {name}={value}"
            )
    if color_strength < 0:
        raise ValueError(
            f"`color_strength` must be >= 0. Received: color_strength={color_strength}"
        )
    if not 0 <= grayscale <= 1:
        raise ValueError(f"`grayscale` must be in [0, 1]. Received: grayscale={grayscale}")
    if (len(image.shape), np.ndim(seed)) not in ((3, 1), (4, 2)):
        raise ValueError(
            "`image` must be (height, width, channels) with a `seed` of two integers, or both a "
            "batch. "
            f"Received: image.shape={tuple(image.shape)}, seed={seed}"
        )
    if (color_strength or grayscale) and image.shape[-1] != 3:
        raise ValueError(
            "`image` must have three channels for a change of colours; without them use "
            "`color_strength=0, grayscale=0`. "
            f"Received: image.shape={tuple(image.shape)}"
        )
