import keras
import numpy as np
import pytest
import tensorflow as tf

from trainers import MEALV2, CutMix, default_discriminator

RNG = np.random.default_rng(0)
X = RNG.normal(size=(16, 6)).astype("float32")
Y = np.arange(16) % 5
CLASSES = 64


def linear(seed=0, classes=CLASSES):
    """A network that is its logits."""
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(classes)])


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
    model = default_discriminator(classes)
    assert tuple(layer.units for layer in model.layers) == widths
    assert model.count_params() == sum(
        a * b + b for a, b in zip((classes, *widths), widths, strict=False)
    )
    assert all(layer.activation is keras.activations.relu for layer in model.layers)
    assert default_discriminator(64, False).layers[-1].activation is keras.activations.linear


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


def test_two_replicas_train_as_one(two_replicas):
    def train(strategy):
        with strategy.scope():
            trainer = make()
        data = tf.data.Dataset.from_tensor_slices(X).batch(8)
        trainer.fit(data, epochs=3, shuffle=False, verbose=0)
        return trainer.get_weights()

    for one, two in zip(train(tf.distribute.get_strategy()), train(two_replicas), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


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
    images = np.repeat(np.arange(6.0, dtype="float32"), 64 * 3).reshape(6, 8, 8, 3)
    shares = []
    mix = CutMix(seed=1)
    for _ in range(200):
        mixed = np.array(mix(images))
        values = [set(np.unique(image)) for image in mixed]
        assert all(i in v and len(v) <= 2 for i, v in enumerate(values) if len(v) > 1)
        box = mixed[:, :, :, 0] != images[:, :, :, 0]
        shares.append(1 - box.max(0).mean())
    assert 0.4 < np.mean(shares) < 0.75  # Beta(1, 1) has the mean 1/2, the border cuts boxes
    with pytest.raises(ValueError, match="`alpha` must be positive"):
        CutMix(0)
    assert np.all(np.isfinite(make_images(CutMix(seed=0)).fit(images, verbose=0).history["loss"]))


def make_images(mix):
    flat = lambda: keras.Sequential(  # noqa: E731
        [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(5)]
    )
    return make(flat(), flat(), mix=mix)


def test_bad_input():
    for options, match in (
        (dict(discriminator_mode="minimax"), "`discriminator_mode` must be one of"),
        (dict(temperature=-1), "`temperature` must be positive"),
        (dict(discriminator_weight=-1), "`discriminator_weight` must be >= 0"),
        (dict(label_weight=np.nan), "`label_weight` must be >= 0"),
        (dict(teachers=linear(1, 5)), "same classes. Received: 5 and 64"),
    ):
        with pytest.raises(ValueError, match=match):
            make(**options)
    with pytest.raises(ValueError, match="needs labels"):
        make(label_weight=1.0).fit(X, verbose=0)
