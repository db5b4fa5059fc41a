"""Error rates of a verification system: DET curve, equal error rate, detection cost.

A trial is accepted when its score is above the threshold, so of two trials with equal scores either
both are accepted or neither is.
"""

import math
from dataclasses import dataclass

import numpy as np

EER_METHODS = ("interpolate", "max", "nearest")


@dataclass(frozen=True, eq=False)
class DETCurve:
    """The two error rates of a verification system at every threshold.

    Made by `det_curve`; use it where several figures of the same trials are wanted, as the trials
    are sorted once only.

    Attributes:
        thresholds: `(K + 1,)` increasing: `-inf`, then the K distinct scores.
        miss: Share of the target trials that are rejected (score <= threshold), from 0 up to 1.
        false_alarm: Share of the non-target trials that are accepted, from 1 down to 0.
    """

    thresholds: np.ndarray
    miss: np.ndarray
    false_alarm: np.ndarray

    def equal_error_rate(self, method="interpolate"):
        """See `keras_resnets.metrics.equal_error_rate`."""
        if method not in EER_METHODS:
            raise ValueError(f"`method` must be one of {EER_METHODS}. Received: method={method!r}")
        miss, false_alarm = self.miss, self.false_alarm
        if method == "interpolate":
            difference = miss - false_alarm  # strictly increasing, from -1 to 1
            after = int(np.searchsorted(difference, 0.0))
            before = after - 1
            step = -difference[before] / (difference[after] - difference[before])
            return float(miss[before] + step * (miss[after] - miss[before]))
        nearest = np.argmin(np.abs(miss - false_alarm))
        pair = (miss[nearest], false_alarm[nearest])
        return float(max(pair) if method == "max" else sum(pair) / 2)

    def eer_threshold(self):
        """The threshold at which the two error rates are nearest to each other."""
        return float(self.thresholds[np.argmin(np.abs(self.miss - self.false_alarm))])

    def min_dcf(self, p_target=0.01, c_miss=1.0, c_fa=1.0):
        """See `keras_resnets.metrics.min_dcf`."""
        return float(np.min(_cost(self.miss, self.false_alarm, p_target, c_miss, c_fa)))


def det_curve(scores, labels):
    """Miss and false-alarm rate at each distinct score.

    Args:
        scores: `(N,)` trial scores, larger = more likely the same speaker.
        labels: `(N,)` 1 (or True) for target trials, 0 for non-target trials.

    Returns:
        A `DETCurve`.

    Raises:
        ValueError: if the shapes differ, a score is NaN, a label is neither 0 nor 1, or only one
            kind of trial is present.

    Example:

    >>> curve = det_curve([0.9, 0.4, 0.4, 0.1], [1, 1, 0, 0])
    >>> curve.thresholds.tolist()
    [-inf, 0.1, 0.4, 0.9]
    >>> curve.miss.tolist()
    [0.0, 0.0, 0.5, 1.0]
    >>> curve.false_alarm.tolist()
    [1.0, 0.5, 0.0, 0.0]

    Reference:

    - Martin et al., "The DET curve in assessment of detection task performance", Eurospeech 1997.
    """
    scores, labels = check_trials(scores, labels)
    order = np.argsort(scores)
    scores, labels = scores[order], labels[order]
    last = np.append(np.flatnonzero(scores[1:] != scores[:-1]), scores.size - 1)
    rejected = last + 1
    rejected_targets = np.cumsum(labels)[last]
    targets = rejected_targets[-1]
    nontargets = scores.size - targets
    accepted_nontargets = nontargets - (rejected - rejected_targets)
    return DETCurve(
        thresholds=np.append(-np.inf, scores[last]),
        miss=np.append(0.0, rejected_targets / targets),
        false_alarm=np.append(1.0, accepted_nontargets / nontargets),
    )


def equal_error_rate(scores, labels, method="interpolate"):
    """The error rate at the threshold where misses and false alarms are equally frequent.

    With finitely many trials the two rates seldom meet exactly, and public tools differ in what
    they then report; `method` chooses.

    Args:
        scores: `(N,)` trial scores, larger = more likely the same speaker.
        labels: `(N,)` 1 for target trials, 0 for non-target trials.
        method: `"interpolate"`: where the straight line between the two neighbouring points of the
            DET curve has equal rates (NIST's scoring script). At the point where the rates are
            nearest, `"nearest"` takes their mean (SpeechBrain) and `"max"` the larger one
            (voxceleb_trainer).

    Returns:
        The rate as a float in [0, 1].

    Raises:
        ValueError: as `det_curve`, or for an unknown `method`.

    Example:

    >>> scores = [0.9, 0.8, 0.7, 0.6, 0.55, 0.5, 0.4, 0.3, 0.2, 0.1]
    >>> labels = [1, 1, 0, 1, 1, 0, 0, 1, 0, 0]
    >>> round(equal_error_rate(scores, labels), 6)
    0.2
    """
    return det_curve(scores, labels).equal_error_rate(method)


def min_dcf(scores, labels, p_target=0.01, c_miss=1.0, c_fa=1.0):
    """Detection cost at the best threshold, divided by the cost of the best blind decision.

    The smallest `c_miss * p * miss + c_fa * (1 - p) * false_alarm` of all thresholds, over
    `min(c_miss * p, c_fa * (1 - p))`: 1 is what rejecting (or accepting) every trial costs. Some
    tools leave out the division (SpeechBrain) or use `p_target=0.05` (TaoRuijie): their figures are
    not comparable.

    Args:
        scores: `(N,)` trial scores, larger = more likely the same speaker.
        labels: `(N,)` 1 for target trials, 0 for non-target trials.
        p_target: Prior probability of a target trial, in (0, 1).
        c_miss: Cost of rejecting a target trial, positive.
        c_fa: Cost of accepting a non-target trial, positive.

    Returns:
        The cost as a float in [0, 1].

    Raises:
        ValueError: as `det_curve`, or for a prior or cost out of range.

    Example:

    >>> scores = [0.9, 0.8, 0.7, 0.6, 0.55, 0.5, 0.4, 0.3, 0.2, 0.1]
    >>> labels = [1, 1, 0, 1, 1, 0, 0, 1, 0, 0]
    >>> round(min_dcf(scores, labels), 6), round(min_dcf(scores, labels, p_target=0.5), 6)
    (0.6, 0.4)

    Reference:

    - NIST speaker recognition evaluation plans.
    """
    return det_curve(scores, labels).min_dcf(p_target, c_miss, c_fa)


def act_dcf(scores, labels, p_target=0.01, c_miss=1.0, c_fa=1.0):
    """Detection cost of log-likelihood ratios at the Bayes threshold, normalised as `min_dcf` is.

    The gap between `act_dcf` and `min_dcf` is what bad calibration costs.

    Args:
        scores: `(N,)` log-likelihood ratios (natural log), such as `ScoreCalibrator` returns.
        labels: `(N,)` 1 for target trials, 0 for non-target trials.
        p_target: Prior probability of a target trial, in (0, 1).
        c_miss: Cost of rejecting a target trial, positive.
        c_fa: Cost of accepting a non-target trial, positive.

    Returns:
        The cost as a float, at least `min_dcf` of the same trials; it may exceed 1.

    Raises:
        ValueError: as `min_dcf`.

    Example:

    >>> act_dcf([6.0, 5.0, 1.0, -3.0], [1, 1, 1, 0], p_target=0.5)
    0.0
    >>> round(act_dcf([6.0, 5.0, 1.0, -3.0], [1, 1, 1, 0], p_target=0.01), 6)
    0.333333
    """
    threshold = bayes_threshold(p_target, c_miss, c_fa)
    scores, labels = check_trials(scores, labels)
    miss = np.mean(scores[labels] <= threshold)
    false_alarm = np.mean(scores[~labels] > threshold)
    return float(_cost(miss, false_alarm, p_target, c_miss, c_fa))


def bayes_threshold(p_target=0.01, c_miss=1.0, c_fa=1.0):
    """The log-likelihood ratio above which accepting is the cheaper decision.

    Args:
        p_target: Prior probability of a target trial, in (0, 1).
        c_miss: Cost of rejecting a target trial, positive.
        c_fa: Cost of accepting a non-target trial, positive.

    Returns:
        `-logit(p_target)` for equal costs, as a float.

    Raises:
        ValueError: for a prior or cost out of range.

    Example:

    >>> bayes_threshold(p_target=0.5)
    0.0
    """
    check_costs(p_target, c_miss, c_fa)
    return math.log(c_fa * (1 - p_target)) - math.log(c_miss * p_target)


def _cost(miss, false_alarm, p_target, c_miss, c_fa):
    check_costs(p_target, c_miss, c_fa)
    reject_all, accept_all = c_miss * p_target, c_fa * (1 - p_target)
    return (reject_all * miss + accept_all * false_alarm) / min(reject_all, accept_all)


def check_costs(p_target, c_miss, c_fa):
    if not 0 < p_target < 1:
        raise ValueError(f"`p_target` must be between 0 and 1. Received: p_target={p_target}")
    for name, cost in (("c_miss", c_miss), ("c_fa", c_fa)):
        if not 0 < cost < math.inf:
            raise ValueError(f"`{name}` must be positive and finite. Received: {name}={cost}")


def check_trials(scores, labels):
    """`scores` as float64 and `labels` as bool, or a `ValueError` that says what is wrong."""
    scores, labels = np.asarray(scores, dtype="float64"), np.asarray(labels)
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise ValueError(
            "`scores` and `labels` must both have shape (N,). "
            f"Received: scores.shape={scores.shape}, labels.shape={labels.shape}"
        )
    bad = np.flatnonzero(np.isnan(scores))
    if bad.size:
        raise ValueError(
            f"`scores` must not be NaN. Received: {bad.size} NaN of {scores.size}, "
            f"first at {bad[0]}"
        )
    targets = labels == 1
    other = ~(targets | (labels == 0))
    if other.any():
        raise ValueError(f"`labels` must be 0 or 1. Received: {labels[other][:5].tolist()}")
    if targets.all() or not targets.any():
        raise ValueError(
            "A verification metric needs both target and non-target trials. "
            f"Received: {np.count_nonzero(targets)} target, {np.count_nonzero(~targets)} non-target"
        )
    return scores, targets
