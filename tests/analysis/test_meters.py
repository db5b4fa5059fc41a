import sys
import time
import types
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_resnets.analysis import cost, find_meter, measure, meters
from keras_resnets.analysis.meters import Meter, MeterUnavailable, RAPLMeter, SumMeter

RANGE = 1_000_000


@pytest.fixture
def powercap(tmp_path):
    """A fake /sys/class/powercap of two sockets, in the kernel's layout."""
    tree = {
        "intel-rapl:0": "package-0",
        "intel-rapl:0/intel-rapl:0:0": "core",
        "intel-rapl:0/intel-rapl:0:1": "dram",
        "intel-rapl:1": "package-1",
        "intel-rapl-mmio:0": "package-0",
        "intel-rapl:2": "psys",
    }
    for folder, name in tree.items():
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "name").write_text(name + "\n")
        (tmp_path / folder / "max_energy_range_uj").write_text(f"{RANGE}\n")
        (tmp_path / folder / "energy_uj").write_text("1000\n")
    # As the kernel does, the subdomains are linked from the top too.
    (tmp_path / "intel-rapl:0:1").symlink_to(tmp_path / "intel-rapl:0" / "intel-rapl:0:1")
    return tmp_path


def tick(root, **counters):
    for name, value in counters.items():
        folder = {"package0": "intel-rapl:0", "package1": "intel-rapl:1"}.get(name)
        folder = (
            folder
            or {
                "dram": "intel-rapl:0/intel-rapl:0:1",
                "core": "intel-rapl:0/intel-rapl:0:0",
                "psys": "intel-rapl:2",
            }[name]
        )
        (root / "next").write_text(f"{value}\n")
        (root / "next").replace(root / folder / "energy_uj")  # at once, as a counter changes


def test_rapl_sums_packages_and_memory(powercap):
    meter = RAPLMeter(powercap, interval=None)
    meter.start()
    tick(powercap, package0=501_000, package1=201_000, dram=101_000, core=400_000, psys=900_000)
    assert meter.stop() == pytest.approx(0.5 + 0.2 + 0.1)
    assert not meter.is_estimate


def test_rapl_wraps_around(powercap):
    meter = RAPLMeter(powercap, interval=None)
    tick(powercap, package0=900_000)
    meter.start()
    tick(powercap, package0=100_000)
    assert meter.stop() == pytest.approx(0.2)


def test_rapl_follows_several_turns_by_reading_in_between(powercap):
    meter = RAPLMeter(powercap, interval=0.01)
    meter.start()
    for value in (600_000, 200_000, 800_000, 400_000):
        tick(powercap, package0=value)
        time.sleep(0.1)
    joules = meter.stop()
    meter.close()
    assert joules == pytest.approx(0.599 + 0.6 + 0.6 + 0.6)


def test_rapl_without_counters(tmp_path):
    with pytest.raises(MeterUnavailable, match="No RAPL counters"):
        RAPLMeter(tmp_path)


@pytest.fixture
def forbidden(powercap, monkeypatch):
    read = Path.read_text

    def refuse(path, *args, **kwargs):
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return read(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", refuse)
    return powercap


def test_rapl_says_how_to_get_permission(forbidden):
    with pytest.raises(PermissionError, match="sudo chmod"):
        RAPLMeter(forbidden)


def test_auto_warns_and_estimates_without_permission(forbidden, monkeypatch):
    for name in ("pynvml", "zeus", "zeus.monitor", "codecarbon"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(RAPLMeter.__init__, "__defaults__", (forbidden, 30.0))
    with pytest.warns(UserWarning, match="sudo chmod"):
        meter = find_meter("auto")
    assert meter.is_estimate


class FakeNVML(types.ModuleType):
    """Two GPUs of 100 W, with or without energy counters."""

    class NVMLError(Exception):
        pass

    def __init__(self, counters, gpus=2):
        super().__init__("pynvml")
        self.counters, self.gpus = counters, gpus

    def nvmlInit(self):
        pass

    def nvmlDeviceGetCount(self):
        return self.gpus

    def nvmlDeviceGetHandleByIndex(self, i):
        return i

    def nvmlDeviceGetTotalEnergyConsumption(self, i):
        if not self.counters:
            raise self.NVMLError("Not Supported")
        return 1e3 * 100 * time.perf_counter()

    def nvmlDeviceGetPowerUsage(self, i):
        return 100_000


@pytest.mark.parametrize("counters", [True, False])
def test_nvml_counts_or_integrates(monkeypatch, counters):
    monkeypatch.setitem(sys.modules, "pynvml", FakeNVML(counters))
    meter = find_meter("nvml")
    begin = time.perf_counter()
    meter.start()
    time.sleep(0.3)
    joules = meter.stop()
    meter.close()
    assert joules == pytest.approx(200 * (time.perf_counter() - begin), rel=0.1)
    assert meter.name == ("nvml" if counters else "nvml (sampled power)")
    assert not meter.is_estimate


def test_auto_adds_processor_and_gpus(monkeypatch, powercap):
    monkeypatch.setitem(sys.modules, "pynvml", FakeNVML(True))
    monkeypatch.setattr(RAPLMeter.__init__, "__defaults__", (powercap, None))
    meter = find_meter("auto")
    assert isinstance(meter, SumMeter)
    assert meter.name == "nvml+rapl"
    assert not meter.is_estimate


def test_no_gpu(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", FakeNVML(True, gpus=0))
    with pytest.raises(MeterUnavailable, match="no GPU"):
        find_meter("nvml")
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(MeterUnavailable, match="nvidia-ml-py"):
        find_meter("nvml")


def test_zeus_adds_its_parts(monkeypatch):
    class ZeusMonitor:
        gpu_indices, cpu_indices = [0], [0]

        def begin_window(self, key, sync_execution):
            self.key = key

        def end_window(self, key, sync_execution):
            assert key == self.key
            return types.SimpleNamespace(gpu_energy={0: 3.0}, cpu_energy={0: 2.0}, dram_energy=None)

    module = types.ModuleType("zeus.monitor")
    module.ZeusMonitor = ZeusMonitor
    monkeypatch.setitem(sys.modules, "zeus", types.ModuleType("zeus"))
    monkeypatch.setitem(sys.modules, "zeus.monitor", module)
    meter = find_meter("zeus")
    meter.start()
    assert meter.stop() == 5.0
    ZeusMonitor.gpu_indices = ZeusMonitor.cpu_indices = []
    with pytest.raises(MeterUnavailable, match="sees neither"):
        find_meter("zeus")


def test_codecarbon_is_called_an_estimate():
    pytest.importorskip("codecarbon")
    meter = find_meter("codecarbon")
    meter.start()
    time.sleep(1)
    assert meter.stop() > 0
    assert meter.is_estimate


class Steady(Meter):
    """A meter that knows its watts."""

    name = "steady"

    def __init__(self, idle=10.0, busy=40.0):
        self.idle, self.busy, self.calls = idle, busy, 0

    def start(self):
        self.calls += 1
        self.begin = time.perf_counter()

    def stop(self):
        watts = self.idle if self.calls == 1 else self.busy
        return watts * (time.perf_counter() - self.begin)


def test_idle_power_is_taken_off():
    run = measure(np.sum, np.ones((8, 100)), meter=Steady(), min_seconds=0.1)
    assert run.idle_power == pytest.approx(10, rel=0.1)
    assert run.power == pytest.approx(30, rel=0.3)
    assert not run.is_estimate
    assert "measured: steady" in str(run)


def test_measure_runs_long_enough():
    run = measure(np.sum, np.ones((8, 100)), meter="estimate", min_seconds=0.2)
    assert run.runs * run.latency["mean"] > 0.1
    assert run.throughput == pytest.approx(8 / run.latency["mean"])
    assert run.energy_per_sample == pytest.approx(run.energy / run.runs / 8)
    assert run.latency["min"] <= run.latency["p50"] <= run.latency["p90"] <= run.latency["p99"]


@pytest.fixture
def model():
    x = keras.Input((16,))
    return keras.Model(x, keras.layers.Dense(4)(x))


def test_estimate_is_marked(model):
    run = measure(model, np.ones((2, 16), "float32"), meter="estimate", min_seconds=0.01)
    assert run.is_estimate
    assert "estimated: estimate" in str(run)
    assert run.power == pytest.approx(meters.host_power(), rel=0.2)


def test_estimate_by_the_energy_model(model):
    data = np.ones((2, 16), "float32")
    run = measure(model, data, meter="estimate", min_seconds=0.01, device="p100")
    assert (run.backend, run.is_estimate) == ("energy model", True)
    expected = cost(model, (16,), 2, "p100").energy()
    assert run.energy == pytest.approx(run.runs * expected)


def test_bad_input(model):
    with pytest.raises(ValueError, match="meter"):
        find_meter("voltmeter")
    with pytest.raises(ValueError, match="repeats"):
        measure(model, np.ones((2, 16)), repeats=0)
