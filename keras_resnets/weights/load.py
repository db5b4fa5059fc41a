"""`weights=` of every factory."""

import io
import os
import zipfile

import h5py

from keras_resnets.weights.checkpoint import local_path
from keras_resnets.weights.convert import from_torch


def load_weights(model, source):
    """Load weights into a model from whatever `weights=` of a factory names.

    Args:
        model: a model made by a factory of this package.
        source: None (nothing is done), a `.keras` or `.weights.h5` file of the same architecture,
            or a public checkpoint as `from_torch` takes it.

    Returns:
        The model.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is corrupt or of another architecture; no weight has changed.

    Example:

    >>> trained = kr.x_vector(name="trained")
    >>> model = load_weights(kr.x_vector(), kr.weights.to_torch(trained))
    >>> bool(np.all(model.get_weights()[0] == trained.get_weights()[0]))
    True
    """
    if source is None:
        return model
    path = source if isinstance(source, dict) else local_path(source)
    if is_public(path):
        from_torch(model, path)
        return model
    if not os.path.exists(path):
        raise FileNotFoundError(f"There is no weights file {path!r}.")
    before = model.get_weights()
    try:
        held, wanted = _count(path), sum(_is_real(weight.dtype) for weight in model.weights)
        if held != wanted:  # Keras itself does not see a surplus
            raise ValueError(f"it holds {held} weights, the model {wanted}")
        model.load_weights(path)
    except Exception as error:  # h5py, zipfile and Keras raise different ones
        model.set_weights(before)
        raise ValueError(
            f"{path!r} could not be loaded into {model.name!r}; no weight was changed: {error}"
        ) from error
    return model


def is_public(source):
    """Whether `weights=` names a public checkpoint, and not a Keras file or nothing."""
    if source is None or isinstance(source, dict):
        return source is not None
    return not local_path(source).endswith((".keras", ".h5"))


def _count(path):
    """The number of weights in a Keras file: the optimizer's and random seeds are none."""
    names = []

    def visit(name, item):
        if isinstance(item, h5py.Dataset) and not name.startswith("optimizer/"):
            names.extend([name] * _is_real(item.dtype))

    if path.endswith(".keras"):
        with zipfile.ZipFile(path) as archive:
            path = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return len(names)


def _is_real(dtype):
    return not str(dtype).startswith(("int", "uint"))
