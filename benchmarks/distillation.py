"""What a step of distillation costs: beside a plain training step, and beside Keras' own Distiller.

python benchmarks/distillation.py [--rounds N] [--size 224] [resnet50 cifar_resnet20]

The teacher is of the student's size. A step takes images, and no labels.
"""

import argparse
import os
import tempfile
from functools import partial

import numpy as np
from paired import ROUNDS, compare, conditions, table
from resnet_sides import MOMENTUM, RATE, Task, network, train_step

NETWORKS = ("resnet50", "cifar_resnet20")


def model(task, name, seed=0):
    """A network of logits."""
    import keras

    import keras_resnets as kr

    if name == "resnet50" and seed == 0:
        return network(task, name)
    keras.utils.set_random_seed(seed)
    shape = {"input_shape": (task.size, task.size, 3), "classifier_activation": None}
    if name == "cifar_resnet20":
        return kr.cifar_resnet(20, name=f"student{seed}", **shape)
    return getattr(kr, name)(name=f"student{seed}", **shape)


def step(trainer, inputs, figure):
    """One step of Keras' training loop; returns one of its figures."""
    import tensorflow as tf

    inputs = [tf.constant(each) for each in inputs]
    return lambda: np.ravel(trainer.train_on_batch(*inputs, return_dict=True)[figure])[0]


def plain(task, name):
    return train_step(task, model(task, name))


def meal(task, name, **options):
    import keras

    from trainers import MEALV2

    trainer = MEALV2(model(task, name), model(task, name, 1), **options)
    trainer.compile(keras.optimizers.SGD(RATE, MOMENTUM), jit_compile=False)
    return step(trainer, [task.images], "divergence")


def stored(task, name):
    """Soft labels from a file take the teacher's place."""
    import keras
    import tensorflow as tf

    from trainers import MEALV2, soft_labels

    student = model(task, name)
    classes = student.output_shape[-1]
    images = tf.data.Dataset.from_tensor_slices(task.images)
    teacher = lambda x: tf.one_hot(tf.zeros(len(x), tf.int32), classes) * 5.0  # noqa: E731
    path = soft_labels.precompute(
        images, teacher, os.path.join(task.folder, name), crops=1, size=task.size
    )
    trainer = MEALV2(student, soft_labels.StoredSoftLabels(path))
    trainer.compile(keras.optimizers.SGD(RATE, MOMENTUM), jit_compile=False)
    batch = next(iter(trainer.teachers.dataset(images, task.batch, 1)))
    return step(trainer, batch, "divergence")


def keras_distiller(task, name):
    import keras
    from keras.distillation import Distiller, LogitsDistillation

    trainer = Distiller(
        model(task, name, 1),
        model(task, name),
        # by its name, Keras takes the divergence of the logits instead of the probabilities
        LogitsDistillation(temperature=1.0, loss=keras.losses.KLDivergence()),
        student_loss_weight=0.0,
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trainer.compile(keras.optimizers.SGD(RATE, MOMENTUM), loss, jit_compile=False)
    return step(trainer, [task.images, task.labels], "loss")


def rows(task, name, compare):
    yield compare(
        f"{name}, MEAL V2 to a plain step",
        partial(meal, task, name),
        partial(plain, task, name),
        target=1.45,
    )
    yield compare(
        f"{name}, MEAL V2 from stored soft labels to a plain step",
        partial(stored, task, name),
        partial(plain, task, name),
    )
    yield compare(
        f"{name}, MEAL V2 without discriminator to keras.distillation.Distiller",
        partial(meal, task, name, discriminator=None),
        partial(keras_distiller, task, name),
        tolerance=1e-3,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("networks", nargs="*", help=f"of {NETWORKS}; default: all")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns of each side")
    parser.add_argument("--size", type=int, default=224, help="side of ResNet-50's images")
    parser.add_argument("--batch-size", type=int, default=8, help="of ResNet-50")
    arguments = parser.parse_args()
    if unknown := set(arguments.networks) - {*NETWORKS}:
        parser.error(f"NETWORK must be of {NETWORKS}. Received: {sorted(unknown)}")
    found = []
    with tempfile.TemporaryDirectory() as folder:
        tasks = {
            "resnet50": Task(arguments.batch_size, arguments.size, folder),
            "cifar_resnet20": Task(128, 32, folder),
        }
        for name in arguments.networks or NETWORKS:
            task = tasks[name]
            timer = partial(compare, examples=task.batch, rounds=arguments.rounds)
            found += rows(task, name, timer)
    print(conditions("tensorflow", "keras"), table(found), sep="\n\n")


if __name__ == "__main__":
    main()
