"""The same partial training on one device and on two replicas, as JSON on standard output."""

import contextlib
import json

import keras
import numpy as np
import tensorflow as tf

from trainers import PartialTrainer

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
rng = np.random.default_rng(0)
# The last batch is one row: one replica has it, the other nothing.
x, y = rng.normal(size=(9, 8, 8, 3)).astype("float32"), np.arange(9) % 3


def train(strategy):
    keras.utils.set_random_seed(0)
    with strategy.scope() if strategy else contextlib.nullcontext():
        model = keras.Sequential(
            [
                keras.Input((8, 8, 3)),
                keras.layers.Conv2D(8, 3),
                keras.layers.BatchNormalization(synchronized=True),
                keras.layers.ReLU(),
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Dense(3),
            ]
        )
        mask = {"per_channel": 2, "seed": 0}
        trainer = PartialTrainer(model, "batch_norm", mask, weight_decay=0.1)
        trainer.compile(
            keras.optimizers.SGD(0.1, momentum=0.9),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
    history = trainer.fit(data, epochs=3, shuffle=False, verbose=0).history
    return {"loss": history["loss"], "weights": [w.tolist() for w in model.get_weights()]}


print(json.dumps([train(None), train(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))]))
