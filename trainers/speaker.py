"""Training of speaker embeddings: an encoder, a margin head, two weight decays."""

import keras
import tensorflow as tf

from keras_resnets.layers import CepstralMeanNormalization, FrameMask, front_end
from trainers.distribution import MultiWorkerMixin
from trainers.recipes import ECAPA_LARGE_MARGIN
from trainers.replicas import (
    jit_without_replicas,
    share_of_global_batch,
    synchronize_batch_norm,
    update_loss,
)
from trainers.speech_data import augment_by_place, split_lengths
from trainers.weight_decay import SCOPES, apply_gradients, decay_rates


@keras.saving.register_keras_serializable("keras_resnets")
class SpeakerTrainer(MultiWorkerMixin, keras.Model):
    """Trains an embedding network as a speaker classifier with a margin head.

    `fit` takes `(x, label)`, `((x, lengths), label)` or `({"inputs": x, "lengths": n}, label)`,
    each with an optional sample weight; labels are integers, shape `(B,)`. The loss defaults to
    softmax cross-entropy of the head's logits, the metrics to accuracy. Training uses the margin
    and the augmentation; metrics are always measured on plain cosines. `evaluate` uses neither
    margin nor augmentation. `predict` and calling the trainer return embeddings. What is kept
    after training is `trainer.encoder`.

    The loss is averaged over the global batch, also where replicas hold unequal parts of it; as
    reported it does not contain the weight decay.

    Args:
        encoder: `keras.Model`, called as `encoder(x)` or `encoder([x, lengths])`, returns `(B, D)`.
        head: `keras_resnets.layers.AdditiveAngularMargin` or one like it: a layer with `classes`,
            `cosines(embedding)` and `logits(cosines, labels=None)`.
        frontend: `None`: the data is what the encoder takes. Else, for an encoder of features,
            what `keras_resnets.ecapa_tdnn(frontend=...)` takes: a name such as `"kaldi_fbank"`
            or a layer; cepstral mean normalisation follows it.
        augment: layer applied to the encoder's input in training only; or a dict of layers:
            `"waveform"` acts before the frontend, `"features"` after it.
        weight_decay: float, rate of everything but the head.
        head_weight_decay: float, rate of the head.
        decoupled: bool. `False`: `gradient += rate * w` (L2). `True`:
            `w -= learning_rate * rate * w` after each update. The optimizer's own `weight_decay`
            must be unset.
        scope: `"all"` decays every trainable weight, `"kernels"` leaves out biases and
            normalisation.
        sync_batch_norm: bool, sets `synchronized=True` on every `BatchNormalization`, so that its
            statistics are those of the global batch under `tf.distribute`. Keras does this for
            data without lengths; masked statistics stay each replica's own.
        debug_labels: bool. Labels outside the classes raise `ValueError` in eager mode; in a graph
            the loss of these rows is NaN, or with `debug_labels=True` an
            `InvalidArgumentError` is raised (not under XLA, which drops assertions).

    Example:

    >>> import keras, numpy as np
    >>> import keras_resnets as kr
    >>> from trainers import SpeakerTrainer
    >>> encoder = keras.Sequential([
    ...     keras.Input((None, 8)), keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(4)])
    >>> trainer = SpeakerTrainer(encoder, kr.layers.AdditiveAngularMargin(3))
    >>> trainer.compile("adam")
    >>> x, label = np.random.rand(6, 20, 8), np.arange(6) % 3
    >>> history = trainer.fit(x, label, verbose=0)
    >>> trainer.predict(x, verbose=0).shape
    (6, 4)

    Reference:
        [Desplanques et al., ECAPA-TDNN, 2020](https://arxiv.org/abs/2005.07143), section 4.
    """

    def __init__(
        self,
        encoder,
        head,
        frontend=None,
        augment=None,
        weight_decay=2e-5,
        head_weight_decay=2e-4,
        decoupled=False,
        scope="all",
        sync_batch_norm=False,
        debug_labels=False,
        **kwargs,
    ):
        kwargs.setdefault("autocast", False)  # a waveform must reach its front end in float32
        super().__init__(**kwargs)
        if scope not in SCOPES:
            raise ValueError(f"`scope` must be one of {SCOPES}. Received: scope={scope!r}")
        if min(weight_decay, head_weight_decay) < 0:
            raise ValueError(
                "`weight_decay` and `head_weight_decay` must not be negative. Received: "
                f"weight_decay={weight_decay}, head_weight_decay={head_weight_decay}"
            )
        self.encoder = encoder
        self.head = head
        self.frontend = None if frontend is None else front_end(frontend)
        self.mean_normalization = None if frontend is None else CepstralMeanNormalization()
        augment = augment_by_place(augment, encoder, frontend)
        self.waveform_augment = augment["waveform"]
        self.feature_augment = augment["features"]
        self.weight_decay = weight_decay
        self.head_weight_decay = head_weight_decay
        self.decoupled = decoupled
        self.scope = scope
        self.sync_batch_norm = sync_batch_norm
        self.debug_labels = debug_labels
        if sync_batch_norm:
            synchronize_batch_norm(self)
        if encoder.built:
            if not head.built:
                head.build(encoder.output_shape)
            self.built = True

    def call(self, inputs, training=False):
        x, lengths = split_lengths(inputs)
        if training and self.waveform_augment is not None:
            x = self.waveform_augment(x, training=True)
        if self.frontend is not None:
            x, lengths = self._features(x, lengths)
        if training and self.feature_augment is not None:
            x = self.feature_augment(x, training=True)
        return self.encoder(x if lengths is None else [x, lengths], training=training)

    def _features(self, x, lengths):
        """Normalised features of a waveform, and their lengths in frames."""
        front = self.frontend
        x = front(x, lengths=lengths)
        if lengths is None:
            return self.mean_normalization(x), None
        mask = FrameMask(front.frame_length, front.hop_length, front.pad)(x, lengths)
        return self.mean_normalization(x, mask=mask), front.frame_lengths(lengths)

    def compile(self, optimizer="adam", loss=None, metrics=None, jit_compile="auto", **kwargs):
        """Configure training; as `keras.Model.compile`, with a loss and a metric by default.

        Args:
            optimizer: as in Keras. Its own `weight_decay` must be unset where the trainer decays.
            loss: loss of `(labels, logits)`, averaged over the global batch. Default:
                `SparseCategoricalCrossentropy(from_logits=True)`.
            metrics: list of metrics of `(labels, logits without margin)`. Default: `["accuracy"]`.
            jit_compile: as in Keras; with several replicas it is switched off with a warning.
            **kwargs: as in Keras.
        """
        optimizer = keras.optimizers.get(optimizer)
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        if inner.weight_decay and (self.weight_decay or self.head_weight_decay):
            raise ValueError(
                "`optimizer` must have no `weight_decay` of its own beside the trainer's "
                f"weight_decay={self.weight_decay}, head_weight_decay={self.head_weight_decay}. "
                f"Received: optimizer.weight_decay={inner.weight_decay}"
            )
        if self.distribute_strategy.num_replicas_in_sync > 1:
            if inner.gradient_accumulation_steps:
                raise ValueError(
                    "`optimizer` must not accumulate gradients with several replicas: Keras "
                    "cannot. Received: gradient_accumulation_steps="
                    f"{inner.gradient_accumulation_steps}"
                )
            jit_compile = jit_without_replicas(self, jit_compile)
        super().compile(
            optimizer=optimizer,
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            if loss is None
            else loss,
            metrics=["accuracy"] if metrics is None else metrics,
            jit_compile=jit_compile,
            **kwargs,
        )
        with self.distribute_strategy.scope():  # now, or its first step would be traced twice
            if self.built:
                self.optimizer.build(self.trainable_variables)
        self.compute_metrics(None, tf.zeros((1,), tf.int32), tf.zeros((1, self.head.classes)))
        self.reset_metrics()  # Keras makes the metrics' variables on first use; `Resume` fills them

    def large_margin_finetune(self, x, recipe=None, steps_per_epoch=None, **kwargs):
        """Fine-tune a trained network with a large margin on long crops.

        Sets what the recipe says (margin, inter-top-k, decay, optimizer) and calls `fit`.

        Args:
            x: data as for `fit`, of crops of `recipe.crop_samples`.
            recipe: `trainers.recipes.SpeakerRecipe`. Default: `ECAPA_LARGE_MARGIN`.
            steps_per_epoch: int; may be left out where `len(x)` is known.
            **kwargs: as `fit`. `epochs` defaults to the recipe's.

        Returns:
            The `History` of `fit`.

        Reference:
            [Thienpondt et al., The IDLab VoxSRC-20 submission, 2020](https://arxiv.org/abs/2010.11255),
            section 3.
        """
        recipe = ECAPA_LARGE_MARGIN if recipe is None else recipe
        steps = len(x) if steps_per_epoch is None else steps_per_epoch
        recipe.compile(self, steps)
        return self.fit(x, steps_per_epoch=steps_per_epoch, **{"epochs": recipe.epochs, **kwargs})

    def train_step(self, data):
        x, labels, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        labels, safe_labels, loss_weight = self._checked_labels(labels, sample_weight)
        with tf.GradientTape() as tape:
            embedding = self(x, training=True)
            cosines = self.head.cosines(embedding)
            logits = self.head.logits(cosines, safe_labels)
            loss = self.compute_loss(x, safe_labels, logits, loss_weight, training=True)
            scaled_loss = self.optimizer.scale_loss(
                loss * share_of_global_batch(tf.shape(labels)[0])
            )
        variables = self.trainable_variables
        apply_gradients(
            self.optimizer,
            tape.gradient(scaled_loss, variables),
            variables,
            decay_rates(
                variables, self.weight_decay, self.scope, [(self.head, self.head_weight_decay)]
            ),
            self.decoupled,
        )
        return self._logs(x, labels, self.head.logits(cosines), sample_weight, loss)

    def test_step(self, data):
        x, labels, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        labels, safe_labels, loss_weight = self._checked_labels(labels, sample_weight)
        logits = self.head(self(x, training=False))
        loss = self.compute_loss(x, safe_labels, logits, loss_weight, training=False)
        return self._logs(x, labels, logits, sample_weight, loss)

    def _checked_labels(self, labels, sample_weight):
        """Flat labels; labels all in range; sample weights, NaN where a label was not in range."""
        if labels is None:
            raise ValueError("`SpeakerTrainer` needs labels: give `(x, label)`.")
        labels = tf.convert_to_tensor(labels)
        if labels.shape.rank > 1 and labels.shape[-1] != 1:
            raise ValueError(
                f"Labels must be integers of shape (batch,). Received: shape={labels.shape}"
            )
        labels = tf.cast(tf.reshape(labels, (-1,)), tf.int32)
        classes = self.head.classes
        valid = (labels >= 0) & (labels < classes)
        message = f"Labels must be in [0, {classes})."
        if tf.executing_eagerly():
            if not tf.reduce_all(valid):
                raise ValueError(f"{message} Received: {labels.numpy()[~valid.numpy()][:5]}")
        elif self.debug_labels:
            tf.debugging.Assert(tf.reduce_all(valid), [message, labels], summarize=-1)
        weight = tf.ones_like(labels, tf.float32)
        if sample_weight is not None:
            weight *= tf.cast(tf.reshape(sample_weight, (-1,)), tf.float32)
        return labels, tf.where(valid, labels, 0), tf.where(valid, weight, float("nan"))

    def _logs(self, x, labels, logits, sample_weight, loss):
        update_loss(self, loss, tf.shape(labels)[0])
        return self.compute_metrics(x, labels, logits, sample_weight)

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "encoder": serialize(self.encoder),
            "head": serialize(self.head),
            "frontend": serialize(self.frontend),
            "augment": serialize(
                {"waveform": self.waveform_augment, "features": self.feature_augment}
            ),
            "weight_decay": self.weight_decay,
            "head_weight_decay": self.head_weight_decay,
            "decoupled": self.decoupled,
            "scope": self.scope,
            "sync_batch_norm": self.sync_batch_norm,
            "debug_labels": self.debug_labels,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for part in ("encoder", "head", "frontend", "augment"):
            config[part] = keras.saving.deserialize_keras_object(config[part], custom_objects)
        return cls(**config)

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
