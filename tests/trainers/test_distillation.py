import keras
import numpy as np
import pytest
import tensorflow as tf

from trainers import Distiller
from trainers.teachers import Teachers

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 6)).astype("float32")
Y = np.arange(24) % 5


def network(seed=0, activation=None, classes=5):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Dense(classes, activation),
        ]
    )


def log_softmax(z):
    z = z.astype("float64")
    return z - z.max(-1, keepdims=True) - np.log(
        np.exp(z - z.max(-1, keepdims=True)).sum(-1, keepdims=True)
    )  # fmt: skip


def objective(trainer, x=X, y=None, weights=None):
    trainer.compile("sgd")
    loss, _, figures = trainer.objective(tf.constant(x), y, weights)
    return float(loss), {name: float(v) for name, v in figures.items()}


@pytest.mark.parametrize("temperature", (0.1, 1.0, 4.0))
def test_by_hand(temperature):
    student, teacher = network(0), network(1)
    labels = np.where(np.arange(24) % 3, Y, -1)
    s = log_softmax(np.array(student(X, training=True)) / temperature)
    t = log_softmax(np.array(teacher(X)) / temperature)
    similarity = -np.mean(np.sum(np.exp(t) * s, 1))
    plain = log_softmax(np.array(student(X, training=True)))
    label = -np.mean(plain[np.arange(24), Y][labels >= 0])
    trainer = Distiller(student, teacher, temperature, alpha=0.7)
    loss, figures = objective(trainer, y=labels)
    assert figures["similarity_loss"] == pytest.approx(similarity, rel=1e-4)
    assert figures["label_loss"] == pytest.approx(label, rel=1e-4)
    assert loss == pytest.approx(0.7 * similarity + 0.3 * label, rel=1e-4)
    squared = Distiller(student, teacher, temperature, scale_by_temperature_squared=True)
    assert objective(squared)[0] == pytest.approx(similarity * temperature**2, rel=1e-4)


def test_a_student_that_is_its_teacher_has_nothing_to_learn():
    student, teacher = network(0), network(0)
    student.trainable = True
    for layer in student.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False  # inference mode
    trainer = Distiller(student, teacher, 0.5)
    trainer.compile("sgd")
    with tf.GradientTape() as tape:
        loss, _, figures = trainer.objective(X, None, None)
    for gradient in tape.gradient(loss, student.trainable_variables):
        np.testing.assert_allclose(gradient, np.zeros(gradient.shape), atol=1e-6)
    assert float(figures["teacher_agreement"]) == 1


def test_no_label_known():
    loss, figures = objective(Distiller(network(), network(1), alpha=0.5), y=np.full(24, -1))
    assert np.isfinite(loss) and figures["label_loss"] == 0


def test_probabilities_are_as_good_as_logits():
    for student, teacher in ((None, "softmax"), ("softmax", None), ("softmax", "softmax")):
        mixed = Distiller(network(0, student), network(1, teacher), 2.0)
        plain = Distiller(network(0), network(1), 2.0)
        assert objective(mixed)[0] == pytest.approx(objective(plain)[0], rel=1e-4)


def test_sample_weights():
    weights = (np.arange(24) < 9).astype("float32")
    trainer = Distiller(network(), network(1))
    student = keras.models.clone_model(trainer.student)
    student.set_weights(trainer.student.get_weights())
    s = log_softmax(np.array(student(X, training=True)))[:9]
    t = log_softmax(np.array(network(1)(X)))[:9]
    expected = -np.mean(np.sum(np.exp(t) * s, 1))
    assert objective(trainer, weights=weights)[0] == pytest.approx(expected, rel=1e-4)


def test_independent_labels():
    student, teacher = network(0, "sigmoid"), network(1, "sigmoid")
    labels = (RNG.random((24, 5)) < 0.5).astype("float32")
    labels[::4] = np.nan
    s, t = (np.array(m(X, training=m is student), "float64") for m in (student, teacher))
    bce = lambda y, p: -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p), 1)  # noqa: E731
    trainer = Distiller(student, teacher, alpha=0.5, activation="sigmoid")
    _, figures = objective(trainer, y=labels)
    known = np.arange(24) % 4 > 0
    assert figures["similarity_loss"] == pytest.approx(np.mean(bce(t, s)), rel=1e-3)
    assert figures["label_loss"] == pytest.approx(np.mean(bce(labels, s)[known]), rel=1e-3)


def test_fit_with_and_without_labels_and_evaluate(tmp_path):
    trainer = Distiller(network(0), network(1), alpha=0.5)
    trainer.compile(keras.optimizers.Adam(0.01))
    teacher = trainer.teachers.models[0].get_weights()
    one = trainer.fit(X, epochs=20, verbose=0).history
    assert one["similarity_loss"][-1] < one["similarity_loss"][0]
    trainer.compile(keras.optimizers.Adam(0.01), metrics=["accuracy"])
    two = trainer.fit(X, Y, epochs=2, verbose=0, validation_data=(X, Y)).history
    assert {"accuracy", "val_accuracy", "val_loss"} < set(two)
    assert trainer.evaluate(X, Y, verbose=0, return_dict=True).keys() == {"loss", "accuracy"}
    for old, new in zip(teacher, trainer.teachers.models[0].get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    ours = {id(v) for v in trainer.variables}
    assert not ours & {id(v) for v in trainer.teachers.models[0].variables}
    trainer.save(tmp_path / "student.keras")
    again = keras.models.load_model(tmp_path / "student.keras")
    np.testing.assert_array_equal(again.predict(X, verbose=0), trainer.predict(X, verbose=0))


@pytest.mark.parametrize("jit", (True, False))
def test_graph_and_xla(jit):
    history = []
    for compiled in (jit, False):
        trainer = Distiller(network(0), network(1), 0.1, alpha=0.5)
        trainer.compile(keras.optimizers.SGD(0.05), jit_compile=compiled)
        history.append(trainer.fit(X, Y, epochs=3, shuffle=False, verbose=0).history["loss"])
    np.testing.assert_allclose(*history, rtol=1e-4)


def test_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    trainer = Distiller(network(0), network(1), 0.1)
    trainer.compile("adam")
    assert np.all(np.isfinite(trainer.fit(X * 10, epochs=3, verbose=0).history["loss"]))


def test_ensembles():
    """The mean of probabilities is not the probability of the mean."""
    a, b = np.array([[4.0, 0, 0]], "float32"), np.array([[0, 1.0, 0]], "float32")
    functions = [lambda x: tf.constant(a), lambda x: tf.constant(b)]
    soft = lambda z: np.exp(log_softmax(z))  # noqa: E731
    p, z = Teachers(functions)(X)
    np.testing.assert_allclose(p, (soft(a) + soft(b)) / 2, rtol=1e-5)
    np.testing.assert_allclose(z, (a + b) / 2)
    q, _ = Teachers(functions, ensemble="mean_logits")(X)
    np.testing.assert_allclose(q, soft((a + b) / 2), rtol=1e-5)
    assert np.abs(p - q).max() > 0.05
    w, _ = Teachers(functions, weights=[3, 1])(X)
    np.testing.assert_allclose(w, 0.75 * soft(a) + 0.25 * soft(b), rtol=1e-5)
    either = {float(Teachers(functions, ensemble="random_teacher")(X)[0][0, 0]) for _ in range(30)}
    np.testing.assert_allclose(sorted(either), [soft(b)[0, 0], soft(a)[0, 0]], rtol=1e-5)


def test_a_saved_model_teaches_and_inputs_differ(tmp_path):
    teacher = network(1)
    teacher.export(tmp_path / "teacher", verbose=False)
    p, _ = Teachers([str(tmp_path / "teacher"), teacher], inputs=[None, lambda x: 2 * x])(X)
    soft = lambda x: np.exp(log_softmax(np.array(teacher(x))))  # noqa: E731
    np.testing.assert_allclose(p, (soft(X) + soft(2 * X)) / 2, rtol=1e-4)


def test_bad_input():
    for options, match in (
        (dict(temperature=0), "`temperature` must be positive"),
        (dict(alpha=1.5), r"`alpha` must be in \[0, 1\]"),
        (dict(teacher=[]), "at least one"),
        (dict(teacher=network(1, classes=4)), "same classes. Received: 4 and 5"),
        (dict(teacher=[network(1), network(2, classes=4)]), r"same classes. Received: \[4, 5\]"),
        (dict(teacher_weights=[0.0]), "positive sum"),
        (dict(teacher_weights=[1.0, 1.0]), "1 numbers"),
        (dict(ensemble="vote"), "`ensemble` must be one of"),
        (dict(activation="tanh"), "`activation` must be one of"),
    ):
        with pytest.raises(ValueError, match=match):
            Distiller(**{"student": network(), "teacher": network(1), **options})
    trainer = Distiller(network(), network(1))
    with pytest.raises(ValueError, match="compile"):
        trainer.fit(X, verbose=0)
    trainer.compile()
    with pytest.raises(ValueError, match="`evaluate` needs labels"):
        trainer.evaluate(X, verbose=0)
    with pytest.raises(NotImplementedError, match="student"):
        trainer.get_config()
