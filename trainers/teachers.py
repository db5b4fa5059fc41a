"""Frozen networks that a student learns from, and what they say together."""

import keras
import tensorflow as tf

ENSEMBLES = ("mean_probabilities", "mean_logits", "random_teacher")
ACTIVATIONS = {"softmax": tf.nn.softmax, "sigmoid": tf.nn.sigmoid}
SMALLEST = 1e-12


class Teachers:
    """One or several teachers, always in inference mode and without gradient.

    Not a Keras object on purpose: a trainer that holds it neither trains, counts nor saves the
    teachers.

    Args:
        teachers: a `keras.Model`, a function of the images, the path of a SavedModel (its
            `serving_default`), or a list of them.
        inputs: function of the images, or one for each teacher (None: as they are), such as a
            resize or another normalisation.
        weights: weight of each teacher in the ensemble; default: equal.
        ensemble: `"mean_probabilities"`, `"mean_logits"`, or `"random_teacher"`: one a batch.
        activation: `"softmax"`, or `"sigmoid"` for independent labels.
        from_logits: whether the teachers return logits; `"auto"` reads it from the last layer of
            a `keras.Model`, and takes others to return logits.

    Raises:
        ValueError: no teacher, weights that do not sum to a positive number, an unknown name,
            teachers of different classes.
    """

    def __init__(
        self,
        teachers,
        inputs=None,
        weights=None,
        ensemble="mean_probabilities",
        activation="softmax",
        from_logits="auto",
    ):
        teachers = list(teachers) if isinstance(teachers, list | tuple) else [teachers]
        if not teachers:
            raise ValueError("`teachers` must be at least one. Received: an empty list")
        for name, value, allowed in (
            ("ensemble", ensemble, ENSEMBLES),
            ("activation", activation, (*ACTIVATIONS,)),
            ("from_logits", from_logits, (True, False, "auto")),
        ):
            if value not in allowed:
                raise ValueError(f"`{name}` must be one of {allowed}. Received: {name}={value!r}")
        weights = [1.0] * len(teachers) if weights is None else [float(w) for w in weights]
        if len(weights) != len(teachers) or min(weights) < 0 or not sum(weights) > 0:
            raise ValueError(
                f"`teacher_weights` must be {len(teachers)} numbers >= 0 with a positive sum. "
                f"Received: {weights}"
            )
        if not isinstance(inputs, list | tuple):
            inputs = [inputs] * len(teachers)
        self.models = teachers
        self.functions = [_function(teacher) for teacher in teachers]
        self.inputs = [each or (lambda x: x) for each in inputs]
        self.weights = [w / sum(weights) for w in weights]
        self.ensemble = ensemble
        self.activation = activation
        self.from_logits = [
            not ends_in_probabilities(t) if from_logits == "auto" else from_logits for t in teachers
        ]
        classes = {classes_of(t, "A teacher") for t in teachers if isinstance(t, keras.Model)}
        if len(classes) > 1:
            raise ValueError(f"Teachers must have the same classes. Received: {sorted(classes)}")
        self.classes = classes.pop() if classes else None

    def split(self, targets):
        """Soft labels, of which there are none, and labels: `StoredSoftLabels` has both."""
        return None, targets

    def labels(self, targets):
        """The labels in a batch's targets, or None."""
        return targets

    def __call__(self, images, temperature=1.0):
        """Probabilities of the ensemble at a temperature, and its mean logits, in float32."""
        if self.ensemble == "random_teacher":
            drawn = tf.random.categorical(tf.math.log([self.weights]), 1)[0, 0]
            branches = [lambda i=i: self.logits(i, images) for i in range(len(self.models))]
            logits = tf.switch_case(tf.cast(drawn, tf.int32), branches)
            return self.probabilities(logits, temperature), logits
        every = [self.logits(i, images) for i in range(len(self.models))]
        mean = tf.add_n([w * z for w, z in zip(self.weights, every)])
        if self.ensemble == "mean_logits":
            return self.probabilities(mean, temperature), mean
        every = [self.probabilities(z, temperature) for z in every]
        return tf.add_n([w * p for w, p in zip(self.weights, every)]), mean

    def logits(self, i, images):
        outputs = tf.cast(self.functions[i](self.inputs[i](images)), tf.float32)
        if not self.from_logits[i]:
            outputs = to_logits(outputs, self.activation)
        return tf.stop_gradient(outputs)

    def probabilities(self, logits, temperature):
        return ACTIVATIONS[self.activation](logits / temperature)


def _function(teacher):
    if isinstance(teacher, keras.Model):
        return lambda x: teacher(x, training=False)
    if callable(teacher):
        return teacher
    signature = tf.saved_model.load(str(teacher)).signatures["serving_default"]
    return lambda x: next(iter(signature(tf.convert_to_tensor(x)).values()))


def classes_of(model, name):
    """The last axis of a model's one output (batch, ..., classes)."""
    shape = model.output_shape
    if not isinstance(shape, tuple) or len(shape) < 2 or isinstance(shape[-1], tuple):
        raise ValueError(f"{name} must have one output (batch, ..., classes). Received: {shape}")
    return shape[-1]


def ends_in_probabilities(model):
    """Whether a `keras.Model`'s last layer applies softmax or sigmoid."""
    if not isinstance(model, keras.Model):
        return False
    last = model.layers[-1]
    activation = getattr(last, "activation", None)
    if isinstance(last, keras.Model):
        return ends_in_probabilities(last)
    return isinstance(last, keras.layers.Softmax) or activation in (
        keras.activations.softmax,
        keras.activations.sigmoid,
    )


def to_logits(probabilities, activation="softmax"):
    """Logits with these probabilities: for a softmax any shift of them would do."""
    logs = tf.math.log(tf.maximum(probabilities, SMALLEST))
    if activation == "softmax":
        return logs
    return logs - tf.math.log(tf.maximum(1 - probabilities, SMALLEST))
