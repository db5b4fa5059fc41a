import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainers import MEALV2, CutMix, Distiller, StoredSoftLabels
from trainers.soft_labels import precompute
from trainers.soft_labels.file import Header, verify
from trainers.teachers import Teachers

CLASSES, COUNT = 7, 12
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (COUNT, 14, 11, 3)).astype("uint8")
LABELS = np.arange(COUNT, dtype="int32") % CLASSES
DATA = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS))


def scaled(images):
    return tf.cast(images, tf.float32) / 127.5 - 1


def network(seed=0, classes=CLASSES):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(classes)]
    )


@pytest.fixture(scope="module")
def teacher():
    return network(1)


@pytest.fixture(scope="module")
def paths(tmp_path_factory, teacher):
    """Files of all classes and of five, four crops an image."""
    folder = tmp_path_factory.mktemp("soft_labels")
    return {
        k: precompute(
            DATA, teacher, folder / f"{k}", crops=4, top_k=k, size=8, batch_size=8, normalize=scaled
        )
        for k in (5, CLASSES)
    }


def batches(stored, count=None, **options):
    options = {"batch_size": 8, "num_crops": 2, "normalize": scaled, **options}
    return [*itertools.islice(stored.dataset(DATA, **options), count)]


def test_all_classes_equal_live_teachers(paths, teacher):
    stored = StoredSoftLabels(paths[CLASSES])
    assert (stored.classes, stored.top_k, stored.crops, stored.size) == (CLASSES, CLASSES, 4, 8)
    live = Teachers(teacher)
    found = batches(stored, num_crops=4)
    assert len(found) == 6
    for images, soft in found:
        np.testing.assert_allclose(soft, live(images)[0], atol=1e-3)
        np.testing.assert_allclose(np.sum(soft, -1), 1, atol=1e-6)
    images, soft = found[0]
    losses = []
    for teachers, targets in ((stored, soft), (teacher, None)):
        trainer = MEALV2(network(), teachers, discriminator=None)
        trainer.compile("sgd")
        loss, _, _ = trainer.objective(images, targets, None)
        losses.append(float(loss))
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)


@pytest.mark.parametrize("mode", ["marginal_smoothing", "marginal_renorm", "smoothing", "hard"])
def test_modes(paths, mode):
    whole = batches(StoredSoftLabels(paths[CLASSES]), shuffle=0)
    some = batches(StoredSoftLabels(paths[5], mode), shuffle=0)
    for (images, p), (same, soft) in zip(whole, some, strict=True):
        np.testing.assert_array_equal(images, same)
        expected = np.zeros(p.shape)
        for row, known in zip(expected, p.numpy()):
            best = np.argsort(-known)[: 1 if mode in ("smoothing", "hard") else 5]
            rest = (1 - known[best].sum()) / (CLASSES - len(best))
            row[:] = rest if "smoothing" in mode else 0
            row[best] = known[best]
            if mode in ("hard", "marginal_renorm"):
                row /= row.sum()
        np.testing.assert_allclose(soft, expected, atol=1e-3)
        np.testing.assert_allclose(np.sum(soft, -1), 1, atol=1e-6)


def test_a_pure_function_of_seed_epoch_and_index(paths):
    stored = StoredSoftLabels(paths[5])

    def flat(found):
        return [(x.numpy(), y.numpy()) for x, y in found]

    def same(a, b):
        return all(np.array_equal(x, u) and np.array_equal(y, v) for (x, y), (u, v) in zip(a, b))

    twelve = flat(batches(stored, 9, repeat=True, seed=3))
    keras.utils.set_random_seed(99)
    assert same(twelve, flat(batches(stored, 9, repeat=True, seed=3)))
    assert same(twelve[3:6], flat(batches(stored, seed=3, epoch=1)))
    assert same(twelve[4:9], flat(batches(stored, 5, repeat=True, seed=3, epoch=1, start_batch=1)))
    assert len(batches(stored, seed=3, start_batch=1)) == 2
    assert not same(twelve[:3], twelve[3:6]) and not same(twelve[:3], flat(batches(stored)))


def test_every_image_once_an_epoch_with_its_label(paths):
    stored = StoredSoftLabels(paths[CLASSES])
    numbers = tf.data.Dataset.from_tensor_slices((IMAGES, np.arange(COUNT)))
    for shuffle in (0, 5):
        orders = []
        for epoch in range(2):
            data = stored.dataset(numbers, 8, 4, epoch=epoch, labels=True, shuffle=shuffle)
            orders.append(np.concatenate([label for _, (_, label) in data]).tolist())
            assert sorted(orders[-1]) == np.repeat(np.arange(COUNT), 4).tolist()
            assert orders[-1][::4] == orders[-1][3::4]  # crops of an image stay together
        assert (orders[0] == orders[1]) == (shuffle == 0)


def test_boxes_cut_what_they_cut_before(tmp_path):
    """The pixels are those that the teacher saw: of crops, and of mirrored ones."""
    seen = []

    def teacher(x):
        tf.py_function(lambda x: seen.extend(x.numpy()), [x], [])
        return tf.one_hot(tf.zeros(tf.shape(x)[0], tf.int32), 2) * 5

    options = dict(crops=6, top_k=1, size=8, batch_size=12)
    path = precompute(DATA, teacher, tmp_path / "a", area=(0.3, 0.9), **options)
    stored = StoredSoftLabels(path)
    found = stored.dataset(DATA, 6, 6, shuffle=0)
    key = lambda x: x.tobytes()  # noqa: E731
    for i, (images, _) in enumerate(found):
        assert sorted(map(key, images.numpy())) == sorted(map(key, seen[6 * i : 6 * i + 6]))
    records = tf.data.TFRecordDataset(str(path)).skip(1).take(COUNT).batch(COUNT)
    known = stored.header.decode(next(iter(records)))
    assert 0.3 < known["flips"].numpy().mean() < 0.7
    area = np.prod(known["boxes"][..., 2:], -1)
    assert 0.2 < area.min() < 0.4 and 0.6 < area.max() < 1
    precompute(DATA, teacher, tmp_path / "b", flip=False, **options)
    unflipped = next(iter(tf.data.TFRecordDataset(str(tmp_path / "b")).skip(1).batch(1)))
    assert not stored.header.decode(unflipped)["flips"].numpy().any()


def test_gray_images_and_many_classes(tmp_path):
    images = tf.data.Dataset.from_tensor_slices(IMAGES[..., 0])  # (height, width), no label
    teacher = lambda x: tf.one_hot([40_000] * len(x), 50_000) * 20.0  # noqa: E731
    path = precompute(images, teacher, tmp_path / "a", crops=1, top_k=2, size=8)
    stored = StoredSoftLabels(path, "hard")
    x, soft = next(iter(stored.dataset(images, 4, 1)))
    assert x.shape == (4, 8, 8, 1) and soft.shape == (4, 50_000)
    assert np.argmax(soft, -1).tolist() == [40_000] * 4


def test_other_images_are_noticed(paths):
    stored = StoredSoftLabels(paths[5])
    with pytest.raises(ValueError, match="Received: 11"):
        stored.dataset(DATA.take(11), 8, 2)
    unknown = DATA.filter(lambda x, y: y >= 0)
    assert len([*stored.dataset(unknown, 8, 2)]) == 3
    with pytest.raises(tf.errors.FailedPreconditionError, match="12"):
        [*stored.dataset(unknown.take(11), 8, 2, shuffle=0, repeat=True)]
    turned = tf.data.Dataset.from_tensor_slices(255 - IMAGES // 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="order of `precompute`"):
        next(iter(stored.dataset(turned, 8, 2)))


def write(path, header, rows, end=None):
    with tf.io.TFRecordWriter(str(path)) as file:
        file.write(header.to_bytes())
        for row in rows:
            k, crops = header.top_k, header.crops
            indices = np.tile(np.arange(k), (crops, 1))
            boxes, flips = np.tile([0, 0, 1, 1], (crops, 1)), np.zeros(crops)
            file.write(header.encode(boxes, flips, indices, np.tile(row, (crops, 1)), (4, 4), 0.0))
        if end != "cut":
            file.write(b'{"images": %d}' % (len(rows) if end is None else end))
    return str(path)


def test_bad_files(tmp_path, paths):
    with pytest.raises(FileNotFoundError, match="nothing"):
        StoredSoftLabels(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError):
        StoredSoftLabels(tmp_path)
    whole = paths[5].read_bytes()
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 1
    for name, content, match in (
        ("empty", b"", "cut off after 0 images"),
        ("other", b"not a file of records at all", "damaged or another kind"),
        ("short", whole[:-7], "damaged .* after"),
        ("half", whole[: len(whole) // 2], "damaged"),
        ("changed", bytes(changed), "damaged"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=match):
            StoredSoftLabels(tmp_path / name)
    with tf.io.TFRecordWriter(str(tmp_path / "records")) as file:
        file.write(b"another's record")
    with pytest.raises(ValueError, match=r"trainers\.soft_labels\.precompute"):
        StoredSoftLabels(tmp_path / "records")


def test_bad_soft_labels_in_a_file(tmp_path):
    some, every = Header(5, 2, 3, 8, 1.0), Header(3, 3, 1, 8, 1.0)
    assert verify(write(tmp_path / "a", some, [[0.6, 0.4], [0.6, 0.1]])) == (some, 2)
    for header, row, end, match in (
        (some, [0.6, 0.4], "cut", "cut off after 1 images"),
        (some, [0.6, 0.4], 3, "cut off after 1 images"),
        (some, [0.6, np.nan], None, "must be probabilities"),
        (some, [0.9, 0.2], None, r"sum to 1\.(1|0999)"),
        (some, [0.9, -0.1], None, "must be probabilities"),
        (every, [0.5, 0.3, 0.19], None, r"sum to 0\.99"),
        (Header(1, 2, 1, 8, 1.0), [0.5, 0.5], None, r"classes in \[0, 1\)"),
    ):
        path = write(tmp_path / "b", header, [row], end)
        with pytest.raises(ValueError, match=match):
            StoredSoftLabels(path)
    verify(write(tmp_path / "c", every, [[0.5, 0.3, 0.1995]]))  # within 1e-3


def test_precompute_errors(tmp_path, teacher):
    path = tmp_path / "a"
    path.write_text("what was there")
    nan = lambda x: tf.fill((tf.shape(x)[0], 4), np.nan)  # noqa: E731
    for options, match in (
        (dict(crops=0), "`crops` must be a positive integer"),
        (dict(top_k=2.5), "`top_k` must be a positive integer"),
        (dict(top_k=8), "must not exceed the teachers' 7 classes"),
        (dict(temperature=-1), "`temperature` must be a positive number"),
        (dict(teachers=nan), "must be probabilities that sum to 1"),
        (dict(teachers=Teachers(teacher, activation="sigmoid")), "sum to 1"),
        (dict(dataset=DATA.take(0)), "at least one image"),
    ):
        options = {"dataset": DATA, "teachers": teacher, "size": 8, **options}
        with pytest.raises(ValueError, match=match):
            precompute(path=path, **options)
        assert [p.name for p in tmp_path.iterdir()] == ["a"]
        assert path.read_text() == "what was there"


def test_dataset_errors(paths):
    with pytest.raises(ValueError, match="`mode` must be one of"):
        StoredSoftLabels(paths[5], "top")
    stored = StoredSoftLabels(paths[5])
    for options, match in (
        (dict(num_crops=5), "`num_crops` must be at most 4"),
        (dict(num_crops=3), "divide `batch_size`"),
    ):
        with pytest.raises(ValueError, match=match):
            stored.dataset(DATA, **{"batch_size": 8, **options})
    with pytest.raises(ValueError, match=r"dataset of \(image, label\)"):
        stored.dataset(DATA.map(lambda x, y: x), 8, 2, labels=True)


def make(stored, **options):
    keras.utils.set_random_seed(4)
    discriminator = keras.Sequential(
        [keras.Input((CLASSES,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(2)]
    )
    trainer = MEALV2(network(), stored, **{"discriminator": discriminator, **options})
    trainer.compile(keras.optimizers.SGD(0.05, momentum=0.9), metrics=["accuracy"])
    return trainer


def told(discriminator, student, teacher):
    """The discriminator's loss on two sets of rows, by hand."""
    x = np.array(discriminator(np.concatenate([student, teacher])))
    targets = np.repeat([[1.0, 0.0], [0.0, 1.0]], len(student), 0)
    return np.mean(np.maximum(x, 0) - x * targets + np.log1p(np.exp(-np.abs(x))))


def test_discriminator_compares_probabilities(paths):
    stored = StoredSoftLabels(paths[5])
    ((images, soft),) = batches(stored, 1)
    trainer = make(stored)
    logits = np.array(trainer.student(images))
    loss, _, figures = trainer.objective(images, soft, None)
    similarity = -np.mean(np.sum(soft * tf.nn.log_softmax(logits), 1))
    expected = told(trainer.discriminator, tf.nn.softmax(logits), soft)
    assert float(figures["similarity_loss"]) == pytest.approx(similarity, rel=1e-5)
    assert float(figures["discriminator_loss"]) == pytest.approx(expected, rel=1e-5)
    assert float(loss) == pytest.approx(similarity + expected, rel=1e-5)


def test_cutmix_weighs_both_stored_labels(paths):
    stored = StoredSoftLabels(paths[5])
    ((images, (soft, labels)),) = batches(stored, 1, labels=True)
    mixed, pairs, share = (np.array(x) for x in CutMix(seed=3).mix(images))
    assert 0 < share < 1 and share == pytest.approx(
        np.mean(mixed == images, where=images != images.numpy()[pairs]), abs=0.05
    )
    trainer = make(stored, mix=CutMix(seed=3), label_weight=0.5)
    logits = np.array(trainer.student(mixed))
    loss, _, figures = trainer.objective(images, (soft, labels), None)
    logs, halves = tf.nn.log_softmax(logits), ((share, soft), (1 - share, soft.numpy()[pairs]))
    similarity = -sum(part * np.mean(np.sum(rows * logs, 1)) for part, rows in halves)
    p = tf.nn.softmax(logits)
    expected = sum(part * told(trainer.discriminator, p, rows) for part, rows in halves)
    assert float(figures["similarity_loss"]) == pytest.approx(similarity, rel=1e-5)
    assert float(figures["discriminator_loss"]) == pytest.approx(expected, rel=1e-5)
    known = labels.numpy()
    label = -sum(
        part * np.mean(logs.numpy()[np.arange(8), y])
        for part, y in ((share, known), (1 - share, known[pairs]))
    )
    assert float(loss) == pytest.approx(similarity + expected + 0.5 * label, rel=1e-5)


@pytest.mark.parametrize("kind, jits", [(MEALV2, (False, True)), (Distiller, (False, False))])
def test_fit(paths, kind, jits):
    stored = StoredSoftLabels(paths[5])
    losses = []
    for jit in jits:
        trainer = kind(network(), stored)
        trainer.compile(keras.optimizers.SGD(0.01), metrics=["accuracy"], jit_compile=jit)
        data = stored.dataset(DATA, 8, 2, normalize=scaled, labels=True)
        history = trainer.fit(data, epochs=4, verbose=0).history
        losses.append(history["similarity_loss"])
        assert history["similarity_loss"][-1] < history["similarity_loss"][0]
        assert "accuracy" in history
    np.testing.assert_allclose(*losses, rtol=1e-4)
    tests = np.array(scaled(IMAGES[:, :8, :8])), LABELS
    assert {"loss", "accuracy"} == set(trainer.evaluate(*tests, verbose=0, return_dict=True))
    plain = network()  # and any Keras model
    plain.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))
    plain.fit(stored.dataset(DATA, 8, 2, normalize=scaled), verbose=0)


def test_two_replicas_train_as_one(paths, two_replicas):
    stored = StoredSoftLabels(paths[5])
    tests = np.array(scaled(IMAGES[:, :8, :8])), LABELS

    def train(strategy):
        with strategy.scope():
            trainer = make(stored)
        data = stored.dataset(DATA, 8, 2, normalize=scaled)
        history = trainer.fit(data, epochs=2, verbose=0, validation_data=tests).history
        return trainer.get_weights(), history

    (ours, one), (theirs, two) = train(tf.distribute.get_strategy()), train(two_replicas)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    np.testing.assert_allclose(one["val_accuracy"], two["val_accuracy"])
    assert "accuracy" not in one and "accuracy" not in two  # no labels in training


def test_trainer_errors(paths, tmp_path, teacher):
    stored = StoredSoftLabels(paths[5])
    for options, match in (
        (dict(temperature=2.0), "that of the stored soft labels, 1.0. Received: temperature=2.0"),
        (dict(teacher_weights=[1.0]), "`teacher_weights` is for teachers that are asked"),
        (dict(ensemble="mean_logits"), "`ensemble` is for teachers"),
        (dict(activation="sigmoid"), "`activation` is for teachers"),
        (dict(mix=lambda x: x), "`mix` must be a `CutMix`"),
        (dict(student=network(0, 4)), "same classes. Received: 7 and 4"),
    ):
        with pytest.raises(ValueError, match=match):
            MEALV2(**{"student": network(), "teachers": stored, **options})
    trainer = make(stored)
    x = np.zeros((8, 8, 8, 3), "float32")
    for targets in ((), (np.zeros(8, "int32"),), (np.zeros((8, 4), "float32"),)):
        with pytest.raises(ValueError, match=r"StoredSoftLabels\.dataset"):
            trainer.fit(x, *targets, verbose=0)
    warm = precompute(DATA, teacher, tmp_path / "a", crops=2, size=8, temperature=3.0)
    trainer = MEALV2(network(), StoredSoftLabels(warm), temperature=3.0)
    trainer.compile("sgd")
    trainer.fit(StoredSoftLabels(warm).dataset(DATA, 4, 2), verbose=0)
