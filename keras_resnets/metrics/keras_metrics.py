"""Verification metrics that stream over batches, as `keras.metrics.Metric`."""

import keras
from keras import ops

from keras_resnets.metrics.verification import check_costs


class ScoreHistogram(keras.metrics.Metric):
    """Base of the streaming metrics: a histogram of the target and of the non-target scores.

    The counts are sums, so they add up over batches and over replicas, in graphs and under XLA.
    """

    def __init__(self, score_range=(-1.0, 1.0), num_bins=16384, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        low, high = (float(bound) for bound in score_range)
        if not low < high or high - low == float("inf"):
            raise ValueError(
                "`score_range` must be two finite numbers, the smaller one first. "
                f"Received: score_range={score_range}"
            )
        if int(num_bins) != num_bins or num_bins < 2:
            raise ValueError(
                f"`num_bins` must be an integer above 1. Received: num_bins={num_bins}"
            )
        self.score_range = (low, high)
        self.num_bins = int(num_bins)
        self.targets = self._histogram("targets")
        self.nontargets = self._histogram("nontargets")

    def _histogram(self, name):
        return self.add_variable((self.num_bins,), "zeros", "float32", aggregation="sum", name=name)

    def update_state(self, y_true, y_score, sample_weight=None):
        """Adds a batch of trials.

        Args:
            y_true: `(B,)` or `(B, 1)`, 1 for target trials, 0 for non-target trials.
            y_score: Scores in the shape of `y_true`, larger = more likely the same speaker. Those
                outside `score_range` count as its ends.
            sample_weight: Optional weight of each trial.
        """
        score = ops.reshape(ops.cast(y_score, "float32"), (-1,))
        label = ops.reshape(ops.cast(y_true, "float32"), (-1,))
        if sample_weight is None:
            weight = ops.ones_like(score)
        else:
            weight = ops.reshape(ops.cast(sample_weight, "float32"), (-1,))
        binary = ops.logical_or(ops.equal(label, 0.0), ops.equal(label, 1.0))
        valid = ops.logical_and(binary, ops.logical_not(ops.isnan(score)))
        weight = ops.where(valid, weight, float("nan"))
        target = ops.cast(ops.equal(label, 1.0), "float32")

        low, high = self.score_range
        score = ops.where(valid, score, low)
        bins = ops.floor((ops.clip(score, low, high) - low) * (self.num_bins / (high - low)))
        bins = ops.minimum(ops.cast(bins, "int32"), self.num_bins - 1)
        for histogram, counts in ((self.targets, target), (self.nontargets, 1.0 - target)):
            histogram.assign_add(ops.segment_sum(weight * counts, bins, self.num_bins))

    def error_rates(self):
        """Miss and false-alarm rate at the edges of the bins, `(num_bins + 1,)` each."""
        rejected = [
            ops.pad(ops.cumsum(ops.convert_to_tensor(histogram)), ((1, 0),))
            for histogram in (self.targets, self.nontargets)
        ]
        miss, correct = (counts / counts[-1] for counts in rejected)
        return miss, 1.0 - correct

    def get_config(self):
        return {
            **super().get_config(),
            "score_range": self.score_range,
            "num_bins": self.num_bins,
        }


@keras.saving.register_keras_serializable("keras_resnets")
class EqualErrorRate(ScoreHistogram):
    """Equal error rate over batches, from score histograms.

    Agrees with `equal_error_rate` up to the width of a bin. The result is NaN until both target
    and non-target trials were seen, and after a NaN score or a label other than 0 or 1.

    Args:
        score_range: Smallest and largest score expected; the default is that of a cosine.
        num_bins: Number of bins over `score_range`.
        name: Name of the metric.
        dtype: As in any Keras metric; the counts are float32 in any case.

    Example:

    >>> metric = EqualErrorRate()
    >>> metric.update_state([1, 1, 0, 1, 1], [0.9, 0.8, 0.7, 0.6, 0.55])
    >>> metric.update_state([0, 0, 1, 0, 0], [0.5, 0.4, 0.3, 0.2, 0.1])
    >>> round(float(metric.result()), 6)
    0.2
    """

    def __init__(
        self, score_range=(-1.0, 1.0), num_bins=16384, name="equal_error_rate", dtype=None
    ):
        super().__init__(score_range, num_bins, name=name, dtype=dtype)

    def result(self):
        miss, false_alarm = self.error_rates()
        difference = miss - false_alarm  # increasing, from -1 to 1
        after = ops.argmax(difference >= 0.0)
        before = ops.maximum(after - 1, 0)
        d0, d1 = ops.take(difference, before), ops.take(difference, after)
        m0, m1 = ops.take(miss, before), ops.take(miss, after)
        return m0 - d0 / (d1 - d0) * (m1 - m0)


@keras.saving.register_keras_serializable("keras_resnets")
class MinDCF(ScoreHistogram):
    """Normalised minimum detection cost over batches, from score histograms.

    Agrees with `min_dcf` up to the width of a bin, and is NaN where `EqualErrorRate` is.

    Args:
        p_target: Prior probability of a target trial, in (0, 1).
        c_miss: Cost of rejecting a target trial, positive.
        c_fa: Cost of accepting a non-target trial, positive.
        score_range: Smallest and largest score expected; the default is that of a cosine.
        num_bins: Number of bins over `score_range`.
        name: Name of the metric.
        dtype: As in any Keras metric; the counts are float32 in any case.

    Example:

    >>> metric = MinDCF(p_target=0.5)
    >>> metric.update_state([1, 1, 0, 1, 1], [0.9, 0.8, 0.7, 0.6, 0.55])
    >>> metric.update_state([0, 0, 1, 0, 0], [0.5, 0.4, 0.3, 0.2, 0.1])
    >>> round(float(metric.result()), 6)
    0.4
    """

    def __init__(
        self,
        p_target=0.01,
        c_miss=1.0,
        c_fa=1.0,
        score_range=(-1.0, 1.0),
        num_bins=16384,
        name="min_dcf",
        dtype=None,
    ):
        check_costs(p_target, c_miss, c_fa)
        super().__init__(score_range, num_bins, name=name, dtype=dtype)
        self.p_target, self.c_miss, self.c_fa = float(p_target), float(c_miss), float(c_fa)

    def result(self):
        miss, false_alarm = self.error_rates()
        reject_all, accept_all = self.c_miss * self.p_target, self.c_fa * (1 - self.p_target)
        smallest = min(reject_all, accept_all)
        return ops.min(reject_all / smallest * miss + accept_all / smallest * false_alarm)

    def get_config(self):
        return {
            **super().get_config(),
            "p_target": self.p_target,
            "c_miss": self.c_miss,
            "c_fa": self.c_fa,
        }
