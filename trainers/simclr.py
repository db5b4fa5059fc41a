"""SimCLR and SimCLRv2: two views of an image find each other among all others."""

import keras
import tensorflow as tf

from keras_resnets.collectives import cross_replica_concat
from keras_resnets.layers import ProjectionHead
from keras_resnets.losses import NTXent
from keras_resnets.vectors import unit
from keras_resnets.weights import from_simclr_checkpoint
from trainers.queue import EmbeddingQueue
from trainers.replicas import assign_everywhere, synchronize_batch_norm
from trainers.self_supervised import SelfSupervised, view_major


@keras.saving.register_keras_serializable("keras_resnets")
class SimCLR(SelfSupervised):
    """Trains a backbone by contrasting two views of every image.

    `fit` takes views (B, 2, H, W, channels) in about [0, 1], such as
    `keras_resnets.preprocessing.image.simclr_views` makes, or `(views, labels)`; labels, -1 where
    unknown, reach the probe only. Under `tf.distribute` the negatives are those of the global
    batch, and every replica must have as many images: `batch(drop_remainder=True)`.
    `predict` and calling the trainer return the backbone's features. What is kept after training
    is `trainer.backbone`, or `trainer.finetune_model(classes)`.

    Logged beside the loss: `contrastive_top1` and `_top5` (whether a view's partner is the
    nearest, among the other views of the global batch), `entropy` of that choice, the mean cosine
    of positives and negatives, `deviation` of the unit embeddings (0: collapsed;
    1 / sqrt(D): healthy).

    Args:
        backbone: `keras.Model` from images to pooled features (B, C).
        projection_head: `keras_resnets.layers.ProjectionHead`; None: SimCLRv2's, of three layers.
        memory_size: rows of the memory, a multiple of twice the global batch; its keys come from a
            moving average of the network. 0: no memory, the paper's basic form.
        momentum: of that average, in [0, 1).
        probe: number of classes of a linear classifier that looks on, a layer, or None.
        synchronized_bn: whether batch statistics are those of all replicas.

    Raises:
        ValueError: an argument out of range, a backbone without pooling, views that are not two.

    Example:

    >>> import keras, numpy as np
    >>> from trainers import SimCLR
    >>> backbone = keras.Sequential([
    ...     keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3),
    ...     keras.layers.GlobalAveragePooling2D()])
    >>> trainer = SimCLR(backbone)
    >>> trainer.compile("sgd")
    >>> history = trainer.fit(np.random.rand(8, 2, 8, 8, 3), batch_size=4, verbose=0)
    >>> trainer.predict(np.random.rand(4, 8, 8, 3), verbose=0).shape
    (4, 4)

    Reference:
        Chen et al., SimCLR, 2020 (arXiv 2002.05709), algorithm 1; SimCLRv2, 2020
        (arXiv 2006.10029), section 2.
    """

    finetune_layer = 1
    figures = (
        "contrastive_top1",
        "contrastive_top5",
        "entropy",
        "positive_cosine",
        "negative_cosine",
        "deviation",
    )

    def __init__(
        self,
        backbone,
        projection_head=None,
        memory_size=0,
        momentum=0.999,
        probe=None,
        synchronized_bn=True,
        **kwargs,
    ):
        super().__init__(backbone, probe, **kwargs)
        if not 0 <= momentum < 1:
            raise ValueError(f"`momentum` must be in [0, 1). Received: momentum={momentum}")
        if memory_size < 0:
            raise ValueError(f"`memory_size` must be >= 0. Received: memory_size={memory_size}")
        if projection_head is None:
            projection_head = ProjectionHead(synchronized=synchronized_bn, name="projection_head")
        self.projection_head = projection_head
        self.memory_size = memory_size
        self.momentum = momentum
        self.synchronized_bn = synchronized_bn
        if not projection_head.built:
            projection_head.build(backbone.output_shape)
        if synchronized_bn:
            synchronize_batch_norm(self)
        if memory_size:
            self._build_memory()
        self.built = True

    def _build_memory(self):
        self.key_backbone = keras.models.clone_model(self.backbone)
        self.key_head = type(self.projection_head).from_config(self.projection_head.get_config())
        self.key_head.build(self.backbone.output_shape)
        self._copy_to_keys()
        queries = self.backbone.trainable_variables + self.projection_head.trainable_variables
        keys = self.key_backbone.trainable_variables + self.key_head.trainable_variables
        self.averaged = list(zip(queries, keys, strict=True))
        # frozen variables, not frozen layers: these would use their moving statistics
        for _, key in self.averaged:
            key.trainable = False
        width = self.projection_head.compute_output_shape(self.backbone.output_shape)[-1]
        self.queue = EmbeddingQueue(self.memory_size, width, name="queue")

    def _copy_to_keys(self):
        self.key_backbone.set_weights(self.backbone.get_weights())
        self.key_head.set_weights(self.projection_head.get_weights())

    def load_pretrained(self, source, strict=True):
        """Load a checkpoint of google-research/simclr: the backbone and the projection head.

        The momentum encoder, where there is a memory, starts from the same weights.

        Args:
            source, strict: as in `keras_resnets.weights.from_simclr_checkpoint`.

        Returns:
            A `Report`, as that gives it.

        Raises:
            FileNotFoundError, ValueError: as that does; no weight has changed.
        """
        parts = [self.backbone, self.projection_head]
        report = from_simclr_checkpoint(parts, source, strict)
        if self.memory_size:
            self._copy_to_keys()
        return report

    def default_loss(self):
        return NTXent()

    def before_step(self):
        if self.memory_size:
            m = self.momentum
            assign_everywhere(
                [key for _, key in self.averaged],
                [m * tf.convert_to_tensor(k) + (1 - m) * tf.convert_to_tensor(q)
                 for q, k in self.averaged],
            )  # fmt: skip

    def objective(self, views, training):
        if len(views) != 1 or views[0].shape[1] != 2:
            raise ValueError(
                "`SimCLR` takes two views of one size, of shape (batch, 2, height, width, "
                f"channels). Received: {[tuple(v.shape) for v in views]}"
            )
        images = view_major(views[0])
        features = self.backbone(images, training=training)
        a, b = tf.split(self.projection_head(features, training=training), 2)
        memory, keys = {}, None
        if self.memory_size:
            keys = self.key_head(self.key_backbone(images, training=training), training=training)
            keys = tf.split(unit(tf.cast(tf.stop_gradient(keys), tf.float32)), 2)
            memory = {
                "keys": keys,
                "queue": tf.convert_to_tensor(self.queue.rows),
                "queue_weights": self.queue.weight_of_rows(),
            }
        loss = self.loss(a, b, **memory)
        return loss, features, self.contrastive_figures(a, b), keys

    def after_step(self, state):
        if self.memory_size:
            rows = tf.concat([cross_replica_concat(key) for key in state], 0)
            if self.memory_size % (rows.shape[0] or 1):
                raise ValueError(
                    "`memory_size` must be a multiple of twice the global batch. "
                    f"Received: memory_size={self.memory_size}, batch={rows.shape[0] // 2}"
                )
            self.queue.push(rows)

    def contrastive_figures(self, a, b):
        """How well views find their partners, and how far embeddings have collapsed."""
        a, b = (unit(tf.cast(tf.stop_gradient(x), tf.float32)) for x in (a, b))
        others = cross_replica_concat(b)
        cosines = tf.matmul(a, others, transpose_b=True)
        positive = tf.reduce_sum(a * b, 1)
        better = tf.reduce_sum(tf.cast(cosines > positive[:, None], tf.float32), 1)
        temperature = getattr(self.loss, "temperature", 1.0)
        logs = tf.nn.log_softmax(cosines / temperature)
        negatives = tf.cast(tf.maximum(tf.shape(others)[0] - 1, 1), tf.float32)
        return {
            "contrastive_top1": tf.reduce_mean(tf.cast(better < 1, tf.float32)),
            "contrastive_top5": tf.reduce_mean(tf.cast(better < 5, tf.float32)),
            "entropy": tf.reduce_mean(-tf.reduce_sum(tf.exp(logs) * logs, 1)),
            "positive_cosine": tf.reduce_mean(positive),
            "negative_cosine": tf.reduce_mean((tf.reduce_sum(cosines, 1) - positive) / negatives),
            "deviation": tf.reduce_mean(tf.math.reduce_std(tf.concat([a, b], 0), 0)),
        }

    def get_config(self):
        return {
            **super().get_config(),
            "projection_head": keras.saving.serialize_keras_object(self.projection_head),
            "memory_size": self.memory_size,
            "momentum": self.momentum,
            "synchronized_bn": self.synchronized_bn,
        }
