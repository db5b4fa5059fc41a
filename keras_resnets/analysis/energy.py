"""An energy model of a device: what a multiply-accumulate, a byte and a second cost.

`E = mac_energy * MACs + byte_energy * bytes + static_power * t`, with
`t = max(2 MACs / peak_flops, bytes / bandwidth) / efficiency`. An estimate, never a measurement.
"""

import os
import time
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

# 45 nm, 32 bit: multiply 3.7 pJ and add 0.9 pJ; DRAM 640 pJ a word (Horowitz, ISSCC 2014).
MAC_ENERGY = 4.6e-12
BYTE_ENERGY = 160e-12
# Of the rated power, what flows whatever is computed; an assumption, no data sheet gives it.
STATIC_SHARE = 0.3


@dataclass(frozen=True)
class DeviceProfile:
    """A device as the energy model sees it.

    Attributes:
        name: Its name.
        peak_flops: Peak floating-point operations a second (two a multiply-accumulate).
        bandwidth: Memory bandwidth in bytes a second.
        power: Rated power in watts.
        static_power: Watts that flow whatever is computed. Default: 0.3 of `power`, an assumption.
        efficiency: Share of the peaks that is reached.
        mac_energy: Joules a multiply-accumulate.
        byte_energy: Joules a byte of memory traffic.

    Example:

    >>> device = DeviceProfile("toy", peak_flops=2e12, bandwidth=4e11, power=100.0)
    >>> device.ridge, device.seconds(macs=1e12, traffic=4e11)
    (10.0, 1.0)
    """

    name: str
    peak_flops: float
    bandwidth: float
    power: float
    static_power: float | None = None
    efficiency: float = 1.0
    mac_energy: float = MAC_ENERGY
    byte_energy: float = BYTE_ENERGY

    def __post_init__(self):
        if self.static_power is None:
            object.__setattr__(self, "static_power", STATIC_SHARE * self.power)
        for name in ("peak_flops", "bandwidth", "efficiency"):
            if getattr(self, name) <= 0:
                raise ValueError(f"`{name}` must be positive. Received: {getattr(self, name)}")

    @property
    def ridge(self):
        """Multiply-accumulates a float32 word from which on arithmetic is the bottleneck."""
        return self.peak_flops / 2 / (self.bandwidth / 4)

    def bound(self, macs, traffic):
        """`"compute"` or `"memory"`: which of the two takes longer."""
        compute = 2 * macs / self.peak_flops >= traffic / self.bandwidth
        return "compute" if compute and macs else "memory"

    def seconds(self, macs, traffic):
        """Time of `macs` multiply-accumulates with `traffic` bytes."""
        return max(2 * macs / self.peak_flops, traffic / self.bandwidth) / self.efficiency

    def joules(self, macs, traffic):
        """Energy of `macs` multiply-accumulates with `traffic` bytes."""
        dynamic = self.mac_energy * macs + self.byte_energy * traffic
        return dynamic + self.static_power * self.seconds(macs, traffic)


DEVICES = {
    "p100": DeviceProfile("p100", 9.3e12, 732e9, 250.0),
    "quadro_p4000": DeviceProfile("quadro_p4000", 5.3e12, 243e9, 105.0),
}


def device_profile(device):
    """The profile of a device.

    Args:
        device: `"p100"`, `"quadro_p4000"`, `"host"` (this machine's processor: peak and bandwidth
            from two seconds of matrix products and copies, its power from the number of cores at
            10 W each, a guess) or a `DeviceProfile`.

    Returns:
        A `DeviceProfile`.

    Raises:
        ValueError: Unknown name.

    Example:

    >>> round(device_profile("p100").ridge, 1)
    25.4
    """
    if isinstance(device, DeviceProfile):
        return device
    if device == "host":
        return _host_profile()
    if device not in DEVICES:
        raise ValueError(
            f'`device` must be one of {[*DEVICES]}, "host" or a DeviceProfile. '
            f"Received: device={device!r}"
        )
    return DEVICES[device]


HOST_WATTS_PER_CORE = 10.0


def host_power():
    """Watts of this machine's processor: cores at 10 W each, a guess."""
    return HOST_WATTS_PER_CORE * (os.cpu_count() or 1)


@lru_cache(maxsize=1)
def _host_profile(seconds=1.0):
    n = 1024
    a, b = np.random.default_rng(0).random((2, n, n), "float32")
    c = np.empty_like(a)
    big = np.zeros(1 << 25, "uint8")
    target = np.empty_like(big)
    flops = 2 * n**3 * _rate(lambda: np.matmul(a, b, out=c), seconds)
    bandwidth = 2 * big.nbytes * _rate(lambda: np.copyto(target, big), seconds)
    return DeviceProfile("host", flops, bandwidth, host_power())


def _rate(run, seconds):
    """Calls of `run` a second."""
    run()
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        run()
        count += 1
    return count / (time.perf_counter() - start)
