"""TFDS' own `voxceleb` builder, on a small archive made here; and a made-up audio and image set."""

import functools
import sys
import zipfile

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from keras_resnets import datasets

SPLITS = {
    "id10001/aaa/00001.wav": 1,
    "id10001/aaa/00002.wav": 3,
    "id10002/bbb/00001.wav": 1,
    "id11251/ccc/00001.wav": 1,
    "id10002/bbb/00002.wav": 2,
    "id10270/ddd/00001.wav": 1,  # a Vox1-O speaker: named in the list, absent from the archive
}


@pytest.fixture
def tfds(tmp_path, monkeypatch):
    tfds = pytest.importorskip("tensorflow_datasets")
    builder = functools.partial(tfds.builder, data_dir=str(tmp_path / "tfds"))
    monkeypatch.setattr(tfds, "builder", builder)
    return tfds


@pytest.fixture
def voxceleb(tfds, tmp_path, monkeypatch):
    """Spoken by speaker NNNN: a ramp of 3000 samples that begins at NNNN."""
    pytest.importorskip("pydub")
    manual = tmp_path / "tfds" / "downloads" / "manual"
    manual.mkdir(parents=True)
    with zipfile.ZipFile(manual / "vox_dev_wav.zip", "w") as archive:
        for name in list(SPLITS)[:5]:
            ramp = (np.arange(3000) + int(name[3:7])).astype("int16")
            soundfile.write(tmp_path / "a.wav", ramp, 16000)
            archive.write(tmp_path / "a.wav", f"wav/{name}")
    listing = tmp_path / "iden_split.txt"
    listing.write_text("".join(f"{split} {name}\n" for name, split in SPLITS.items()))
    monkeypatch.setattr(
        tfds.download.DownloadManager, "download", lambda self, urls: {"iden_split": str(listing)}
    )
    return datasets.load("tfds:voxceleb")


def collect(dataset):
    return [(np.array(x), np.array(y).item()) for x, y in dataset]


def test_voxceleb_labels_and_scale(voxceleb):
    train = voxceleb.train
    assert len(train) == 3 and len(voxceleb.test) == 1 and voxceleb.trials is None
    assert len(train.class_names) == 1251
    assert (train.class_names[0], train.class_names[-1]) == ("id10001", "id11251")
    items = sorted(collect(train.dataset()), key=lambda item: item[1])
    assert [label for _, label in items] == [0, 1, 1250]
    for x, label in items:
        np.testing.assert_array_equal(x, ((np.arange(3000) + label + 1) / 32768).astype("float32"))


def test_voxceleb_crops_batches_and_speeds(voxceleb):
    (x, y) = next(iter(voxceleb.train.dataset(crop=800, batch_size=3)))
    assert x.shape == (3, 800)
    address = np.rint(np.array(x) * 32768).astype(int)
    assert (np.diff(address) == 1).all() and (address[:, 0] >= np.array(y) + 1).all()
    ((x, lengths), y) = next(iter(voxceleb.train.dataset(batch_size=3)))
    assert x.shape == (3, 3000) and np.array(lengths).tolist() == [3000] * 3
    items = collect(voxceleb.train.dataset(speeds=(1.0, 0.9, 1.1)))
    assert sorted(label for _, label in items) == [
        speaker + 1251 * speed for speed in range(3) for speaker in (0, 1, 1250)
    ]
    assert {label // 1251: len(x) for x, label in items} == {0: 3000, 1: 3334, 2: 2728}


def test_voxceleb_resumes_in_mid_epoch(voxceleb):
    arguments = {"crop": 500, "batch_size": 1, "shuffle": True, "seed": 3, "repeat": True}
    endless = collect(voxceleb.train.dataset(**arguments).take(9))
    orders = {tuple(label for _, label in endless[i : i + 3]) for i in (0, 3, 6)}
    assert all(sorted(order) == [0, 1, 1250] for order in orders) and len(orders) > 1
    resumed = collect(voxceleb.train.dataset(**arguments, epoch=1, start_batch=2).take(4))
    for (x, y), (x0, y0) in zip(resumed, endless[5:]):
        np.testing.assert_array_equal(x, x0)
        assert y == y0


def test_shuffles_whole_files_in_blocks(voxceleb, monkeypatch):
    monkeypatch.setattr(sys.modules["keras_resnets.datasets.tfds"], "SHUFFLE_BLOCK", 4)
    plain = collect(voxceleb.train.dataset(speeds=(1.0, 0.9, 1.1)))
    mixed = collect(voxceleb.train.dataset(speeds=(1.0, 0.9, 1.1), shuffle=True, seed=1))
    assert [y for _, y in plain] != [y for _, y in mixed]
    plain, mixed = ({y: x for x, y in items} for items in (plain, mixed))
    assert plain.keys() == mixed.keys()
    assert all((plain[y] == mixed[y]).all() for y in plain)
    batch = voxceleb.train.dataset(speeds=(1.0, 0.9), shuffle=True, batch_size=6)
    ((x, lengths), _) = next(iter(batch))
    assert x.shape == (6, 3334) and sorted(np.array(lengths)) == [3000] * 3 + [3334] * 3


def test_voxceleb_rate_is_checked(voxceleb):
    with pytest.raises(ValueError, match="16000 Hz"):
        voxceleb.train.dataset(sampling_rate=8000)
    assert len(collect(voxceleb.train.dataset(sampling_rate=8000, resample=True))[0][0]) == 1500


def prepare(tfds, name, features, examples):
    class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            yield from enumerate(examples)

    Builder.name = name
    Builder(data_dir=tfds.builder.keywords["data_dir"]).download_and_prepare()


def test_other_audio_keeps_its_labels(tfds):
    features = {
        "audio": tfds.features.Audio(sample_rate=16000),
        "label": tfds.features.ClassLabel(names=["x", "y"]),
    }
    examples = [{"audio": np.arange(100 * n), "label": n - 1} for n in (1, 2)]
    prepare(tfds, "my_audio", features, examples)
    data = datasets.load("tfds:my_audio")
    assert data.train.class_names == ["x", "y"] and data.test is None
    assert {label: len(x) for x, label in collect(data.train.dataset())} == {0: 100, 1: 200}


def test_images(tfds):
    features = {
        "image": tfds.features.Image(shape=(4, 4, 3)),
        "label": tfds.features.ClassLabel(names=["x", "y"]),
    }
    examples = [{"image": np.full((4, 4, 3), n, "uint8"), "label": n} for n in (0, 1)]
    prepare(tfds, "my_images", features, examples)
    data = datasets.load("tfds:my_images")
    assert data.class_names == ["x", "y"] and data.test is None
    assert data.train.element_spec[0] == tf.TensorSpec((4, 4, 3), tf.uint8)
    assert all((x == y).all() for x, y in collect(data.train))


def test_features_are_checked(tfds):
    features = {"text": tfds.features.Text()}
    prepare(tfds, "my_text", features, [{"text": "a"}])
    with pytest.raises(ValueError, match=r"my_text.*\['text'\]"):
        datasets.load("tfds:my_text")


def test_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ImportError, match=r"keras_resnets\[tfds\]"):
        datasets.load("tfds:voxceleb")
