"""Statistics of ranks, in numpy."""

import math
from statistics import NormalDist

import numpy as np


def average_ranks(values):
    """Ranks from 1, of the least; equal values share the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[places]


def normal_scores(values):
    """What values of these ranks `r` would be in a normal sample: `Phi^-1((r - 0.5) / N)`."""
    ranks = average_ranks(values)
    return np.array([NormalDist().inv_cdf((rank - 0.5) / len(ranks)) for rank in ranks])


def normal_cdf(z):
    """The share of a normal sample below `z`, a number or an array."""
    return np.vectorize(math.erfc, otypes=[float])(-np.asarray(z) / math.sqrt(2)) / 2


def spearman(a, b):
    """Spearman's rank correlation; NaN where one side has no order."""
    a, b = (ranks - ranks.mean() for ranks in (average_ranks(a), average_ranks(b)))
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale else float("nan")


def kendall_tau(a, b):
    """Kendall's tau-b; NaN where one side has no order."""
    pairs = np.triu_indices(len(a), 1)
    a, b = (np.sign(np.subtract.outer(side, side))[pairs] for side in (np.array(a), np.array(b)))
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale else float("nan")
