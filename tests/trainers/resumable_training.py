"""A short training in a process of its own: FOLDER OUTPUT [batch at which it kills itself]."""

import os
import signal
import sys

import keras
import numpy as np
import tensorflow as tf

from keras_resnets.datasets import audio_folder
from keras_resnets.layers import AdditiveAngularMargin, SpecAugment
from trainers import MarginSchedule, Resume, SpeakerTrainer

STEPS, EPOCHS = 4, 3


class Kill(keras.callbacks.Callback):
    def __init__(self, after):
        super().__init__()
        self.after = after

    def on_train_batch_end(self, batch, logs=None):
        self.after -= 1
        if not self.after:
            os.kill(os.getpid(), signal.SIGKILL)


def main(folder, output, kill_after=0):
    tf.config.experimental.enable_op_determinism()
    # A resumed process draws other initial values and seeds: the file must bring them all.
    keras.utils.set_random_seed(99 if os.path.exists(f"{output}.state.npz") else 0)
    encoder = keras.Sequential(
        [
            keras.Input((None, 80)),
            keras.layers.Conv1D(8, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.3),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(6),
        ]
    )
    trainer = SpeakerTrainer(
        encoder, AdditiveAngularMargin(6), frontend="kaldi_fbank", augment=SpecAugment()
    )
    trainer.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.01, 12)))
    resume = Resume(f"{output}.state.npz", every=2)
    seen = resume.epoch * STEPS + resume.batch
    files = audio_folder(folder).train
    epoch, start_batch = divmod(seen, len(files) * 2 // 5)
    data = files.dataset(
        crop=2000, batch_size=5, shuffle=True, epoch=epoch, start_batch=start_batch,
        repeat=True, speeds=(1.0, 0.9), drop_remainder=True,
    )  # fmt: skip
    callbacks = [resume, MarginSchedule(0.0, 0.3, 0.5, 2.5)]
    if kill_after:
        callbacks.append(Kill(kill_after))
    history = trainer.fit(
        data,
        steps_per_epoch=STEPS,
        initial_epoch=resume.epoch,
        epochs=EPOCHS,
        callbacks=callbacks,
        shuffle=False,
        verbose=0,
    ).history
    variables = trainer.variables + trainer.optimizer.variables
    state = {f"v{i}": tf.convert_to_tensor(v.value).numpy() for i, v in enumerate(variables)}
    np.savez(output, **state, loss=history["loss"], accuracy=history["accuracy"], seen=seen)


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:]))
