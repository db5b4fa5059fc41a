"""Small networks and views that the contrastive trainers' tests share, in and out of process."""

import contextlib

import keras
import numpy as np

from trainers import Resume

RNG = np.random.default_rng(0)
LARGE = RNG.random((16, 2, 12, 12, 3)).astype("float32")
SMALL = RNG.random((16, 3, 8, 8, 3)).astype("float32")
LABELS = np.arange(16) % 4 - 1


def backbone(seed=1):
    keras.utils.set_random_seed(seed)
    x = inputs = keras.Input((None, None, 3))
    for stage, width in enumerate((6, 8), 1):
        x = keras.layers.Conv2D(width, 3, name=f"stage{stage}_conv")(x)
        x = keras.layers.BatchNormalization(name=f"stage{stage}_norm")(x)
        x = keras.layers.ReLU(name=f"stage{stage}_relu")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, x, name="backbone")


def fit_with_resume(trainer, data, path, steps, cut=None):
    """Two epochs of `steps`, saved at every step and perhaps cut short; the weights at the end."""
    resume = Resume(path, every=1)
    rest = data.repeat().skip(steps * resume.epoch + resume.batch)

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if int(self.model.optimizer.iterations) == cut:
                raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        trainer.fit(
            rest,
            steps_per_epoch=steps,
            epochs=2,
            initial_epoch=resume.epoch,
            verbose=0,
            callbacks=[resume, Stop()],
        )
    return trainer.get_weights()
