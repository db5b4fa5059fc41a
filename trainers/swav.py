"""SwAV: views of an image predict one another's cluster assignments."""

import warnings

import keras
import tensorflow as tf

from keras_resnets.collectives import cross_replica_concat, replica_count, replica_index
from keras_resnets.initializers import TORCH_LINEAR
from keras_resnets.layers import ProjectionHead, Prototypes
from keras_resnets.losses import SwAVLoss
from keras_resnets.vectors import unit
from keras_resnets.weights import from_torch
from trainers.queue import EmbeddingQueue, whole_batches
from trainers.replicas import assign_everywhere, synchronize_batch_norm
from trainers.self_supervised import SelfSupervised, view_major


@keras.saving.register_keras_serializable("keras_resnets")
class SwAV(SelfSupervised):
    """Trains a backbone by swapped prediction of prototype assignments.

    `fit` takes multi-crop views: one group (B, crops, H, W, channels) for each size, the large one
    first, such as `(large, small)`, perhaps with labels: `((large, small), labels)`; labels, -1
    where unknown, reach the probe only.
    The codes balance the global batch, also over replicas. `predict` and calling the trainer
    return the backbone's features; `trainer.backbone` is what is kept.

    Logged beside the loss: `code_entropy`, the entropy of the mean code (log K: balanced),
    `used_prototypes`, how many are the nearest of some image, `deviation` of the unit embeddings
    (0: collapsed; 1 / sqrt(D): healthy) and, with a queue, `queue_used`, the share of the steps in
    which it took part: where that rises the loss may jump.

    Args:
        backbone: `keras.Model` from images to pooled features (B, C).
        projection_dim: width of the embeddings.
        hidden_dim: hidden width of the projection head; 0: a linear head.
        num_prototypes: number of prototypes, K.
        crops_for_assign: which crops, counted over all groups, give the codes: the large ones.
        queue_length: embeddings of earlier batches that take part in the assignment, for each
            assigned crop; rounded down to a multiple of the global batch. 0: none.
        queue_start_step: step from which the queue is filled; it is used once it is full.
        freeze_prototypes_steps: steps at the start in which the prototypes stay as they are.
        probe: number of classes of a linear classifier that looks on, a layer, or None.
        synchronized_bn: whether batch statistics are those of all replicas.

    Raises:
        ValueError: an argument out of range, a backbone without pooling, a queue shorter than the
            global batch, fewer than two crops.

    Example:

    >>> import keras, numpy as np
    >>> from trainers import SwAV
    >>> backbone = keras.Sequential([
    ...     keras.Input((None, None, 3)), keras.layers.Conv2D(4, 3),
    ...     keras.layers.GlobalAveragePooling2D()])
    >>> trainer = SwAV(backbone, projection_dim=8, hidden_dim=16, num_prototypes=10)
    >>> trainer.compile("sgd")
    >>> large, small = np.random.rand(8, 2, 8, 8, 3), np.random.rand(8, 3, 4, 4, 3)
    >>> labels = np.full(8, -1)
    >>> history = trainer.fit((large, small), labels, batch_size=4, verbose=0)
    >>> trainer.predict(np.random.rand(4, 8, 8, 3), verbose=0).shape
    (4, 4)

    Reference:
        Caron et al., SwAV, NeurIPS 2020 (arXiv 2006.09882), section 3 and appendix A.
    """

    figures = ("code_entropy", "used_prototypes", "deviation")

    def __init__(
        self,
        backbone,
        projection_dim=128,
        hidden_dim=2048,
        num_prototypes=3000,
        crops_for_assign=(0, 1),
        queue_length=0,
        queue_start_step=0,
        freeze_prototypes_steps=0,
        probe=None,
        synchronized_bn=True,
        **kwargs,
    ):
        super().__init__(backbone, probe, **kwargs)
        for name, value in (
            ("queue_length", queue_length),
            ("queue_start_step", queue_start_step),
            ("freeze_prototypes_steps", freeze_prototypes_steps),
        ):
            if value < 0:
                raise ValueError(f"`{name}` must be >= 0. Received: {name}={value}")
        self.projection_dim = projection_dim
        self.hidden_dim = hidden_dim
        self.num_prototypes = num_prototypes
        self.crops_for_assign = tuple(crops_for_assign)
        self.queue_length = queue_length
        self.queue_start_step = queue_start_step
        self.freeze_prototypes_steps = freeze_prototypes_steps
        self.synchronized_bn = synchronized_bn
        self.projection_head = ProjectionHead(
            projection_dim,
            2 if hidden_dim else 1,
            hidden_dim or None,
            use_bias=True,
            output_norm=False,
            kernel_initializer=TORCH_LINEAR,
            name="projection_head",
        )
        self.prototypes = Prototypes(num_prototypes, name="prototypes")
        self.projection_head.build(backbone.output_shape)
        self.prototypes.build((None, projection_dim))
        self.queues = [
            EmbeddingQueue(queue_length, projection_dim, name=f"queue{i}")
            for i in range(len(self.crops_for_assign) if queue_length else 0)
        ]
        if queue_length:
            self.means["queue_used"] = keras.metrics.Mean("queue_used")
        if synchronized_bn:
            synchronize_batch_norm(self)
        self.built = True

    def load_pretrained(self, source, strict=True):
        """Load a checkpoint of facebookresearch/swav: backbone, projection head and prototypes.

        Args:
            source, strict: as in `keras_resnets.weights.from_torch`.

        Returns:
            A `Report`, as that gives it.

        Raises:
            FileNotFoundError, ValueError: as that does; no weight has changed.
        """
        return from_torch([self.backbone, self.projection_head, self.prototypes], source, strict)

    def default_loss(self):
        return SwAVLoss(crops_for_assign=self.crops_for_assign)

    def compile(self, *args, **kwargs):
        """Configure training; as `SimCLR.compile`."""
        super().compile(*args, **kwargs)
        assigned = getattr(self.loss, "crops_for_assign", None)
        if assigned != self.crops_for_assign:
            raise ValueError(
                "`loss` must be a `SwAVLoss` with the trainer's crops_for_assign="
                f"{self.crops_for_assign}. Received: crops_for_assign={assigned}"
            )

    def before_step(self):
        assign_everywhere([self.prototypes.kernel], [self.prototypes.unit_kernel()])
        if self.freeze_prototypes_steps:
            self.held = [tf.convert_to_tensor(v) for v in self.prototype_variables()]

    def prototype_variables(self):
        """The prototypes, and what the optimizer keeps for them."""
        kernel = self.prototypes.kernel
        prefix = kernel.path.replace("/", "_")
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        slots = [v for v in optimizer.variables if v.name.startswith(prefix)]
        return [kernel, *slots]

    def objective(self, views, training):
        crops = sum(group.shape[1] for group in views)
        if crops < 2:
            raise ValueError(f"`SwAV` takes at least two crops of an image. Received: {crops}")
        features = [self.backbone(view_major(group), training=training) for group in views]
        features = tf.concat(features, 0)
        embeddings = self.projection_head(features, training=training)
        embeddings = unit(tf.cast(embeddings, tf.float32))
        scores = tf.split(self.prototypes(embeddings, training=training), crops)
        rows = views[0].shape[0]
        length = whole_batches(self.queue_length, rows) if self.queues else 0
        self.check_partition(rows, length)
        queue = self.queue_scores(length)
        loss = self.loss(scores, **queue)
        parts = tf.split(tf.stop_gradient(embeddings), crops)
        assigned = [parts[i] for i in self.crops_for_assign]
        figures = self.figures_of(scores, parts)
        if queue:
            figures["queue_used"] = tf.reduce_max(queue["queue_weights"])
        return loss, features, figures, assigned

    def check_partition(self, rows, length):
        """Warn where there are fewer embeddings to assign than prototypes."""
        samples = (rows or 0) * replica_count() + length
        if rows and samples < self.num_prototypes:
            warnings.warn(
                f"The global batch and the queue hold {samples} embeddings, fewer than the "
                f"{self.num_prototypes} prototypes, which cannot all be used alike: take fewer "
                "prototypes or a longer `queue_length`.",
                stacklevel=2,
            )

    def queue_scores(self, length):
        """Scores of this replica's part of the queues; they count once the queues are full."""
        if not self.queues:
            return {}
        length //= replica_count()
        weight = tf.cast(self.queues[0].filled >= length * replica_count(), tf.float32)
        parts = [
            tf.convert_to_tensor(queue.rows)[replica_index() * length :][:length]
            for queue in self.queues
        ]
        scores = [tf.stop_gradient(self.prototypes(part, training=True)) for part in parts]
        return {"queue": scores, "queue_weights": tf.fill([length], weight)}

    def after_step(self, state):
        steps = tf.cast(self.optimizer.iterations, tf.int64) - 1  # the one just taken
        if self.freeze_prototypes_steps:
            frozen = steps < self.freeze_prototypes_steps
            variables = self.prototype_variables()
            values = [tf.convert_to_tensor(v) for v in variables]
            kept = [tf.where(frozen, old, new) for old, new in zip(self.held, values, strict=True)]
            assign_everywhere(variables, kept)
        if self.queues:
            rows = [cross_replica_concat(part) for part in state]
            start = steps >= self.queue_start_step
            for queue, part in zip(self.queues, rows, strict=True):
                queue.push(part, start)

    def figures_of(self, scores, parts):
        codes = self.loss.codes(scores[self.crops_for_assign[0]])
        mean = tf.reduce_mean(cross_replica_concat(codes), 0)
        nearest = tf.argmax(cross_replica_concat(scores[0]), 1)
        used = tf.reduce_max(tf.one_hot(nearest, self.num_prototypes), 0)
        return {
            "code_entropy": -tf.reduce_sum(mean * tf.math.log(tf.maximum(mean, 1e-30))),
            "used_prototypes": tf.reduce_sum(used),
            "deviation": tf.reduce_mean(tf.math.reduce_std(parts[0], 0)),
        }

    def get_config(self):
        return {
            **super().get_config(),
            "projection_dim": self.projection_dim,
            "hidden_dim": self.hidden_dim,
            "num_prototypes": self.num_prototypes,
            "crops_for_assign": self.crops_for_assign,
            "queue_length": self.queue_length,
            "queue_start_step": self.queue_start_step,
            "freeze_prototypes_steps": self.freeze_prototypes_steps,
            "synchronized_bn": self.synchronized_bn,
        }
