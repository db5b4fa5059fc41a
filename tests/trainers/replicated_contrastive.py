"""The same contrastive trainings on one device and on two replicas, as JSON on standard output."""

import contextlib
import functools
import json
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).parent))
from contrastive_networks import LABELS, LARGE, SMALL, backbone

from keras_resnets.losses import NTXent, SwAVLoss
from keras_resnets.optimizers import LARS
from trainers import SimCLR, SwAV

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


def train(strategy, kind, views, options, optimizer, loss):
    with strategy.scope() if strategy else contextlib.nullcontext():
        trainer = kind(backbone(), probe=3, **options)
        trainer.compile(optimizer(), loss())
    data = tf.data.Dataset.from_tensor_slices((views, LABELS)).batch(8, drop_remainder=True)
    history = trainer.fit(data, epochs=3, verbose=0, shuffle=False).history
    figures = {name: history[name] for name in ("loss", "probe_loss")}
    weights = np.concatenate([np.ravel(w) for w in trainer.get_weights()])
    test = trainer.evaluate(data, verbose=0)[0]
    return figures | {"weights": weights.tolist(), "test": test}


def sgd():
    return keras.optimizers.SGD(0.01, momentum=0.9)


swav = dict(projection_dim=8, hidden_dim=12, num_prototypes=10)
# soft losses: sharp ones magnify rounding from step to step
wide = functools.partial(NTXent, 0.5)
soft = functools.partial(SwAVLoss, 0.5, 0.3)
cases = {
    "SimCLR": (SimCLR, LARGE, {}, sgd, wide),
    "SimCLR, LARS": (SimCLR, LARGE, {}, lambda: LARS(1.0, weight_decay=1e-4), wide),
    "SimCLR, memory": (SimCLR, LARGE, dict(memory_size=32, momentum=0.9), sgd, wide),
    "SwAV": (SwAV, (LARGE, SMALL), swav, sgd, soft),
    "SwAV, queue": (SwAV, (LARGE, SMALL), swav | dict(queue_length=8), sgd, soft),
    "SwAV, frozen": (
        SwAV,
        (LARGE, SMALL),
        swav | dict(freeze_prototypes_steps=3),
        sgd,
        soft,
    ),
}
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
both = {name: [train(s, *case) for s in (None, strategy)] for name, case in cases.items()}
print(json.dumps(both))
