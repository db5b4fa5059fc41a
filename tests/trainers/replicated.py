"""The smallest training of every trainer, to be compared on one device and on several."""

import functools
import json
import os
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).parent))
from contrastive_networks import LABELS, LARGE, SMALL, backbone

from keras_resnets.files import write_whole
from keras_resnets.layers import AdditiveAngularMargin
from keras_resnets.losses import NTXent, SwAVLoss
from keras_resnets.models.ecapa_tdnn import ecapa_tdnn
from keras_resnets.optimizers import LARS
from trainers import MEALV2, Distiller, PartialTrainer, SimCLR, SpeakerTrainer, SwAV
from trainers.distribution import enable_multi_worker

RNG = np.random.default_rng(0)
SPEECH = RNG.normal(size=(9, 20, 80)).astype("float32")
LENGTHS = RNG.integers(5, 21, 9)
IMAGES = RNG.normal(size=(11, 8, 8, 3)).astype("float32")
VECTORS = RNG.normal(size=(24, 6)).astype("float32")


def batches(data, size, drop_remainder=False):
    return tf.data.Dataset.from_tensor_slices(data).batch(size, drop_remainder=drop_remainder)


def sgd(rate=0.01):
    return keras.optimizers.SGD(rate, momentum=0.9)


def small_encoder():
    return keras.Sequential(
        [
            keras.Input((None, 80)),
            keras.layers.Dense(8, activation="relu"),
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


def speaker(encoder=small_encoder, rows=9, lengths=False, loss_scale=False, **options):
    """The last batch of nine is one row: one replica has it, the other nothing."""
    head = AdditiveAngularMargin(3, scale=5.0)  # at 30 rounding grows past 1e-5 in three epochs
    decay = dict(weight_decay=0.1, head_weight_decay=0.2)
    trainer = SpeakerTrainer(encoder(), head, **decay, **options)
    trainer.compile(keras.optimizers.LossScaleOptimizer(sgd(0.02)) if loss_scale else sgd(0.02))
    inputs = (SPEECH[:rows], LENGTHS[:rows]) if lengths else SPEECH[:rows]
    return trainer, batches((inputs, np.arange(rows) % 3), 4)


def partial():
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
    trainer.compile(sgd(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return trainer, batches((IMAGES, np.arange(11) % 3), 4)  # the last one: 3


def network(seed, classes=5):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8),
            keras.layers.BatchNormalization(synchronized=True),
            keras.layers.ReLU(),
            keras.layers.Dense(classes),
        ]
    )


def plain():
    """No trainer of ours."""
    model = enable_multi_worker(network(0))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(sgd(0.05), loss, metrics=["accuracy"])
    return model, batches((VECTORS, np.arange(24) % 5), 10)


def distillation(make):
    trainer = make()
    trainer.compile(sgd(0.05))
    labels = np.where(np.arange(24) % 3, np.arange(24) % 5, -1)
    return trainer, batches((VECTORS, labels), 10)  # the last one: 4


def contrastive(kind, views, optimizer=sgd, **options):
    # Soft losses: sharp ones magnify rounding from step to step.
    loss = NTXent(0.5) if kind is SimCLR else SwAVLoss(0.5, 0.3)
    trainer = kind(backbone(), probe=3, **options)
    trainer.compile(optimizer(), loss)
    return trainer, batches((views, LABELS), 8, drop_remainder=True)


simclr = functools.partial(contrastive, SimCLR, LARGE)
swav = functools.partial(
    contrastive, SwAV, (LARGE, SMALL), projection_dim=8, hidden_dim=12, num_prototypes=10
)

CASES = {
    "SpeakerTrainer": functools.partial(speaker, sync_batch_norm=True),
    "SpeakerTrainer, lengths": functools.partial(
        speaker, frozen_ecapa, 8, lengths=True, decoupled=True
    ),
    "SpeakerTrainer, loss scale": functools.partial(
        speaker, rows=8, loss_scale=True, sync_batch_norm=True
    ),
    "PartialTrainer": partial,
    "Sequential, enabled": plain,
    "Distiller": functools.partial(
        distillation, lambda: Distiller(network(0), network(1), alpha=0.5)
    ),
    "MEALV2": functools.partial(
        distillation, lambda: MEALV2(network(0), [network(1), network(2)])
    ),
    "SimCLR": simclr,
    "SimCLR, LARS": functools.partial(simclr, lambda: LARS(1.0, weight_decay=1e-4)),
    "SimCLR, memory": functools.partial(simclr, memory_size=32, momentum=0.9),
    "SwAV": swav,
    "SwAV, queue": functools.partial(swav, queue_length=8),
    "SwAV, frozen": functools.partial(swav, freeze_prototypes_steps=3),
}  # fmt: skip


def train(name, strategy=None):
    """Three epochs of a case.

    Returns:
        A dict of lists: every log of every epoch, the test after the last, and all weights.
    """
    keras.utils.set_random_seed(0)
    with (strategy or tf.distribute.get_strategy()).scope():
        trainer, data = CASES[name]()
    history = trainer.fit(data, epochs=3, shuffle=False, verbose=0).history
    labelled = data.map(lambda x, y: (x, tf.maximum(y, 0)))
    test = trainer.evaluate(labelled, verbose=0, return_dict=True)
    weights = np.concatenate([np.ravel(w) for w in trainer.get_weights()]).tolist()
    return {**history, **{f"test_{k}": [v] for k, v in test.items()}, "weights": weights}


def work(cluster, index, names, folder):
    """Be one process of a `MultiWorkerMirroredStrategy`; each case's results go to a file."""
    task = {"cluster": {"worker": cluster}, "task": {"type": "worker", "index": index}}
    os.environ["TF_CONFIG"] = json.dumps(task)
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    for name in names:
        result = train(name, strategy)
        with write_whole(Path(folder) / f"{name}.{index}.json") as place:
            place.write_text(json.dumps(result))
