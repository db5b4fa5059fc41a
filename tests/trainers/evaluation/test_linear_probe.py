import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from keras_resnets.analysis import FeatureExtractor
from trainers import LinearProbe, SimCLR, recipes

RECIPE = recipes.LINEAR_SIMCLR_CIFAR.replace(batch_size=256, epochs=3)


@pytest.fixture(scope="module")
def digits():
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).reshape(-1, 8, 8, 1).astype("float32")
    return (images[:1200], labels[:1200]), (images[1200:], labels[1200:])


def backbone():
    """With random weights, and statistics that training would change."""
    x = inputs = keras.Input((8, 8, 1))
    for width in (8, 16):
        x = keras.layers.Conv2D(width, 3, padding="same", activation="relu")(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.Dropout(0.5)(x)
    return keras.Model(inputs, keras.layers.Flatten()(keras.layers.MaxPooling2D(4)(x)))


def pixels():
    return keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])


def test_as_good_as_scikit_learn(digits):
    """The same objective: a constant feature stands for the bias, which is decayed too."""
    train, test = digits
    network = pixels()
    recipe = recipes.LINEAR_SIMCLR.replace(
        batch_size=200, epochs=50, learning_rate=1.0, weight_decay=1e-3
    )
    probe = LinearProbe(network, recipe)
    score = probe.fit(train, test, verbose=0)
    features = [network.predict(images, verbose=0) for images, _ in digits]
    ones = [np.c_[each, np.ones(len(each))] for each in features]
    peer = LogisticRegression(C=1 / (1e-3 * 1200), fit_intercept=False, max_iter=2000)
    peer.fit(ones[0], train[1])
    assert score.top1 == pytest.approx(peer.score(ones[1], test[1]), abs=0.005)
    assert score.top1 > 0.85 and score.top5 > 0.98 and score.epoch == 50
    logits = probe.classifier.predict(features[1], verbose=0)
    assert np.mean(logits.argmax(1) == test[1]) == pytest.approx(score.top1)
    ours = keras.ops.softmax(logits).numpy()
    np.testing.assert_allclose(ours, peer.predict_proba(ones[1]), atol=0.05)


@pytest.mark.parametrize(
    "recipe",
    (recipes.LINEAR_SIMCLR, recipes.LINEAR_SIMCLR_CIFAR, recipes.LINEAR_SWAV),
    ids=lambda recipe: recipe.name,
)
def test_the_backbone_stays_as_it_is(digits, recipe):
    network = backbone()
    before = network.get_weights()
    LinearProbe(network, recipe.replace(epochs=2, batch_size=600)).fit(*digits, verbose=0)
    assert len(before) == 12
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_step_of_each_recipe_by_hand(digits):
    """SGD with momentum (Nesterov's or not) and coupled decay, on full batches."""
    (images, labels), test = digits
    network = backbone()
    features = FeatureExtractor(network)(images)[0].astype("float64")
    onehot = np.eye(10)[labels]
    for recipe in (recipes.LINEAR_SIMCLR, recipes.LINEAR_SWAV):
        recipe = recipe.replace(epochs=2, batch_size=1200, weight_decay=0.1, keep_best=False)
        w = recipe.build_classifier(features.shape[1], 10).get_weights()
        velocity = [0 * part for part in w]
        for rate in (recipe.learning_rate, recipe.learning_rate / 2):  # the cosine's half way
            logits = features @ w[0] + w[1]
            error = np.exp(logits - logits.max(1, keepdims=True))
            error = error / error.sum(1, keepdims=True) - onehot
            gradients = [features.T @ error / 1200 + 0.1 * w[0], error.mean(0) + 0.1 * w[1]]
            for i, gradient in enumerate(gradients):
                velocity[i] = 0.9 * velocity[i] - rate * gradient
                nesterov = recipe.optimizer_args.get("nesterov")
                w[i] = w[i] + (0.9 * velocity[i] - rate * gradient if nesterov else velocity[i])
        probe = LinearProbe(network, recipe)
        probe.fit((images, labels), test, verbose=0)
        for found, expected in zip(probe.classifier.get_weights(), w, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_which_epoch_is_reported(digits):
    train, test = digits
    wild = RECIPE.replace(learning_rate=30.0, epochs=6, schedule="constant")
    for keep_best in (False, True):
        probe = LinearProbe(backbone(), wild.replace(keep_best=keep_best))
        score = probe.fit(train, test, verbose=0)
        tops = [epoch["val_top1"] for epoch in probe.history]
        assert len(tops) == 6 and len(set(tops)) > 1
        assert score.epoch == (np.argmax(tops) + 1 if keep_best else 6)
        features = probe.extract(test[0])[0]
        predicted = probe.classifier.predict(features, verbose=0).argmax(1)
        assert np.mean(predicted == test[1]) == pytest.approx(score.top1) == tops[score.epoch - 1]


def test_features_are_extracted_once_or_every_epoch(digits):
    train, test = digits
    asked = []

    def augmented(epoch):
        asked.append(epoch)
        images = train[0] if epoch % 2 else train[0][:, :, ::-1]
        return tf.data.Dataset.from_tensor_slices((images, train[1])).batch(100)

    network, calls = backbone(), []
    plain = network.call
    network.call = lambda *args, **kwargs: calls.append(1) or plain(*args, **kwargs)
    probe = LinearProbe(network, RECIPE)
    probe.fit(augmented, test, verbose=0)
    assert asked == [0, 1, 2] and len(probe.history) == 3
    assert len(calls) == 2  # traced for one batch, and for batches of any size
    fixed = LinearProbe(network, RECIPE)
    fixed.fit(augmented(1), test, verbose=0)
    assert np.abs(fixed.classifier.get_weights()[0] - probe.classifier.get_weights()[0]).max() > 0


def test_a_probe_is_repeatable_and_leaves_random_numbers_alone(digits):
    network, found = backbone(), []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        probe = LinearProbe(network, recipes.LINEAR_SWAV.replace(epochs=2))
        probe.fit(*digits, verbose=0)
        found.append(probe.classifier.get_weights())
    np.testing.assert_array_equal(found[0][0], found[1][0])


def test_a_trainer_is_a_backbone_too(digits):
    train, test = digits
    trainer = SimCLR(backbone())
    one, two = (
        LinearProbe(model, RECIPE, classes=12).fit(train, test, verbose=0)
        for model in (trainer, trainer.backbone)
    )
    assert one == two


def test_bad_input(digits):
    (images, labels), test = digits
    probe = LinearProbe(backbone(), RECIPE)
    with pytest.raises(ValueError, match="`train` must have labels"):
        probe.fit(images, test)
    with pytest.raises(ValueError, match=r"integers >= 0.*`test`"):
        probe.fit((images, labels), (images, labels - 1))
    with pytest.raises(ValueError, match="classes=9, a label 9"):
        LinearProbe(backbone(), RECIPE, classes=9).fit((images, labels), test)
    broken = images.copy()
    broken[3] = np.nan
    with pytest.raises(ValueError, match=r"`train` must be finite\. Received: row 3"):
        LinearProbe(pixels(), RECIPE).fit((broken, labels), test)
    with pytest.raises(ValueError, match="`epochs` must be given"):
        RECIPE.replace(epochs=None, steps=10)
    with pytest.raises(ValueError, match="cosine without warm-up"):
        recipes.LINEAR_SWAV.replace(warmup=1)


def test_published_figures():
    simclr, cifar, swav = recipes.LINEAR_SIMCLR, recipes.LINEAR_SIMCLR_CIFAR, recipes.LINEAR_SWAV
    assert simclr.with_batch_size(256).learning_rate == pytest.approx(0.1)
    assert cifar.with_batch_size(256).learning_rate == pytest.approx(0.1)
    rate = simclr.build_schedule(10)
    np.testing.assert_allclose([rate(s) for s in (0, 450, 900)], [1.6, 0.8, 0], atol=1e-7)
    rate = swav.build_schedule(10)
    expected = [0.3 * (1 + np.cos(np.pi * epoch / 100)) / 2 for epoch in (0, 1, 99)]
    np.testing.assert_allclose([rate(s) for s in (9, 10, 999)], expected, rtol=1e-4)
    assert (simclr.weight_decay, cifar.weight_decay, swav.weight_decay) == (1e-6, 0, 1e-6)
    kernel, bias = swav.build_classifier(2048, 1000).get_weights()
    assert kernel.std() == pytest.approx(0.01, rel=0.01) and not bias.any()
    assert not simclr.build_classifier(20, 10).get_weights()[0].any()
