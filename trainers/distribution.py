"""Training over several machines: what Keras lacks for `MultiWorkerMirroredStrategy`."""

import functools

import keras
import tensorflow as tf


class MultiWorkerMixin:
    """Base, before `keras.Model`, of models that also train over several workers.

    Keras 3.15 fails there twice: it builds a model from a batch that it reduces across workers, and
    it averages a step's scalar logs along an axis that they don't have. Under
    `tf.distribute.MultiWorkerMirroredStrategy` both are done otherwise; under any other strategy,
    and with a Keras that averages scalars, everything is Keras' own.

    Every worker runs the same script. Batches are those of all workers together: Keras gives each
    its share. All must have equally many, so use `batch(drop_remainder=True)` with `tf.data`.

    Raises:
        ValueError: in `compile`, under `ParameterServerStrategy`; in `fit` and `evaluate`, over
            several workers with `steps_per_execution` above 1.

    Example:

    ```python
    strategy = tf.distribute.MultiWorkerMirroredStrategy()  # reads TF_CONFIG, before all else
    with strategy.scope():
        trainer = trainers.SimCLR(kr.simclr_resnet50())
        trainer.compile("sgd")
    trainer.fit(data)
    ```
    """

    def compile(self, *args, **kwargs):
        refuse_parameter_servers(self.distribute_strategy)
        super().compile(*args, **kwargs)

    def make_train_function(self, force=False):
        _make_train_function(self, super().make_train_function, force)

    def make_test_function(self, force=False):
        _make_test_function(self, super().make_test_function, force)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        _symbolic_build(self, super()._maybe_symbolic_build, iterator, data_batch)


def enable_multi_worker(model):
    """Give a model what `MultiWorkerMixin` gives the project's own trainers.

    Args:
        model: any `keras.Model`, also functional and sequential ones.

    Returns:
        The same model.

    Raises:
        ValueError: a model made under `ParameterServerStrategy`.

    Example:

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> trainers.distribution.enable_multi_worker(model) is model
    True
    """
    refuse_parameter_servers(model.distribute_strategy)
    if isinstance(model, MultiWorkerMixin):
        return model
    for name, repaired in (
        ("make_train_function", _make_train_function),
        ("make_test_function", _make_test_function),
        ("_maybe_symbolic_build", _symbolic_build),
    ):
        setattr(model, name, functools.partial(repaired, model, getattr(model, name)))
    return model


def refuse_parameter_servers(strategy):
    """Raise a `ValueError` for the strategy that Keras 3 cannot train under."""
    if isinstance(strategy, tf.distribute.ParameterServerStrategy):
        raise ValueError(
            "The strategy must be one that Keras 3 trains under, such as "
            "`tf.distribute.MultiWorkerMirroredStrategy`. Received: ParameterServerStrategy"
        )


def is_multi_worker(strategy):
    """Whether a `tf.distribute.Strategy`, or None, spans several processes.

    Example:

    >>> import tensorflow as tf
    >>> trainers.distribution.is_multi_worker(tf.distribute.get_strategy())
    False
    """
    several = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
    return several and strategy.extended._in_multi_worker_mode()


def needs_repair(strategy):
    """Whether the strategy spans several workers and Keras cannot average scalars over them."""
    return is_multi_worker(strategy) and not _averages_scalars(strategy)


@functools.cache
def _averages_scalars(strategy):
    from keras.src.backend.tensorflow.trainer import reduce_per_replica

    try:  # the error is each worker's own: none waits for another
        reduce_per_replica(tf.constant(1.0), strategy, "auto")
    except (ValueError, tf.errors.InvalidArgumentError):
        return False
    return True


def _make_train_function(model, stock, force=False):
    if not needs_repair(model.distribute_strategy):
        stock(force)
    elif force or _is_of_others(model, model.train_function):
        model.train_function = _step_function(model, model.train_step)


def _make_test_function(model, stock, force=False):
    if not needs_repair(model.distribute_strategy):
        stock(force)
    elif force or _is_of_others(model, model.test_function):
        model.test_function = _step_function(model, model.test_step)


def _is_of_others(model, function):
    """Whether a step's function is missing, or was made for batches of other shapes."""
    return function is None or getattr(function, "shapes", None) != _worker_shapes(model)


def _worker_shapes(model):
    """Of the tensors of a worker's batch, where all batches are alike; `None` where not."""
    return getattr(model, "_worker_shapes", None)


def _step_function(model, step):
    """A function of the iterator that runs a step on every worker and averages its logs."""
    strategy = model.distribute_strategy
    if model.steps_per_execution != 1:
        raise ValueError(
            "`steps_per_execution` must be 1 with several workers. "
            f"Received: steps_per_execution={model.steps_per_execution}"
        )
    step, shapes = model._autoconvert_optionals(step), _worker_shapes(model)

    def shaped_step(batch):
        if shapes is not None:
            values = map(tf.ensure_shape, tf.nest.flatten(batch), shapes)
            batch = tf.nest.pack_sequence_as(batch, [*values])
        return step(batch)

    def one_step(batch):
        logs = strategy.run(shaped_step, args=(batch,))
        return keras.tree.map_structure(lambda log: strategy.reduce("MEAN", log, axis=None), logs)

    def next_step(iterator):
        # Within the graph, where batches of any length are one: if one worker had to trace anew
        # for a shorter batch, and another not, their collectives would no longer meet.
        return one_step(iterator.get_next())

    if not model.run_eagerly:  # without XLA, which cannot compile what crosses devices
        options = dict(reduce_retracing=True, autograph=False)
        one_step, next_step = (tf.function(f, **options) for f in (one_step, next_step))

    def function(iterator):
        if isinstance(iterator, tf.distribute.DistributedIterator):
            return next_step(iterator)
        return one_step(next(iterator))

    function.shapes = shapes
    return function


def _symbolic_build(model, stock, iterator=None, data_batch=None):
    strategy = model.distribute_strategy
    if iterator is None or not needs_repair(strategy):
        stock(iterator=iterator, data_batch=data_batch)
        return
    _, _, batches = next(iter(iterator))
    local = keras.tree.map_structure(
        lambda values: strategy.experimental_local_results(values)[0], next(batches)
    )
    model._worker_shapes = None
    source = tf.nest.flatten(iterator.data_adapter.get_tf_dataset().element_spec)
    if all(spec.shape.is_fully_defined() for spec in source):  # which distribution forgets
        model._worker_shapes = tuple(value.shape for value in tf.nest.flatten(local))
    with strategy.scope():
        model._symbolic_build(data_batch=local)
