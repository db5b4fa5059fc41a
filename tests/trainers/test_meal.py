import keras
import numpy as np
import pytest
import tensorflow as tf

from trainers import MEALV2, CutMix, Resume, default_discriminator
from trainers.teachers import Teachers

RNG = np.random.default_rng(0)
X = RNG.normal(size=(16, 6)).astype("float32")
Y = np.arange(16) % 5
CLASSES = 64


def linear(seed=0, classes=CLASSES):
    """A network that is its logits."""
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(classes)])


def several_outputs():
    x = keras.Input((6,))
    return keras.Model(x, [keras.layers.Dense(CLASSES)(x) for _ in range(2)])


def make(student=None, teachers=None, **options):
    trainer = MEALV2(student or linear(), teachers or [linear(1), linear(2)], **options)
    trainer.compile(keras.optimizers.SGD(0.05, momentum=0.9))
    return trainer


def official(s, teachers, discriminator):
    """Both losses by the algorithm of the released code, on logits."""
    p = np.mean([tf.nn.softmax(z) for z in teachers], 0)
    similarity = -np.mean(np.sum(p * np.array(tf.nn.log_softmax(s)), 1))
    x = np.concatenate([s, np.mean(teachers, 0)])
    for layer in discriminator.layers:
        x = np.maximum(x @ layer.kernel.numpy() + layer.bias.numpy(), 0)
    targets = np.repeat([[1.0, 0.0], [0.0, 1.0]], len(s), 0)
    losses = np.maximum(x, 0) - x * targets + np.log1p(np.exp(-np.abs(x)))
    return similarity, np.mean(losses)


def gradient(trainer, part=None):
    with tf.GradientTape() as tape:
        loss, _, figures = trainer.objective(tf.constant(X), None, None)
        target = loss if part is None else figures[part]
    return [np.array(g) for g in tape.gradient(target, trainer.student.trainable_variables)]


def test_losses_equal_the_released_algorithm():
    trainer = make()
    loss, _, figures = trainer.objective(tf.constant(X), None, None)
    logits = [np.array(m(X)) for m in (trainer.student, *trainer.teachers.models)]
    similarity, told = official(logits[0], logits[1:], trainer.discriminator)
    assert float(figures["similarity_loss"]) == pytest.approx(similarity, rel=1e-6)
    assert float(figures["discriminator_loss"]) == pytest.approx(told, rel=1e-6)
    assert float(loss) == pytest.approx(similarity + told, rel=1e-6)
    p = np.mean([tf.nn.softmax(z) for z in logits[1:]], 0)
    entropy = -np.mean(np.sum(p * np.log(p), 1))
    assert float(figures["divergence"]) == pytest.approx(similarity - entropy, rel=1e-4)


def test_gradient_of_the_discriminator_loss():
    """By the chain rule, layer by layer: what the student's logits get of the official loss."""
    trainer = make()
    s = tf.Variable(trainer.student(X))
    z = np.mean([np.array(t(X)) for t in trainer.teachers.models], 0)
    with tf.GradientTape() as tape:
        told, _ = trainer.discriminate(s, [(1.0, tf.constant(z))], tf.ones(len(X)))
    x, seen = np.concatenate([s.numpy(), z]).astype("float64"), []
    for layer in trainer.discriminator.layers:
        x = x @ layer.kernel.numpy() + layer.bias.numpy()
        seen.append(x > 0)
        x = np.maximum(x, 0)
    targets = np.repeat([[1.0, 0.0], [0.0, 1.0]], len(X), 0)
    back = (1 / (1 + np.exp(-x)) - targets) / targets.size
    for layer, on in zip(trainer.discriminator.layers[::-1], seen[::-1]):
        back = (back * on) @ layer.kernel.numpy().T
    assert np.abs(back).max() > 1e-5
    np.testing.assert_allclose(tape.gradient(told, s), back[: len(X)], atol=1e-6)


def test_gradient_of_the_similarity_loss():
    trainer = make(discriminator=None)
    (kernel, _), student = gradient(trainer), trainer.student
    s = np.array(tf.nn.softmax(student(X)))
    p = np.mean([tf.nn.softmax(t(X)) for t in trainer.teachers.models], 0)
    np.testing.assert_allclose(kernel, X.T @ (s - p) / 16, atol=1e-6)


@pytest.mark.parametrize("weight", (1.0, 0.3))
def test_which_gradients_reach_the_student(weight):
    similarity = gradient(make(discriminator=None))

    def told(mode):
        keras.utils.set_random_seed(5)
        discriminator = keras.Sequential(
            [
                keras.Input((CLASSES,)),
                keras.layers.Dense(8, "tanh"),
                keras.layers.Dense(2),
            ]
        )
        trainer = make(
            discriminator=discriminator, discriminator_mode=mode, discriminator_weight=weight
        )
        return trainer, gradient(trainer)

    joint, _ = told("joint")
    pull = gradient(joint, "discriminator_loss")
    assert max(np.abs(g).max() for g in pull) > 1e-5
    for sign, mode in ((1, "joint"), (0, "detached"), (-1, "adversarial")):
        for a, b, c in zip(told(mode)[1], similarity, pull, strict=True):
            np.testing.assert_allclose(a, b + sign * weight * c, atol=1e-6)


@pytest.mark.parametrize(
    "classes, widths", [(1000, (125, 15, 2)), (64, (8, 1, 2)), (10, (1, 1, 2))]
)
def test_default_discriminator(classes, widths):
    """An eighth and a 64th of the classes, which below 64 would be none: then one."""
    model = default_discriminator(classes)
    assert tuple(layer.units for layer in model.layers) == widths
    assert model.count_params() == sum(
        a * b + b for a, b in zip((classes, *widths), widths, strict=False)
    )
    assert all(layer.activation is keras.activations.relu for layer in model.layers)
    wider = default_discriminator(10, final_relu=False, widths=(32, 16))
    assert [layer.units for layer in wider.layers] == [32, 16, 2]
    assert [layer.activation.__name__ for layer in wider.layers] == ["relu", "relu", "linear"]


def test_teachers_are_neither_trained_nor_saved(tmp_path):
    teacher = keras.Sequential([linear(1), keras.layers.BatchNormalization()])
    trainer = make(teachers=teacher)
    before = teacher.get_weights()
    history = trainer.fit(X, epochs=30, verbose=0).history  # without labels
    assert history["divergence"][-1] < history["divergence"][0]
    assert {"teacher_agreement", "discriminator_loss", "discriminator_accuracy"} < set(history)
    for old, new in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    ours = {id(v) for v in trainer.variables}
    assert not ours & {id(v) for v in teacher.variables}
    trainer.save(tmp_path / "student.keras")
    again = keras.models.load_model(tmp_path / "student.keras")
    assert len(again.weights) == len(trainer.student.weights)
    np.testing.assert_array_equal(again.predict(X, verbose=0), trainer.predict(X, verbose=0))


def test_labels_reach_the_metrics_only():
    plain, labelled = make(), make()
    for ours, theirs in zip(labelled.discriminator.weights, plain.discriminator.weights):
        ours.assign(theirs)
    labelled.compile(keras.optimizers.SGD(0.05, momentum=0.9), metrics=["accuracy"])
    plain.fit(X, epochs=2, shuffle=False, verbose=0)
    history = labelled.fit(X, Y, epochs=2, shuffle=False, verbose=0).history
    assert "accuracy" in history
    for ours, theirs in zip(plain.get_weights(), labelled.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    weighted = make(discriminator=None, label_weight=0.5)
    loss, outputs, figures = weighted.objective(tf.constant(X), Y, None)
    label = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(Y, outputs)
    np.testing.assert_allclose(loss, figures["similarity_loss"] + 0.5 * label, rtol=1e-6)


def test_an_optimizer_for_the_discriminator():
    trainer = make(discriminator_optimizer=keras.optimizers.SGD(0.0))
    before = [v.numpy() for v in trainer.discriminator.weights]
    student = trainer.student.get_weights()
    trainer.fit(X, verbose=0)
    for old, new in zip(before, trainer.discriminator.weights):
        np.testing.assert_array_equal(old, new)
    assert np.any(student[0] != trainer.student.get_weights()[0])


def test_xla_and_mixed_precision():
    losses = []
    for jit in (False, True):
        trainer = make()
        trainer.compile(keras.optimizers.SGD(0.05), jit_compile=jit)
        losses.append(trainer.fit(X, epochs=3, shuffle=False, verbose=0).history["divergence"])
    np.testing.assert_allclose(*losses, rtol=1e-3)
    keras.config.set_dtype_policy("mixed_float16")
    assert np.all(np.isfinite(make().fit(X, epochs=3, verbose=0).history["loss"]))


def test_two_replicas_without_labels_and_metrics_of_them(two_replicas):
    """Keras builds metrics before the first step on replicas: training may have no labels."""
    with two_replicas.scope():
        trainer = make(discriminator=None)
        trainer.compile("sgd", metrics=["accuracy"])
    history = trainer.fit(X, verbose=0, validation_data=(X, Y)).history
    assert "accuracy" not in history and "val_accuracy" in history
    assert "discriminator_loss" not in history


class Interrupt(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == 5:
            raise KeyboardInterrupt


def test_resumed_in_the_middle_bit_by_bit(tmp_path):
    """Student, discriminator, both optimizers and CutMix's seeds go on where they were."""
    images = RNG.normal(size=(24, 6, 6, 1)).astype("float32")

    def network(seed):
        keras.utils.set_random_seed(seed)
        layers = [keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dropout(0.2)]
        layers += [keras.layers.BatchNormalization(), keras.layers.Dense(CLASSES)]
        return keras.Sequential(layers)

    teacher = network(1)

    def fit(path, seed, callbacks=()):
        resume = Resume(path, every=1)
        keras.utils.set_random_seed(seed)  # another in the resumed process: the file brings them
        trainer = MEALV2(
            network(seed),
            teacher,
            mix=CutMix(),
            discriminator_optimizer=keras.optimizers.Adam(1e-3),
        )
        trainer.compile(keras.optimizers.SGD(0.05, momentum=0.9))
        data = tf.data.Dataset.from_tensor_slices(images).batch(6).repeat()
        history = trainer.fit(
            data.skip(4 * resume.epoch + resume.batch),
            steps_per_epoch=4,
            initial_epoch=resume.epoch,
            epochs=3,
            callbacks=[resume, *callbacks],
            shuffle=False,
            verbose=0,
        )
        variables = trainer.variables + trainer.discriminator_optimizer.variables
        return [np.array(v.value) for v in variables], history.history

    whole, history = fit(tmp_path / "whole.npz", 0)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "cut.npz", 0, [Interrupt()])
    resumed, rest = fit(tmp_path / "cut.npz", 7)
    for a, b in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(a, b)
    assert rest["divergence"] == history["divergence"][1:]


def test_segmentation_maps_and_independent_labels():
    keras.utils.set_random_seed(0)
    maps = [keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(5, 1)]) for _ in range(2)]
    images = RNG.normal(size=(6, 4, 4, 3)).astype("float32")
    trainer = make(maps[0], maps[1])
    history = trainer.fit(images, sample_weight=np.ones(6), epochs=3, verbose=0).history
    assert history["similarity_loss"][-1] < history["similarity_loss"][0]
    several = make(linear(0, 5), linear(1, 5), activation="sigmoid")
    history = several.fit(X, epochs=20, verbose=0).history
    assert 0 < history["divergence"][-1] < history["divergence"][0]


def test_a_speaker_network_is_distilled():
    from keras_resnets.models.ecapa_tdnn import ecapa_tdnn

    def encoder(seed):
        keras.utils.set_random_seed(seed)
        encoder = ecapa_tdnn(
            channels=8, mfa_channels=12, attention_channels=4, se_channels=4, embedding_dim=6,
            scale=2, dilations=(2,),
        )  # fmt: skip
        x = keras.Input((20, 80))
        return keras.Model(x, keras.layers.Dense(5)(encoder(x)))

    speech = RNG.normal(size=(8, 20, 80)).astype("float32")
    trainer = make(encoder(0), encoder(1))
    history = trainer.fit(speech, epochs=5, verbose=0).history
    assert history["divergence"][-1] < history["divergence"][0]


def test_cut_mix():
    images = np.repeat(np.arange(6.0, dtype="float32"), 40 * 40).reshape(6, 40, 40, 1)
    mix = tf.function(CutMix(seed=1).mix)
    shares = []
    for _ in range(200):
        mixed, pairs, share = (np.array(x) for x in mix(images))
        assert sorted(pairs) == [*range(6)]
        pasted = mixed != images
        for i, image in enumerate(mixed):
            assert {i} <= set(np.unique(image)) <= {i, pairs[i]} or share == 0
            assert pairs[i] == i or pasted[i].mean() == pytest.approx(1 - share, abs=1e-6)
        shares.append(share)
    # with u uniform, a side s = sqrt(u) and a border that cuts s^2 / 4 of it: E (s - s^2 / 4)^2
    assert np.mean(shares) == pytest.approx(1 - (1 / 2 - 1 / 5 + 1 / 48), abs=0.05)
    with pytest.raises(ValueError, match="`alpha` must be positive"):
        CutMix(0)
    for alpha, jit in ((1.0, True), (0.3, False)):
        trainer = make_images(CutMix(alpha, seed=0))
        trainer.compile("sgd", jit_compile=jit)
        loss = trainer.fit(images[:, :8, :8].repeat(3, -1), epochs=2, verbose=0).history["loss"]
        assert np.all(np.isfinite(loss))


def make_images(mix, **options):
    flat = lambda: keras.Sequential(  # noqa: E731
        [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(5)]
    )
    return make(flat(), flat(), mix=mix, **options)


def test_cut_mix_weighs_labels():
    images, labels = RNG.normal(size=(6, 8, 8, 3)).astype("float32"), np.arange(6) % 5
    mixed, pairs, share = CutMix(seed=2).mix(images)
    trainer = make_images(CutMix(seed=2), label_weight=0.5, discriminator=None)
    loss, _, figures = trainer.objective(tf.constant(images), tf.constant(labels), None)
    logs = tf.nn.log_softmax(trainer.student(mixed)).numpy()
    own, pasted = (-logs[np.arange(6), y].mean() for y in (labels, labels[pairs.numpy()]))
    expected = float(share) * own + (1 - float(share)) * pasted
    assert float(loss - figures["similarity_loss"]) == pytest.approx(0.5 * expected, rel=1e-4)


def test_teachers_of_other_inputs():
    """Each teacher sees its own size and normalisation of what the student sees."""
    student, same = (keras.Sequential([keras.Input((8,)), keras.layers.Dense(5)]) for _ in "ab")
    small = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5)])
    half = lambda x: 3 * x[:, ::2] + 1  # noqa: E731
    trainer = make(student, [same, small], teacher_input=[None, half])
    x = RNG.normal(size=(16, 8)).astype("float32")
    _, _, figures = trainer.objective(tf.constant(x), None, None)
    p = np.mean([tf.nn.softmax(same(x)), tf.nn.softmax(small(half(x)))], 0)
    expected = -np.mean(np.sum(p * tf.nn.log_softmax(student(x)), 1))
    assert float(figures["similarity_loss"]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_digits_without_labels():
    """A weak student comes to its teachers, past what labels of which 20 % are wrong teach it."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    x, y = (digits.data / 16).astype("float32"), digits.target.astype("int32")
    order = np.random.default_rng(0).permutation(len(x))
    train, test = order[:1347], order[1347:]

    def network(width, seed):
        keras.utils.set_random_seed(seed)
        layers = [keras.layers.Dense(width, "relu"), keras.layers.Dense(10)]
        return keras.Sequential([keras.Input((64,)), *layers])

    def compile_and_fit(model, data, epochs, **options):
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
        model.compile(optimizer, jit_compile=False, steps_per_execution=21, **options)
        model.fit(*data, batch_size=64, epochs=epochs, verbose=0)
        return model

    def on_labels(model, labels, epochs):
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        return compile_and_fit(model, (x[train], labels[train]), epochs, loss=loss)

    def accuracy(function):
        return np.mean(np.argmax(function(x[test]), -1) == y[test])

    teachers = [on_labels(network(96, seed), y, 25) for seed in (1, 2, 3)]
    ensemble = accuracy(lambda x: Teachers(teachers)(x)[0])
    student = on_labels(network(32, 4), y, 1)
    noisy, rng = y.copy(), np.random.default_rng(1)
    wrong = rng.choice(len(y), len(y) // 5, replace=False)
    noisy[wrong] = (y[wrong] + rng.integers(1, 10, len(wrong))) % 10
    on_noise, distilled = network(32, 0), network(32, 0)
    for model in (on_noise, distilled):
        model.set_weights(student.get_weights())
    on_labels(on_noise, noisy, 25)
    discriminator = default_discriminator(10, final_relu=False, widths=(16, 8))
    compile_and_fit(MEALV2(distilled, teachers, discriminator), (x[train],), 25)
    assert accuracy(student) < ensemble - 0.02
    assert accuracy(distilled) > ensemble - 0.01
    assert accuracy(distilled) > accuracy(on_noise) + 0.01


def test_bad_input():
    for options, match in (
        (dict(discriminator_mode="minimax"), "`discriminator_mode` must be one of"),
        (dict(temperature=-1), "`temperature` must be positive"),
        (dict(discriminator_weight=-1), "`discriminator_weight` must be >= 0"),
        (dict(label_weight=np.nan), "`label_weight` must be >= 0"),
        (dict(teachers=linear(1, 5)), "same classes. Received: 5 and 64"),
        (dict(teachers=[]), "at least one"),
        (dict(teachers=several_outputs()), r"A teacher must have one output \(batch"),
        (dict(student=several_outputs()), r"The student must have one output \(batch"),
        (dict(teacher_weights=[0.0, 0.0]), "positive sum"),
        (dict(mix=lambda x: x, label_weight=1.0), "`mix` must be a `CutMix`"),
    ):
        with pytest.raises(ValueError, match=match):
            MEALV2(**{"student": linear(), "teachers": [linear(1), linear(2)], **options})
    with pytest.raises(ValueError, match="compile"):
        MEALV2(linear(), linear(1)).fit(X, verbose=0)
    with pytest.raises(ValueError, match="Received: 3 and 64"):
        make(teachers=lambda x: x[:, :3]).fit(X, verbose=0)
    with pytest.raises(ValueError, match="needs labels"):
        make(label_weight=1.0).fit(X, verbose=0)
