"""Verification trials: pairs of utterances, spoken by one person or by two."""

import os
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Trials:
    """A verification protocol.

    Args:
        labels: int32 array, 1 for a target trial (one speaker), 0 for a non-target trial.
        enrol: list of file names, the first of each pair.
        test: list of file names, the second of each pair.
    """

    labels: np.ndarray
    enrol: list
    test: list

    def __len__(self):
        return len(self.labels)

    @property
    def files(self):
        """Every file that a trial names, once, sorted."""
        return sorted({*self.enrol, *self.test})

    def check(self, root):
        """Raises `ValueError` if a trial names a file that is not below `root`."""
        missing = [name for name in self.files if not os.path.isfile(os.path.join(root, name))]
        if missing:
            more = ", ..." if len(missing) > 5 else ""
            raise ValueError(
                f"Trials must name files below `root`. Received: root={root}, where "
                f"{len(missing)} of {len(self.files)} files are missing: "
                f"{', '.join(missing[:5])}{more}"
            )


def read_trials(path):
    """Reads a trial list in the layout of VoxCeleb, a line `label path1 path2` for each trial.

    Args:
        path: text file. Labels are 1 (one speaker) and 0 (two speakers); empty lines are skipped.

    Returns:
        `Trials`, with the file names as they stand in the list.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a line is malformed (with its number), or there is no trial at all.

    Example:

    >>> import os, tempfile
    >>> from keras_resnets import datasets
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "trials.txt")
    ...     _ = open(path, "w").write("1 a/1.wav a/2.wav" + chr(10) + "0 a/1.wav b/1.wav")
    ...     trials = datasets.read_trials(path)
    >>> trials.labels.tolist(), trials.files
    ([1, 0], ['a/1.wav', 'a/2.wav', 'b/1.wav'])
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"`path` must be a trial list that exists. Received: path={path}")
    labels, enrol, test = [], [], []
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            fields = line.split()
            if not fields:
                continue
            if len(fields) != 3 or fields[0] not in ("0", "1"):
                raise ValueError(
                    "Each line must be `label path1 path2`, with label 0 or 1. "
                    f"Received: {path}, line {number}: {line.strip()!r}"
                )
            labels.append(int(fields[0]))
            enrol.append(fields[1])
            test.append(fields[2])
    if not labels:
        raise ValueError(f"`path` must hold at least one trial. Received: path={path}, empty")
    return Trials(np.array(labels, "int32"), enrol, test)
