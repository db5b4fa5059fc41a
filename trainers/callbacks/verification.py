"""A trial list as a validation set."""

import keras

from keras_resnets.inference.batches import compiled
from keras_resnets.metrics import det_curve
from trainers.evaluation.trials import TrialAudio


class VerificationCallback(keras.callbacks.Callback):
    """Embeds a trial list at the end of an epoch and logs its error rates.

    It adds `val_eer` and `val_min_dcf` to the epoch's logs, where `History`, the progress bar and
    every callback *after it in the list* find them: put it before `EarlyStopping`,
    `ModelCheckpoint` and their like, and give those `mode="min"`. The audio is read once, when
    training begins.

    Args:
        trials: `keras_resnets.datasets.Trials`, or the path of a list `label path path`.
        root: folder that the list's paths are relative to.
        encoder: network from waveforms to embeddings; default: the model in training.
        every: int, epochs from one measurement to the next; the logs of the others lack the keys.
        batch_size: int.
        degrade: function `(waveform, index) -> waveform` applied once to each file, such as added
            noise. Use a second callback with another `prefix` to see both conditions.
        prefix: str, put before `eer` and `min_dcf`.
        p_target: float, the prior of `min_dcf`.
    """

    def __init__(
        self,
        trials,
        root,
        encoder=None,
        every=1,
        batch_size=16,
        degrade=None,
        prefix="val_",
        p_target=0.01,
    ):
        super().__init__()
        self.trials = trials
        self.root = root
        self.encoder = encoder
        self.every = every
        self.batch_size = batch_size
        self.degrade = degrade
        self.prefix = prefix
        self.p_target = p_target
        self.audio = None

    def on_train_begin(self, logs=None):
        if self.audio is None:
            self.audio = TrialAudio(self.trials, self.root, self.degrade)
        self.embed = compiled(self.model if self.encoder is None else self.encoder)

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every:
            return
        scores = self.audio.scores(self.embed, self.batch_size)
        curve = det_curve(scores, self.audio.labels)
        logs[f"{self.prefix}eer"] = curve.equal_error_rate()
        logs[f"{self.prefix}min_dcf"] = curve.min_dcf(p_target=self.p_target)
