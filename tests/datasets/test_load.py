import gzip
import os
from pathlib import Path

import keras
import numpy as np
import pytest
import soundfile

from keras_resnets import datasets

SAMPLES = Path(datasets.__file__).parent / "samples"


def test_speech_sample(speech_sample):
    train, test, trials = speech_sample.train, speech_sample.test, speech_sample.trials
    assert len(train) == len(train.class_names) == 251 and sorted(train.labels) == list(range(251))
    assert len(test) == 60 and np.bincount(test.labels).tolist() == [10] * 6
    assert len(trials) == 1770 and trials.labels.sum() == 270
    assert not set(train.class_names) & set(test.class_names)
    trials.check(test.root)
    x = datasets.read_audio(test.paths[0])
    assert x.shape == (128000,) and 0.05 < np.abs(x).max() <= 1


def test_speech_sample_labels_agree_with_the_trials(speech_sample):
    test, trials = speech_sample.test, speech_sample.trials
    speaker = {os.path.relpath(p, test.root): y for p, y in zip(test.paths, test.labels)}
    same = [speaker[a] == speaker[b] for a, b in zip(trials.enrol, trials.test)]
    np.testing.assert_array_equal(same, trials.labels)


def test_fashion_sample():
    data = datasets.load("fashion_sample")
    assert data.x_train.shape == (6000, 28, 28) and data.x_test.shape == (1000, 28, 28)
    assert data.x_train.dtype == "uint8" and data.y_train.dtype == "int32"
    assert np.bincount(data.y_train).tolist() == [600] * 10 and len(data.class_names) == 10
    image, label = next(data.test.as_numpy_iterator())
    np.testing.assert_array_equal(image, data.x_test[0])
    assert label == data.y_test[0]


def test_samples_carry_their_licences_and_are_small():
    size = sum(path.stat().st_size for path in SAMPLES.rglob("*") if path.is_file())
    assert size < 10_000_000
    assert "CC BY 4.0" in (SAMPLES / "speech_sample" / "ATTRIBUTION").read_text()
    licence = (SAMPLES / "fashion_sample.LICENSE").read_text()
    assert "Zalando SE" in licence and "Permission is hereby granted" in licence


@pytest.mark.parametrize("spec", ["mnist", "tfds:", "folder", "npz:", "", None])
def test_unknown_spec_lists_what_is_allowed(spec):
    with pytest.raises(
        ValueError, match=r"'speech_sample'.*'tfds:NAME', 'folder:DIR' or 'npz:FILE'"
    ):
        datasets.load(spec)


def test_npz(tmp_path):
    path = tmp_path / "a.npz"
    x, y = np.zeros((4, 2, 2), "uint8"), np.array([[0], [2], [1], [0]])
    np.savez(path, x_train=x, y_train=y, x_test=x[:2], y_test=y[:2], class_names=["a", "b", "c"])
    data = datasets.load(f"npz:{path}")
    assert data.y_train.tolist() == [0, 2, 1, 0] and data.class_names == ["a", "b", "c"]
    np.savez(path, x_train=x, y_train=y)
    data = datasets.load(f"npz:{path}")
    assert data.x_test is None and data.test is None and data.class_names == ["0", "1", "2"]


def test_bad_npz(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        datasets.load(f"npz:{tmp_path}/none.npz")
    np.savez(tmp_path / "a.npz", x_train=np.zeros(3), y_train=np.zeros(2))
    with pytest.raises(ValueError, match="equally long"):
        datasets.load(f"npz:{tmp_path}/a.npz")
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    with pytest.raises(ValueError, match=r"`x_train` and `y_train`.*\['x'\]"):
        datasets.load(f"npz:{tmp_path}/a.npz")
    np.savez(tmp_path / "a.npz", x_train=np.array([{}]), y_train=np.zeros(1))
    with pytest.raises(ValueError, match="allow_pickle"):
        datasets.load(f"npz:{tmp_path}/a.npz")


def write_image(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    keras.utils.save_img(path, np.full((4, 5, 3), value), scale=False)


def test_image_folder(tmp_path):
    for name, value in [("dog/1.png", 10), ("cat/2.png", 20), ("cat/1.png", 30)]:
        write_image(tmp_path / name, value)
    data = datasets.load(f"folder:{tmp_path}")
    assert data.class_names == ["cat", "dog"] and data.test is None
    seen = [(x.shape, int(x[0, 0, 0]), int(y)) for x, y in data.train.as_numpy_iterator()]
    assert sorted(seen) == [((4, 5, 3), 10, 1), ((4, 5, 3), 20, 0), ((4, 5, 3), 30, 0)]


def test_image_folder_of_splits(tmp_path):
    for name in ("train/cat/1.png", "train/dog/1.png", "val/dog/1.png"):
        write_image(tmp_path / name, 10)
    data = datasets.load(f"folder:{tmp_path}")
    assert [int(y) for _, y in data.test] == [1]
    write_image(tmp_path / "val/bird/1.png", 0)
    with pytest.raises(ValueError, match="bird"):
        datasets.load(f"folder:{tmp_path}")


def test_folder_kind_is_seen_by_its_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        datasets.load(f"folder:{tmp_path}/nowhere")
    with pytest.raises(ValueError, match="neither"):
        datasets.load(f"folder:{tmp_path}")
    (tmp_path / "id1").mkdir()
    soundfile.write(tmp_path / "id1" / "a.wav", np.zeros(10), 16000)
    assert datasets.load(f"folder:{tmp_path}").train.class_names == ["id1"]
    write_image(tmp_path / "id1" / "a.png", 0)
    with pytest.raises(ValueError, match="both"):
        datasets.load(f"folder:{tmp_path}")


def test_fashion_mnist_from_the_data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_RESNETS_DATA", str(tmp_path))
    folder = tmp_path / "fashion_mnist"
    folder.mkdir()
    for split, count in (("train", 3), ("t10k", 2)):
        pixels, labels = np.arange(count * 784) % 256, np.arange(count)
        for kind, header, values in [("images-idx3", 16, pixels), ("labels-idx1", 8, labels)]:
            with gzip.open(folder / f"{split}-{kind}-ubyte.gz", "wb") as file:
                file.write(bytes(header) + values.astype("uint8").tobytes())
    data = datasets.load("fashion_mnist")
    assert data.x_train.shape == (3, 28, 28) and data.y_test.tolist() == [0, 1]
    assert data.x_train.ravel()[:257].tolist() == [*range(256), 0]


@pytest.mark.parametrize("name", ["cifar10", "fashion_mnist"])
def test_public_set_from_keras(name, monkeypatch):
    monkeypatch.delenv("KERAS_RESNETS_DATA", raising=False)
    x, y = np.zeros((5, 4, 4, 3), "uint8"), np.arange(5)[:, None]
    module = getattr(keras.datasets, name)
    monkeypatch.setattr(module, "load_data", lambda: ((x, y), (x[:2], y[:2])))
    data = datasets.load(name)
    assert data.y_train.tolist() == [0, 1, 2, 3, 4] and len(data.class_names) == 10


@pytest.mark.data
def test_real_sets_in_the_data_folder(data_dir):
    data = datasets.load("cifar10")
    assert data.x_train.shape == (4029, 32, 32, 3) and data.y_test.shape == (800,)
    data = datasets.load("fashion_mnist")
    assert data.x_train.shape == (60000, 28, 28) and data.y_test.shape == (10000,)
    sample = datasets.load("fashion_sample")
    first = data.x_train[data.y_train == 3][:600]
    np.testing.assert_array_equal(sample.x_train[sample.y_train == 3], first)
    data = datasets.load(f"folder:{data_dir}/librispeech_mini")
    assert len(data.train) == 251 and len(data.test) == 60 and len(data.trials) == 1770
    data.trials.check(data.test.root)
