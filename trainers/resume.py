"""Resuming a training that was killed, in the middle of an epoch, bit for bit."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_resnets.files import write_whole


class Resume(keras.callbacks.Callback):
    """Saves all state of a training every few batches and goes on from there in a new process.

    What `keras.callbacks.BackupAndRestore` saves are weights, optimizer and epoch: an interrupted
    epoch starts anew, on top of the steps already taken, and the seeds of dropout and augmentation
    layers are lost. This callback also saves the batch's number, every `SeedGenerator` and the
    running metrics, in one file that is replaced atomically. Where arithmetic is deterministic and
    the data of a step depends on epoch and batch number only, the resumed training equals the
    uninterrupted one bit for bit. Other callbacks' own state (patience, best value) is not saved.

    Make it before the data, which must begin where the saved training stopped and go on without
    end, and put it first in the list of callbacks:

    ```python
    resume = Resume("run/resume.npz", every=100)
    seen = resume.epoch * steps_per_epoch + resume.batch
    epoch, start_batch = divmod(seen, len(files) // 64)
    data = files.dataset(crop=32_000, batch_size=64, shuffle=True, drop_remainder=True,
                         epoch=epoch, start_batch=start_batch, repeat=True)
    trainer.fit(data, steps_per_epoch=steps_per_epoch, initial_epoch=resume.epoch, epochs=10,
                callbacks=[resume])
    ```

    The file is kept after training, so that a later run can go on to more epochs.

    Args:
        path: file for the state (`.npz`).
        every: int, batches between saves; `None`: at the end of each epoch only. Each epoch's end
            is saved in any case.
        restart: bool, forget an existing file.

    Attributes:
        epoch: epoch to start in, 0 without a file.
        batch: batches of that epoch already done.
    """

    def __init__(self, path, every=None, restart=False):
        super().__init__()
        if every is not None and every < 1:
            raise ValueError(f"`every` must be positive or None. Received: every={every}")
        self.path = Path(path)
        self.every = every
        self.epoch = self.batch = 0
        if restart:
            self.path.unlink(missing_ok=True)
        self._saved = None
        if self.path.exists():
            with np.load(self.path, allow_pickle=False) as file:
                self._saved = dict(file)
            self.epoch, self.batch = (int(n) for n in self._saved["position"])

    def on_train_begin(self, logs=None):
        self._steps = self.params.get("steps")
        if not self._steps:
            raise ValueError("`Resume` needs `fit(..., steps_per_epoch=...)`.")
        if self._steps % self.model.steps_per_execution:
            raise ValueError(
                "`steps_per_epoch` must be a multiple of `steps_per_execution`. Received: "
                f"{self._steps} and {self.model.steps_per_execution}"
            )
        if not self.model.built:
            raise ValueError("`Resume` needs a built model: call it on a batch before `fit`.")
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        self._epoch = None
        self._offset = self._since_save = 0
        self._cut_short = False
        if self._saved is not None:
            self._restore("model", self.model.variables)
            self._restore("optimizer", self._optimizer_variables())

    def on_epoch_begin(self, epoch, logs=None):
        if self._saved is not None:
            if epoch != self.epoch:
                raise ValueError(
                    f"Pass `initial_epoch=resume.epoch` to `fit`: the saved training is in epoch "
                    f"{self.epoch}. Received: initial_epoch={epoch}"
                )
            self._offset = self.batch
            if self.batch:
                self._restore("metrics", self.model.metrics_variables)
            self._saved = None
        else:
            self._offset = 0
            self._save(epoch, 0)
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        done = self._offset + batch + 1
        self._since_save += self.model.steps_per_execution
        if self._offset and done >= self._steps:  # the rest of an interrupted epoch is done
            self._cut_short = not self.model.stop_training
            self.model.stop_training = True
        elif self.every is not None and self._since_save >= self.every and done < self._steps:
            self._save(self._epoch, done)

    def on_epoch_end(self, epoch, logs=None):
        if self._cut_short:
            self.model.stop_training = self._cut_short = False

    def on_train_end(self, logs=None):
        if self._epoch is not None:
            self._save(self._epoch + 1, 0)

    def _save(self, epoch, batch):
        state = {"position": np.array([epoch, batch])}
        for group, variables in (
            ("model", self.model.variables),
            ("optimizer", self._optimizer_variables()),
            ("metrics", self.model.metrics_variables),
        ):
            for i, variable in enumerate(variables):
                state[f"{group}/{i}"] = tf.convert_to_tensor(variable.value).numpy()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with write_whole(self.path) as place, open(place, "wb") as file:
            np.savez(file, **state)
        self._since_save = 0

    def _optimizer_variables(self):
        """Of `model.optimizer`, and of any other that a trainer has."""
        attributes = vars(self.model).values()
        every = [o for o in attributes if isinstance(o, keras.optimizers.Optimizer)]
        return [
            v
            for o in sorted(every, key=lambda o: o is not self.model.optimizer)
            for v in o.variables
        ]

    def _restore(self, group, variables):
        values = [v for name, v in self._saved.items() if name.startswith(f"{group}/")]
        expected = [(v.path, tuple(v.shape)) for v in variables]
        if len(values) != len(variables):
            raise ValueError(
                f"{self.path} is of another training: it holds {len(values)} {group} variables, "
                f"this one has {len(variables)}. Use `restart=True` to start anew."
            )
        for variable, value, (path, shape) in zip(variables, values, expected, strict=True):
            if value.shape != shape:
                raise ValueError(
                    f"{self.path} is of another training: {group} variable {path} has shape "
                    f"{shape}, the file {value.shape}. Use `restart=True` to start anew."
                )
            variable.assign(value)
