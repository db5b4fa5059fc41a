import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_resnets as kr
from trainers import PartialTrainer
from trainers.recipes import FBNETV3, FBNETV3_SEARCH

pytestmark = pytest.mark.slow

SMALL = FBNETV3.shortened(4).replace(size=32, batch_size=8)
CONFIG = kr.FBNetV3Config(
    8, [kr.StageConfig(3, 3, 1, 1, 8, 1), kr.StageConfig(3, 3, 2, 2, 8, 1, 1, True)], head_width=16
)


@pytest.fixture
def batches():
    rng = np.random.default_rng(0)
    images = rng.standard_normal((24, 24, 20, 3)).astype("float32")
    return tf.data.Dataset.from_tensor_slices((images, np.arange(24) % 3)).batch(8)


@pytest.mark.parametrize("optimizer", ["rmsprop", "sgd"])
def test_published_figures(optimizer):
    factor = 4 if optimizer == "sgd" else 1
    rate = FBNETV3.replace(optimizer=optimizer).build_schedule(100)
    assert float(rate(0)) == 0
    for epoch, share in ((2.5, 0.5), (5, 1), (100, 1), (400, 1)):
        expected = 0.025 * factor * share * 0.9875**epoch
        assert float(rate(int(100 * epoch))) == pytest.approx(expected, rel=1e-5)
    rate = FBNETV3_SEARCH.replace(optimizer=optimizer).build_schedule(100)
    rates = [float(rate(step)) for step in (0, 100, 15_000)]
    np.testing.assert_allclose(rates, 0.025 * factor * 0.963 ** np.array([0, 1, 150]), rtol=1e-4)
    assert FBNETV3_SEARCH.epochs == 150 and FBNETV3.epochs == 400


def test_optimizers():
    rmsprop = SMALL.build_optimizer(100_000)
    assert (rmsprop.rho, rmsprop.momentum, rmsprop.epsilon) == (0.9, 0.9, 1e-3)
    assert rmsprop.use_ema and rmsprop.ema_momentum == 0.9999
    short = SMALL.replace(ema_momentum=0.99).build_optimizer(25)
    assert short.ema_momentum == pytest.approx(0.9)  # a tenth of 100 steps
    sgd = SMALL.replace(optimizer="sgd", ema=False).build_optimizer(100)
    assert isinstance(sgd, keras.optimizers.SGD) and sgd.momentum == 0.9 and not sgd.use_ema
    args = SMALL.replace(optimizer_args={"rho": 0.99}).build_optimizer(100)
    assert (args.rho, args.momentum) == (0.99, 0.9)


def test_shortened_falls_as_far():
    short = FBNETV3.shortened(40)
    assert short.warmup == 0.5 and short.gamma**40 == pytest.approx(FBNETV3.gamma**400)


def test_the_network_has_the_recipes_rates():
    network = SMALL.replace(dropout=0.3, drop_path=0.1).build_network(CONFIG, classes=3)
    assert network.get_layer("dropout").rate == 0.3 and network.output_shape == (None, 3)
    assert network.get_layer("stage2_block1_drop_path").rate == pytest.approx(0.1)


def test_batches_are_resized_and_mixed(batches):
    plain, mixed = (
        list(SMALL.replace(mixup=0.2).prepare(batches, 3, training)) for training in (False, True)
    )
    unmixed = list(SMALL.replace(mixup=0.0, size=None, crop=None).prepare(batches, 3, True))
    for (images, labels), (x, y), (given, numbers), (same, _) in zip(
        plain, mixed, batches, unmixed
    ):
        assert images.shape == x.shape == (8, 32, 32, 3)
        np.testing.assert_array_equal(labels, np.eye(3)[numbers])
        np.testing.assert_allclose(
            images, tf.image.resize(given, (32, 32), antialias=True), atol=1e-6
        )
        np.testing.assert_array_equal(same, given)
        np.testing.assert_allclose(np.sum(y, -1), 1, atol=1e-6)
        assert not np.allclose(x, images, atol=1e-4)
        np.testing.assert_allclose(np.mean(x, 0), np.mean(images, 0), atol=1e-5)  # pairs
    late = list(SMALL.prepare(batches.skip(2), 3, training=True, first=2))
    np.testing.assert_allclose(late[0][0], mixed[2][0], atol=1e-6)


@pytest.fixture
def vectors():
    """Data and a trainer of one layer, whose two steps an epoch are quickly compiled."""
    x = np.random.default_rng(0).standard_normal((16, 4)).astype("float32")
    data = tf.data.Dataset.from_tensor_slices((x, np.eye(3, dtype="f4")[np.arange(16) % 3]))

    def make(recipe):
        trainer = PartialTrainer(
            keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]), "all"
        )
        recipe.compile(trainer, steps_per_epoch=300)
        return trainer

    return data.batch(8), make


@pytest.mark.parametrize("optimizer", ["rmsprop", "sgd"])
def test_what_is_kept_is_the_average(vectors, optimizer):
    """Two steps to w1 and w2; the average begins with w1."""
    data, make = vectors
    recipe = SMALL.replace(optimizer=optimizer, ema_momentum=0.75, warmup=0)
    trainer, seen = make(recipe), []

    class Seen(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(trainer.trainable_variables[0].numpy())

    callbacks = [*recipe.build_callbacks(), Seen()]
    history = trainer.fit(data, validation_data=data, callbacks=callbacks, verbose=0).history
    expected = 0.75 * seen[0] + 0.25 * seen[1]
    np.testing.assert_allclose(trainer.trainable_variables[0], expected, rtol=1e-5)
    assert not np.allclose(seen[0], seen[1], atol=1e-3)
    # The test within the epoch saw the average, too.
    again = trainer.evaluate(data, verbose=0, return_dict=True)
    assert history["val_loss"][0] == pytest.approx(again["loss"], rel=1e-5)
    assert set(again) == {"loss", "accuracy"}
    assert not SMALL.replace(ema=False).build_callbacks()


def test_two_replicas_average_as_one(vectors, two_replicas):
    data, make = vectors
    recipe = SMALL.replace(ema_momentum=0.75, warmup=0, weight_decay=0.01)
    results = []
    for strategy in (tf.distribute.get_strategy(), two_replicas):
        with strategy.scope():
            keras.utils.set_random_seed(1)
            trainer = make(recipe)
        callbacks = recipe.build_callbacks()
        settings = dict(validation_data=data, callbacks=callbacks, epochs=2, verbose=0)
        history = trainer.fit(data, **settings).history
        results.append([history["val_loss"], *trainer.get_weights()])
    for one, two in zip(*results):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


def test_the_network_learns_by_the_recipe(batches):
    trainer = PartialTrainer(SMALL.build_network(CONFIG, classes=3), "all")
    SMALL.compile(trainer, steps_per_epoch=3, jit_compile=False)
    assert (trainer.weight_decay, trainer.scope) == (SMALL.weight_decay, "kernels")
    assert isinstance(trainer.optimizer, keras.optimizers.RMSprop)
    history = trainer.fit(SMALL.prepare(batches, 3, training=True), verbose=0).history
    assert np.isfinite(history["loss"][0]) and 0 <= history["accuracy"][0] <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": "adam"}, r"`optimizer` must be one of \['rmsprop', 'sgd'\].*'adam'"),
        ({"schedule": "cosine"}, "`schedule` must be 'per_epoch'.*'cosine'"),
    ],
)
def test_recipe_errors(change, message):
    with pytest.raises(ValueError, match=message):
        FBNETV3.replace(**change)
