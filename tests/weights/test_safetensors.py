"""The safetensors reader: what it reads, and that no broken file passes."""

import json

import numpy as np
import pytest

from keras_resnets.weights.safetensors import read_safetensors


def pack(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.fixture
def read(tmp_path):
    def read_bytes(content):
        path = tmp_path / "some.safetensors"
        path.write_bytes(content)
        return read_safetensors(path)

    return read_bytes


@pytest.mark.parametrize(
    ("dtype", "array"),
    [
        ("F64", np.array([[1.5, -2.0]])),
        ("F32", np.array([[1.5, -2.0]], "f4")),
        ("F16", np.array([[1.5, -2.0]], "f2")),
        ("I64", np.array([1, -(2**40)])),
        ("I32", np.array([1, -2], "i4")),
        ("U8", np.array([0, 255], "u1")),
        ("BOOL", np.array([True, False])),
    ],
)
def test_reads_every_type(read, dtype, array):
    data = array.tobytes()
    result = read(pack({"x": entry(dtype, array.shape, (0, len(data)))}, data))["x"]
    assert result.dtype == array.dtype
    np.testing.assert_array_equal(result, array)


def test_bfloat16_is_widened_exactly(read):
    values = np.array([1.0, -2.5, 3.0e38, 0.0078125, np.inf], "f4")
    bits = values.view("u4") >> 16  # 3e38 is rounded towards zero by this
    result = read(pack({"x": entry("BF16", (5,), (0, 10))}, bits.astype("<u2").tobytes()))["x"]
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, (bits << 16).astype("u4").view("f4"))
    assert result[1] == -2.5 and result[4] == np.inf


def test_metadata_scalars_and_empty_tensors(read):
    header = {
        "__metadata__": {"format": "pt"},
        "b": entry("F32", (), (0, 4)),
        "a": entry("F32", (0, 3), (4, 4)),
    }
    result = read(pack(header, np.float32(7).tobytes()))
    assert list(result) == ["b", "a"]
    assert result["b"].shape == () and result["b"] == 7
    assert result["a"].shape == (0, 3)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "bytes long"),
        (b"\x01\x02", "bytes long"),
        ((2**63).to_bytes(8, "little") + b"{}", "bytes long"),
        (pack({"x": entry()}, bytes(8))[:20], "bytes long"),
        (pack(b"{not json"), "not JSON"),
        (pack(b"\xff\xfe"), "not JSON"),
        (pack(b"[1]"), "not a JSON object"),
        (pack(b'{"x": 1, "x": 2}'), "twice"),
        (pack({"x": 3}), "malformed"),
        (pack({"x": {"dtype": "F32", "shape": [2]}}, bytes(8)), "malformed"),
        (pack({"x": entry(shape=(-2,))}, bytes(8)), "malformed"),
        (pack({"x": entry(shape=(2.0,))}, bytes(8)), "malformed"),
        (pack({"x": entry(offsets=(0, 8, 9))}, bytes(9)), "malformed"),
        (pack({"x": entry("F8_E4M3", (8,))}, bytes(8)), "dtype"),
        (pack({"x": entry(shape=(3,))}, bytes(8)), "needs 12 bytes"),
        (pack({"x": entry()}, bytes(7)), "needs 8 bytes"),
        (pack({"x": entry()}, bytes(9)), "end at byte 8 of 9"),
        (pack({"x": entry(), "y": entry(offsets=(4, 12))}, bytes(12)), "overlap"),
        (pack({"x": entry(), "y": entry(offsets=(9, 17))}, bytes(17)), "hole"),
        (pack({"x": entry(offsets=(1, 9))}, bytes(9)), "hole"),
    ],
)
def test_broken_files_are_refused_by_name(read, content, why):
    with pytest.raises(ValueError, match=why) as error:
        read(content)
    assert "some.safetensors" in str(error.value)


@pytest.mark.peers
def test_equals_the_safetensors_package(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    torch.manual_seed(0)
    kinds = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
    tensors = {str(kind): torch.randn(3, 4).to(kind) for kind in kinds}
    save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "pt"})
    for name, array in read_safetensors(tmp_path / "x.safetensors").items():
        np.testing.assert_array_equal(array, tensors[name].double().numpy())
