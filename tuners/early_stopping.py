"""After how many epochs the order of trials is settled."""

import numpy as np

from tuners.ranks import spearman

FEWEST_TRIALS = 3


def early_stop_epoch(histories, correlation=0.92):
    """The epoch from which on training further hardly changes who is better.

    The first at which, and at every later one, the metric's rank correlation (Spearman) with that
    of the last epoch is at least `correlation`.

    Args:
        histories: of every trial, `{epoch: metric}`. Of epochs that not all have, nothing is known;
            trials without the last epoch (they failed) count for nothing.
        correlation: from -1 to 1.

    Returns:
        The epoch, the last one if there is none before; `None` without three trials.

    Example:

    >>> from tuners.early_stopping import early_stop_epoch
    >>> early_stop_epoch([{1: 5, 2: 1, 3: 1}, {1: 2, 2: 3, 3: 2}, {1: 1, 2: 4, 3: 9}])
    2

    Reference:
        Dai et al., FBNetV3, CVPR 2021 (arXiv 2006.02049), algorithm 1.
    """
    last = max((epoch for history in histories for epoch in history), default=None)
    histories = [history for history in histories if last in history]
    if len(histories) < FEWEST_TRIALS:
        return None
    epochs = sorted(set.intersection(*map(set, histories)))
    final = np.array([history[last] for history in histories])
    found = last
    for epoch in reversed(epochs[:-1]):
        if not spearman([history[epoch] for history in histories], final) >= correlation:
            break
        found = epoch
    return found
