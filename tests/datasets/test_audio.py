import itertools

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from keras_resnets.datasets import AudioFiles, audio, audio_folder, read_audio
from keras_resnets.preprocessing.audio import resample

LENGTHS = [1000, 4000, 2500, 400, 3000]


@pytest.fixture
def files(tmp_path):
    paths = []
    for i, length in enumerate(LENGTHS):
        paths.append(str(tmp_path / f"{i}.wav"))
        ramp = (np.arange(length) + 5000 * i).astype("int16")  # each sample is its own address
        soundfile.write(paths[-1], ramp, 16000)
    return AudioFiles(paths, np.array([0, 1, 2, 0, 1], "int32"), ["a", "b", "c"], str(tmp_path))


def collect(dataset):
    return [tf.nest.map_structure(np.array, item) for item in dataset]


def assert_same(a, b):
    assert len(a) == len(b)
    for x, y in zip(a, b):
        tf.nest.map_structure(np.testing.assert_array_equal, x, y)


def test_whole_files(files):
    items = collect(files.dataset())
    assert [len(x) for x, _ in items] == LENGTHS
    assert [int(y) for _, y in items] == files.labels.tolist()
    for path, (x, _) in zip(files.paths, items):
        np.testing.assert_array_equal(x, read_audio(path))


def test_padded_batches_carry_lengths(files):
    (x, lengths), y = collect(files.dataset(batch_size=5))[0]
    assert x.shape == (5, 4000) and x.dtype == "float32" and lengths.dtype == "int32"
    assert lengths.tolist() == LENGTHS and y.tolist() == files.labels.tolist()
    for row, length, path in zip(x, lengths, files.paths):
        np.testing.assert_array_equal(row[:length], read_audio(path))
        assert (row[length:] == 0).all()


def test_crops_are_pieces_and_short_files_are_tiled(files):
    x, y = collect(files.dataset(crop=900, batch_size=5))[0]
    assert x.shape == (5, 900) and y.shape == (5,)
    address = np.rint(x * 32768).astype(int)
    assert (np.diff(np.delete(address, 3, axis=0)) == 1).all()
    np.testing.assert_array_equal(address[3], np.resize(15000 + np.arange(400), 900))


def test_crop_start_is_uniform_and_reaches_the_last(files):
    short = AudioFiles(files.paths[:1], files.labels[:1], ["a"], files.root)  # 1000 samples
    dataset = short.dataset(crop=998, repeat=True).take(600)
    starts = [int(np.rint(x[0] * 32768)) for x, _ in dataset.as_numpy_iterator()]
    counts = np.bincount(starts)
    assert len(counts) == 3 and (np.abs(counts - 200) < 50).all()


ARGUMENTS = {"crop": 300, "batch_size": 2, "shuffle": True, "seed": 5}


def test_same_seed_same_data(files):
    a = collect(files.dataset(**ARGUMENTS))
    assert_same(a, collect(files.dataset(**ARGUMENTS)))
    assert_same(a, collect(files.dataset(**ARGUMENTS, cache=False)))
    for change in ({"seed": 6}, {"epoch": 1}):
        other = collect(files.dataset(**{**ARGUMENTS, **change}))
        assert any((x[0] != y[0]).any() for x, y in zip(a, other))


@pytest.mark.parametrize("epoch, start_batch", [(0, 0), (0, 2), (2, 0), (1, 1)])
def test_resumes_in_mid_epoch_to_the_bit(files, epoch, start_batch):
    endless = collect(files.dataset(**ARGUMENTS, repeat=True).take(12))  # four epochs of 3 batches
    resumed = files.dataset(**ARGUMENTS, epoch=epoch, start_batch=start_batch, repeat=True)
    begun = 3 * epoch + start_batch
    assert_same(collect(resumed.take(12 - begun)), endless[begun:])
    once = files.dataset(**ARGUMENTS, epoch=epoch, start_batch=start_batch)
    assert_same(collect(once), endless[begun : 3 * epoch + 3])


def test_each_epoch_holds_every_file_once(files):
    batches = collect(files.dataset(**ARGUMENTS, repeat=True).take(9))
    epochs = [np.concatenate([x for x, _ in batches[i : i + 3]]) for i in (0, 3, 6)]
    orders = [np.floor(np.rint(x[:, 0] * 32768) / 5000).astype(int).tolist() for x in epochs]
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in orders)
    assert len({tuple(order) for order in orders}) > 1


def test_cardinality_is_known_to_fit(files):
    assert files.dataset(crop=300, batch_size=2).cardinality() == 3
    assert files.dataset(crop=300, batch_size=2, drop_remainder=True).cardinality() == 2
    assert files.dataset(batch_size=2, start_batch=1).cardinality() == 2
    assert files.dataset(crop=300, repeat=True).cardinality() == tf.data.INFINITE_CARDINALITY


def test_speeds_triple_the_classes(files):
    items = collect(files.dataset(speeds=(1.0, 0.9, 1.1)))
    assert len(items) == 15
    for (speed, (orig, target)), i in itertools.product(
        enumerate([(1, 1), (9, 10), (11, 10)]), range(5)
    ):
        x, y = items[5 * speed + i]
        assert y == files.labels[i] + 3 * speed
        expected = resample(read_audio(files.paths[i]), orig, target)
        assert len(x) == -(-LENGTHS[i] * target // orig)
        np.testing.assert_allclose(x, expected, atol=0.6 / 32768)


def test_cache_is_bounded_and_optional(files, monkeypatch):
    reads = []
    monkeypatch.setattr(
        audio, "read_audio", lambda path, *a: reads.append(path) or read_audio(path)
    )
    collect(files.dataset(cache=False))
    collect(files.dataset(cache=False))
    assert len(reads) == 10
    monkeypatch.setattr(audio, "CACHE_BYTES", 2 * (1000 + 400))
    tight = AudioFiles(files.paths, files.labels, files.class_names, files.root)
    collect(tight.dataset())
    reads.clear()
    collect(tight.dataset())
    assert 3 <= len(reads) < 5
    monkeypatch.setattr(audio, "CACHE_BYTES", 1 << 30)
    collect(files.dataset())
    reads.clear()
    collect(files.dataset())
    assert not reads


def test_bad_file_is_named_and_rate_is_not_assumed(files, tmp_path):
    soundfile.write(files.paths[0], np.zeros(100), 8000)
    with pytest.raises(tf.errors.OpError, match=r"0\.wav at 8000 Hz"):
        collect(files.dataset())
    assert len(collect(files.dataset(resample=True))[0][0]) == 200


@pytest.mark.parametrize(
    "argument", [{"crop": 0}, {"batch_size": 0}, {"seed": -1}, {"epoch": 1.5}, {"start_batch": 1}]
)
def test_bad_arguments(files, argument):
    with pytest.raises(ValueError, match=r"must be an integer|needs a `batch_size`"):
        files.dataset(**argument)
    with pytest.raises(ValueError, match="speeds"):
        files.dataset(speeds=())


def write(path, samples=200):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(samples), 16000)


def test_folder_with_tables(tmp_path):
    for name in ("train/x.wav", "train/y.wav", "dev/z.wav"):
        write(tmp_path / name)
    (tmp_path / "train.csv").write_text("path,speaker,sex\ntrain/x.wav,20,F\ntrain/y.wav,10,M\n")
    (tmp_path / "dev.csv").write_text("path,speaker\ndev/z.wav,30\n")
    (tmp_path / "dev_trials.txt").write_text("1 dev/z.wav dev/z.wav\n")
    data = audio_folder(tmp_path)
    assert data.train.paths == [str(tmp_path / "train/x.wav"), str(tmp_path / "train/y.wav")]
    assert data.train.class_names == ["10", "20"] and data.train.labels.tolist() == [1, 0]
    assert data.test.class_names == ["30"] and data.test.root == str(tmp_path)
    data.trials.check(data.test.root)


@pytest.mark.parametrize(
    "text", ["file,speaker\na,b\n", "path,speaker\na,\n", "path,speaker\n", ""]
)
def test_malformed_table(tmp_path, text):
    (tmp_path / "train.csv").write_text(text)
    with pytest.raises(ValueError, match=r"train\.csv"):
        audio_folder(tmp_path)


def test_folder_of_speakers(tmp_path):
    for name in ("id2/v/1.wav", "id1/v/1.wav", "id1/w/2.flac"):
        write(tmp_path / name)
    data = audio_folder(tmp_path)
    assert data.train.class_names == ["id1", "id2"] and data.train.labels.tolist() == [0, 0, 1]
    assert data.test is None and data.trials is None
    write(tmp_path / "loose.wav")
    with pytest.raises(ValueError, match=r"loose\.wav"):
        audio_folder(tmp_path)


def test_folder_of_splits(tmp_path):
    for name in ("train/id1/1.wav", "train/id2/1.wav", "test/id3/1.wav"):
        write(tmp_path / name)
    (tmp_path / "trials.txt").write_text("1 id3/1.wav id3/1.wav\n")
    data = audio_folder(tmp_path)
    assert data.train.class_names == ["id1", "id2"] and data.test.class_names == ["id3"]
    data.trials.check(data.test.root)


def test_folder_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        audio_folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="no audio"):
        audio_folder(tmp_path)
