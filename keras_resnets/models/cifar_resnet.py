"""ResNets for 32x32 images: three stages of basic blocks, and their wide pre-activation form."""

from keras_resnets.models.resnet import resnet

# from this depth on the blocks are scanned: depth 866 then traces a train step in 4 s, not in 85
SCAN_FROM = 218


def cifar_resnet(
    depth=20,
    width=16,
    shortcut="B",
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=(32, 32, 3),
    pooling=None,
    classes=10,
    classifier_activation="softmax",
    name=None,
    scan_blocks=None,
    **options,
):
    """CIFAR ResNet of `6 n + 2` layers: 20, 32, 44, 56, 110 ... 866, 1202.

    Args:
        depth: number of layers.
        width: channels of the first stage; the others have two and four times as many.
        shortcut: `"B"`, a convolution where the shape changes, or `"A"`, without parameters: the
            form of He et al. and of the public checkpoints (akamaster/pytorch_resnet_cifar10).
        include_top: whether global pooling and a classifier follow.
        weights: None, a Keras file, or a public checkpoint.
        input_tensor: Keras tensor to stand on; None makes an input.
        input_shape: `(height, width, channels)`; the sides at least 8, or None.
        pooling: without the top, `"avg"`, `"max"` or None.
        classes: number of classes.
        classifier_activation: None for logits.
        name: of the model; default `cifar_resnet<depth>`.
        scan_blocks: as in `resnet`; None: from depth 218 on, where no `drop_path` forbids it.
        **options: of `resnet`, as `norm_act`, `gamma_initializer`.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: `depth` is not `6 n + 2`, or any of `resnet`'s.

    Example:

    >>> model = cifar_resnet(20, shortcut="A")
    >>> model(np.zeros((2, 32, 32, 3))).shape, model.count_params()
    (TensorShape([2, 10]), 271098)

    Reference:
        He et al., Deep Residual Learning for Image Recognition, CVPR 2016 (arXiv 1512.03385),
        section 4.2.
    """
    if depth < 8 or depth % 6 != 2:
        near = max(8, (depth - 2) // 6 * 6 + 2)
        raise ValueError(
            f"`depth` must be 6 n + 2, as {near} or {near + 6}. Received: depth={depth}"
        )
    if shortcut not in ("A", "B"):
        raise ValueError(f'`shortcut` must be "A" or "B". Received: shortcut={shortcut!r}')
    settings = {
        "depths": ((depth - 2) // 6,) * 3,
        "filters": (width, 2 * width, 4 * width),
        "block": "basic",
        "stem": "cifar",
        "stem_width": width,
        "shortcut": "pad" if shortcut == "A" else "conv",
        "minimum_size": 8,
        "scan_blocks": scan_blocks,
    }
    if scan_blocks is None:
        settings["scan_blocks"] = depth >= SCAN_FROM and not options.get("drop_path")
    return resnet(
        include_top,
        weights,
        input_tensor,
        input_shape,
        pooling,
        classes,
        classifier_activation,
        name or f"cifar_resnet{depth}",
        **{**settings, **options},
    )


def wide_resnet(
    depth=28,
    k=10,
    dropout=0.0,
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=(32, 32, 3),
    pooling=None,
    classes=10,
    classifier_activation="softmax",
    name=None,
    **options,
):
    """Wide ResNet WRN-`depth`-`k`: pre-activation, of `6 n + 4` layers.

    Args:
        depth: number of layers, as 16, 28, 40.
        k: the stages have 16 k, 32 k and 64 k channels.
        dropout: rate between the two convolutions of a block.
        include_top: whether global pooling and a classifier follow.
        weights: None, a Keras file, or a public checkpoint.
        input_tensor: Keras tensor to stand on; None makes an input.
        input_shape: `(height, width, channels)`; the sides at least 8, or None.
        pooling: without the top, `"avg"`, `"max"` or None.
        classes: number of classes.
        classifier_activation: None for logits.
        name: of the model; default `wide_resnet<depth>_<k>`.
        **options: of `resnet`.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: `depth` is not `6 n + 4`, or any of `resnet`'s.

    Example:

    >>> wide_resnet(10, 2)(np.zeros((2, 32, 32, 3))).shape
    TensorShape([2, 10])

    Reference:
        Zagoruyko and Komodakis, Wide Residual Networks, BMVC 2016 (arXiv 1605.07146).
    """
    if depth < 10 or depth % 6 != 4:
        raise ValueError(f"`depth` must be 6 n + 4, as 16 or 28. Received: depth={depth}")
    settings = {
        "depths": ((depth - 4) // 6,) * 3,
        "filters": (16 * k, 32 * k, 64 * k),
        "block": "basic",
        "preactivation": True,
        "stem": "cifar",
        "stem_width": 16,
        "block_dropout": dropout,
        "minimum_size": 8,
    }
    return resnet(
        include_top,
        weights,
        input_tensor,
        input_shape,
        pooling,
        classes,
        classifier_activation,
        name or f"wide_resnet{depth}_{k}",
        **{**settings, **options},
    )
