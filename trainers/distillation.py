"""Distillation: a student learns a teacher's answers, with labels or without."""

import keras
import tensorflow as tf

from keras_resnets.losses import soft_cross_entropy
from trainers.distribution import MultiWorkerMixin
from trainers.replicas import global_mean, jit_without_replicas
from trainers.soft_labels.stored import StoredSoftLabels
from trainers.teachers import Teachers, classes_of, ends_in_probabilities, to_logits


class Distillation(MultiWorkerMixin, keras.Model):
    """Base of `Distiller` and `MEALV2`: the student in training, teachers that are only asked.

    A subclass has `objective(images, targets, weights)`, which returns a replica's part of the
    loss, the student's outputs and a dict of parts of the `figures`, which are logged. `targets`
    are labels, or what `StoredSoftLabels.dataset` gives.
    """

    def __init__(
        self, student, teachers, temperature=1.0, activation="softmax", figures=(), **kwargs
    ):
        super().__init__(**kwargs)
        if not temperature > 0:
            raise ValueError(f"`temperature` must be positive. Received: temperature={temperature}")
        if isinstance(teachers, StoredSoftLabels) and temperature != teachers.temperature:
            raise ValueError(
                f"`temperature` must be that of the stored soft labels, {teachers.temperature}. "
                f"Received: temperature={temperature}"
            )
        check_classes(teachers.classes, classes_of(student, "The student"))
        self.student = student
        self.teachers = teachers
        self.temperature = temperature
        self.activation = activation
        self.student_logits = not ends_in_probabilities(student)
        self.means = {name: keras.metrics.Mean(name) for name in figures}
        self.built = True

    def call(self, inputs, training=False):
        return self.student(inputs, training=training)

    def compile(self, optimizer="sgd", loss=None, metrics=None, jit_compile="auto", **kwargs):
        """Configure training; as `keras.Model.compile`.

        Args:
            optimizer: as in Keras.
            loss: what `evaluate` reports of `(labels, outputs)`; default: cross-entropy with
                integer labels, or binary cross-entropy for `activation="sigmoid"`.
            metrics: of `(labels, outputs)`, where there are labels.
            jit_compile: as in Keras; with several replicas it is switched off with a warning.
            **kwargs: as in Keras.
        """
        jit_compile = jit_without_replicas(self, jit_compile)
        super().compile(optimizer=optimizer, metrics=metrics, jit_compile=jit_compile, **kwargs)
        if loss is None:
            kind = keras.losses.SparseCategoricalCrossentropy
            if self.activation == "sigmoid":
                kind = keras.losses.BinaryCrossentropy
            loss = kind(from_logits=self.student_logits)
        self.loss = keras.losses.get(loss)
        with self.distribute_strategy.scope():
            self.optimizer.build(self.trainable_variables)

    def train_step(self, data):
        images, targets, weights = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            loss, outputs, figures = self.objective(images, targets, weights)
            scaled = self.optimizer.scale_loss(loss)
        self.apply_gradients(tape, scaled)
        return self.log(loss, figures, images, self.teachers.labels(targets), outputs, weights)

    def apply_gradients(self, tape, loss):
        """One step of the optimizer."""
        variables = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)

    def test_step(self, data):
        """The student alone, against labels; the teachers are not asked."""
        images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
        if labels is None:
            raise ValueError("`evaluate` needs labels: give `(x, y)`.")
        outputs = self.student(images, training=False)
        loss = self.loss(labels, outputs, weights)
        logs = self.log(loss, {}, images, labels, outputs, weights)
        return {name: value for name, value in logs.items() if name not in self.means}

    def log(self, loss, figures, images, labels, outputs, weights):
        """The loss and the figures are parts of means over the global batch."""
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        self._loss_tracker.update_state(loss * replicas)
        for name, part in figures.items():
            self.means[name].update_state(part * replicas)
        if labels is None:
            return self.get_metrics_result()
        return super().compute_metrics(images, labels, outputs, weights)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """What Keras asks before a first step on replicas, with the targets as they come."""
        labels = self.teachers.labels(y)
        if labels is None:
            return self.get_metrics_result()
        return super().compute_metrics(x, labels, y_pred, sample_weight)

    def ask(self, images, soft_labels, student):
        """The teachers' probabilities and logits, as the student's logits; soft labels are both."""
        if soft_labels is not None:
            return soft_labels, soft_labels
        said = self.teachers(images, self.temperature)
        check_classes(said[0].shape[-1], student.shape[-1])
        return tuple(tf.reshape(rows, tf.shape(student)) for rows in said)

    def get_metrics_result(self):
        """As Keras', but for metrics of labels that have not come yet."""
        results = {}
        for metric in self.metrics:
            if metric is not self._compile_metrics:
                results[metric.name] = metric.result()
            elif metric.built:
                results |= metric.result()
        return results

    def logits_of(self, outputs):
        """The student's logits in float32, one row a prediction."""
        outputs = tf.cast(outputs, tf.float32)
        if not self.student_logits:
            outputs = to_logits(outputs, self.activation)
        return tf.reshape(outputs, (-1, outputs.shape[-1]))

    def cross_entropy(self, targets, logits, temperature=1.0):
        """One value a row: against the softmax's probabilities, or the mean over sigmoids."""
        if self.activation == "softmax":
            return soft_cross_entropy(targets, logits, temperature)
        losses = tf.nn.sigmoid_cross_entropy_with_logits(targets, logits / temperature)
        return tf.reduce_mean(losses, -1)

    def save(self, filepath, **kwargs):
        """Save the student, as `keras.Model.save`: it is what training was for."""
        self.student.save(filepath, **kwargs)

    def get_config(self):
        raise NotImplementedError(
            f"`{type(self).__name__}` is made of its student and its teachers: save "
            "`trainer.student`, and the training's state by `trainers.Resume` or `save_weights`."
        )


def check_classes(teacher, student):
    if teacher not in (None, student):
        raise ValueError(
            f"Teacher and student must have the same classes. Received: {teacher} and {student}"
        )


def as_teachers(teachers, inputs, weights, ensemble, activation, from_logits):
    """`Teachers`, or the `StoredSoftLabels` that are given in their place."""
    if not isinstance(teachers, StoredSoftLabels):
        return Teachers(teachers, inputs, weights, ensemble, activation, from_logits)
    for name, value, only in (
        ("teacher_input", inputs, None),
        ("teacher_weights", weights, None),
        ("ensemble", ensemble, "mean_probabilities"),
        ("activation", activation, "softmax"),
        ("from_logits", from_logits, "auto"),
    ):
        if value != only:
            raise ValueError(
                f"`{name}` is for teachers that are asked: with `StoredSoftLabels` it must be "
                f"{only!r}. Received: {name}={value!r}"
            )
    return teachers


def row_weights(weights, logits):
    """The sample weights, one a row of logits."""
    count = tf.shape(logits)[0]
    if weights is None:
        return tf.ones((count,))
    weights = tf.reshape(tf.cast(weights, tf.float32), (-1,))
    return tf.repeat(weights, count // tf.shape(weights)[0])


@keras.saving.register_keras_serializable("keras_resnets")
class Distiller(Distillation):
    """Trains a student on a teacher's softened answers, and on labels where there are any.

    `loss = alpha * mean over all images of -sum_k P_k log S_k + (1 - alpha) * mean over labelled
    images of the cross-entropy`, with `P = softmax(teacher / temperature)` and
    `S = softmax(student / temperature)`. `fit` takes images, `(x, y)` or `(x, y, sample_weight)`;
    labels are integers, -1 where unknown (rows of zeros and ones, NaN where unknown, for
    `activation="sigmoid"`). Teacher and student see the same images; the teacher is in inference
    mode, has no gradient, and is not saved. What is kept is `trainer.student`.

    Args:
        student: `keras.Model`, in logits or probabilities.
        teacher: what `Teachers` takes: a model, a function, a SavedModel's path, a list of them;
            or a `trainers.soft_labels.StoredSoftLabels`, on whose `dataset` it is then trained.
        temperature: positive float; below 1 sharpens: SimCLRv2 distils itself at 0.1.
        alpha: share of the teacher, 0 to 1.
        scale_by_temperature_squared: whether the teacher's term is multiplied by temperature^2.
        activation: `"softmax"` or `"sigmoid"`.
        teacher_input, teacher_weights, ensemble, from_logits: as `inputs`, `weights`, `ensemble`
            and `from_logits` of `trainers.teachers.Teachers`.

    Raises:
        ValueError: an argument out of range; teacher and student of different classes.

    Example:

    >>> import keras, numpy as np
    >>> from trainers import Distiller
    >>> make = lambda: keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> trainer = Distiller(make(), make(), temperature=2.0)
    >>> trainer.compile("sgd")
    >>> history = trainer.fit(np.random.rand(8, 4), verbose=0)  # no labels
    >>> sorted(history.history)
    ['label_loss', 'loss', 'similarity_loss', 'teacher_agreement']

    Reference:
        Hinton et al., 2015 (arXiv 1503.02531); Chen et al., SimCLRv2, 2020 (arXiv 2006.10029),
        section 2, eq. 2 and 3.
    """

    def __init__(
        self,
        student,
        teacher,
        temperature=1.0,
        alpha=1.0,
        scale_by_temperature_squared=False,
        activation="softmax",
        teacher_input=None,
        teacher_weights=None,
        ensemble="mean_probabilities",
        from_logits="auto",
        **kwargs,
    ):
        if not 0 <= alpha <= 1:
            raise ValueError(f"`alpha` must be in [0, 1]. Received: alpha={alpha}")
        teachers = as_teachers(
            teacher, teacher_input, teacher_weights, ensemble, activation, from_logits
        )
        figures = ("similarity_loss", "label_loss", "teacher_agreement")
        super().__init__(student, teachers, temperature, activation, figures, **kwargs)
        self.alpha = alpha
        self.scale_by_temperature_squared = scale_by_temperature_squared

    def objective(self, images, targets, weights):
        soft_labels, labels = self.teachers.split(targets)
        outputs = self.student(images, training=True)
        logits = self.logits_of(outputs)
        targets, _ = self.ask(images, soft_labels, logits)
        each = self.cross_entropy(targets, logits, self.temperature)
        rows = row_weights(weights, logits)
        similarity = global_mean(each, rows)
        if self.scale_by_temperature_squared:
            similarity *= self.temperature**2
        label = self.label_part(labels, logits, rows)
        agreed = tf.argmax(targets, -1) == tf.argmax(logits, -1)
        figures = {
            "similarity_loss": similarity,
            "label_loss": label,
            "teacher_agreement": global_mean(tf.cast(agreed, tf.float32), rows),
        }
        return self.alpha * similarity + (1 - self.alpha) * label, outputs, figures

    def label_part(self, labels, logits, rows):
        """Cross-entropy of the labelled rows; 0 where there are none."""
        if labels is None or self.alpha == 1:
            return tf.zeros(())
        if self.activation == "sigmoid":
            labels = tf.cast(labels, tf.float32)
            known = tf.reduce_all(tf.math.is_finite(labels), -1)
            labels = tf.where(known[:, None], labels, 0)
            each = self.cross_entropy(labels, logits)
        else:
            labels = tf.cast(tf.reshape(labels, (-1,)), tf.int32)
            known = labels >= 0
            each = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(labels, 0), logits)
        return global_mean(each, tf.cast(known, tf.float32) * rows)
