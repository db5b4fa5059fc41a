import json

import keras
import pytest

from keras_resnets.analysis import DeviceProfile, cost
from keras_resnets.analysis.table import Table


@pytest.fixture(scope="module")
def report():
    x = keras.Input((16, 16, 3))
    y = keras.layers.Conv2D(8, 3, padding="same", name="conv")(x)
    y = keras.layers.BatchNormalization(name="bn")(y)
    y = keras.layers.GlobalAveragePooling2D(name="pool")(y)
    return cost(keras.Model(x, keras.layers.Dense(4, name="fc")(y), name="net"))


def test_totals_are_sums(report):
    for name in ("params", "macs", "elementwise", "flops", "words", "traffic_bytes"):
        assert getattr(report, name) == sum(getattr(row, name) for row in report.rows)
    assert report.intensity == report.macs / report.words


def test_energy_is_additive_and_monotone(report):
    assert report.energy() == pytest.approx(sum(map(report.energy, report.rows)))
    assert report.energy() > 0
    device = DeviceProfile("toy", 1e9, 1e9, 10.0)
    assert device.joules(2, 10) > device.joules(1, 10) > device.joules(0, 10)
    assert device.joules(2, 11) > device.joules(2, 10)
    expected = 4.6e-12 * 5 + 160e-12 * 8 + 3.0 * 10e-9
    assert device.joules(5, 8) == pytest.approx(expected)
    assert device.seconds(5, 8) == pytest.approx(10e-9)


def test_bound(report):
    slow_memory = DeviceProfile("slow memory", 1e15, 1.0, 1.0)
    slow_arithmetic = DeviceProfile("slow arithmetic", 1.0, 1e15, 1.0)
    report.device = slow_memory
    assert report.bound(report["conv"]) == "memory"
    report.device = slow_arithmetic
    assert report.bound(report["conv"]) == "compute"
    assert report.bound(report["bn"]) == "memory"


def test_tables(report, tmp_path):
    assert report.summary().startswith("net, batch of 1")
    lines = report.to_markdown().splitlines()
    assert lines[0].startswith("| layer | type |")
    assert len(lines) == 2 + len(report.rows) + 1
    rows = json.loads(report.to_json(tmp_path / "cost.json"))
    assert json.loads((tmp_path / "cost.json").read_text()) == rows
    assert rows[-1]["layer"] == "total"
    assert rows[-1]["MACs"] == report.macs == 16 * 16 * 9 * 3 * 8 + 32


def test_data_frame(report):
    pandas = pytest.importorskip("pandas")
    frame = report.to_dataframe()
    assert isinstance(frame, pandas.DataFrame)
    assert frame["MACs"].sum() == report.macs


def test_data_frame_without_pandas(report, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        report.to_dataframe()


def test_plot(report, tmp_path):
    figure = report.plot(tmp_path / "cost.png")
    assert (tmp_path / "cost.png").stat().st_size > 1000
    roof, bars = figure.axes
    assert len(roof.collections[0].get_offsets()) == 2  # the convolution and the dense layer
    assert len(bars.patches) == len(report.rows)


def test_table_aligns_text_left_and_numbers_right():
    table = Table([{"name": "a", "n": 1234}, {"name": "bcd", "n": None}])
    assert str(table).splitlines() == ["name      n", "a     1,234", "bcd       -"]
    assert table.column("n") == [1234, None]
