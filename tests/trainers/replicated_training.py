"""Losses of the same training on one device and on two replicas, as JSON on standard output."""

import contextlib
import json

import keras
import numpy as np
import tensorflow as tf

from keras_resnets.layers import AdditiveAngularMargin, SpecAugment
from keras_resnets.models.ecapa_tdnn import ecapa_tdnn
from trainers import SpeakerTrainer

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
rng = np.random.default_rng(0)
x = rng.normal(size=(9, 20, 80)).astype("float32")
y = np.arange(9) % 3
lengths = rng.integers(5, 21, 9)


def small():
    return keras.Sequential(
        [
            keras.Input((None, 80)),
            keras.layers.Conv1D(8, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(6),
        ]
    )


def frozen_ecapa():
    encoder = ecapa_tdnn(
        channels=16, mfa_channels=24, attention_channels=8, se_channels=8, embedding_dim=12,
        scale=2, dilations=(2,),
    )  # fmt: skip
    for layer in encoder._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    return encoder


def train(strategy, encoder, rows, ragged=False, loss_scale=False, **kwargs):
    keras.utils.set_random_seed(0)
    with strategy.scope() if strategy else contextlib.nullcontext():
        trainer = SpeakerTrainer(
            encoder(),
            AdditiveAngularMargin(3, scale=5.0),  # at 30 rounding grows past 1e-5 in three epochs
            weight_decay=0.1,
            head_weight_decay=0.2,
            **kwargs,
        )
        optimizer = keras.optimizers.SGD(0.02, momentum=0.9)
        if loss_scale:
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        trainer.compile(optimizer)
    inputs = (x[:rows], lengths[:rows]) if ragged else x[:rows]
    data = tf.data.Dataset.from_tensor_slices((inputs, y[:rows])).batch(4)
    history = trainer.fit(data, epochs=3, shuffle=False, verbose=0).history
    return {
        "loss": history["loss"],
        "accuracy": history["accuracy"],
        "evaluate": trainer.evaluate(data, verbose=0)[:1],
    }


strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
cases = {
    # The last batch is one row: one replica has it, the other nothing.
    "synchronised": dict(encoder=small, rows=9, sync_batch_norm=True),
    "frozen, ragged": dict(encoder=frozen_ecapa, rows=8, ragged=True, decoupled=True),
    "loss scale": dict(encoder=small, rows=8, sync_batch_norm=True, loss_scale=True),
}
result = {name: [train(s, **case) for s in (None, strategy)] for name, case in cases.items()}
augmented = train(strategy, small, 8, augment=SpecAugment(seed=0), sync_batch_norm=True)
result["augmented"] = [augmented, augmented]
print(json.dumps(result))
