import numpy as np

from tuners.early_stopping import early_stop_epoch

TRIALS, EPOCHS = 12, 10
FINAL = np.arange(TRIALS, dtype=float)


def histories(until):
    """Curves that are in disorder until an epoch, and in their final order from it on."""
    rng = np.random.default_rng(0)
    columns = [
        FINAL + 0.1 * epoch if epoch >= until else rng.permutation(FINAL)
        for epoch in range(1, EPOCHS + 1)
    ]
    return [dict(enumerate(row, start=1)) for row in np.stack(columns, axis=1)]


def test_from_where_on_the_order_stays():
    assert early_stop_epoch(histories(7)) == 7
    assert early_stop_epoch(histories(1)) == 1
    assert early_stop_epoch(histories(EPOCHS)) == EPOCHS


def test_an_early_agreement_that_is_lost_again_does_not_count():
    curves = histories(7)
    for value, curve in zip(FINAL, curves):
        curve[3] = value
    assert early_stop_epoch(curves) == 7


def test_the_threshold():
    swapped = [*FINAL[:-4], *FINAL[-4:][::-1]]  # Spearman's rho of 1 - 6 * 20 / (12 * 143)
    curves = [{1: a, 2: b} for a, b in zip(swapped, FINAL)]
    assert early_stop_epoch(curves, 0.93) == 1
    assert early_stop_epoch(curves, 0.94) == 2


def test_failed_trials_say_nothing():
    curves = histories(7)
    curves[0] = {1: 5.0}
    curves[1] = {}
    assert early_stop_epoch(curves) == 7
    assert early_stop_epoch(curves[:4]) is None
    assert early_stop_epoch([]) is None
