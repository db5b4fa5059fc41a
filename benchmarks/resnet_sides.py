"""What `resnets.py` measures: our side and the peer's of each task, as `paired.py` takes them."""

import dataclasses
import os
import sys
import time
from pathlib import Path

import numpy as np

# PyTorch always uses oneDNN; TensorFlow by itself only where the processor has AVX-512 VNNI.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

CLASSES = 1000
RATE, MOMENTUM = 1e-3, 0.9


@dataclasses.dataclass(frozen=True)
class Task:
    """Images of one step, and the folder that weights are exchanged in."""

    batch: int
    size: int
    folder: str

    @property
    def images(self):
        shape = (self.batch, self.size, self.size, 3)
        return np.random.default_rng(0).normal(size=shape).astype("float32")

    @property
    def labels(self):
        return np.arange(self.batch) % 10

    def state(self, name):
        return os.path.join(self.folder, f"{name}.npz")


# Our side


def network(task, name, **options):
    import keras

    import keras_resnets as kr

    keras.utils.set_random_seed(0)
    return getattr(kr, name)(
        input_shape=(task.size, task.size, 3), classifier_activation=None, **options
    )


def write_state(task, name):
    """Our network's initial weights, for the peer."""
    import keras_resnets as kr

    np.savez(task.state(name), **kr.weights.to_torch(network(task, name)))


def relative(logits):
    """Logits over the largest, as random weights leave their scale open."""
    return logits / np.abs(logits).max()


def graph_forward(task, model):
    import tensorflow as tf

    x, run = tf.constant(task.images), tf.function(lambda x: model(x, training=False))
    return lambda: relative(run(x).numpy())


def train_step(task, model):
    """One step of Keras' own training loop."""
    import keras
    import tensorflow as tf

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(RATE, MOMENTUM), loss, jit_compile=False)
    x, y = tf.constant(task.images), tf.constant(task.labels)
    return lambda: np.ravel(model.train_on_batch(x, y))[0]


def keras_forward(task, name):
    return graph_forward(task, network(task, name))


def keras_train(task, name, **options):
    return train_step(task, network(task, name, **options))


def keras_batch_norm(channels, apply_act, name, zero_init):
    """Keras' own layer, as the option `norm_act` takes it."""
    import keras

    norm = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)
    return keras.Sequential([norm, keras.layers.ReLU()] if apply_act else [norm], name=name)


def partial_train(task, name, rule):
    from trainers import PartialTrainer

    return train_step(task, PartialTrainer(network(task, name), rule))


def cost_seconds(task, name):
    import keras_resnets as kr

    model = network(task, name)
    start = time.process_time()
    kr.analysis.cost(model)
    return time.process_time() - start


# The peers


def application(task):
    import keras

    shape = (task.size, task.size, 3)
    return keras.applications.ResNet50(
        weights=None, input_shape=shape, classifier_activation=None, classes=CLASSES
    )


def application_forward(task):
    return graph_forward(task, application(task))


def application_train(task):
    return train_step(task, application(task))


PEERS = {"resnet50_evos": "resnetv2_50d_evos"}


def timm_network(task, name, channels_last):
    """timm's network of our name, with our weights."""
    import torch

    sys.path.append(str(Path(__file__).parents[1] / "tests" / "peers"))
    import image_models

    torch.set_num_threads(1)
    model = image_models.timm().create_model(PEERS.get(name, name))
    with np.load(task.state(name)) as arrays:
        model.load_state_dict({key: torch.from_numpy(arrays[key]) for key in arrays})
    x = torch.from_numpy(task.images.transpose(0, 3, 1, 2).copy())
    if channels_last:
        model, x = (each.to(memory_format=torch.channels_last) for each in (model, x))
    return model, x


def timm_forward(task, name, channels_last):
    import torch

    model, x = timm_network(task, name, channels_last)
    model.eval()

    @torch.no_grad()
    def run():
        return relative(model(x).numpy())

    return run


def timm_train(task, name, channels_last):
    import torch

    model, x = timm_network(task, name, channels_last)
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)
    y = torch.from_numpy(task.labels)

    def run():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return run
