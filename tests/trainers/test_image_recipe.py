import dataclasses
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnets import datasets, layers
from keras_resnets.datasets.image import make_image_data
from trainers import ImageBatches, PartialTrainer, recipes
from trainers.recipes import ImageRecipe, Recipe

ALL = [r for r in vars(recipes).values() if type(r) is ImageRecipe]


@pytest.fixture
def data():
    """Thirty small images in memory."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 12, 10, 3)).astype("uint8")
    labels = np.arange(40) % 4
    return make_image_data(images[:30], labels[:30], images[30:], labels[30:])


@pytest.fixture
def folder(tmp_path):
    """Images of many sizes in files, of one colour each: red 1, 2, ... 12."""
    for split, numbers in (("train", range(1, 9)), ("test", range(9, 13))):
        for n in numbers:
            path = tmp_path / split / "ab"[n % 2] / f"{n:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(
                tf.io.encode_png(tf.fill((20 + n, 30, 3), tf.cast(n, tf.uint8))).numpy()
            )
    return datasets.load(f"folder:{tmp_path}")


SMALL = ImageRecipe("x", "y", "z", batch_size=8, epochs=1, pad=1)
RESIZED = SMALL.replace(batch_size=3, size=16, crop="resized", normalization="torch")


def first(dataset, count):
    return [(x.numpy(), y.numpy()) for x, y in itertools.islice(dataset, count)]


def assert_equal(a, b):
    for (x, y), (other_x, other_y) in zip(a, b, strict=True):
        np.testing.assert_array_equal(y, other_y)
        np.testing.assert_allclose(x, other_x, atol=1e-6)


def test_published_figures():
    cifar, imagenet = recipes.RESNET_CIFAR10, recipes.RESNET_IMAGENET
    rate = cifar.build_schedule(100)
    rates = [float(rate(100 * e)) for e in (0, 79, 80, 119, 120, 159)]
    np.testing.assert_allclose(rates, [0.1, 0.1, 0.01, 0.01, 0.001, 0.001], rtol=1e-6)
    rate = imagenet.build_schedule(100)
    rates = [float(rate(step)) for step in (0, 250, 500, 2999, 3000, 6000, 8000)]
    np.testing.assert_allclose(rates, [0, 0.2, 0.4, 0.4, 0.04, 0.004, 0.0004], rtol=1e-6)
    assert (imagenet.batch_size, imagenet.weight_decay, imagenet.size) == (1024, 1e-4, 224)
    differing = {"name", "source"}
    same = {k: v for k, v in dataclasses.asdict(imagenet).items() if k not in differing}
    evonorm = dataclasses.asdict(recipes.EVONORM_IMAGENET)
    assert {k: v for k, v in evonorm.items() if k not in differing} == same


@pytest.mark.parametrize("recipe", ALL, ids=lambda r: r.name)
def test_every_recipe_compiles_a_trainer(recipe):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    trainer = PartialTrainer(model, "all")
    recipe.compile(trainer, steps_per_epoch=100)
    assert trainer.optimizer.weight_decay is None and trainer.optimizer.momentum == 0.9
    assert trainer.weight_decay == recipe.weight_decay > 0
    assert trainer.scope == ("all" if "batch_norm_only" in recipe.name else "kernels")


def test_shortened_and_scaled():
    recipe = recipes.RESNET_IMAGENET.shortened(18).with_batch_size(256)
    assert (recipe.epochs, recipe.warmup, recipe.milestones) == (18, 1, (6, 12, 16))
    assert recipe.learning_rate == pytest.approx(0.1)
    assert recipes.RESNET_CIFAR10.shortened(1).milestones == (1,)
    recipe.shortened(1).build_schedule(10)
    with pytest.raises(ValueError, match="length in steps"):
        Recipe("x", "y", "z", batch_size=1, steps=5).shortened(3)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"crop": "random"}, "crop"),
        ({"crop": "resized"}, "size"),
        ({"normalization": "imagenet"}, "normalization"),
    ],
)
def test_recipe_errors(change, match):
    with pytest.raises(ValueError, match=match):
        SMALL.replace(**change)


def test_an_epoch_has_every_image_once(data):
    plain = SMALL.replace(batch_size=10, crop=None, flip=False)
    batches = ImageBatches(data, plain)
    seen = np.concatenate([x for x, _ in first(batches.train(), 3)])
    expected = batches.normalize(data.x_train)
    order = np.lexsort(seen.reshape(30, -1).T), np.lexsort(expected.reshape(30, -1).T)
    np.testing.assert_allclose(seen[order[0]], expected[order[1]], atol=1e-5)
    np.testing.assert_allclose(expected.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(expected.std((0, 1, 2)), 1, atol=1e-5)
    tested = np.concatenate([x for x, _ in batches.test(batch_size=4)])
    np.testing.assert_allclose(tested, batches.normalize(data.x_test), atol=1e-6)


def test_batches_are_a_function_of_seed_epoch_and_number(data):
    batches = ImageBatches(data, SMALL)
    assert (batches.image_shape, batches.classes, batches.steps_per_epoch) == ((12, 10, 3), 4, 3)
    eight = first(batches.train(seed=1), 8)
    assert_equal(eight, first(batches.train(seed=1), 8))
    assert_equal(eight[4:], first(batches.train(seed=1, epoch=1, start_batch=1), 4))
    labels = {tuple(y) for _, y in eight}
    assert len(labels) == 8  # every epoch has an order of its own
    assert tuple(first(batches.train(seed=2), 1)[0][1]) not in labels


def test_stream(folder):
    batches = ImageBatches(folder, RESIZED)
    assert (batches.image_shape, batches.classes, batches.steps_per_epoch) == ((16, 16, 3), 2, 2)
    four = first(batches.train(seed=1), 4)
    assert_equal(four, first(batches.train(seed=1), 4))
    mean, deviation = 255 * np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
    colours = np.concatenate([x[:, 3, 3] for x, _ in four]) * deviation + mean
    numbers = np.round(colours[:, 0]).astype(int)
    labels = np.concatenate([y for _, y in four])
    np.testing.assert_array_equal(numbers % 2, labels)
    assert sorted(numbers[:8]) == [*range(1, 9)]
    ((images, labels),) = batches.test()
    np.testing.assert_array_equal(np.round(images[:, 0, 0, 0] * deviation[0] + mean[0]) % 2, labels)


def test_stream_with_padded_crops(folder):
    batches = ImageBatches(folder, SMALL.replace(batch_size=4, size=8))
    ((images, _),) = first(batches.train(), 1)
    assert images.shape == (4, 8, 8, 3)


def test_arrays_take_the_size_of_the_recipe():
    images = np.zeros((4, 28, 28), "uint8")
    data = make_image_data(images, np.arange(4))
    batches = ImageBatches(data, SMALL.replace(batch_size=2, size=14))
    assert batches.image_shape == (14, 14, 1) and batches.test() is None
    assert next(iter(batches.train()))[0].shape == (2, 14, 14, 1)


def test_batches_errors(data, folder):
    with pytest.raises(ValueError, match="need a recipe with a `size`"):
        ImageBatches(folder, SMALL)
    with pytest.raises(ValueError, match="batch_size=31"):
        ImageBatches(data, SMALL.replace(batch_size=31))


@pytest.mark.parametrize("name", ["b0", "s0"])
def test_decay_spares_normalisations_and_biases(name):
    model = keras.Sequential(
        [
            keras.Input((4, 4, 2)),
            keras.layers.Conv2D(4, 1, use_bias=False),
            layers.evonorm(name, groups=2, gamma_initializer="ones"),
            keras.layers.BatchNormalization(),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2, bias_initializer="ones"),
        ]
    )
    trainer = PartialTrainer(model, "all", weight_decay=0.1, scope="kernels")
    trainer.compile(keras.optimizers.SGD(0.5), lambda y, p: 0.0 * keras.ops.sum(p, -1))
    before = {v.path: v.numpy() for v in trainer.trainable_variables}
    trainer.fit(np.ones((2, 4, 4, 2)), np.zeros(2), epochs=1, verbose=0)
    for variable in trainer.trainable_variables:
        kept = 1 - 0.5 * 0.1 if variable.name == "kernel" else 1
        np.testing.assert_allclose(variable, kept * before[variable.path], rtol=1e-6)
    assert {"v", "gamma", "beta", "bias"} < {v.name for v in trainer.trainable_variables}
    assert PartialTrainer.from_config(trainer.get_config()).scope == "kernels"
    with pytest.raises(ValueError, match="scope='weights'"):
        PartialTrainer(model, "all", scope="weights")


def test_arrays_are_cut_like_a_stream_where_the_recipe_says_so():
    images = np.arange(6 * 20 * 20, dtype="uint8").reshape(6, 20, 20)
    data = make_image_data(images, np.arange(6), images, np.arange(6))
    batches = ImageBatches(data, RESIZED.replace(normalization="unit", size=8))
    first, again = (next(iter(batches.train(seed=0))) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    assert first[0].shape == (3, 8, 8, 1) and 0 <= np.min(first[0]) < np.max(first[0]) <= 1
    whole = next(iter(ImageBatches(data, SMALL.replace(batch_size=3, size=8)).train(seed=0)))
    assert not np.allclose(first[0].numpy().std((1, 2)), whole[0].numpy().std((1, 2)))
    assert batches.steps_per_epoch == 2 and next(iter(batches.test()))[0].shape == (6, 8, 8, 1)
