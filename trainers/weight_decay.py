"""Weight decay with a rate of its own for every variable, around any Keras optimizer."""

import tensorflow as tf

SCOPES = ("all", "kernels")


def decay_rates(variables, rate, scope="all", special=()):
    """One decay rate for each variable.

    Args:
        variables: list of variables.
        rate: float, the rate of a variable that no group in `special` claims.
        scope: `"all"` decays every variable, `"kernels"` only those of rank 2 and more (no bias, no
            scale or offset of a normalisation).
        special: pairs `(layer, rate)`: the variables of `layer` take this rate.

    Returns:
        List of floats, aligned with `variables`.

    Example:

    >>> import keras
    >>> layer = keras.layers.Dense(2)
    >>> layer.build((None, 3))
    >>> decay_rates(layer.trainable_variables, 1e-4, scope="kernels")
    [0.0001, 0.0]
    """
    if scope not in SCOPES:
        raise ValueError(f"`scope` must be one of {SCOPES}. Received: scope={scope!r}")
    rates = {id(v): special_rate for layer, special_rate in special for v in layer.variables}
    return [
        rates.get(id(v), rate) if scope == "all" or len(v.shape) > 1 else 0.0 for v in variables
    ]


def add_decay(optimizer, gradients, variables, rates):
    """Gradients with the coupled term: `gradient + rate * variable`, scaled as the loss is.

    Args: as `apply_gradients`.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    return [
        g
        if g is None or rate == 0
        else g + tf.cast(optimizer.scale_loss(rate / replicas), v.dtype) * v
        for g, v, rate in zip(gradients, variables, rates, strict=True)
    ]


def apply_gradients(optimizer, gradients, variables, rates, decoupled=False):
    """Apply one optimizer step with weight decay; to be called in a replica context.

    Coupled (the default): the gradient of the loss becomes `gradient + rate * variable` before the
    optimizer sees it, which is L2 regularisation. Decoupled: after the optimizer's update,
    `variable -= learning_rate * rate * variable`.

    Either form is exact under loss scaling (the term is scaled like the loss, and a skipped step
    decays nothing), under gradient accumulation (one decay for one update) and under a
    `tf.distribute` strategy (replicas' gradients are summed, each brings its part).
    A variable without gradient is not decayed. Gradient clipping sees the coupled term.

    Args:
        optimizer: `keras.optimizers.Optimizer`, `LossScaleOptimizer` included.
        gradients: list of gradients of the scaled loss, `None` where there is none.
        variables: list of variables, the ones the optimizer is built for.
        rates: list of floats, aligned with `variables`.
        decoupled: bool.
    """
    if not decoupled:
        optimizer.apply(add_decay(optimizer, gradients, variables, rates), variables)
        return

    learning_rate = tf.convert_to_tensor(optimizer.learning_rate)
    updates_before = tf.convert_to_tensor(optimizer.iterations)
    optimizer.apply(gradients, variables)
    updates = tf.convert_to_tensor(optimizer.iterations) - updates_before  # 0 or 1
    shrink = tf.cast(updates, learning_rate.dtype) * learning_rate

    decayed = [
        (v.value, rate)
        for g, v, rate in zip(gradients, variables, rates, strict=True)
        if g is not None and rate != 0
    ]

    def shrink_one(value, rate, shrink):
        value.assign_sub(tf.cast(rate * shrink, value.dtype) * value)

    def shrink_all(strategy, shrink):
        for value, rate in decayed:
            strategy.extended.update(value, shrink_one, args=(rate, shrink), group=False)

    # As Keras' own optimizers do: variables are mirrored, so they are updated across replicas.
    tf.__internal__.distribute.interim.maybe_merge_call(
        shrink_all, tf.distribute.get_strategy(), shrink
    )
