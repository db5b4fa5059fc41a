import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_resnets.datasets import multi_crop_dataset
from keras_resnets.preprocessing.image import crop_and_flip


def look(image, seed):
    """Stands for views: the image's mean, and its seed."""
    return tf.reduce_mean(tf.cast(image, tf.float32), (-3, -2, -1)), seed


def images(count=20, sides=(6, 5)):
    """Every pixel of an image is its number."""
    numbers = np.arange(count, dtype="uint8")
    return np.tile(numbers[:, None, None, None], (1, *sides, 3))


@pytest.fixture
def folder(tmp_path):
    """Two classes of ten images, of several sizes."""
    for number in range(20):
        path = tmp_path / f"class{number // 10}" / "more"
        path.mkdir(parents=True, exist_ok=True)
        sides = (6 + number, 5)
        Image.fromarray(images(20, sides)[number]).save(path / f"{number:02}.png")
    return tmp_path


def record(path, numbers):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number in numbers:
            encoded = tf.io.encode_png(images()[number]).numpy()
            features = {
                "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded])),
                "image/class/label": tf.train.Feature(
                    int64_list=tf.train.Int64List(value=[number % 3])
                ),
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())


def pairs(dataset):
    """`(mean, seed)` of every image, of batches that are checked to be whole."""
    found = []
    for mean, seed in dataset:
        assert mean.shape == (4,)
        found += [(int(m), tuple(s)) for m, s in zip(mean.numpy(), seed.numpy())]
    return found


def numbers(dataset):
    return [number for number, _ in pairs(dataset)]


# Sources


def test_folder(folder):
    assert sorted(numbers(multi_crop_dataset(str(folder), 4, views=look))) == list(range(20))
    with pytest.raises(ValueError, match="images or records"):
        (folder / "empty").mkdir()
        multi_crop_dataset(folder / "empty", 4)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        multi_crop_dataset(folder / "nowhere", 4)


def test_labels_of_class_folders(folder):
    for (mean, _), label in multi_crop_dataset(folder, 4, views=look, labels="inferred"):
        np.testing.assert_array_equal(mean.numpy() // 10, label)
    with pytest.raises(ValueError, match='"inferred"'):
        multi_crop_dataset(folder, 4, labels="guess")


def test_paths_with_labels(folder):
    paths = sorted(folder.rglob("1*.png"))
    labels = [int(path.stem) + 100 for path in paths]
    for (mean, _), label in multi_crop_dataset(paths, 4, views=look, labels=labels):
        np.testing.assert_array_equal(mean + 100, label)
    with pytest.raises(ValueError, match="1 labels of 10 images"):
        multi_crop_dataset(paths, 4, labels=[0])
    with pytest.raises(ValueError, match="class folders"):
        multi_crop_dataset(paths, 4, labels="inferred")


@pytest.mark.parametrize("kind", ["folder", "files", "dataset"])
def test_records(tmp_path, kind):
    paths = [tmp_path / f"some.tfrecord-{part}" for part in range(2)]
    record(paths[0], range(10))
    record(paths[1], range(10, 20))
    source = {
        "folder": tmp_path,
        "files": paths,
        "dataset": tf.data.TFRecordDataset([str(path) for path in paths]),
    }[kind]
    assert sorted(numbers(multi_crop_dataset(source, 4, views=look))) == list(range(20))
    key = "image/class/label"
    for (mean, _), label in multi_crop_dataset(source, 4, views=look, label_key=key):
        np.testing.assert_array_equal(mean.numpy() % 3, label)


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("encoded", [False, True])
def test_datasets(labelled, encoded):
    source = tf.data.Dataset.from_tensor_slices(images())
    if encoded:
        source = source.map(tf.io.encode_png)
    if labelled:
        source = tf.data.Dataset.zip((source, tf.data.Dataset.range(20)))
    data = multi_crop_dataset(source, 4, views=look, seed=0)
    if labelled:
        assert all(np.array_equal(mean, label) for (mean, _), label in data)
        data = data.map(lambda views, label: views)
    assert sorted(numbers(data)) == list(range(20))
    with pytest.raises(ValueError, match="label_key"):
        multi_crop_dataset(source, 4, labels=range(20))


def test_images_of_a_stream_may_have_several_sizes():
    sides = tf.data.Dataset.range(1, 21)
    source = sides.map(lambda n: tf.fill(tf.stack([n, n, 3]), tf.cast(n, tf.uint8)))
    assert sorted(numbers(multi_crop_dataset(source, 4, views=look))) == list(range(1, 21))


def test_arrays():
    data = multi_crop_dataset(images(), 4, views=look, labels=np.arange(20) + 7)
    assert all(np.array_equal(mean + 7, label) for (mean, _), label in data)
    gray = images()[..., 0]
    shapes = multi_crop_dataset(gray, 4, views=lambda x, seed: x).element_spec
    assert shapes.shape == (4, 6, 5, 1) and shapes.dtype == "uint8"


@pytest.mark.parametrize("source", [3, [], np.zeros(5), tf.data.Dataset.range(9)], ids=str)
def test_other_sources_are_refused(source):
    with pytest.raises(ValueError, match="`source` must"):
        multi_crop_dataset(source, 4)


def test_every_kind_of_file_becomes_three_channels(tmp_path):
    value = images(200)[150]
    gray = Image.fromarray(value[..., 0])
    kinds = {
        "color.jpg": Image.fromarray(value),
        "gray.jpg": gray,
        "cmyk.jpg": Image.fromarray(value).convert("CMYK"),
        "alpha.png": Image.fromarray(value).convert("RGBA"),
        "palette.png": Image.fromarray(value).convert("P"),
        "deep.png": Image.fromarray(value[..., 0].astype("uint16") * 257),
        "bitmap.bmp": Image.fromarray(value),
        "still.gif": gray,
    }
    for name, picture in kinds.items():
        picture.save(tmp_path / name, quality=95)
    other = Image.fromarray(images()[0, ..., 0])
    gray.save(tmp_path / "moving.gif", save_all=True, append_images=[other])
    paths = [tmp_path / name for name in (*kinds, "moving.gif")]
    data = multi_crop_dataset(paths, 9, views=lambda image, seed: image, shuffle=False)
    (found,) = data
    assert found.shape == (9, 6, 5, 3) and found.dtype == "uint8"
    np.testing.assert_allclose(found, np.full(found.shape, 150), atol=3)


# Order and seeds


@pytest.fixture(params=["array", "folder", "encoded stream", "decoded stream", "cached folder"])
def make(request, folder):
    """A function of options to a dataset, for every way through the pipeline."""
    stream = tf.data.Dataset.from_tensor_slices(images())
    source, given = {
        "array": (images(), {}),
        "folder": (folder, {}),
        "encoded stream": (stream.map(tf.io.encode_png), {"shuffle": 7}),
        "decoded stream": (stream.take(20), {"shuffle": 8}),
        "cached folder": (folder, {"cache": True}),
    }[request.param]
    return lambda **options: multi_crop_dataset(source, 4, views=look, **given | options)


def test_a_seed_fixes_everything(make):
    first = pairs(make(seed=3))
    assert first == pairs(make(seed=3)) == pairs(make(seed=3, errors="raise"))
    assert numbers(make(seed=4)) != [number for number, _ in first]
    assert len({seed for _, seed in first}) == 20
    assert pairs(make()) != pairs(make())
    tf.random.set_seed(5)  # which changes nothing
    assert first == pairs(make(seed=3))


def test_epochs_differ_and_a_run_can_be_taken_up(make):
    whole = pairs(make(seed=3, repeat=True).take(15))
    epochs = [whole[:20], whole[20:40], whole[40:]]
    for epoch, expected in enumerate(epochs):
        assert sorted(number for number, _ in expected) == list(range(20))
        assert pairs(make(seed=3, epoch=epoch)) == expected
    assert len({tuple(number for number, _ in e) for e in epochs}) == 3
    assert len({seed for _, seed in whole}) == 60
    assert pairs(make(seed=3, epoch=1, start_batch=2, repeat=True).take(8)) == whole[28:]


def test_an_images_views_depend_on_its_number_alone(folder):
    """Not on the batch or the order."""
    shuffled = dict(pairs(multi_crop_dataset(folder, 4, views=look, seed=3)))
    assert shuffled == dict(pairs(multi_crop_dataset(folder, 4, views=look, seed=3, shuffle=False)))
    assert shuffled == dict(pairs(multi_crop_dataset(images(), 4, views=look, seed=3)))


def test_batched_views_are_the_same():
    pictures = np.random.default_rng(0).integers(0, 256, (12, 10, 10, 3)).astype("uint8")

    def view(image, seed):
        return crop_and_flip(image, seed, size=8)

    one, all_at_once = (
        np.stack(list(multi_crop_dataset(source, 4, views=view, seed=0, batched=batched)))
        for source, batched in [(pictures, False), (pictures, True)]
    )
    np.testing.assert_allclose(one, all_at_once, atol=2e-3)
    stream = tf.data.Dataset.from_tensor_slices(pictures)
    data = multi_crop_dataset(stream, 4, views=look, seed=0, batched=True)
    assert len(pairs(data)) == 12
    with pytest.raises(ValueError, match="batched"):
        multi_crop_dataset(stream.map(tf.io.encode_png), 4, batched=True)


def test_no_shuffle_keeps_the_order(make):
    assert numbers(make(seed=3, shuffle=False)) == list(range(20))


def test_batches_are_whole_and_their_number_is_known():
    data = multi_crop_dataset(images(), 8, views=look)
    assert len(data) == 2 and data.element_spec[0].shape == (8,)
    assert len(multi_crop_dataset(images(), 8, views=look, start_batch=1)) == 1
    with pytest.raises(ValueError, match="20 images, batch_size=21"):
        multi_crop_dataset(images(), 21)


def test_cache_reads_once(folder):
    data = multi_crop_dataset(folder, 4, views=look, seed=3, cache=True, repeat=True).take(10)
    first = pairs(data)
    for path in folder.rglob("*.png"):
        path.unlink()
    assert pairs(data) == first
    with pytest.raises(ValueError, match="cache"):
        multi_crop_dataset(images(), 4, cache=True)


# Files that are none


LEFT_OUT = pytest.mark.filterwarnings("ignore:An image cannot be read")


@pytest.fixture
def broken(folder):
    (folder / "class0" / "broken.jpg").write_bytes(b"no image")
    cut = folder / "class1" / "cut.png"
    cut.write_bytes((folder / "class1/more/19.png").read_bytes()[:50])
    return folder


def test_broken_files_raise(broken):
    with pytest.raises(tf.errors.InvalidArgumentError):
        pairs(multi_crop_dataset(broken, 4, views=look))


@LEFT_OUT
@pytest.mark.parametrize("cache", [False, True])
def test_broken_files_are_left_out_and_listed(broken, cache):
    options = {"views": look, "seed": 3, "errors": "ignore", "cache": cache}
    data = multi_crop_dataset(broken, 4, **options)
    found = pairs(data)
    assert found == pairs(data)
    assert sorted(number for number, _ in found) == list(range(20))
    assert sorted(path.rsplit("/", 1)[1] for path in data.ignored) == ["broken.jpg", "cut.png"]
    assert pairs(multi_crop_dataset(broken, 4, start_batch=2, **options)) == found[8:]


@LEFT_OUT
def test_broken_parts_of_a_stream_are_listed_by_number():
    encoded = [tf.io.encode_png(image).numpy() for image in images(9)]
    encoded[4] = b"none"
    stream = tf.data.Dataset.from_tensor_slices(encoded)
    data = multi_crop_dataset(stream, 4, views=look, errors="ignore")
    assert 4 not in numbers(data) and data.ignored == [4]
    decoded = tf.data.Dataset.from_tensor_slices(images())
    with pytest.raises(ValueError, match='"ignore"'):
        multi_crop_dataset(decoded, 4, errors="ignore")


# Replicas


def test_replicas_get_different_images(two_replicas):
    data = multi_crop_dataset(images(), 4, views=look, seed=3)
    found = []
    for mean, _ in two_replicas.experimental_distribute_dataset(data):
        parts = two_replicas.experimental_local_results(mean)
        assert [part.shape for part in parts] == [(2,), (2,)]
        found += np.concatenate(parts).astype(int).tolist()
    assert found == numbers(data)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"batch_size": 0}, "`batch_size`"),
        ({"seed": -1}, "`seed`"),
        ({"epoch": 1.5}, "`epoch`"),
        ({"start_batch": -1}, "`start_batch`"),
        ({"errors": "skip"}, "`errors`"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        multi_crop_dataset(images(), **{"batch_size": 4} | options)
