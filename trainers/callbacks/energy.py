"""Energy of training, epoch by epoch."""

import keras

from keras_resnets.analysis.meters import Meter, find_meter

WORLD_INTENSITY = 0.475  # kg CO2 a kWh, world average (IEA, 2018)


class EnergyLogger(keras.callbacks.Callback):
    """Adds the energy of each epoch to the logs.

    The keys are `energy_j`, `energy_j_per_sample` and `co2_kg`; where the machine has no meter they
    are called `estimated_energy_j` and so on. Validation within an epoch is included.

    Args:
        batch_size: Examples a step, for the energy an example; None leaves that out.
        meter: `"auto"`, or as `keras_resnets.analysis.find_meter` takes it.
        intensity: kg of CO2 a kilowatt hour.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> logger = trainers.callbacks.EnergyLogger(batch_size=4, meter="estimate")
    >>> x = np.ones((8, 2))
    >>> history = model.fit(x, x[:, :1], batch_size=4, verbose=0, callbacks=[logger]).history
    >>> sorted(key for key in history if key != "loss")
    ['estimated_co2_kg', 'estimated_energy_j', 'estimated_energy_j_per_sample']
    """

    def __init__(self, batch_size=None, meter="auto", intensity=WORLD_INTENSITY):
        super().__init__()
        if intensity < 0:
            raise ValueError(f"`intensity` must not be negative. Received: {intensity}")
        self.batch_size = batch_size
        self.meter = meter
        self.intensity = intensity

    def on_train_begin(self, logs=None):
        self._meter = find_meter(self.meter)

    def on_epoch_begin(self, epoch, logs=None):
        self._steps = 0
        self._meter.start()

    def on_train_batch_end(self, batch, logs=None):
        self._steps = batch + 1

    def on_epoch_end(self, epoch, logs=None):
        joules = self._meter.stop()
        found = {"energy_j": joules, "co2_kg": joules / 3.6e6 * self.intensity}
        if self.batch_size and self._steps:
            found["energy_j_per_sample"] = joules / (self._steps * self.batch_size)
        prefix = "estimated_" if self._meter.is_estimate else ""
        if logs is not None:
            logs.update({prefix + key: value for key, value in found.items()})

    def on_train_end(self, logs=None):
        if not isinstance(self.meter, Meter):
            self._meter.close()
