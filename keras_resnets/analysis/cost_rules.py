"""How many multiply-accumulates a layer does, one rule a kind of layer."""

import math

import keras
from keras import layers as kl

from keras_resnets import layers as krl
from keras_resnets.analysis.work import ConvSpec, Work
from keras_resnets.layers.filterbank_base import Filterbank

_RULES = {}  # type, or name of an operation -> (rule, whether it counts the inner layers too)


def register_cost(*kinds, inner=True):
    """Decorator: the function is the cost rule of these layer types and of their subclasses.

    A rule is called as `rule(layer, inputs, outputs)` with the shapes of the tensors that the call
    took and gave (two lists of tuples, batch included; masks left out), and returns the number of
    multiply-accumulates, or a `Work`.

    Args:
        *kinds: Layer types, or class names of `keras.ops` operations.
        inner: Whether the rule counts the layers inside the layer too. With False they are counted
            by their own rules, and this one adds what the layer does itself.

    Returns:
        The decorator.

    Example:

    >>> class Bilinear(keras.layers.Layer):
    ...     def build(self, shape):
    ...         self.kernel = self.add_weight(shape=(shape[-1], shape[-1]))
    ...     def call(self, x):
    ...         return keras.ops.sum(x @ self.kernel * x, -1, keepdims=True)
    >>> @register_cost(Bilinear)
    ... def bilinear(layer, inputs, outputs):
    ...     return inputs[0][0] * layer.kernel.shape[0] * (layer.kernel.shape[1] + 1)
    >>> x = keras.Input((8,))
    >>> kr.analysis.cost(keras.Model(x, Bilinear()(x))).macs
    72
    """
    for kind in kinds:
        is_layer = isinstance(kind, type) and issubclass(kind, keras.Operation)
        if not (is_layer or isinstance(kind, str)):
            raise TypeError(f"`kinds` must be layer types or names. Received: {kind!r}")

    def register(rule):
        _RULES.update(dict.fromkeys(kinds, (rule, inner)))
        return rule

    return register


def find_rule(operation):
    """`(rule, inner)` of the nearest registered type, or None."""
    for kind in type(operation).__mro__:
        if kind in _RULES:
            return _RULES[kind]
    return None if isinstance(operation, kl.Layer) else _RULES.get(type(operation).__name__)


def work_of(layer, inputs, outputs):
    """The `Work` of a layer by its rule."""
    rule = find_rule(layer)
    if rule is None:
        raise ValueError(
            f"`{type(layer).__name__}` has no cost rule; give it one with "
            f"keras_resnets.analysis.register_cost. Received: layer {layer.name!r}"
        )
    return as_work(rule[0](layer, inputs, outputs))


def as_work(answer):
    return answer if isinstance(answer, Work) else Work(macs=answer)


size = math.prod


def _ending(layer, outputs):
    """Operations of bias and activation after a linear layer."""
    activation = getattr(layer, "activation", None)
    active = activation not in (None, keras.activations.linear)
    return (bool(layer.use_bias) + active) * size(outputs[0])


def _channels(layer, shape):
    """`(channels, positions with the batch)` of a tensor."""
    channels = shape[1 if layer.data_format == "channels_first" else -1]
    return channels, size(shape) // channels


# --- convolutions


@register_cost(kl.Conv1D, kl.Conv2D, kl.Conv3D)
def conv(layer, inputs, outputs):
    channels, positions = _channels(layer, inputs[0])
    filters, out_positions = _channels(layer, outputs[0])
    spec = ConvSpec(
        channels, filters, tuple(layer.kernel_size), out_positions, positions, layer.groups
    )
    return Work(spec.macs, _ending(layer, outputs), conv=spec)


@register_cost(kl.DepthwiseConv1D, kl.DepthwiseConv2D)
def depthwise_conv(layer, inputs, outputs):
    channels, positions = _channels(layer, inputs[0])
    filters, out_positions = _channels(layer, outputs[0])
    spec = ConvSpec(
        channels, filters, tuple(layer.kernel_size), out_positions, positions, groups=channels
    )
    return Work(spec.macs, _ending(layer, outputs), conv=spec)


@register_cost(kl.SeparableConv1D, kl.SeparableConv2D)
def separable_conv(layer, inputs, outputs):
    channels, _ = _channels(layer, inputs[0])
    filters, positions = _channels(layer, outputs[0])
    wide = channels * layer.depth_multiplier
    return Work(positions * wide * (size(layer.kernel_size) + filters), _ending(layer, outputs))


@register_cost(kl.Conv1DTranspose, kl.Conv2DTranspose, kl.Conv3DTranspose)
def conv_transpose(layer, inputs, outputs):
    return Work(size(inputs[0]) * size(layer.kernel_size) * layer.filters, _ending(layer, outputs))


# --- products


@register_cost(kl.Dense)
def dense(layer, inputs, outputs):
    return Work(size(outputs[0]) * inputs[0][-1], _ending(layer, outputs))


@register_cost(kl.EinsumDense)
def einsum_dense(layer, inputs, outputs):
    _, _, kernel, output = _subscripts(layer.equation)
    summed = [n for letter, n in zip(kernel, layer.kernel.shape) if letter not in output]
    bias = layer.bias is not None
    active = layer.activation not in (None, keras.activations.linear)
    return Work(size(outputs[0]) * size(summed), (bias + active) * size(outputs[0]))


def _subscripts(equation):
    left, output = equation.replace(" ", "").split("->")
    first, second = left.split(",")
    return left, first, second, output


@register_cost("Einsum")
def einsum(op, inputs, outputs):
    left, output = op.subscripts.replace(" ", "").split("->")
    sizes = {}
    for letters, shape in zip(left.split(","), inputs):
        head, dots, tail = letters.partition("...")
        sizes.update(zip(head, shape))
        sizes.update(zip(reversed(tail if dots else ""), reversed(shape)))
    summed = size(n for letter, n in sizes.items() if letter not in output)
    return size(outputs[0]) * summed * max(1, len(inputs) - 1)


@register_cost("Matmul", "Dot")
def matmul(op, inputs, outputs):
    return size(outputs[0]) * inputs[0][-1]


@register_cost("Tensordot")
def tensordot(op, inputs, outputs):
    if isinstance(op.axes, int):
        summed = inputs[0][len(inputs[0]) - op.axes :]
    else:
        axes = op.axes[0]
        summed = [inputs[0][axis] for axis in ([axes] if isinstance(axes, int) else axes)]
    return size(outputs[0]) * size(summed)


@register_cost("Conv")
def conv_op(op, inputs, outputs):
    return size(outputs[0]) * size(inputs[1][:-1])


@register_cost("DepthwiseConv")
def depthwise_conv_op(op, inputs, outputs):
    return size(outputs[0]) * size(inputs[1][:-2])


@register_cost(kl.Dot)
def dot(layer, inputs, outputs):
    axis = layer.axes if isinstance(layer.axes, int) else layer.axes[0]
    return size(outputs[0]) * inputs[0][axis]


@register_cost(kl.Embedding)
def embedding(layer, inputs, outputs):
    return Work(weight_words=size(outputs[0]))


# --- attention


@register_cost(kl.Attention, kl.AdditiveAttention)
def attention(layer, inputs, outputs):
    (*_, queries, width), (*_, keys, depth) = inputs[0], inputs[1]
    scores = inputs[0][0] * queries * keys
    if isinstance(layer, kl.AdditiveAttention):
        return Work(scores * depth, 3 * scores * width)
    return scores * (width + depth)


@register_cost(kl.MultiHeadAttention)
def multi_head_attention(layer, inputs, outputs):
    query, value = inputs[:2]
    key = inputs[2] if len(inputs) > 2 else value
    heads, width, depth = layer.num_heads, layer.key_dim, layer.value_dim or layer.key_dim
    queries, keys = size(query[:-1]), size(key[:-1])
    scores = queries * size(key[1:-1]) * heads
    project = queries * query[-1] * width + keys * (key[-1] * width + value[-1] * depth)
    macs = heads * project + scores * (width + depth) + size(outputs[0]) * heads * depth
    return Work(macs, 2 * scores)


@register_cost(kl.GroupQueryAttention)
def group_query_attention(layer, inputs, outputs):
    query, value = inputs[:2]
    key = inputs[2] if len(inputs) > 2 else value
    heads, few, width = layer.num_query_heads, layer.num_key_value_heads, layer.head_dim
    queries, keys = size(query[:-1]), size(key[:-1])
    scores = queries * size(key[1:-1]) * heads
    project = queries * query[-1] * heads + keys * (key[-1] + value[-1]) * few
    macs = (project + 2 * scores + size(outputs[0]) * heads) * width
    return Work(macs, 2 * scores)


# --- recurrent layers

GATES = {kl.SimpleRNNCell: 1, kl.GRUCell: 3, kl.LSTMCell: 4}


@register_cost(kl.SimpleRNN, kl.GRU, kl.LSTM, kl.RNN)
def rnn(layer, inputs, outputs):
    batch, steps, width = inputs[0]
    return Work(*(batch * steps * n for n in _cell(layer.cell, width)))


def _cell(cell, width):
    """Multiply-accumulates and other operations of one step of one example."""
    if isinstance(cell, kl.StackedRNNCells):
        widths = [width, *(inner.units for inner in cell.cells[:-1])]
        steps = [_cell(inner, width) for inner, width in zip(cell.cells, widths)]
        return tuple(sum(column) for column in zip(*steps))
    for kind, gates in GATES.items():
        if isinstance(cell, kind):
            return gates * cell.units * (width + cell.units), 3 * gates * cell.units
    width_of_step = (1, width)
    work = work_of(cell, [width_of_step], [width_of_step])
    return work.macs, work.elementwise


@register_cost(kl.ConvLSTM1D, kl.ConvLSTM2D, kl.ConvLSTM3D)
def conv_lstm(layer, inputs, outputs):
    cell = layer.cell
    first = layer.data_format == "channels_first"
    channels = inputs[0][2 if first else -1]
    plane = outputs[0][2 if layer.return_sequences else 1 :]  # without batch and time
    positions = size(plane) // layer.filters * size(inputs[0][:2])
    wide = 4 * layer.filters * size(cell.kernel_size)
    return Work(positions * wide * (channels + layer.filters), 12 * positions * layer.filters)


@register_cost(kl.Bidirectional)
def bidirectional(layer, inputs, outputs):
    pair = [
        work_of(inner, inputs[:1], outputs) for inner in (layer.forward_layer, layer.backward_layer)
    ]
    return Work(sum(work.macs for work in pair), sum(work.elementwise for work in pair))


@register_cost(kl.SpectralNormalization)
def spectral_normalization(layer, inputs, outputs):
    return work_of(layer.layer, inputs, outputs)


@register_cost(kl.TimeDistributed)
def time_distributed(layer, inputs, outputs):
    batch = size(inputs[0][:2])
    if find_rule(layer.layer) is not None:
        return work_of(layer.layer, *([(batch, *s[0][2:])] for s in (inputs, outputs)))
    from keras_resnets.analysis.cost import cost

    report = cost(layer.layer, inputs[0][2:], batch)
    if report.unsupported:
        raise ValueError(f"{layer.name!r}: no cost rule for {report.unsupported}")
    return Work(report.macs, report.elementwise)


# --- normalisation: scale and shift, and the statistics where they are not stored


@register_cost(kl.BatchNormalization, kl.Normalization)
def batch_norm(layer, inputs, outputs):
    return Work(elementwise=2 * size(outputs[0]))


@register_cost(
    kl.LayerNormalization, kl.GroupNormalization, kl.UnitNormalization, kl.RMSNormalization
)
def instance_norm(layer, inputs, outputs):
    return Work(elementwise=6 * size(outputs[0]))


@register_cost(kl.PReLU)
def prelu(layer, inputs, outputs):
    return Work(elementwise=2 * size(outputs[0]))


# --- pooling, merging, and what costs nothing


@register_cost(
    kl.MaxPooling1D, kl.MaxPooling2D, kl.MaxPooling3D,
    kl.AveragePooling1D, kl.AveragePooling2D, kl.AveragePooling3D,
)  # fmt: skip
def pooling(layer, inputs, outputs):
    return Work(elementwise=size(outputs[0]) * size(layer.pool_size))


@register_cost(
    kl.GlobalAveragePooling1D, kl.GlobalAveragePooling2D, kl.GlobalAveragePooling3D,
    kl.GlobalMaxPooling1D, kl.GlobalMaxPooling2D, kl.GlobalMaxPooling3D,
)  # fmt: skip
def global_pooling(layer, inputs, outputs):
    return Work(elementwise=size(inputs[0]))


@register_cost(kl.Add, kl.Subtract, kl.Multiply, kl.Average, kl.Maximum, kl.Minimum)
def merge(layer, inputs, outputs):
    return Work(elementwise=(len(inputs) - 1) * size(outputs[0]))


@register_cost(
    kl.Concatenate, kl.ZeroPadding1D, kl.ZeroPadding2D, kl.ZeroPadding3D,
    kl.Cropping1D, kl.Cropping2D, kl.Cropping3D, kl.Permute, kl.RepeatVector,
    kl.UpSampling1D, kl.UpSampling3D,
    krl.PadShortcut2D, "Concatenate", "Pad", "Transpose", "Stack", "Take",
)  # fmt: skip
def copy(layer, inputs, outputs):
    return Work()


@register_cost(
    kl.InputLayer, kl.Reshape, kl.Flatten, kl.Masking, kl.ActivityRegularization, kl.Identity,
    kl.Dropout, kl.SpatialDropout1D, kl.SpatialDropout2D, kl.SpatialDropout3D, kl.AlphaDropout,
    kl.GaussianDropout, kl.GaussianNoise, krl.SpecAugment, krl.FrameMask, krl.ZeroEmptyRows,
    krl.StochasticDepth, krl.DropBlock2D,
    "Reshape", "Squeeze", "ExpandDims", "Flatten", "GetItem", "Split", "BroadcastTo", "Cast",
)  # fmt: skip
def free(layer, inputs, outputs):
    return Work(moves=False)


# --- this package's own layers


@register_cost(Filterbank)
def filterbank(layer, inputs, outputs):
    batch, frames, features = outputs[0]
    bins, n = layer.num_mel_bins, layer.fft_length
    macs = (n // 2 + 1) * bins + (bins * features if isinstance(layer, krl.MFCC) else 0)
    fft = int(2.5 * n * math.log2(n)) + 3 * (n // 2 + 1)
    return Work(batch * frames * macs, batch * frames * (layer.frame_length + fft + bins))


@register_cost(krl.AdditiveAngularMargin, krl.AdditiveMargin)
def cosine_head(layer, inputs, outputs):
    width, centres = layer.kernel.shape
    macs = inputs[0][0] * width * centres
    return Work(macs, 3 * (size(inputs[0]) + width * centres) + inputs[0][0] * centres)


@register_cost(krl.Prototypes)
def prototypes(layer, inputs, outputs):
    weights = layer.kernel.shape[0] * layer.num_prototypes
    return Work(inputs[0][0] * weights, 3 * (size(inputs[0]) + weights))


@register_cost(
    krl.EvoNormB0, krl.EvoNormB1, krl.EvoNormB2, krl.EvoNormS0, krl.EvoNormS1, krl.EvoNormS2
)  # fmt: skip
def evonorm(layer, inputs, outputs):
    return Work(elementwise=(10 if layer.normalizes else 2) * size(outputs[0]))


@register_cost(krl.FilterResponseNorm)
def filter_response_norm(layer, inputs, outputs):
    return Work(elementwise=4 * size(outputs[0]))


@register_cost(krl.ThresholdedLinearUnit)
def thresholded_linear(layer, inputs, outputs):
    return Work(elementwise=size(outputs[0]))


@register_cost(krl.SelectiveKernelConv2D, inner=False)
def selective_kernel(layer, inputs, outputs):
    return Work(elementwise=7 * size(outputs[0]))


@register_cost(krl.PaddedMaxPooling2D)
def padded_max_pooling(layer, inputs, outputs):
    return Work(elementwise=layer.pool_size**2 * size(outputs[0]))


@register_cost(krl.AdaptiveMeanPooling2D)
def adaptive_mean_pooling(layer, inputs, outputs):
    return Work(elementwise=size(inputs[0]))


@register_cost(krl.BlurPool2D)
def blur_pool(layer, inputs, outputs):
    return Work(elementwise=2 * 9 * size(outputs[0]))


@register_cost(krl.CepstralMeanNormalization)
def cepstral_mean(layer, inputs, outputs):
    return Work(elementwise=2 * size(outputs[0]))


@register_cost(krl.StatisticsPooling)
def statistics_pooling(layer, inputs, outputs):
    return Work(elementwise=4 * size(inputs[0]))


@register_cost(krl.AttentiveStatisticsPooling, inner=False)
def attentive_statistics_pooling(layer, inputs, outputs):
    batch, frames, _ = inputs[0]
    context = 4 * size(inputs[0]) if layer.context else 0
    return Work(
        elementwise=context + 7 * size(inputs[0]) + batch * frames * layer.attention_channels
    )


@register_cost(krl.SqueezeExcite1D, inner=False)
def squeeze_excite(layer, inputs, outputs):
    return Work(elementwise=2 * size(inputs[0]))


@register_cost(krl.Res2Conv1D, krl.SERes2Block1D, inner=False)
def residual_sum(layer, inputs, outputs):
    return Work(elementwise=size(outputs[0]))
