"""Scoring a list of verification trials with a network in training."""

from pathlib import Path

import numpy as np

from keras_resnets.datasets import read_audio, read_trials
from keras_resnets.inference.batches import embed_waveforms
from keras_resnets.metrics import cosine_scores


class TrialAudio:
    """The audio of a trial list, read once.

    Args:
        trials: `keras_resnets.datasets.Trials`, or the path of a list `label path path`.
        root: folder that the list's paths are relative to.
        degrade: function `(waveform, index) -> waveform` applied once to each file, such as added
            noise; `index` counts the files and may serve as a seed.

    Raises:
        ValueError: the list names a file that does not exist, or has no trial of one kind.
    """

    def __init__(self, trials, root, degrade=None):
        if isinstance(trials, str | Path):
            trials = read_trials(trials)
        self.labels = np.asarray(trials.labels)
        if len(np.unique(self.labels)) < 2:
            raise ValueError(
                "`trials` needs both target and non-target trials. "
                f"Received: labels={np.unique(self.labels).tolist()}"
            )
        trials.check(root)
        names = trials.files
        self.waveforms = [read_audio(str(Path(root) / name)) for name in names]
        if degrade is not None:
            self.waveforms = [degrade(w, i) for i, w in enumerate(self.waveforms)]
        index = {name: i for i, name in enumerate(names)}
        self.enrol = [index[name] for name in trials.enrol]
        self.test = [index[name] for name in trials.test]

    def scores(self, model, batch_size=16):
        """Cosine score of each trial."""
        vectors = embed_waveforms(model, self.waveforms, batch_size)
        return cosine_scores(vectors[self.enrol], vectors[self.test])


def embed_trials(model, trials, root, batch_size=16, degrade=None):
    """Scores of a trial list: its files are embedded and compared by cosine.

    Args:
        model: `SpeakerTrainer` or encoder that takes waveforms.
        trials: `keras_resnets.datasets.Trials`, or the path of a list `label path path`.
        root: folder that the list's paths are relative to.
        batch_size: int.
        degrade: function `(waveform, index) -> waveform` applied to each file.

    Returns:
        float array, one score a trial; larger means more alike.

    Raises:
        ValueError: the list names a file that does not exist, or has no trial of one kind.
    """
    return TrialAudio(trials, root, degrade).scores(model, batch_size)
