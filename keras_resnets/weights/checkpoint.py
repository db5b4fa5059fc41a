"""Reading the tensors of a public checkpoint, whatever wrote it. Nothing is ever unpickled."""

import os
import zipfile

import numpy as np

from keras_resnets.weights.safetensors import read_safetensors

# Where a training script keeps the network inside its checkpoint, best first.
_WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model",
    "teacher",
    "encoder",
    "backbone",
    "net",
    "params",
)
# What a hub repository calls its weights, best first.
_HUB_NAMES = ("model.safetensors", "pytorch_model.bin", "embedding_model.ckpt", "avg_model.pt")
_HUB_SUFFIXES = (".safetensors", ".npz", ".bin", ".pth", ".pt", ".ckpt", ".th", ".keras", ".h5")


def read_checkpoint(source):
    """Read a checkpoint into a dict of tensor name to array.

    safetensors, `.npz` and dicts need nothing beyond numpy; torch files are read by
    `torch.load(weights_only=True)`, TensorFlow checkpoints by `tf.train.load_checkpoint`. A network
    kept inside a training checkpoint, as `{"state_dict": ...}` or `{"model": ...}`, is unwrapped.

    Args:
        source: a path to a `.safetensors`, `.npz` or torch file (`.pth`, `.pt`, `.ckpt`, `.bin`,
            ...), the prefix of a TensorFlow checkpoint, its folder or that of a SavedModel,
            `"hf://owner/name"` or `"hf://owner/name/file"`, or a dict of arrays or tensors.

    Returns:
        A dict of name to `np.ndarray`. bfloat16 is widened to float32.

    Raises:
        FileNotFoundError: no such file or hub repository.
        ValueError: the file is corrupt or holds no tensors; the message names it.
        ImportError: the package that reads this kind of file is not installed.

    Example:

    >>> arrays = read_checkpoint({"state_dict": {"fc.weight": np.zeros((2, 3))}, "epoch": 7})
    >>> {name: array.shape for name, array in arrays.items()}
    {'fc.weight': (2, 3)}
    """
    if isinstance(source, dict):
        return _unwrap(source, "the dict given")
    path = local_path(source)
    if os.path.isdir(path):
        path = _latest(path)
    if os.path.exists(path + ".index"):
        return _read_tensorflow(path)
    if not os.path.exists(path):
        raise FileNotFoundError(f"There is no checkpoint {path!r}.")
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".safetensors":
        return read_safetensors(path)
    if suffix == ".npz":
        return _read_npz(path)
    if suffix in (".h5", ".keras"):
        raise ValueError(f"{path!r} is a Keras file: `load_weights(model, path)` reads it.")
    return _read_torch(path)


def _read_npz(path):
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path!r} is not a readable .npz file: {error}") from error


def _read_torch(path):
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"Reading the torch file {path!r} needs torch: `pip install torch`, or save "
            "the state dict as .safetensors or .npz."
        ) from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle, key and type errors alike
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"{path!r} is not a readable torch state dict: {reason}") from error
    return _unwrap(state, repr(path))


def _read_tensorflow(prefix):
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(prefix)
        names = sorted(reader.get_variable_to_shape_map())
        arrays = {name: reader.get_tensor(name) for name in names}
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise ValueError(f"{prefix!r} is not a readable TF checkpoint: {error}") from error
    return {k: v for k, v in arrays.items() if isinstance(v, np.ndarray) and v.dtype != object}


def _latest(directory):
    import tensorflow as tf

    saved_model = os.path.join(directory, "variables", "variables")
    if os.path.exists(saved_model + ".index"):
        return saved_model
    prefix = tf.train.latest_checkpoint(directory)
    if prefix is None:
        raise FileNotFoundError(f"The directory {directory!r} holds no TensorFlow checkpoint.")
    return prefix


def local_path(source):
    """The path itself, or that of the file downloaded from `"hf://owner/name[/file]"`."""
    address = os.fspath(source)
    if not address.startswith("hf://"):
        return address
    try:
        import huggingface_hub as hub
    except ImportError as error:
        raise ImportError(
            f"{address!r} needs huggingface_hub: `pip install keras_resnets[weights]`."
        ) from error
    owner, _, rest = address.removeprefix("hf://").partition("/")
    name, _, file = rest.partition("/")
    if not owner or not name:
        raise ValueError(f"`source` must be 'hf://owner/name[/file]'. Received: {address!r}")
    repository = f"{owner}/{name}"
    try:
        file = file or _choose(hub.list_repo_files(repository), address)
        return hub.hf_hub_download(repository, file)
    except (hub.errors.RepositoryNotFoundError, hub.errors.EntryNotFoundError) as error:
        raise FileNotFoundError(f"The hub has no {address!r}: {error}") from error


def _choose(files, address):
    known = [name for name in _HUB_NAMES if name in files]
    others = [name for name in files if name.endswith(_HUB_SUFFIXES)]
    if known or len(others) == 1:
        return (known or others)[0]
    raise ValueError(
        f"{address!r} does not say which file to read: name one, as {address}/FILE. "
        f"Candidates: {others or sorted(files)}"
    )


def _unwrap(state, where):
    """The tensors of a state dict, or of the network a training checkpoint keeps."""
    while isinstance(state, dict):
        arrays = {str(k): _to_numpy(v) for k, v in state.items() if _is_array(v)}
        inner = next((k for k in _WRAPPERS if isinstance(state.get(k), dict)), None)
        if inner is None:
            if arrays:
                return arrays
            break
        state = state[inner]
    keys = sorted(map(str, state))[:10] if isinstance(state, dict) else type(state).__name__
    raise ValueError(f"{where} holds no named tensors. Found: {keys}")


def _is_array(value):
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _to_numpy(value):
    if hasattr(value, "detach"):  # a torch tensor; numpy has no bfloat16
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    array = np.asarray(value)
    if array.dtype == object:
        raise ValueError(f"Tensors must be numeric. Received an object array of {array.shape}.")
    return array.astype("float32") if array.dtype.name == "bfloat16" else array
