"""FBNetV3: inverted residual blocks of searched widths, depths, kernels and expansions."""

import dataclasses
import math

import keras

from keras_resnets.initializers import KAIMING_FAN_OUT
from keras_resnets.layers import StochasticDepth, WindowPadding2D
from keras_resnets.models.conv_norm_act import ConvNormAct, channel_axis
from keras_resnets.models.image_model import image_input, image_model
from keras_resnets.models.residual import squeeze_excite
from keras_resnets.weights import load_weights
from keras_resnets.weights.load import is_public

PADDINGS = ("official", "symmetric")
UNIT = ConvNormAct("batch_norm+hard_swish")


@dataclasses.dataclass(frozen=True)
class StageConfig:
    """Inverted residual blocks of one width: the first may stride, the rest are alike.

    Args:
        kernel_first, kernel_rest: odd sides of the depthwise kernels.
        expansion_first, expansion_rest: inner channels, as a multiple of a block's input's.
        channels: of the outputs.
        depth: number of blocks, the first included.
        stride: of the first block.
        use_se: whether the blocks have squeeze-and-excitation.
        first_padding: of the first block's depthwise convolution; None is half of its kernel.

    Example:

    >>> kr.StageConfig(5, 3, 5, 3, channels=72, depth=5, stride=2, first_padding=1).block(0)
    (5, 5, 2, 1)
    """

    kernel_first: int
    kernel_rest: int
    expansion_first: float
    expansion_rest: float
    channels: int
    depth: int
    stride: int = 1
    use_se: bool = False
    first_padding: int | None = None

    def __post_init__(self):
        for name in ("kernel_first", "kernel_rest"):
            _check(name, value := getattr(self, name), _whole(value) and value % 2, "odd")
        for name in ("expansion_first", "expansion_rest"):
            _check(name, value := getattr(self, name), value > 0, "positive")
        for name in ("channels", "depth", "stride"):
            _check(name, value := getattr(self, name), _whole(value), "a positive integer")
        widest = self.kernel_first // 2 if self.stride > 1 else -1
        fits = self.first_padding is None or 0 <= self.first_padding <= widest
        rule = "None, or with a stride at most half of the kernel"
        _check("first_padding", self.first_padding, fits, rule)

    def block(self, b):
        """Kernel, expansion, stride and padding (None: half of the kernel) of the b-th block."""
        if b == 0:
            return self.kernel_first, self.expansion_first, self.stride, self.first_padding
        return self.kernel_rest, self.expansion_rest, 1, None


@dataclasses.dataclass(frozen=True)
class FBNetV3Config:
    """An architecture of FBNetV3's space.

    Args:
        stem: channels of the first convolution.
        stages: `StageConfig`s, or dicts of their fields.
        head_expansion: channels before the pooling, as a multiple of the last stage's.
        head_width: features of the classifier.
        input_size: side of the images that it was made for; any other is taken too.

    Example:

    >>> stages = [kr.StageConfig(3, 3, 1, 1, 16, 2), kr.StageConfig(5, 3, 4, 2, 24, 3, 2)]
    >>> config = kr.FBNetV3Config(stem=16, stages=stages)
    >>> kr.FBNetV3(config, include_top=False, input_shape=(64, 64, 3)).output_shape
    (None, 16, 16, 144)
    """

    stem: int
    stages: tuple
    head_expansion: float = 6
    head_width: int = 1984
    input_size: int = 224

    def __post_init__(self):
        stages = [StageConfig(**s) if isinstance(s, dict) else s for s in self.stages]
        good = bool(stages) and all(isinstance(stage, StageConfig) for stage in stages)
        _check("stages", self.stages, good, "one or more `StageConfig`s")
        object.__setattr__(self, "stages", tuple(stages))
        for name in ("stem", "head_width", "input_size"):
            _check(name, value := getattr(self, name), _whole(value), "a positive integer")
        _check("head_expansion", self.head_expansion, self.head_expansion > 0, "positive")


def _whole(value):
    return isinstance(value, int) and value > 0


def _check(name, value, good, rule):
    if not good:
        raise ValueError(f"`{name}` must be {rule}. Received: {name}={value!r}")


def _config(stem, *stages, head=6, size=224):
    return FBNetV3Config(stem, tuple(StageConfig(*row) for row in stages), head, input_size=size)


# kernel and expansion of the first block and of the rest in turn, channels, blocks, stride, SE,
# and the padding of the strided convolution where it is not half of the kernel
_A = _config(
    16,
    (3, 3, 1, 1, 16, 2, 1, False),
    (5, 5, 4, 2, 24, 4, 2, False),
    (5, 5, 5, 3, 40, 5, 2, True),
    (5, 3, 5, 3, 72, 5, 2, False, 1),
    (3, 5, 5, 3, 120, 6, 1, True),
    (3, 5, 6, 4, 184, 6, 2, True, 0),
    (5, 5, 6, 6, 224, 1, 1, True),
)
CONFIGS = {
    "a0": _config(
        12,
        (3, 3, 1, 1, 12, 1, 1, False),
        (3, 3, 4, 2, 24, 3, 2, False),
        (3, 3, 4, 2, 40, 3, 2, True),
        (5, 3, 4, 3, 72, 3, 2, False),
        (3, 5, 4, 3, 104, 4, 1, True),
        (3, 3, 4, 4, 176, 4, 2, True),
        (3, 3, 5, 5, 208, 1, 1, True),
        head=5,
    ),
    "a": _A,
    "b": dataclasses.replace(_A, input_size=248),
    "c": _config(
        16,
        (3, 3, 1, 1, 16, 2, 1, False),
        (5, 3, 5, 3, 24, 5, 2, False),
        (5, 5, 5, 2, 48, 5, 2, True),
        (5, 3, 4, 3, 88, 5, 2, False, 1),
        (3, 5, 4, 3, 120, 6, 1, True),
        (5, 5, 5, 5, 216, 6, 2, True, 1),
        (5, 5, 6, 6, 216, 1, 1, True),
        size=248,
    ),
    "d": _config(
        24,
        (3, 3, 1, 1, 16, 2, 1, False),
        (3, 3, 5, 2, 24, 6, 2, False),
        (5, 3, 4, 3, 40, 5, 2, True),
        (3, 3, 5, 3, 72, 5, 2, False),
        (3, 5, 5, 3, 128, 7, 1, True),
        (3, 5, 6, 5, 208, 6, 2, True),
        (5, 5, 6, 6, 240, 1, 1, True),
        size=248,
    ),
    "e": _config(
        24,
        (3, 3, 1, 1, 16, 3, 1, False),
        (5, 5, 4, 2, 24, 5, 2, False),
        (5, 5, 4, 3, 48, 5, 2, True),
        (5, 3, 5, 3, 80, 5, 2, False, 1),
        (3, 5, 5, 3, 128, 8, 1, True),
        (3, 5, 6, 5, 216, 6, 2, True),
        (5, 5, 6, 6, 240, 1, 1, True),
        size=264,
    ),
    "f": _config(
        24,
        (3, 3, 1, 1, 24, 3, 1, False),
        (5, 5, 4, 2, 32, 5, 2, False),
        (5, 5, 4, 3, 56, 5, 2, True),
        (5, 3, 5, 3, 88, 5, 2, False),
        (3, 5, 5, 3, 144, 9, 1, True),
        (3, 5, 6, 5, 248, 7, 2, True, 0),
        (5, 5, 6, 6, 272, 1, 1, True),
        size=272,
    ),
    "g": _config(
        32,
        (3, 3, 1, 1, 24, 3, 1, False),
        (5, 5, 4, 2, 40, 5, 2, False),
        (5, 5, 4, 3, 56, 5, 2, True),
        (5, 3, 5, 3, 104, 5, 2, False),
        (3, 5, 5, 3, 160, 9, 1, True),
        (3, 5, 6, 5, 264, 7, 2, True),
        (5, 5, 6, 6, 288, 2, 1, True),
        size=320,
    ),
}


def round8(channels):
    """The multiple of 8 nearest to a number of channels, at least 8 and at least 95 % of it."""
    nearest = 8 * max(1, math.floor(channels / 8 + 0.5))
    return nearest + 8 if nearest < 0.95 * channels else nearest


def squeezed(inner, expansion):
    """Channels within the squeeze-excite of a block: a quarter of those that it was given."""
    return round8(int(inner * 0.25 / expansion))


def FBNetV3(
    config,
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    dropout_rate=0.2,
    drop_path_rate=0.0,
    dw_padding="official",
    name="fbnet_v3",
):
    """FBNetV3 of any configuration; `fbnet_v3_a` and its kin are the published ones.

    Args:
        config: `FBNetV3Config`.
        include_top: whether global pooling, the last features and a classifier follow.
        weights: None, a Keras file, or timm's checkpoint of `fbnetv3_b`, `_d` or `_g`, which makes
            `dw_padding` symmetric, as timm's networks are.
        input_tensor: Keras tensor to stand on; None makes an input.
        input_shape: `(height, width, channels)`; default: RGB of any size from 32 up.
        pooling: without the top, `"avg"`, `"max"` or None for the maps before the global pooling.
        classes: number of classes.
        classifier_activation: None for logits.
        dropout_rate: before the classifier.
        drop_path_rate: stochastic depth of the last block; it rises linearly from 0 in the first,
            and acts where a block has a residual.
        dw_padding: of the depthwise convolutions: `"official"`, by the configuration, or
            `"symmetric"`, half of the kernel.
        name: of the model.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: unknown `dw_padding`, sides that are too small, or `weights` that do not fit.

    Example:

    >>> config = kr.models.fbnet_v3.CONFIGS["a0"]
    >>> FBNetV3(config, classes=10, input_shape=(64, 64, 3)).count_params()
    4372974

    Reference:
        Dai et al., FBNetV3: Joint Architecture-Recipe Search using Predictor Pretraining, CVPR 2021
        (arXiv 2006.02049); facebookresearch/mobile-vision for the table.
    """
    _check("config", config, isinstance(config, FBNetV3Config), "an `FBNetV3Config`")
    _check("dw_padding", dw_padding, dw_padding in PADDINGS, f"one of {PADDINGS}")
    official = dw_padding == "official" and not is_public(weights)
    inputs = image_input(input_tensor, input_shape)
    x = UNIT(inputs, config.stem, 3, 2, name="stem_conv")
    count, done = sum(stage.depth for stage in config.stages), 0
    for s, stage in enumerate(config.stages, start=1):
        for b in range(stage.depth):
            kernel, expansion, stride, padding = stage.block(b)
            padding = padding if official else None
            drop_path = drop_path_rate * done / max(count - 1, 1)
            x = inverted_residual(
                x, kernel, expansion, stage.channels, stride, stage.use_se, padding, drop_path,
                name=f"stage{s}_block{b + 1}",
            )  # fmt: skip
            done += 1
    width = round8(config.head_expansion * config.stages[-1].channels)
    x = UNIT(x, width, 1, name="head_conv1")
    if include_top:
        x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="head_pool")(x)
        x = UNIT.conv(x, config.head_width, 1, name="head_conv2")
        x = UNIT.act(x, name="head_conv2_act")
    model = image_model(
        inputs, x, include_top, pooling, classes, classifier_activation, name, dropout_rate
    )
    model.preprocessing = {**model.preprocessing, "crop_pct": 0.95}  # timm's, as the weights are
    return load_weights(model, weights)


def inverted_residual(
    x, kernel, expansion, channels, stride=1, use_se=False, padding=None, drop_path=0.0, *, name
):
    """Expansion, depthwise convolution, gate by a few features of the means, projection."""
    before, shortcut = x.shape[channel_axis()], x
    inner = round8(before * expansion)
    residual = stride == 1 and before == channels
    if inner != before:
        x = UNIT(x, inner, 1, name=f"{name}_expand_conv")
    settings = dict(group_size=1, name=f"{name}_depthwise_conv")
    if padding is not None:
        x = WindowPadding2D(padding, kernel, name=f"{name}_depthwise_pad")(x)
        settings["padding"] = "valid"
    x = UNIT(x, inner, kernel, stride, **settings)
    if use_se:
        hidden = squeezed(inner, expansion)
        functions = ("hard_swish", "hard_sigmoid")
        x = squeeze_excite(x, hidden, *functions, KAIMING_FAN_OUT, name=f"{name}_se")
    x = UNIT(x, channels, 1, act=False, zero_init=residual, name=f"{name}_project_conv")
    if not residual:
        return x
    if drop_path:
        x = StochasticDepth(drop_path, name=f"{name}_drop_path")(x)
    return keras.layers.Add(name=f"{name}_add")([x, shortcut])


def _factory(letter, what):
    name = f"fbnet_v3_{letter}"
    config = CONFIGS[letter]

    def factory(
        include_top=True,
        weights=None,
        input_tensor=None,
        input_shape=None,
        pooling=None,
        classes=1000,
        classifier_activation="softmax",
        dropout_rate=0.2,
        drop_path_rate=0.0,
        dw_padding="official",
        name=name,
    ):
        return FBNetV3(
            config, include_top, weights, input_tensor, input_shape, pooling, classes,
            classifier_activation, dropout_rate, drop_path_rate, dw_padding, name,
        )  # fmt: skip

    factory.__name__ = factory.__qualname__ = name
    factory.__doc__ = f"""{what}

    Args:
        include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation,
            dropout_rate, drop_path_rate, dw_padding, name: as in `FBNetV3`.

    Returns:
        A functional `keras.Model`.
    """
    return factory


fbnet_v3_a0 = _factory("a0", "FBNetV3-A0; 6,309,964 parameters, 218 M MACs at 224 pixels.")
fbnet_v3_a = _factory("a", "FBNetV3-A; 8,598,464 parameters, 356 M MACs at 224 pixels.")
fbnet_v3_b = _factory("b", "FBNetV3-B; 8,598,464 parameters, 460 M MACs at 248 pixels.")
fbnet_v3_c = _factory("c", "FBNetV3-C; 9,973,800 parameters, 556 M MACs at 248 pixels.")
fbnet_v3_d = _factory("d", "FBNetV3-D; 10,306,272 parameters, 643 M MACs at 248 pixels.")
fbnet_v3_e = _factory("e", "FBNetV3-E; 10,772,872 parameters, 760 M MACs at 264 pixels.")
fbnet_v3_f = _factory("f", "FBNetV3-F; 13,896,136 parameters, 1179 M MACs at 272 pixels.")
fbnet_v3_g = _factory("g", "FBNetV3-G; 16,623,888 parameters, 2125 M MACs at 320 pixels.")
