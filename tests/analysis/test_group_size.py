import math

import keras
import pytest

from keras_resnets.analysis import (
    ConvSpec,
    DeviceProfile,
    arithmetic_intensity,
    choose_group_size,
    cost,
    group_size_objective,
    optimum_group_size,
    sweep_group_sizes,
)
from keras_resnets.analysis.work import divisors

# N at side: the optimum of spec table 8.3
OPTIMA = [(64, 112, 8.0), (128, 56, 11.3), (256, 28, 15.95), (512, 14, 22.4), (1024, 7, 30.6)]


def spec(channels, side, filters=None, stride=1):
    return ConvSpec(channels, filters or channels, (3, 3), side**2, (side * stride) ** 2)


@pytest.mark.parametrize(("channels", "side", "optimum"), OPTIMA)
def test_optimum(channels, side, optimum):
    layer = spec(channels, side)
    assert optimum_group_size(layer) == pytest.approx(optimum, rel=0.005)
    closed = math.sqrt(2 * channels / (2 + 9 / side**2))
    assert optimum_group_size(layer) == pytest.approx(closed, rel=1e-12)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("channels", "side", "optimum"), OPTIMA)
def test_optimum_is_the_minimum(channels, side, optimum, stride):
    layer = spec(channels, side, filters=2 * channels, stride=stride)
    best = group_size_objective(layer, optimum_group_size(layer))
    assert all(best <= group_size_objective(layer, g) for g in divisors(channels))
    nudged = 1.01 * optimum_group_size(layer)
    assert best < group_size_objective(layer, nudged)


def test_intensity_is_macs_over_words():
    layer = spec(64, 14, filters=128, stride=2)
    for g in divisors(64):
        grouped = layer.with_group_size(g)
        assert arithmetic_intensity(layer, g) == pytest.approx(grouped.macs / grouped.words)
    flat = spec(256, 1000)
    assert arithmetic_intensity(flat, 1) == pytest.approx(9 / 2, rel=1e-4)
    assert arithmetic_intensity(spec(4096, 7), 4096) < 49


def test_intensity_equals_that_of_the_built_layer():
    x = keras.Input((14, 14, 64))
    conv = keras.layers.Conv2D(64, 3, padding="same", groups=8, use_bias=False, name="c")
    row = cost(keras.Model(x, conv(x)))["c"]
    assert row.conv == ConvSpec(64, 64, (3, 3), 196, 196, 8)
    assert row.intensity == pytest.approx(arithmetic_intensity(row.conv, 8))


@pytest.mark.parametrize("channels", [96, 100, 128, 512, 7])
def test_balanced_gives_a_divisor(channels):
    layer = spec(channels, 14)
    chosen = choose_group_size(layer)
    assert chosen in divisors(channels)
    distance = abs(math.log2(chosen / optimum_group_size(layer)))
    assert all(
        distance <= abs(math.log2(d / optimum_group_size(layer))) for d in divisors(channels)
    )


def test_ridge():
    layer = spec(256, 28)
    chosen = choose_group_size(layer, "ridge", device="p100")
    ridge = 9.3e12 / 2 / (732e9 / 4)
    assert arithmetic_intensity(layer, chosen) >= ridge > arithmetic_intensity(layer, chosen // 2)
    a, b = 2 / 9, 1 / 784
    assert chosen // 2 < a / (1 / ridge - b) <= chosen
    hungry = DeviceProfile("hungry", 1e15, 1e11, 100.0)
    with pytest.raises(ValueError, match="reaches"):
        choose_group_size(layer, "ridge", device=hungry)


def test_energy_under_a_budget():
    layer = spec(256, 14)
    assert choose_group_size(layer, "energy") == 1
    macs = layer.with_group_size(16).macs
    assert choose_group_size(layer, "energy", budget={"macs": (macs, None)}) == 16
    scores = {1: 0.5, 4: 0.6, 16: 0.7}
    options = dict(candidates=scores, scores=scores, budget={"accuracy": (0.55, None)})
    assert choose_group_size(layer, "energy", **options) == 4
    with pytest.raises(ValueError, match="budget"):
        choose_group_size(layer, "energy", budget={"macs": (None, 1)})
    with pytest.raises(ValueError, match="budget"):
        choose_group_size(layer, "energy", budget={"watts": (None, 1)})


def test_latency():
    table = {1: 3e-3, 8: 2e-3, 32: 4e-3}
    layer = spec(64, 14)
    assert choose_group_size(layer, "latency", latency=table) == 8
    params = layer.with_group_size(16).params
    chosen = choose_group_size(layer, "latency", latency=table, budget={"params": (params, None)})
    assert chosen == 32
    with pytest.raises(ValueError, match="latency"):
        choose_group_size(layer, "latency")


def grouped_network(group_size):
    x = inputs = keras.Input((28, 28, 64))
    for i, channels in enumerate((64, 128, 256), start=1):
        x = keras.layers.Conv2D(channels, 1)(x)
        conv = keras.layers.Conv2D(
            channels, 3, padding="same", groups=channels // group_size, name=f"grouped{i}"
        )
        x = keras.layers.MaxPooling2D()(conv(x))
    return keras.Model(inputs, x)


def test_model_gets_one_power_of_two():
    model = grouped_network(4)
    report = cost(model)
    rows = [report[f"grouped{i}"] for i in (1, 2, 3)]
    mean = sum(r.macs * math.log2(optimum_group_size(r.conv)) for r in rows)
    expected = 2 ** round(mean / sum(r.macs for r in rows))
    assert choose_group_size(model) == expected == 8
    only = choose_group_size(model, layers=lambda row: row.name == "grouped3")
    assert only == 16


def test_model_without_convolutions():
    x = keras.Input((3,))
    with pytest.raises(ValueError, match="no convolution"):
        choose_group_size(keras.Model(x, keras.layers.Dense(2)(x)))


def test_bad_input():
    with pytest.raises(ValueError, match="objective"):
        choose_group_size(spec(64, 7), "fastest")
    with pytest.raises(ValueError, match=r"divisors are \[1, 2, 4"):
        choose_group_size(spec(64, 7), candidates=[3])
    with pytest.raises(ValueError, match="groups"):
        ConvSpec(64, 64, (3, 3), 49, groups=5)
    with pytest.raises(ValueError, match="in_channels"):
        ConvSpec(0, 64, (3, 3), 49)


def test_sweep():
    table = sweep_group_sizes(grouped_network, [1, 4, 16], batch_size=2)
    assert table.column("group size") == [1, 4, 16]
    for name in ("params", "MACs", "grouped MACs/word", "energy J (estimate)"):
        values = table.column(name)
        assert values == sorted(values)
        assert len(set(values)) == 3
    assert table.rows[1]["grouped MACs"] == 4 * table.rows[0]["grouped MACs"]


def test_measured_sweep_says_what_is_estimated():
    table = sweep_group_sizes(
        grouped_network, [1], measured=True, meter="estimate", min_seconds=0.01
    )
    row = table.rows[0]
    assert row["latency ms"] > 0
    assert row["is_estimate"] is True
    assert row["meter"] == "estimate"
