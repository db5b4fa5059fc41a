import keras
import numpy as np
import pytest

from keras_resnets.analysis.meters import Meter
from trainers.callbacks import EnergyLogger


class Counter(Meter):
    """36 J an epoch."""

    name = "counter"

    def __init__(self):
        self.now = 0

    def read(self):
        self.now += 36
        return self.now


def history(logger):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x, y = np.ones((8, 3)), np.ones((8, 1))
    return model.fit(x, y, batch_size=2, epochs=2, verbose=0, callbacks=[logger]).history


def test_measured_energy():
    logs = history(EnergyLogger(batch_size=2, meter=Counter(), intensity=0.5))
    assert logs["energy_j"] == [36, 36]
    assert logs["energy_j_per_sample"] == [36 / 8, 36 / 8]
    assert logs["co2_kg"] == pytest.approx([36 / 3.6e6 * 0.5] * 2)


def test_estimate_is_named_so():
    logs = history(EnergyLogger(meter="estimate"))
    assert set(logs) == {"loss", "estimated_energy_j", "estimated_co2_kg"}
    assert all(joules > 0 for joules in logs["estimated_energy_j"])


def test_bad_input():
    with pytest.raises(ValueError, match="intensity"):
        EnergyLogger(intensity=-1)
