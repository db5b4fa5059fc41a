"""Normalisation of verification scores with a cohort of other speakers."""

import warnings

import numpy as np

_STD_FLOOR = 1e-8


def as_norm(
    scores,
    enrol_cohort,
    test_cohort,
    top_n=1000,
    ddof=0,
    enrol_index=None,
    test_index=None,
):
    """Adaptive symmetric score normalisation.

    `s' = ((s - mean_e) / sd_e + (s - mean_t) / sd_t) / 2`, where mean and sd are those of the
    `top_n` largest cohort scores of the trial's enrolment and test side.

    Trials share utterances. Give each distinct utterance one row of cohort scores and say with
    `enrol_index` and `test_index` which row a trial uses, so that 500,000 trials of 5,000
    utterances cost 5,000 rows.

    Args:
        scores: `(N,)` trial scores (or one scalar).
        enrol_cohort: `(N, M)` scores of each trial's enrolment side against the cohort, as
            `cohort_scores` returns, or `(U, M)` with `enrol_index`.
        test_cohort: The same for the test side.
        top_n: How many of the largest cohort scores to take. All, with a warning, if the cohort
            is smaller.
        ddof: 0 for the population standard deviation (WeSpeaker), 1 for the sample one
            (SpeechBrain). Deviations below 1e-8 count as 1e-8.
        enrol_index: Optional `(N,)` integers: each trial's row of `enrol_cohort`.
        test_index: Optional `(N,)` integers: each trial's row of `test_cohort`.

    Returns:
        Normalised scores, float64, in the shape of `scores`.

    Raises:
        ValueError: if the shapes do not fit, a score is not finite, an index is out of range, or
            `top_n` (or the cohort) is not larger than `ddof`.

    Example:

    >>> as_norm(0.6, [0.1, 0.3, 0.2, 0.5], [0.0, 0.4, 0.1, 0.3], top_n=2).round(6).tolist()
    3.5

    Reference:

    - Matejka et al., "Analysis of score normalization in multilingual speaker recognition",
      Interspeech 2017.
    """
    if int(top_n) != top_n or top_n < 1:
        raise ValueError(f"`top_n` must be a positive integer. Received: top_n={top_n}")
    return _symmetric_norm(
        scores, enrol_cohort, test_cohort, int(top_n), ddof, enrol_index, test_index
    )


def s_norm(scores, enrol_cohort, test_cohort, ddof=0, enrol_index=None, test_index=None):
    """Symmetric score normalisation: `as_norm` with the whole cohort.

    Args:
        scores: See `as_norm`, as for every argument.
        enrol_cohort: See `as_norm`.
        test_cohort: See `as_norm`.
        ddof: See `as_norm`.
        enrol_index: See `as_norm`.
        test_index: See `as_norm`.

    Returns:
        Normalised scores, float64, in the shape of `scores`.

    Raises:
        ValueError: as `as_norm`.

    Example:

    >>> s_norm(0.6, [0.1, 0.3, 0.2, 0.5], [0.0, 0.4, 0.1, 0.3]).round(7).tolist()
    2.3636116

    Reference:

    - Kenny, "Bayesian speaker verification with heavy-tailed priors", Odyssey 2010.
    """
    return _symmetric_norm(scores, enrol_cohort, test_cohort, None, ddof, enrol_index, test_index)


def _symmetric_norm(scores, enrol_cohort, test_cohort, top_n, ddof, enrol_index, test_index):
    scores = np.asarray(scores, dtype="float64")
    if scores.ndim > 1 or not np.isfinite(scores).all():
        raise ValueError(
            "`scores` must be finite, of shape (N,) or a scalar. Received: "
            f"scores.shape={scores.shape}, {np.count_nonzero(~np.isfinite(scores))} not finite"
        )
    sides = (("enrol", enrol_cohort, enrol_index), ("test", test_cohort, test_index))
    normalized = 0.0
    for side in sides:
        mean, std = _cohort_statistics(scores, top_n, ddof, *side)
        normalized = normalized + (scores - mean) / std
    return normalized / 2


def _cohort_statistics(scores, top_n, ddof, side, cohort, index):
    name = f"{side}_cohort"
    cohort = np.atleast_2d(np.asarray(cohort, dtype="float64"))
    if cohort.ndim != 2 or (index is None and len(cohort) != scores.size):
        raise ValueError(
            f"`{name}` must have shape ({scores.size}, M), one row a trial, or be given with "
            f"`{side}_index`. Received: {name}.shape={cohort.shape}"
        )
    if not np.isfinite(cohort).all():
        raise ValueError(
            f"`{name}` must be finite. Received: "
            f"{np.count_nonzero(~np.isfinite(cohort))} values that are not"
        )
    size = cohort.shape[1]
    if top_n is not None and size < top_n:
        warnings.warn(
            f"`{name}` has {size} members, fewer than top_n={top_n}: all are used.", stacklevel=4
        )
    top_n = size if top_n is None else min(top_n, size)
    if top_n <= ddof:
        raise ValueError(
            f"A standard deviation with ddof={ddof} needs more than {ddof} cohort scores. "
            f"Received: {top_n}, {name}.shape={cohort.shape}"
        )
    if top_n < size:
        cohort = np.partition(cohort, size - top_n, axis=1)[:, size - top_n :]
    mean, std = cohort.mean(axis=1), np.maximum(cohort.std(axis=1, ddof=ddof), _STD_FLOOR)
    if index is None:
        return mean.reshape(scores.shape), std.reshape(scores.shape)
    index = np.asarray(index)
    if index.shape != scores.shape or index.dtype.kind not in "iu":
        raise ValueError(
            f"`{side}_index` must be integers of shape {scores.shape}. "
            f"Received: shape {index.shape}, dtype {index.dtype}"
        )
    if index.size and (index.min() < 0 or index.max() >= len(cohort)):
        raise ValueError(
            f"`{side}_index` must be in [0, {len(cohort)}). "
            f"Received: {index.min()} to {index.max()}"
        )
    return mean[index], std[index]
