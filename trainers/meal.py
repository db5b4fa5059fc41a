"""MEAL V2: a trained student learns an ensemble's answers, and to be told from it."""

import keras
import tensorflow as tf

from keras_resnets.initializers import TORCH_LINEAR
from trainers.cut_mix import CutMix
from trainers.distillation import Distillation, as_teachers, row_weights
from trainers.replicas import global_mean
from trainers.soft_labels.stored import StoredSoftLabels

MODES = ("joint", "adversarial", "detached")
FIGURES = ("similarity_loss", "divergence", "teacher_agreement")
DISCRIMINATOR_FIGURES = ("discriminator_loss", "discriminator_accuracy")


def default_discriminator(classes, final_relu=True, widths=None):
    """MEAL V2's discriminator of logits: three dense layers, of a width falling eightfold.

    Args:
        classes: int, width of the input. Below 64 the inner widths are kept at 1 and more, and so
            narrow a network mostly learns nothing: give `widths`.
        final_relu: bool, whether ReLU follows the last layer too, as in the official code.
        widths: inner widths; default: an eighth and a 64th of `classes`.

    Returns:
        A `keras.Model` from logits to two scores: student, teacher.

    Example:

    >>> default_discriminator(1000).count_params()
    127047

    Reference:
        Shen and Savvides, MEAL V2, 2020 (arXiv 2009.08453), section 3; szq0214/MEAL-V2.
    """
    widths = (*(widths or (max(1, classes // 8), max(1, classes // 64))), 2)
    layers = [keras.Input((classes,), dtype="float32")]
    for i, width in enumerate(widths, 1):
        activation = "relu" if i < len(widths) or final_relu else None
        bound = (classes if i == 1 else widths[i - 2]) ** -0.5
        layers.append(
            keras.layers.Dense(
                width,
                activation,
                kernel_initializer=TORCH_LINEAR.clone(),
                bias_initializer=keras.initializers.RandomUniform(-bound, bound),
                dtype="float32",
                name=f"dense{i}",
            )
        )
    return keras.Sequential(layers, name="discriminator")


@keras.saving.register_keras_serializable("keras_resnets")
class MEALV2(Distillation):
    """Trains a trained student further on the averaged answers of frozen teachers, without labels.

    Each step adds the cross-entropy of the student against the ensemble's probabilities and the
    loss of a small discriminator that tells the student's logits from the ensemble's. In the
    official code, and so by default, the student is helped to be told apart: there is no minimax.
    `fit` takes images, `(x, y)` or `(x, y, sample_weight)`; labels reach the metrics only, unless
    `label_weight` is above 0. `evaluate` runs the student alone. Predictions may have further axes,
    such as segmentation maps: every position counts as an example. What is kept is
    `trainer.student`, which `save` saves; teachers are neither trained nor saved.

    Logged: `loss`, `similarity_loss` and `divergence` (the same less the ensemble's entropy: its
    least value is 0), `discriminator_loss` and `_accuracy` (0.5: chance), `teacher_agreement`.

    Args:
        student: `keras.Model`, in logits or probabilities.
        teachers: what `Teachers` takes: a model, a function, a SavedModel's path, a list of them;
            or a `trainers.soft_labels.StoredSoftLabels`, on whose `dataset` it is then trained. The
            discriminator then compares probabilities instead of logits.
        discriminator: `"default"`, None, or a `keras.Model` from logits to two scores.
        discriminator_weight: factor of its loss.
        discriminator_mode: `"joint"`, the official: its gradient reaches the student as it is;
            `"adversarial"`: reversed; `"detached"`: not at all.
        discriminator_optimizer: optimizer of its own; None: the student's.
        temperature: positive float, of teachers and student.
        label_loss: loss of `(labels, outputs)`; default: that of `compile`.
        label_weight: its factor.
        teacher_weights, ensemble, teacher_input, activation, from_logits: as `weights`, `ensemble`,
            `inputs`, `activation` and `from_logits` of `trainers.teachers.Teachers`.
        mix: function of the images, such as `trainers.CutMix()`; the teachers see what the student
            sees. With stored soft labels, or a label loss, it must be a `CutMix`: both images'
            labels then count by their shares.

    Raises:
        ValueError: an argument out of range; teacher and student of different classes.

    Example:

    >>> import keras, numpy as np
    >>> from trainers import MEALV2
    >>> make = lambda: keras.Sequential([keras.Input((4,)), keras.layers.Dense(64)])
    >>> trainer = MEALV2(make(), [make(), make()])
    >>> trainer.compile(keras.optimizers.SGD(0.01, momentum=0.9))
    >>> history = trainer.fit(np.random.rand(8, 4), verbose=0)  # no labels
    >>> "discriminator_accuracy" in history.history
    True

    Reference:
        Shen and Savvides, MEAL V2: Boosting Vanilla ResNet-50 to 80%+ Top-1 Accuracy on ImageNet
        without Tricks, 2020 (arXiv 2009.08453), section 3.
    """

    def __init__(
        self,
        student,
        teachers,
        discriminator="default",
        discriminator_weight=1.0,
        discriminator_mode="joint",
        discriminator_optimizer=None,
        temperature=1.0,
        label_loss=None,
        label_weight=0.0,
        teacher_weights=None,
        ensemble="mean_probabilities",
        mix=None,
        teacher_input=None,
        activation="softmax",
        from_logits="auto",
        **kwargs,
    ):
        if discriminator_mode not in MODES:
            raise ValueError(
                f"`discriminator_mode` must be one of {MODES}. "
                f"Received: discriminator_mode={discriminator_mode!r}"
            )
        for name, value in (
            ("discriminator_weight", discriminator_weight),
            ("label_weight", label_weight),
        ):
            if not value >= 0:
                raise ValueError(f"`{name}` must be >= 0. Received: {name}={value}")
        teachers = as_teachers(
            teachers, teacher_input, teacher_weights, ensemble, activation, from_logits
        )
        figures = FIGURES if discriminator is None else FIGURES + DISCRIMINATOR_FIGURES
        super().__init__(student, teachers, temperature, activation, figures, **kwargs)
        if discriminator == "default":
            discriminator = default_discriminator(student.output_shape[-1])
        self.discriminator = discriminator
        self.discriminator_weight = discriminator_weight
        self.discriminator_mode = discriminator_mode
        self.discriminator_optimizer = discriminator_optimizer and keras.optimizers.get(
            discriminator_optimizer
        )
        self.label_loss = label_loss and keras.losses.get(label_loss)
        self.label_weight = label_weight
        self.mix = mix
        weighed = label_weight or isinstance(teachers, StoredSoftLabels)
        if weighed and not isinstance(mix, CutMix | None):
            raise ValueError(
                "`mix` must be a `CutMix` or None where labels or stored soft labels are weighed "
                f"by its shares. Received: mix={mix}"
            )

    def compile(self, *args, **kwargs):
        """As `Distiller.compile`."""
        super().compile(*args, **kwargs)
        if self.discriminator is not None and self.discriminator_optimizer is not None:
            with self.distribute_strategy.scope():
                self.discriminator_optimizer.build(self.discriminator.trainable_variables)

    def apply_gradients(self, tape, loss):
        if self.discriminator_optimizer is None or self.discriminator is None:
            return super().apply_gradients(tape, loss)
        groups = [self.student.trainable_variables, self.discriminator.trainable_variables]
        gradients = tape.gradient(loss, groups)
        self.optimizer.apply(gradients[0], groups[0])
        self.discriminator_optimizer.apply(gradients[1], groups[1])

    def objective(self, images, targets, weights):
        soft_labels, labels = self.teachers.split(targets)
        shares, pairs = [1.0], None
        if isinstance(self.mix, CutMix):
            images, pairs, share = self.mix.mix(images)
            shares = [share, 1 - share]
        elif self.mix is not None:
            images = self.mix(images)
        outputs = self.student(images, training=True)
        logits = self.logits_of(outputs)
        rows = row_weights(weights, logits)
        targets, teacher = self.ask(images, soft_labels, logits)
        student, teacher = logits, [(1.0, teacher)]
        if soft_labels is not None:
            student = tf.nn.softmax(logits / self.temperature)
            teacher = [*zip(shares, self.both(targets, pairs))]
            targets = tf.add_n([share * part for share, part in teacher])
        entropy = self.cross_entropy(targets, self.logarithm(targets))
        similarity = global_mean(self.cross_entropy(targets, logits, self.temperature), rows)
        agreed = tf.cast(tf.argmax(targets, -1) == tf.argmax(logits, -1), tf.float32)
        figures = {
            "similarity_loss": similarity,
            "divergence": similarity - global_mean(entropy, rows),
            "teacher_agreement": global_mean(agreed, rows),
        }
        loss = similarity
        if self.discriminator is not None:
            told, figures["discriminator_accuracy"] = self.discriminate(student, teacher, rows)
            figures["discriminator_loss"] = told
            loss += self.signed(told)
        if self.label_weight:
            if labels is None:
                raise ValueError("`label_weight` above 0 needs labels: give `(x, y)`.")
            label_loss = self.label_loss or self.loss
            for share, part in zip(shares, self.both(labels, pairs)):
                loss += self.label_weight * share * label_loss(part, outputs, weights)
        return loss, outputs, figures

    def both(self, values, pairs):
        """Values of the images, and of those that `CutMix` pasted into them, if it did."""
        return [values] if pairs is None else [values, tf.gather(values, pairs)]

    def logarithm(self, targets):
        """Logits whose probabilities are the targets."""
        logs = tf.math.log(tf.maximum(targets, 1e-30))
        if self.activation == "softmax":
            return logs
        return logs - tf.math.log(tf.maximum(1 - targets, 1e-30))

    def discriminate(self, student, teacher, rows):
        """The discriminator's loss and its accuracy over both halves.

        Args:
            student: what it sees of the student, a row a prediction.
            teacher: list of `(share, rows)`: the shares of the teacher's half.
            rows: weights of the predictions.
        """
        if self.discriminator_mode == "detached":
            student = tf.stop_gradient(student)
        elif self.discriminator_mode == "adversarial":
            student = reverse_gradient(student, self.discriminator_weight)
        shares, parts = zip(*teacher)
        scores = self.discriminator(tf.concat([student, *parts], 0), training=True)
        is_teacher = tf.repeat([0] + [1] * len(parts), tf.shape(student)[0])
        weights = tf.concat([rows, *(share * rows for share in shares)], 0)
        losses = tf.nn.sigmoid_cross_entropy_with_logits(tf.one_hot(is_teacher, 2), scores)
        right = tf.cast(tf.argmax(scores, -1, tf.int32) == is_teacher, tf.float32)
        return global_mean(tf.reduce_mean(losses, -1), weights), global_mean(right, weights)

    def signed(self, loss):
        """The discriminator's term; a reversed gradient carries its weight already."""
        reversed_already = self.discriminator_mode == "adversarial"
        return loss if reversed_already else self.discriminator_weight * loss


def reverse_gradient(x, weight=1.0):
    """The identity, whose gradient is turned round and weighted."""
    return (1 + weight) * tf.stop_gradient(x) - weight * x
