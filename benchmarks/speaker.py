"""ECAPA-TDNN beside SpeechBrain's, and the front end beside kaldi-native-fbank.

python benchmarks/speaker.py [--rounds N] [forward train ...]
"""

import functools
import os
import tempfile

import numpy as np
from paired import apart, compare

FRAMES_PER_SECOND = 100
CLASSES = 1251


def features(batch, frames):
    return np.random.default_rng(0).normal(size=(batch, frames, 80)).astype("float32")


# The sides


def speechbrain_network():
    import torch
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN

    torch.set_num_threads(1)
    torch.manual_seed(0)
    return ECAPA_TDNN(80, channels=[512, 512, 512, 512, 1536], lin_neurons=192)


def write_state(path):
    """A SpeechBrain network's state; what its batch normalisations would have learned is random."""
    import torch

    state = speechbrain_network().state_dict()
    for name, value in state.items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif ".norm." in name and value.dim():
            value += 0.2 * torch.randn(value.shape)
    np.savez(path, **{name: value.numpy() for name, value in state.items()})


def keras_network(variant, state):
    import keras_resnets as kr

    if variant == "speechbrain":
        return kr.load_ecapa(state, frontend=None)
    return kr.ecapa_tdnn(variant=variant)


def keras_forward(batch, frames, state, variant="speechbrain", jit=True):
    import tensorflow as tf

    model = keras_network(variant, state)
    x = tf.constant(features(batch, frames))
    run = tf.function(functools.partial(model, training=False), jit_compile=jit)
    return lambda: run(x).numpy()


def keras_predict(batch, frames, state, variant="speechbrain"):
    model = keras_network(variant, state)
    x = features(batch, frames)
    return lambda: model.predict_on_batch(x)


def speechbrain_forward(batch, frames, state):
    import torch

    model = speechbrain_network().eval()
    with np.load(state) as arrays:
        model.load_state_dict({name: torch.from_numpy(arrays[name]) for name in arrays})
    x = torch.from_numpy(features(batch, frames))

    @torch.inference_mode()
    def run():
        return model(x)[:, 0].numpy()

    return run


def keras_train(variant, state, jit, batch=16, frames=200):
    import keras
    import tensorflow as tf

    import keras_resnets as kr
    from trainers import SpeakerTrainer

    head = kr.layers.AdditiveAngularMargin(CLASSES)
    trainer = SpeakerTrainer(keras_network(variant, state), head)
    trainer.compile(keras.optimizers.Adam(1e-3), jit_compile=jit)
    x = tf.constant(features(batch, frames))
    y = tf.constant(np.arange(batch) % CLASSES)
    return lambda: trainer.train_on_batch(x, y)[0]


def speechbrain_train(batch=16, frames=200):
    import torch
    from speechbrain.lobes.models.ECAPA_TDNN import Classifier
    from speechbrain.nnet.losses import AdditiveAngularMargin, LogSoftmaxWrapper

    model = speechbrain_network()
    classifier = Classifier(192, out_neurons=CLASSES)
    criterion = LogSoftmaxWrapper(AdditiveAngularMargin(margin=0.2, scale=30))
    optimizer = torch.optim.Adam(
        [*model.parameters(), *classifier.parameters()], lr=1e-3, weight_decay=2e-5
    )
    x = torch.from_numpy(features(batch, frames))
    y = torch.arange(batch)[:, None] % CLASSES

    def run():
        optimizer.zero_grad()
        loss = criterion(classifier(model(x)), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return run


