"""The safetensors format, read with numpy alone.

A file is an 8-byte little-endian header length, a JSON header that gives dtype, shape and byte
range of every tensor, and the bytes. Every field is checked before a byte is used.

Reference: https://github.com/huggingface/safetensors#format
"""

import json
import math
import os

import numpy as np

_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",  # widened to float32 below
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
}
_MAX_HEADER = 100_000_000


def read_safetensors(path):
    """Read a `.safetensors` file into a dict of name to array.

    bfloat16, which numpy does not have, is widened to float32; the other types are kept.

    Args:
        path: the file.

    Returns:
        A dict of name to `np.ndarray`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is truncated or breaks the format; the message names it.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _MAX_HEADER):
            raise _bad(path, f"the header is {length} bytes long, the file {size}")
        try:
            header = json.loads(file.read(length), object_pairs_hook=_unique)
        except ValueError as error:
            raise _bad(path, f"the header is not JSON: {error}") from None
        data = file.read()
    if not isinstance(header, dict):
        raise _bad(path, "the header is not a JSON object")
    header.pop("__metadata__", None)
    arrays, ranges = {}, []
    for name, entry in header.items():
        arrays[name], span = _tensor(path, name, entry, data)
        ranges.append(span)
    end = 0
    for start, stop in sorted(ranges):
        if start != end:
            raise _bad(path, f"tensors overlap or leave a hole at byte {min(start, end)}")
        end = stop
    if end != len(data):
        raise _bad(path, f"tensors end at byte {end} of {len(data)}")
    return arrays


def _tensor(path, name, entry, data):
    try:
        dtype, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
        integers = all(type(n) is int and n >= 0 for n in (*shape, start, stop))
    except (TypeError, KeyError, ValueError):
        integers = False
    if not integers:
        raise _bad(path, f"the header entry of {name!r} is malformed: {entry!r}")
    if dtype not in _DTYPES:
        raise _bad(path, f"{name!r} has dtype {dtype!r}; read are {sorted(_DTYPES)}")
    wanted = math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize
    if stop - start != wanted or stop > len(data):
        raise _bad(
            path,
            f"{name!r} ({dtype}, {shape}) needs {wanted} bytes, has [{start}, {stop}) "
            f"of {len(data)}",
        )
    array = np.frombuffer(data[start:stop], _DTYPES[dtype]).reshape(shape)
    if dtype == "BF16":
        array = (array.astype("<u4") << 16).view("<f4")
    return array.copy(), (start, stop)


def _unique(pairs):
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError(f"a key occurs twice among {keys[:5]}")
    return dict(pairs)


def _bad(path, why):
    return ValueError(f"{str(path)!r} is not a valid safetensors file: {why}.")
