"""Training a chosen part of a network: only BatchNorm, only the output, a few random weights."""

import keras
import tensorflow as tf

from trainers.distribution import MultiWorkerMixin
from trainers.random_mask import RandomMask
from trainers.replicas import share_of_global_batch, update_loss
from trainers.rules import apply_rule
from trainers.weight_decay import SCOPES, add_decay, decay_rates


@keras.saving.register_keras_serializable("keras_resnets")
class PartialTrainer(MultiWorkerMixin, keras.Model):
    """Trains the part of a network that a rule chooses, and keeps the rule when it is saved.

    It is compiled, fitted, evaluated and called as the network itself would be. Only the gradients
    of what is trained are computed; everything else stays as it is to the bit, moving statistics
    excepted, which are always updated. What is kept after training is `trainer.model`.

    Under `tf.distribute` the loss is that of the global batch, also where replicas hold unequal
    parts. Use `batch(drop_remainder=True)` where a replica might get no image at all and
    normalisation is synchronised: TensorFlow 2.21 with oneDNN gives a convolution of no image a
    wrong shape, and the replicas then fail to agree.

    Args:
        model: built `keras.Model`.
        trainable: rule as for `train_only`; a function must be registered with
            `keras.saving.register_keras_serializable` if the trainer is to be saved.
        random_mask: `RandomMask` of this model, or a dict of its arguments, such as
            `{"per_channel": 2, "seed": 0}`: these entries are trained besides what `trainable`
            chooses; of a kernel that both choose only they are.
        weight_decay: float, L2 rate of what is trained (`gradient += rate * w`); the optimizer's
            own must be unset beside it.
        scope: `"all"` decays every variable that is trained, `"kernels"` leaves out biases and the
            scale, offset and slope of normalisations.

    Raises:
        ValueError: neither `trainable` nor `random_mask`, or a rule that chooses nothing.

    Example:

    >>> model = keras.Sequential([
    ...     keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization(),
    ...     keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)])
    >>> trainer = PartialTrainer(model, "batch_norm", weight_decay=1e-4)
    >>> trainer.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> history = trainer.fit(np.random.rand(6, 8, 8, 3), np.arange(6) % 2, verbose=0)
    >>> trainer.report.trainable, round(trainer.report.share, 3)
    (8, 0.062)

    Reference:
        [Frankle et al., Training BatchNorm and Only BatchNorm, 2021](https://arxiv.org/abs/2003.00152).
    """

    def __init__(
        self, model, trainable=None, random_mask=None, weight_decay=0.0, scope="all", **kwargs
    ):
        super().__init__(**kwargs)
        if trainable is None and random_mask is None:
            raise ValueError(
                "`trainable` or `random_mask` must say what is trained. Received: neither"
            )
        if weight_decay < 0:
            raise ValueError(
                f"`weight_decay` must not be negative. Received: weight_decay={weight_decay}"
            )
        if scope not in SCOPES:
            raise ValueError(f"`scope` must be one of {SCOPES}. Received: scope={scope!r}")
        if isinstance(random_mask, dict):
            random_mask = RandomMask(model, **random_mask)
        self.model = model
        self.rule = trainable
        self.random_mask = random_mask
        self.weight_decay = weight_decay
        self.scope = scope
        self.built = True
        self.report = self._choose()

    def _choose(self):
        rules = [rule for rule in (self.rule, self.random_mask) if rule is not None]
        return apply_rule(self.model, rules)

    def call(self, inputs, training=None):
        return self.model(inputs, training=training)

    def compile(self, optimizer="sgd", loss=None, **kwargs):
        """Configure training; as `keras.Model.compile`. The rule is applied anew.

        Args:
            optimizer: as in Keras. Its own `weight_decay` must be unset where the trainer decays
                or a random mask is trained: it would move the entries that are not.
            loss, **kwargs: as in Keras.
        """
        optimizer = keras.optimizers.get(optimizer)
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        if inner.weight_decay and (self.weight_decay or self.random_mask):
            raise ValueError(
                "`optimizer` must have no `weight_decay` beside the trainer's or a random mask: "
                "give it to `PartialTrainer`. Received: "
                f"optimizer.weight_decay={inner.weight_decay}"
            )
        self.report = self._choose()
        super().compile(optimizer=optimizer, loss=loss, **kwargs)
        with self.distribute_strategy.scope():  # now, or the first trace would have to make it
            self.optimizer.build(self.trainable_variables)

    def train_step(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            predictions = self(x, training=True)
            rows = tf.shape(keras.tree.flatten(predictions)[0])[0]
            loss = self.compute_loss(x, y, predictions, sample_weight, training=True)
            scaled_loss = self.optimizer.scale_loss(loss * share_of_global_batch(rows))
        variables = self.trainable_variables
        gradients = add_decay(
            self.optimizer,
            tape.gradient(scaled_loss, variables),
            variables,
            decay_rates(variables, self.weight_decay, self.scope),
        )
        if self.random_mask is not None:
            gradients = [
                self.random_mask.keep(g, v) if g is not None and self.random_mask(v) else g
                for g, v in zip(gradients, variables)
            ]
        self.optimizer.apply(gradients, variables)
        update_loss(self, loss, rows)
        return self.compute_metrics(x, y, predictions, sample_weight)

    def get_config(self):
        return {
            **super().get_config(),
            "model": keras.saving.serialize_keras_object(self.model),
            "trainable": keras.saving.serialize_keras_object(self.rule),
            "random_mask": self.random_mask and self.random_mask.get_config(),
            "weight_decay": self.weight_decay,
            "scope": self.scope,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for part in ("model", "trainable", "random_mask"):
            config[part] = keras.saving.deserialize_keras_object(config[part], custom_objects)
        return cls(**config)

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
