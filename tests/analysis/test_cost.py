import time

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_resnets as kr
from keras_resnets.analysis import Work, cost, register_cost


def test_ecapa_by_its_formula():
    model, frames = kr.ecapa_tdnn(512), 200
    c, w = 512, 64
    expected = 80 * 5 * c * frames
    expected += 3 * (2 * c * c * frames + 7 * 3 * w * w * frames + 2 * c * 128)
    expected += 3 * c * 1536 * frames
    expected += 1536 * 128 * frames + 3072 * 128 + 128 * 1536 * frames + 3072 * 192
    report = cost(model, (frames, 80))
    assert report.macs == expected == 959_021_056
    assert report.params == model.count_params()
    assert report.trainable_params == 6_191_104
    assert not report.unsupported


def test_front_end_counts_its_filterbank():
    report = cost(kr.ecapa_tdnn(64, frontend="kaldi_fbank"), (32000,))
    assert report["kaldi_fbank"].macs == 198 * 257 * 80
    assert not report.unsupported


def test_keras_resnet50_quickly():
    model = keras.applications.ResNet50(weights=None)
    start = time.process_time()
    report = cost(model)
    assert time.process_time() - start < 2
    assert report.macs == 3_857_973_248
    assert (report.params, report.trainable_params) == (25_636_712, 25_583_592)
    assert not report.unsupported


def test_keras_mobilenet():
    report = cost(keras.applications.MobileNet(weights=None))
    assert (report.macs, report.trainable_params) == (568_740_352, 4_231_976)


def run(layer, *shapes, **options):
    """Report of one layer on its own."""
    inputs = [keras.Input(shape) for shape in shapes]
    outputs = layer(inputs[0] if len(inputs) == 1 else inputs)
    return cost(keras.Model(inputs, outputs), **options)


CASES = {
    "conv1d": (layers.Conv1D(6, 3, dilation_rate=2), [(20, 4)], 16 * 3 * 4 * 6),
    "conv2d": (layers.Conv2D(6, (3, 5), 2, "same", groups=2), [(9, 9, 4)], 25 * 15 * 2 * 6),
    "conv3d": (layers.Conv3D(2, 2), [(4, 4, 4, 3)], 27 * 8 * 3 * 2),
    "depthwise": (layers.DepthwiseConv2D(3, depth_multiplier=2), [(5, 5, 4)], 9 * 9 * 8),
    "depthwise1d": (layers.DepthwiseConv1D(3), [(5, 4)], 3 * 3 * 4),
    "separable": (layers.SeparableConv2D(7, 3), [(5, 5, 4)], 9 * (4 * 9 + 4 * 7)),
    "transposed": (layers.Conv2DTranspose(5, 3, 2), [(4, 4, 3)], 16 * 9 * 3 * 5),
    "dense": (layers.Dense(5), [(7, 3)], 7 * 3 * 5),
    "einsum": (layers.EinsumDense("btd,dhk->bthk", (7, 2, 4)), [(7, 3)], 7 * 3 * 2 * 4),
    "dot": (layers.Dot(axes=2), [(5, 3), (6, 3)], 5 * 6 * 3),
    "attention": (layers.Attention(), [(5, 4), (6, 4)], 5 * 6 * 8),
    "lstm": (layers.LSTM(5), [(7, 3)], 7 * 4 * 5 * (3 + 5)),
    "gru": (layers.GRU(5, return_sequences=True), [(7, 3)], 7 * 3 * 5 * (3 + 5)),
    "rnn": (layers.SimpleRNN(5), [(7, 3)], 7 * 5 * (3 + 5)),
    "stacked": (
        layers.RNN([layers.LSTMCell(5), layers.GRUCell(2)]),
        [(7, 3)],
        7 * (4 * 5 * 8 + 3 * 2 * 7),
    ),
    "bidirectional": (layers.Bidirectional(layers.LSTM(5)), [(7, 3)], 2 * 7 * 4 * 5 * 8),
    "conv_lstm": (
        layers.ConvLSTM2D(4, 3, padding="same"),
        [(5, 6, 6, 2)],
        5 * 36 * 4 * 4 * 9 * (2 + 4),
    ),
    "time_distributed": (layers.TimeDistributed(layers.Dense(4)), [(7, 3)], 7 * 3 * 4),
    "time_distributed_model": (
        layers.TimeDistributed(keras.Sequential([keras.Input((3,)), layers.Dense(4)])),
        [(7, 3)],
        7 * 3 * 4,
    ),
    "spectral": (layers.SpectralNormalization(layers.Dense(4)), [(3,)], 3 * 4),
    "embedding": (layers.Embedding(100, 4), [(7,)], 0),
    "batch_norm": (layers.BatchNormalization(), [(5, 5, 4)], 0),
    "group_norm": (layers.GroupNormalization(2), [(5, 5, 4)], 0),
    "layer_norm": (layers.LayerNormalization(), [(5, 4)], 0),
    "prelu": (layers.PReLU(), [(5,)], 0),
    "evonorm": (kr.layers.EvoNormS0(groups=2), [(5, 5, 4)], 0),
    "masked_conv": (kr.layers.MaskedConv2D(4, 3, 2), [(5, 8, 2)], 3 * 4 * 9 * 2 * 4),
    "res2": (kr.layers.Res2Conv1D(scale=4), [(10, 8)], 3 * 10 * 3 * 2 * 2),
    "se": (kr.layers.SqueezeExcite1D(3), [(10, 8)], 2 * 8 * 3),
    "asp": (
        kr.layers.AttentiveStatisticsPooling(3),
        [(10, 8)],
        10 * 8 * 3 + 16 * 3 + 10 * 3 * 8,
    ),
    "margin": (kr.layers.AdditiveAngularMargin(7, subcenters=2), [(5,)], 5 * 14),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_layer(case):
    layer, shapes, macs = CASES[case]
    report = run(layer, *shapes)
    assert report.macs == macs
    assert report.params == layer.count_params()
    assert not report.unsupported


def test_multi_head_attention():
    x, y = keras.Input((5, 8)), keras.Input((6, 4))
    layer = layers.MultiHeadAttention(2, 3, value_dim=7)
    report = cost(keras.Model([x, y], layer(x, y)))
    project = 5 * 8 * 6 + 6 * 4 * 6 + 6 * 4 * 14
    assert report.macs == project + 2 * 5 * 6 * (3 + 7) + 5 * 14 * 8
    assert report.params == layer.count_params()
    x = keras.Input((5, 8))
    layer = layers.GroupQueryAttention(3, 4, 2)
    report = cost(keras.Model(x, layer(x, x)))
    assert report.macs == 5 * 8 * 12 + 2 * 5 * 8 * 6 + 4 * 25 * 6 + 5 * 12 * 8


def test_operations_of_a_functional_graph():
    x, y = keras.Input((5, 3)), keras.Input((3, 4))
    report = cost(keras.Model([x, y], ops.relu(ops.matmul(x, y)) + 1))
    assert report.macs == 5 * 3 * 4
    x = keras.Input((5, 3))
    assert cost(keras.Model(x, ops.einsum("btd,bsd->bts", x, x))).macs == 5 * 5 * 3


def test_shared_layer_counts_weights_once_and_work_twice():
    dense = layers.Dense(4, name="dense")
    a, b = keras.Input((3,)), keras.Input((3,))
    report = cost(keras.Model([a, b], dense(a) + dense(b)))
    assert report["dense"].calls == 2
    assert report.macs == 2 * 12
    assert report.params == 16
    assert report["dense"].weight_words == 2 * 16


class Block(keras.Model):
    def __init__(self):
        super().__init__(name="subclassed")
        self.fc1 = layers.Dense(4, name="fc1")
        self.inner = keras.Sequential([layers.Dense(5, name="fc"), layers.ReLU()], name="inner")

    def call(self, x):
        return self.inner(self.fc1(x)) + 1


@pytest.mark.parametrize("built", [False, True])
def test_subclassed_model(built):
    model = Block()
    if built:
        model(np.zeros((2, 3), "float32"))
    report = cost(model, input_shape=(3,))
    assert [row.name for row in report.rows if row.macs] == ["fc1", "inner/fc"]
    assert report.macs == 3 * 4 + 4 * 5
    assert report.params == model.count_params() == 16 + 25
    assert model(np.zeros((2, 3), "float32")).shape == (2, 5)


def test_nested_functional_models_have_paths():
    x = keras.Input((8,))
    inner = keras.Model(x, layers.Dense(4, name="fc")(x), name="inner")
    x = keras.Input((8,))
    model = keras.Model(x, layers.Dense(2, name="fc")(inner(x)))
    assert cost(model)["inner/fc"].macs == 32
    assert cost(model)["fc"].macs == 8


class Mystery(layers.Layer):
    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 2))
        self.inner = layers.Dense(3, name="inner")
        self.inner.build((None, 2))

    def call(self, x):
        return self.inner(ops.matmul(x, self.kernel))


def test_unsupported_layer_is_reported():
    report = run(Mystery(name="mystery"), (4,))
    assert report.unsupported == ["mystery"]
    assert report["mystery/inner"].macs == 6
    assert report["mystery"].params == 8
    assert report.params == 17
    assert "mystery" in report.summary().splitlines()[-1]


def test_layer_that_goes_round_its_inner_layers_is_reported():
    class Sly(layers.Layer):
        def build(self, shape):
            self.inner = layers.Dense(3)
            self.inner.build(shape)

        def call(self, x):
            return self.inner.call(x)

    assert run(Sly(name="sly"), (4,)).unsupported == ["sly"]


def test_registered_rule_serves_subclasses():
    class Known(Mystery):
        pass

    class Child(Known):
        pass

    @register_cost(Known, inner=False)
    def known(layer, inputs, outputs):
        return Work(macs=inputs[0][0] * layer.kernel.shape[0] * layer.kernel.shape[1])

    report = run(Child(name="child"), (4,), batch_size=3)
    assert not report.unsupported
    assert report.macs == 3 * (8 + 6)
    with pytest.raises(TypeError, match="kinds"):
        register_cost(3)


def test_weights_that_are_never_used_still_show():
    class Spare(keras.Model):
        def __init__(self):
            super().__init__()
            self.used, self.spare = layers.Dense(2, name="used"), layers.Dense(7, name="spare")
            self.spare.build((None, 3))

        def call(self, x):
            return self.used(x)

    report = cost(Spare(), (3,))
    assert report["spare"].calls == 0
    assert report.params == 8 + 28


def test_words_bytes_and_batch():
    row = run(layers.Conv2D(8, 3, padding="same", name="c"), (6, 6, 4), batch_size=2)["c"]
    assert row.words_in == 2 * 36 * 4
    assert row.words_out == 2 * 36 * 8
    assert row.weight_words == 9 * 4 * 8 + 8
    assert row.traffic_bytes == 4 * row.words
    assert row.macs == 2 * 36 * 9 * 4 * 8
    assert row.intensity == row.macs / row.words
    assert row.elementwise == 2 * 36 * 8
    assert row.output_shape == (2, 6, 6, 8)


def test_mixed_precision_moves_half():
    layer = layers.Dense(8, use_bias=False, dtype="mixed_bfloat16", name="fc")
    row = run(layer, (16,), batch_size=4)["fc"]
    assert row.traffic_bytes == 2 * 4 * (16 + 8) + 4 * 128


def test_embedding_reads_its_rows_only():
    row = run(layers.Embedding(1000, 4, name="e"), (7,))["e"]
    assert row.weight_words == 28


def test_counting_conventions():
    x = keras.Input((3,))
    model = keras.Model(x, layers.Dense(4, activation="relu")(x))
    assert cost(model).operations() == 12
    assert cost(model, count="flops").operations() == 24
    assert cost(model, count="flops", include_elementwise=True).operations() == 24 + 8
    assert cost(model).flops == 32


def test_channels_first():
    layer = layers.Conv2D(6, 3, groups=2, data_format="channels_first")
    x = keras.Input((4, 7, 9))
    model = keras.Model(x, layers.BatchNormalization(axis=1)(layer(x)))
    assert cost(model).macs == 5 * 7 * 9 * 2 * 6


@pytest.mark.parametrize("structure", [list, dict])
def test_several_inputs(structure):
    a, b = keras.Input((None, 3), name="a"), keras.Input((2,), dtype="int32", name="b")
    y = [layers.Dense(4)(a), layers.Embedding(5, 3)(b)]
    inputs = [a, b] if structure is list else {"a": a, "b": b}
    shapes = [(6, 3), (2,)] if structure is list else {"b": (2,), "a": (6, 3)}
    assert cost(keras.Model(inputs, y), shapes).macs == 6 * 12


def test_the_hook_is_gone_afterwards_also_after_an_error():
    original = keras.Operation.__call__
    cost(Block(), (3,))

    class Broken(layers.Layer):
        def call(self, x):
            raise RuntimeError("broken")

    model = Block()
    model.inner = Broken()
    with pytest.raises(RuntimeError, match="broken"):
        cost(model, (3,))
    assert keras.Operation.__call__ is original


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "input_shape"),
        ({"input_shape": (None, 3)}, "input_shape"),
        ({"input_shape": (0, 3)}, "input_shape"),
        ({"input_shape": (5, 3), "batch_size": 0}, "batch_size"),
        ({"input_shape": (5, 3), "count": "flop"}, "count"),
        ({"input_shape": (5, 3), "device": "abacus"}, "device"),
    ],
)
def test_bad_input(options, message):
    x = keras.Input((None, 3))
    with pytest.raises(ValueError, match=message):
        cost(keras.Model(x, layers.Dense(4)(x)), **options)


def test_every_layer_of_the_package_that_holds_weights_has_a_rule():
    import inspect

    from keras_resnets.analysis.cost_rules import find_rule

    for name in kr.layers.__all__:
        kind = getattr(kr.layers, name)
        if inspect.isclass(kind) and any(
            "add_weight" in inspect.getsource(base)
            for base in kind.__mro__
            if base.__module__.startswith("keras_resnets")
        ):
            assert find_rule(kind.__new__(kind)) is not None, name
