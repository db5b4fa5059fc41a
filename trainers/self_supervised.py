"""What trainers without labels share: a backbone, a probe that looks on, the step around a loss."""

import warnings

import keras
import tensorflow as tf

from trainers.distribution import MultiWorkerMixin
from trainers.finetune import finetune_model
from trainers.replicas import global_mean, jit_without_replicas


class SelfSupervised(MultiWorkerMixin, keras.Model):
    """Base of `SimCLR` and `SwAV`.

    A subclass has `objective(views, training)`, which returns the loss, the features the probe
    reads (view-major rows) and figures to log; and may have `before_step` and `after_step`.

    Args:
        backbone: `keras.Model` from images to pooled features (B, C).
        probe: number of classes of a dense layer that learns from the labels on features whose
            gradient is stopped, a layer to be it, or None.
    """

    figures = ()
    finetune_layer = 0  # the projection head's state that labels are best learned from

    def __init__(self, backbone, probe=None, **kwargs):
        super().__init__(**kwargs)
        if len(backbone.output_shape) != 2:
            raise ValueError(
                '`backbone` must end in pooled features: `include_top=False, pooling="avg"`. '
                f"Received: output of shape {backbone.output_shape}"
            )
        self.backbone = backbone
        if isinstance(probe, int):
            probe = keras.layers.Dense(
                probe, kernel_initializer="zeros", dtype="float32", name="probe"
            )
        self.probe = probe
        self.means = {name: keras.metrics.Mean(name) for name in ("loss", *self.figures)}
        self.probe_metrics = []
        self.probe_optimizer = None
        if probe is not None:
            if not probe.built:
                probe.build(backbone.output_shape)
            self.means["probe_loss"] = keras.metrics.Mean("probe_loss")
        self.scale_checked = False

    def call(self, inputs, training=False):
        """Features (B, C) of images (B, H, W, channels)."""
        return self.backbone(inputs, training=training)

    def finetune_model(self, classes, from_layer=None, freeze_after=-1, name="finetuned"):
        """A classifier on the backbone and the first layers of the projection head.

        The backbone is shared with the trainer, the head's layers are copied.

        Args:
            classes: number of classes; the new layer starts at zero and returns logits.
            from_layer: hidden state of the head to classify; 0: the backbone's features. Default:
                for `SimCLR` 1, the best for few labels (0 is for many); for `SwAV` 0.
            freeze_after: -1: all is trained; 0: the stem is frozen; 1 to 3: also the stages up to
                this one; 4: the whole backbone and the head's layers. What is frozen uses moving
                statistics.
            name: of the model.

        Returns:
            A functional `keras.Model` from images to logits.

        Raises:
            ValueError: `from_layer` or `freeze_after` out of range.

        Reference:
            Chen et al., SimCLRv2, 2020 (arXiv 2006.10029), section 2: "fine-tune from a middle
            layer of the projection head".
        """
        if from_layer is None:
            from_layer = self.finetune_layer
        return finetune_model(
            self.backbone, self.projection_head, classes, from_layer, freeze_after, name
        )

    def compile(
        self,
        optimizer="sgd",
        loss=None,
        probe_optimizer=None,
        probe_metrics=None,
        jit_compile="auto",
        **kwargs,
    ):
        """Configure training; as `keras.Model.compile`.

        Args:
            optimizer: as in Keras; it also trains the probe if that has none of its own.
            loss: the contrastive loss; default: the paper's.
            probe_optimizer: optimizer of the probe alone.
            probe_metrics: metrics of `(labels, logits)`; default: accuracy.
            jit_compile: as in Keras; with several replicas it is switched off with a warning.
            **kwargs: as in Keras.
        """
        jit_compile = jit_without_replicas(self, jit_compile)
        super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)
        # Not Keras' business: under a strategy it would try this loss on the views themselves.
        self.loss = self.default_loss() if loss is None else loss
        if self.probe is not None:
            if probe_metrics is None:
                probe_metrics = [keras.metrics.SparseCategoricalAccuracy("probe_accuracy")]
            self.probe_metrics = list(probe_metrics)
            self.probe_optimizer = probe_optimizer and keras.optimizers.get(probe_optimizer)
        elif probe_optimizer is not None or probe_metrics is not None:
            raise ValueError("`probe_optimizer` and `probe_metrics` need a trainer with a `probe`.")
        self.build_optimizers()

    def get_compile_config(self):
        config = super().get_compile_config()
        for name in ("loss", "probe_optimizer", "probe_metrics"):
            if value := getattr(self, name):
                config[name] = keras.saving.serialize_keras_object(value)
        return config

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))

    def build_optimizers(self):
        """At once, as steps look at the optimizer's variables."""
        with self.distribute_strategy.scope():
            ours, probes = self.own_variables()
            self.optimizer.build(ours)
            if self.probe_optimizer is not None:
                self.probe_optimizer.build(probes)

    @property
    def metrics(self):
        return [*self.means.values(), *self.probe_metrics]

    def own_variables(self):
        """What the optimizer trains, and what the probe's own does."""
        if self.probe_optimizer is None:
            return self.trainable_variables, []
        probes = {id(v) for v in self.probe.trainable_variables}
        return [v for v in self.trainable_variables if id(v) not in probes], list(
            self.probe.trainable_variables
        )

    def before_step(self):
        """What happens before the forward pass of a training step."""

    def after_step(self, state):
        """What happens after the variables' update; `state` is the objective's fourth result."""

    def train_step(self, data):
        views, labels = self.unpack(data)
        self.before_step()
        with tf.GradientTape(persistent=self.probe_optimizer is not None) as tape:
            loss, features, figures, state = self.objective(views, training=True)
            probe_loss = self.probe_loss(features, labels)
            total = loss if probe_loss is None or self.probe_optimizer else loss + probe_loss
            total = self.optimizer.scale_loss(total)
        ours, probes = self.own_variables()
        self.optimizer.apply(tape.gradient(total, ours), ours)
        if probes and probe_loss is not None:
            self.probe_optimizer.apply(tape.gradient(probe_loss, probes), probes)
        self.after_step(state)
        return self.log(loss, probe_loss, figures)

    def test_step(self, data):
        views, labels = self.unpack(data)
        loss, features, figures, _ = self.objective(views, training=False)
        probe_loss = self.probe_loss(features, labels)
        return self.log(loss, probe_loss, figures)

    def probe_loss(self, features, labels):
        """Cross-entropy of the rows with a label >= 0; None without labels."""
        if self.probe is None or labels is None:
            return None
        labels = tf.cast(tf.reshape(labels, (-1,)), tf.int32)
        copies = features.shape[0] // labels.shape[0] if features.shape[0] else None
        if copies is None:
            copies = tf.shape(features)[0] // tf.shape(labels)[0]
        labels = tf.tile(labels, [copies])
        logits = tf.cast(self.probe(tf.stop_gradient(features)), tf.float32)
        known = tf.cast(labels >= 0, tf.float32)
        safe = tf.maximum(labels, 0)
        for metric in self.probe_metrics:
            metric.update_state(safe, logits, sample_weight=known)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(safe, logits)
        return global_mean(losses, known)

    def log(self, loss, probe_loss, figures):
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        self.means["loss"].update_state(loss * replicas)
        if probe_loss is not None:
            self.means["probe_loss"].update_state(probe_loss * replicas)
        for name, value in figures.items():
            self.means[name].update_state(value)
        return {metric.name: metric.result() for metric in self.metrics}

    def unpack(self, data):
        """Views as a list of groups (B, views, H, W, channels), and labels or None."""
        parts = data if isinstance(data, tuple | list) else [data]
        parts = [part for part in parts if part is not None]  # as `train_on_batch` has them
        labels = None
        if len(parts) > 1 and not _is_group(parts[-1]):
            *parts, labels = parts
        groups = [g for part in parts for g in (part if isinstance(part, tuple | list) else [part])]
        wrong = [tuple(g.shape) for g in groups if not _is_group(g)]
        if wrong:
            raise ValueError(
                f"`{type(self).__name__}` takes views of shape (batch, views, height, width, "
                f"channels), perhaps of several sizes, and perhaps labels. Received: {wrong}"
            )
        if len({g.shape[0] for g in groups}) > 1:
            raise ValueError(
                "All views must be of the same images. "
                f"Received: {[tuple(g.shape) for g in groups]}"
            )
        self.check_scale(groups[0])
        return groups, labels

    def check_scale(self, images):
        """Warn once of images in 0 to 255: integers, or, where values are to be seen, large."""
        if self.scale_checked:
            return
        found = None
        if not images.dtype.is_floating:
            found = f"are {images.dtype.name}"
        elif tf.executing_eagerly() and float(tf.reduce_max(images)) > 2:
            found = f"reach {float(tf.reduce_max(images)):g}"
        self.scale_checked = tf.executing_eagerly() or found is not None
        if found:
            warnings.warn(
                f"Views are expected in about [0, 1] or standardised; these {found}.",
                stacklevel=2,
            )

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "backbone": serialize(self.backbone),
            "probe": serialize(self.probe),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for part in ("backbone", "probe", "projection_head"):
            if part in config:
                config[part] = keras.saving.deserialize_keras_object(config[part], custom_objects)
        return cls(**config)


def _is_group(x):
    return len(getattr(x, "shape", ())) == 5


def view_major(group):
    """(B, V, H, W, C) to (V * B, H, W, C): all images of the first view, then of the second."""
    shape = tf.shape(group)
    static = group.shape
    x = tf.transpose(group, (1, 0, 2, 3, 4))
    rows = static[0] * static[1] if static[0] and static[1] else shape[0] * shape[1]
    return tf.reshape(x, [rows, *[static[i] or shape[i] for i in (2, 3, 4)]])
