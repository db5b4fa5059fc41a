"""Meters of electric energy: NVML, RAPL, zeus, codecarbon, and an estimate where there is none."""

import threading
import time
import warnings
from pathlib import Path

from keras_resnets.analysis.energy import host_power

POWERCAP = Path("/sys/class/powercap")


class MeterUnavailable(RuntimeError):
    """This machine, or this process, has no such meter."""


class Meter:
    """Energy of a stretch of time. `start()`, then `stop()` gives joules.

    Attributes:
        name: What measures.
        is_estimate: Whether it only guesses.
    """

    name = "meter"
    is_estimate = False

    def read(self):
        """Joules since some fixed moment."""
        raise NotImplementedError

    def start(self):
        self._begin = self.read()

    def stop(self):
        return self.read() - self._begin

    def close(self):
        """Ends what runs in the background."""


class _Ticker(threading.Thread):
    """Calls `tick` every `interval` seconds until closed."""

    def __init__(self, tick, interval):
        super().__init__(daemon=True)
        self.tick, self.interval, self.done = tick, interval, threading.Event()
        self.start()

    def run(self):
        while not self.done.wait(self.interval):
            self.tick()

    def close(self):
        self.done.set()
        self.join()


class RAPLMeter(Meter):
    """Processor packages and memory by Linux' powercap counters (Intel, AMD).

    `package` domains hold their cores, so these are not added; `dram` is separate. A counter that
    wraps around is followed: it is read at least every `interval` seconds.

    Args:
        root: Folder of the counters.
        interval: Seconds between readings; None to read only when asked.

    Raises:
        MeterUnavailable: There are no counters.
        PermissionError: They may not be read.
    """

    name = "rapl"

    def __init__(self, root=POWERCAP, interval=30.0):
        self.domains = {}  # counter file -> its range in microjoules
        folders = [*Path(root).glob("intel-rapl:*"), *Path(root).glob("intel-rapl:*/intel-rapl:*")]
        for folder in {folder.name: folder for folder in folders}.values():
            kind = (folder / "name").read_text().strip()
            if kind.startswith("package") or kind == "dram":
                span = int((folder / "max_energy_range_uj").read_text())
                self.domains[folder / "energy_uj"] = span
        if not self.domains:
            raise MeterUnavailable(f"No RAPL counters under {root}.")
        self._lock = threading.Lock()
        self._last = {counter: self._microjoules(counter) for counter in self.domains}
        self._total = 0
        self._ticker = _Ticker(self.read, interval) if interval else None

    @staticmethod
    def _microjoules(counter):
        try:
            return int(counter.read_text())
        except PermissionError as error:
            raise PermissionError(
                f"{counter} may be read by root only (since CVE-2020-8694). To allow it: "
                "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj "
                "/sys/class/powercap/intel-rapl:*:*/energy_uj"
            ) from error

    def read(self):
        with self._lock:
            for counter, span in self.domains.items():
                now = self._microjoules(counter)
                step = now - self._last[counter]
                self._total += step if step >= 0 else step + span
                self._last[counter] = now
            return self._total * 1e-6

    def close(self):
        if self._ticker:
            self._ticker.close()


class NVMLMeter(Meter):
    """All NVIDIA GPUs: their energy counters (Volta and later), else sampled power (Pascal).

    Args:
        interval: Seconds between samples of the power.

    Raises:
        MeterUnavailable: No `pynvml`, no driver, or no GPU.
    """

    name = "nvml"

    def __init__(self, interval=0.05):
        try:
            import pynvml
        except ImportError as error:
            raise MeterUnavailable("NVML needs pynvml: pip install nvidia-ml-py") from error
        self._nvml = pynvml
        try:
            pynvml.nvmlInit()
            count = pynvml.nvmlDeviceGetCount()
            self._devices = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(count)]
        except pynvml.NVMLError as error:
            raise MeterUnavailable(f"NVML finds no GPU: {error}") from error
        if not self._devices:
            raise MeterUnavailable("NVML finds no GPU.")
        self._ticker = None
        try:
            self.read()
        except pynvml.NVMLError:
            self.name = "nvml (sampled power)"
            self._lock, self._joules, self._then = threading.Lock(), 0.0, time.perf_counter()
            self._watts = self._power()
            self._ticker = _Ticker(self._sample, interval)

    def _power(self):
        return sum(self._nvml.nvmlDeviceGetPowerUsage(device) for device in self._devices) / 1e3

    def _sample(self):
        with self._lock:
            now, watts = time.perf_counter(), self._power()
            self._joules += (now - self._then) * (watts + self._watts) / 2
            self._then, self._watts = now, watts
            return self._joules

    def read(self):
        if self._ticker is not None:
            return self._sample()
        counter = self._nvml.nvmlDeviceGetTotalEnergyConsumption
        return sum(counter(device) for device in self._devices) / 1e3

    def close(self):
        if self._ticker is not None:
            self._ticker.close()


class SumMeter(Meter):
    """Several meters as one, of different parts of the machine.

    Args:
        meters: The meters.
    """

    def __init__(self, meters):
        self.meters = meters
        self.name = "+".join(meter.name for meter in meters)
        self.is_estimate = any(meter.is_estimate for meter in meters)

    def read(self):
        return sum(meter.read() for meter in self.meters)

    def close(self):
        for meter in self.meters:
            meter.close()


class ZeusMeter(Meter):
    """GPUs, processors and memory through the `zeus` library.

    Raises:
        MeterUnavailable: The library is missing, or sees no device.
    """

    name = "zeus"

    def __init__(self):
        try:
            from zeus.monitor import ZeusMonitor
        except ImportError as error:
            raise MeterUnavailable("zeus is missing: pip install zeus") from error
        try:
            self._monitor = ZeusMonitor()
        except Exception as error:  # its own errors differ from device to device
            raise MeterUnavailable(f"zeus finds no meter: {error}") from error
        if not (self._monitor.gpu_indices or self._monitor.cpu_indices):
            raise MeterUnavailable("zeus sees neither a GPU nor a processor's counters.")

    def start(self):
        self._monitor.begin_window("keras_resnets", sync_execution=False)

    def stop(self):
        window = self._monitor.end_window("keras_resnets", sync_execution=False)
        parts = (window.gpu_energy, window.cpu_energy, window.dram_energy)
        return float(sum(sum(part.values()) for part in parts if part))


class CodeCarbonMeter(Meter):
    """The machine through the `codecarbon` library.

    Counted as an estimate: the library models the memory's power always, and the processor's from
    its rated power where it finds no counter. Nothing is sent anywhere and no file is written.

    Raises:
        MeterUnavailable: The library is missing.
    """

    name = "codecarbon"
    is_estimate = True

    def __init__(self):
        try:
            from codecarbon import OfflineEmissionsTracker
        except ImportError as error:
            raise MeterUnavailable("codecarbon is missing: pip install codecarbon") from error
        self._tracker = OfflineEmissionsTracker

    def start(self):
        self._running = self._tracker(
            country_iso_code="USA",  # of the carbon intensity, which is not used
            save_to_file=False,
            log_level="error",
            measure_power_secs=1,
            allow_multiple_runs=True,
        )
        self._running.start()

    def stop(self):
        self._running.stop()
        return self._running.final_emissions_data.energy_consumed * 3.6e6


class EstimateMeter(Meter):
    """No meter: time at a constant power.

    Args:
        watts: The power. Default: the machine's cores at 10 W each.
    """

    name = "estimate"
    is_estimate = True

    def __init__(self, watts=None):
        self.watts = host_power() if watts is None else watts

    def read(self):
        return self.watts * time.perf_counter()


METERS = {
    "nvml": NVMLMeter,
    "rapl": RAPLMeter,
    "zeus": ZeusMeter,
    "codecarbon": CodeCarbonMeter,
    "estimate": EstimateMeter,
}


def find_meter(meter="auto"):
    """The meter to use.

    Args:
        meter: `"nvml"`, `"rapl"`, `"zeus"`, `"codecarbon"`, `"estimate"`, a `Meter`, or `"auto"`:
            the GPUs' and the processor's own counters, else zeus, else codecarbon, else the
            estimate.

    Returns:
        A `Meter`; its `is_estimate` says whether it measures.

    Raises:
        ValueError: Unknown name.
        MeterUnavailable: The named meter is not there.

    Example:

    >>> find_meter("estimate").is_estimate
    True
    """
    if isinstance(meter, Meter):
        return meter
    if meter in METERS:
        return METERS[meter]()
    if meter != "auto":
        raise ValueError(f'`meter` must be "auto" or one of {[*METERS]}. Received: {meter!r}')
    counters = [found for kind in (NVMLMeter, RAPLMeter) if (found := _try(kind))]
    if counters:
        return counters[0] if len(counters) == 1 else SumMeter(counters)
    return _try(ZeusMeter) or _try(CodeCarbonMeter) or EstimateMeter()


def _try(kind):
    try:
        return kind()
    except MeterUnavailable:
        return None
    except PermissionError as error:
        warnings.warn(str(error), stacklevel=3)
        return None
