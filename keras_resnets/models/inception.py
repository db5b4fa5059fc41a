"""Inception v3 and Inception-ResNet v2, as torchvision and Cadene wrote them for torch."""

import keras

from keras_resnets.models.conv_norm_act import ConvNormAct, channel_axis
from keras_resnets.models.image_model import image_input, image_model, like
from keras_resnets.weights import load_weights

MIN_SIZE = 75
INIT = keras.initializers.TruncatedNormal(stddev=0.1)


def inception_v3(
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    name="inception_v3",
    include_aux=False,
    bn_scale=True,
    avg_pool_include_pad=True,
    transform_input=False,
):
    """Inception v3; 23,834,568 parameters, 27,161,264 with the auxiliary head.

    Args:
        include_top: whether global pooling, dropout and a classifier follow.
        weights: None, a Keras file, or torchvision's checkpoint.
        input_tensor: Keras tensor to stand on; None makes an input.
        input_shape: `(height, width, channels)`; default: RGB of any size from 75 up.
        pooling: without the top, `"avg"`, `"max"` or None for feature maps.
        classes: number of classes.
        classifier_activation: None for logits.
        name: of the model.
        include_aux: a second output, the logits of the auxiliary head, for training.
        bn_scale: whether batch normalisation has scales; keras.applications' has none.
        avg_pool_include_pad: whether average pooling counts the padding, as torchvision's does and
            keras.applications' does not.
        transform_input: take images normalised by ImageNet's means and deviations to [-1, 1], as
            torchvision does with its pretrained weights.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: sides that are too small, or `weights` that do not fit.

    Example:

    >>> inception_v3(include_top=False, input_shape=(75, 75, 3)).output_shape
    (None, 1, 1, 2048)

    Reference:
        Szegedy et al., Rethinking the Inception Architecture, CVPR 2016 (arXiv 1512.00567).
    """
    unit = ConvNormAct(epsilon=1e-3, kernel_initializer=INIT, scale=bn_scale)
    inputs = x = image_input(input_tensor, input_shape, MIN_SIZE)
    if transform_input:
        x = keras.layers.Rescaling([0.458, 0.448, 0.45], [-0.03, -0.088, -0.188], name="rescale")(x)
    net = _Branches(unit, avg_pool_include_pad)
    x = net.stem(x)
    for block, pooled in zip("bcd", (32, 64, 64)):
        x = net.block_a(x, pooled, f"mixed_5{block}")
    x = net.block_b(x, "mixed_6a")
    for block, c in zip("bcde", (128, 160, 160, 192)):
        x = net.block_c(x, c, f"mixed_6{block}")
    aux = _auxiliary(net, x, classes) if include_aux else None
    x = net.block_d(x, "mixed_7a")
    for block in "bc":
        x = net.block_e(x, f"mixed_7{block}")
    model = image_model(
        inputs, x, include_top, pooling, classes, classifier_activation, name, dropout=0.5,
        preprocessing="torch" if transform_input else "tf",
    )  # fmt: skip
    if aux is not None:
        model = like(model, keras.Model(model.input, [model.output, aux], name=name))
    return load_weights(model, weights)


class _Branches:
    """The blocks; `conv` adds a unit named after torchvision's module."""

    def __init__(self, unit, include_pad):
        self.unit = unit
        self.include_pad = include_pad

    def conv(self, x, filters, size, stride=1, padding="same", *, name):
        return self.unit(x, filters, size, stride, padding=padding, name=f"{name}_conv")

    def chain(self, x, *steps, name):
        """Convolutions `(suffix, filters, size)` one after another."""
        for suffix, filters, size in steps:
            x = self.conv(x, filters, size, name=f"{name}{suffix}")
        return x

    def stem(self, x):
        x = self.conv(x, 32, 3, 2, "valid", name="conv2d_1a_3x3")
        x = self.conv(x, 32, 3, 1, "valid", name="conv2d_2a_3x3")
        x = self.conv(x, 64, 3, name="conv2d_2b_3x3")
        x = max_pool(x, "maxpool1")
        x = self.conv(x, 80, 1, name="conv2d_3b_1x1")
        x = self.conv(x, 192, 3, 1, "valid", name="conv2d_4a_3x3")
        return max_pool(x, "maxpool2")

    def avg_pool(self, x, name):
        if not self.include_pad:
            return keras.layers.AveragePooling2D(3, 1, "same", name=name)(x)
        x = keras.layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
        return keras.layers.AveragePooling2D(3, 1, name=name)(x)

    def block_a(self, x, pooled, name):
        n = f"{name}_branch"
        a = self.conv(x, 64, 1, name=f"{n}1x1")
        b = self.chain(x, ("_1", 48, 1), ("_2", 64, 5), name=f"{n}5x5")
        c = self.chain(x, ("_1", 64, 1), ("_2", 96, 3), ("_3", 96, 3), name=f"{n}3x3dbl")
        d = self.conv(self.avg_pool(x, f"{n}_avg"), pooled, 1, name=f"{n}_pool")
        return concat([a, b, c, d], name)

    def block_b(self, x, name):
        n = f"{name}_branch"
        a = self.conv(x, 384, 3, 2, "valid", name=f"{n}3x3")
        b = self.chain(x, ("_1", 64, 1), ("_2", 96, 3), name=f"{n}3x3dbl")
        b = self.conv(b, 96, 3, 2, "valid", name=f"{n}3x3dbl_3")
        return concat([a, b, max_pool(x, f"{n}_pool")], name)

    def block_c(self, x, c, name):
        n = f"{name}_branch"
        row, column = (1, 7), (7, 1)
        a = self.conv(x, 192, 1, name=f"{n}1x1")
        b = self.chain(x, ("_1", c, 1), ("_2", c, row), ("_3", 192, column), name=f"{n}7x7")
        steps = [("_1", c, 1), ("_2", c, column), ("_3", c, row), ("_4", c, column)]
        d = self.chain(x, *steps, ("_5", 192, row), name=f"{n}7x7dbl")
        e = self.conv(self.avg_pool(x, f"{n}_avg"), 192, 1, name=f"{n}_pool")
        return concat([a, b, d, e], name)

    def block_d(self, x, name):
        n = f"{name}_branch"
        a = self.conv(x, 192, 1, name=f"{n}3x3_1")
        a = self.conv(a, 320, 3, 2, "valid", name=f"{n}3x3_2")
        b = self.chain(
            x, ("_1", 192, 1), ("_2", 192, (1, 7)), ("_3", 192, (7, 1)), name=f"{n}7x7x3"
        )
        b = self.conv(b, 192, 3, 2, "valid", name=f"{n}7x7x3_4")
        return concat([a, b, max_pool(x, f"{n}_pool")], name)

    def block_e(self, x, name):
        n = f"{name}_branch"
        a = self.conv(x, 320, 1, name=f"{n}1x1")
        b = self.conv(x, 384, 1, name=f"{n}3x3_1")
        b = self.fork(b, f"{n}3x3_2")
        c = self.chain(x, ("_1", 448, 1), ("_2", 384, 3), name=f"{n}3x3dbl")
        c = self.fork(c, f"{n}3x3dbl_3")
        d = self.conv(self.avg_pool(x, f"{n}_avg"), 192, 1, name=f"{n}_pool")
        return concat([a, b, c, d], name)

    def fork(self, x, name):
        sides = (("a", (1, 3)), ("b", (3, 1)))
        return concat([self.conv(x, 384, size, name=f"{name}{s}") for s, size in sides], name)


def _auxiliary(net, x, classes):
    x = keras.layers.AveragePooling2D(5, 3, name="aux_pool")(x)
    x = net.conv(x, 128, 1, name="aux_conv0")
    x = net.conv(x, 768, 5, padding="valid", name="aux_conv1")
    x = keras.layers.GlobalAveragePooling2D(name="aux_avg_pool")(x)
    init = keras.initializers.TruncatedNormal(stddev=0.001)
    return keras.layers.Dense(classes, kernel_initializer=init, name="aux_predictions")(x)


def inception_resnet_v2(
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    name="inception_resnet_v2",
    bn_scale=True,
):
    """Inception-ResNet v2; 55,843,464 parameters.

    The pooling before the classifier is global. The torch original pools a fixed 8x8 window, which
    is the same at 299 pixels and ignores most of a larger image.

    Args:
        include_top: whether global pooling and a classifier follow.
        weights: None, a Keras file, or a public checkpoint (timm, Cadene).
        input_tensor: Keras tensor to stand on; None makes an input.
        input_shape: `(height, width, channels)`; default: RGB of any size from 75 up.
        pooling: without the top, `"avg"`, `"max"` or None for feature maps.
        classes: number of classes.
        classifier_activation: None for logits.
        name: of the model.
        bn_scale: whether batch normalisation has scales; keras.applications' has none.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: sides that are too small, or `weights` that do not fit.

    Example:

    >>> inception_resnet_v2(include_top=False, input_shape=(75, 75, 3)).output_shape
    (None, 1, 1, 1536)

    Reference:
        Szegedy et al., Inception-v4, Inception-ResNet, AAAI 2017 (arXiv 1602.07261).
    """
    unit = ConvNormAct(epsilon=1e-3, kernel_initializer=INIT, scale=bn_scale)
    inputs = image_input(input_tensor, input_shape, MIN_SIZE)
    net = _Branches(unit, include_pad=False)
    x = net.stem(inputs)
    n = "mixed_5b_branch"
    a = net.conv(x, 96, 1, name=f"{n}0")
    b = net.chain(x, ("_0", 48, 1), ("_1", 64, 5), name=f"{n}1")
    c = net.chain(x, ("_0", 64, 1), ("_1", 96, 3), ("_2", 96, 3), name=f"{n}2")
    d = net.conv(net.avg_pool(x, f"{n}3_avg"), 64, 1, name=f"{n}3_1")
    x = concat([a, b, c, d], "mixed_5b")
    for i in range(10):
        n = f"repeat_{i}"
        a = net.conv(x, 32, 1, name=f"{n}_branch0")
        b = net.chain(x, ("_0", 32, 1), ("_1", 32, 3), name=f"{n}_branch1")
        c = net.chain(x, ("_0", 32, 1), ("_1", 48, 3), ("_2", 64, 3), name=f"{n}_branch2")
        x = residual(x, [a, b, c], 0.17, n)
    n = "mixed_6a_branch"
    a = net.conv(x, 384, 3, 2, "valid", name=f"{n}0")
    b = net.chain(x, ("_0", 256, 1), ("_1", 256, 3), name=f"{n}1")
    b = net.conv(b, 384, 3, 2, "valid", name=f"{n}1_2")
    x = concat([a, b, max_pool(x, f"{n}2_pool")], "mixed_6a")
    for i in range(20):
        n = f"repeat_1_{i}"
        a = net.conv(x, 192, 1, name=f"{n}_branch0")
        b = net.chain(
            x, ("_0", 128, 1), ("_1", 160, (1, 7)), ("_2", 192, (7, 1)), name=f"{n}_branch1"
        )
        x = residual(x, [a, b], 0.1, n)
    n = "mixed_7a_branch"
    a = net.conv(x, 256, 1, name=f"{n}0_0")
    a = net.conv(a, 384, 3, 2, "valid", name=f"{n}0_1")
    b = net.conv(x, 256, 1, name=f"{n}1_0")
    b = net.conv(b, 288, 3, 2, "valid", name=f"{n}1_1")
    c = net.chain(x, ("_0", 256, 1), ("_1", 288, 3), name=f"{n}2")
    c = net.conv(c, 320, 3, 2, "valid", name=f"{n}2_2")
    x = concat([a, b, c, max_pool(x, f"{n}3_pool")], "mixed_7a")
    for i in range(10):
        n = f"repeat_2_{i}" if i < 9 else "block8"
        a = net.conv(x, 192, 1, name=f"{n}_branch0")
        b = net.chain(
            x, ("_0", 192, 1), ("_1", 224, (1, 3)), ("_2", 256, (3, 1)), name=f"{n}_branch1"
        )
        x = residual(x, [a, b], 0.2 if i < 9 else 1.0, n, act=i < 9)
    x = net.conv(x, 1536, 1, name="conv2d_7b")
    model = image_model(
        inputs, x, include_top, pooling, classes, classifier_activation, name, preprocessing="tf"
    )
    return load_weights(model, weights)


def residual(x, branches, scale, name, act=True):
    """`relu(x + scale * conv(branches))`; the 1x1 convolution has a bias and no norm."""
    up = concat(branches, f"{name}_concat")
    up = keras.layers.Conv2D(
        x.shape[channel_axis()], 1, kernel_initializer=INIT.clone(), name=f"{name}_conv2d"
    )(up)
    up = keras.layers.Rescaling(scale, name=f"{name}_scale")(up)
    x = keras.layers.Add(name=f"{name}_add")([x, up])
    return keras.layers.Activation("relu", name=f"{name}_out")(x) if act else x


def concat(branches, name):
    return keras.layers.Concatenate(channel_axis(), name=name)(branches)


def max_pool(x, name):
    return keras.layers.MaxPooling2D(3, 2, name=name)(x)
