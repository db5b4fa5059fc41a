"""`read_checkpoint`: every kind of source, and the errors."""

import json
import pickle
import sys
import types

import numpy as np
import pytest

from keras_resnets.weights import read_checkpoint

ARRAYS = {"a.weight": np.arange(6, dtype="f4").reshape(2, 3), "a.bias": np.ones(2, "f4")}


def save_safetensors(path):
    header, data = {}, b""
    for name, array in ARRAYS.items():
        span = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": span}
        data += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def assert_same(result):
    assert result.keys() == ARRAYS.keys()
    for name in ARRAYS:
        np.testing.assert_array_equal(result[name], ARRAYS[name])


def test_dict_is_taken_as_it_is():
    assert_same(read_checkpoint(ARRAYS))


@pytest.mark.parametrize("key", ["state_dict", "model", "teacher", "model_state_dict"])
def test_nested_dicts_are_unwrapped(key):
    optimizer = {"state": {}, "param_groups": []}
    assert_same(read_checkpoint({"epoch": 3, "optimizer": optimizer, key: ARRAYS}))


def test_wrappers_within_wrappers():
    assert_same(read_checkpoint({"model": {"state_dict": ARRAYS, "step": 1}}))


def test_dict_without_tensors():
    with pytest.raises(ValueError, match="epoch"):
        read_checkpoint({"epoch": 3})


def test_object_arrays_are_refused():
    with pytest.raises(ValueError, match="numeric"):
        read_checkpoint({"x": np.array([{}])})


def test_safetensors_and_npz(tmp_path):
    save_safetensors(tmp_path / "x.safetensors")
    assert_same(read_checkpoint(tmp_path / "x.safetensors"))
    np.savez(tmp_path / "x.npz", **ARRAYS)
    assert_same(read_checkpoint(str(tmp_path / "x.npz")))


@pytest.mark.parametrize("name", ["x.safetensors", "x.npz", "x.pt", "no/such", "model.ckpt"])
def test_missing_file(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=name):
        read_checkpoint(tmp_path / name)


def test_truncated_npz(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, **ARRAYS)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"x\.npz"):
        read_checkpoint(path)


def test_npz_is_never_unpickled(tmp_path):
    np.savez(tmp_path / "x.npz", bad=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match=r"x\.npz"):
        read_checkpoint(tmp_path / "x.npz")


def test_keras_files_are_sent_elsewhere(tmp_path):
    (tmp_path / "x.weights.h5").write_bytes(b"")
    with pytest.raises(ValueError, match="load_weights"):
        read_checkpoint(tmp_path / "x.weights.h5")


def test_torch_file_without_torch(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "x.pth").write_bytes(b"PK")
    with pytest.raises(ImportError, match="pip install torch"):
        read_checkpoint(tmp_path / "x.pth")


def test_tensorflow_checkpoint(tmp_path):
    tf = pytest.importorskip("tensorflow")
    variables = {name.replace(".", "_"): tf.Variable(array) for name, array in ARRAYS.items()}
    prefix = tf.train.Checkpoint(**variables).write(str(tmp_path / "model.ckpt"))
    for source in (prefix, tmp_path / "model.ckpt"):
        result = read_checkpoint(source)
        assert set(result) == {f"{name}/.ATTRIBUTES/VARIABLE_VALUE" for name in variables}
        weight = result["a_weight/.ATTRIBUTES/VARIABLE_VALUE"]
        np.testing.assert_array_equal(weight, ARRAYS["a.weight"])
    index = tmp_path / "model.ckpt.index"
    index.write_bytes(index.read_bytes()[:20])
    with pytest.raises(ValueError, match=r"model\.ckpt"):
        read_checkpoint(prefix)


def test_directory_without_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match="no TensorFlow checkpoint"):
        read_checkpoint(tmp_path)


class Missing(Exception):
    pass


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub of one directory a repository."""
    module = types.ModuleType("huggingface_hub")
    module.errors = types.SimpleNamespace(
        RepositoryNotFoundError=Missing, EntryNotFoundError=Missing
    )

    def list_repo_files(repository):
        if not (tmp_path / repository).is_dir():
            raise Missing(repository)
        return [path.name for path in (tmp_path / repository).iterdir()]

    def hf_hub_download(repository, file):
        if file not in list_repo_files(repository):
            raise Missing(file)
        return str(tmp_path / repository / file)

    module.list_repo_files, module.hf_hub_download = list_repo_files, hf_hub_download
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    (tmp_path / "owner" / "name").mkdir(parents=True)
    return tmp_path / "owner" / "name"


def test_hub_chooses_or_is_told_the_file(hub):
    (hub / "README.md").write_text("")
    np.savez(hub / "only.npz", **ARRAYS)
    assert_same(read_checkpoint("hf://owner/name"))
    save_safetensors(hub / "model.safetensors")
    (hub / "only.npz").write_bytes(b"broken")
    assert_same(read_checkpoint("hf://owner/name"))
    with pytest.raises(ValueError, match=r"only\.npz"):
        read_checkpoint("hf://owner/name/only.npz")


def test_hub_errors(hub):
    np.savez(hub / "one.npz", **ARRAYS)
    np.savez(hub / "two.npz", **ARRAYS)
    with pytest.raises(ValueError, match=r"(?s)one\.npz.*two\.npz|two\.npz.*one\.npz"):
        read_checkpoint("hf://owner/name")
    with pytest.raises(FileNotFoundError, match="hf://owner/other"):
        read_checkpoint("hf://owner/other")
    with pytest.raises(FileNotFoundError, match=r"three\.npz"):
        read_checkpoint("hf://owner/name/three.npz")
    with pytest.raises(ValueError, match="hf://owner/name"):
        read_checkpoint("hf://owner")


def test_hub_package_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"keras_resnets\[weights\]"):
        read_checkpoint("hf://owner/name")


@pytest.mark.peers
def test_torch_files(tmp_path):
    torch = pytest.importorskip("torch")
    state = {name: torch.from_numpy(array) for name, array in ARRAYS.items()}
    torch.save({"state_dict": state, "epoch": 1}, tmp_path / "x.pth")
    assert_same(read_checkpoint(tmp_path / "x.pth"))
    assert_same(read_checkpoint(state))
    half = {name: tensor.bfloat16() for name, tensor in state.items()}
    torch.save(half, tmp_path / "x.bin", _use_new_zipfile_serialization=False)
    assert_same(read_checkpoint(tmp_path / "x.bin"))
    content = (tmp_path / "x.pth").read_bytes()
    for broken in (content[:100], content[: len(content) // 2], b"", b"hello"):
        (tmp_path / "y.pth").write_bytes(broken)
        with pytest.raises(ValueError, match=r"y\.pth"):
            read_checkpoint(tmp_path / "y.pth")


@pytest.mark.peers
def test_torch_files_never_run_code(tmp_path):
    pytest.importorskip("torch")

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    (tmp_path / "x.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ValueError, match=r"x\.pt"):
        read_checkpoint(tmp_path / "x.pt")
    assert not (tmp_path / "ran").exists()
