"""Labelled images: arrays, and folders read as a stream."""

import gzip
import os
from dataclasses import dataclass, replace

import numpy as np

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif")


@dataclass(frozen=True, eq=False)
class ImageData:
    """Images in memory.

    Args:
        x_train, x_test: arrays `(images, height, width[, channels])`.
        y_train, y_test: int32 arrays. `x_test` and `y_test` are `None` where there is no test set.
        class_names: list of str.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray | None
    y_test: np.ndarray | None
    class_names: list

    @property
    def train(self):
        """A `tf.data.Dataset` of `(image, label)`."""
        return _slices(self.x_train, self.y_train)

    @property
    def test(self):
        """A `tf.data.Dataset` of `(image, label)`, or `None`."""
        return None if self.x_test is None else _slices(self.x_test, self.y_test)

    def subset(self, which):
        """The same data with a part of the training images.

        Args:
            which: slice, integers or booleans that index them.

        Returns:
            `ImageData`.

        Example:

        >>> data = kr.datasets.load("fashion_sample")
        >>> few = data.subset(data.y_train < 2)
        >>> len(few.x_train), len(few.x_test)
        (1200, 1000)
        """
        return replace(self, x_train=self.x_train[which], y_train=self.y_train[which])


@dataclass(frozen=True, eq=False)
class ImageStream:
    """Images that are read as they are needed.

    Args:
        train, test: `tf.data.Dataset` of `(uint8 image, label)`; `test` may be `None`. The training
            images are in a random order, the same each time.
        class_names: list of str.
    """

    train: object
    test: object
    class_names: list


def _slices(images, labels):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((images, labels))


def make_image_data(x_train, y_train, x_test=None, y_test=None, class_names=None):
    """`ImageData` of checked arrays."""
    splits = [("train", x_train, y_train), ("test", x_test, y_test)]
    for split, images, labels in splits:
        if images is not None and (labels is None or len(images) != len(labels)):
            raise ValueError(
                f"`x_{split}` and `y_{split}` must be equally long. Received: {len(images)} images "
                f"and {'no' if labels is None else len(labels)} labels"
            )
    y_train, y_test = (
        None if y is None else np.ravel(y).astype("int32") for y in (y_train, y_test)
    )
    if class_names is None:
        classes = 1 + max(int(y.max()) for y in (y_train, y_test) if y is not None)
        class_names = [str(label) for label in range(classes)]
    return ImageData(x_train, y_train, x_test, y_test, [str(name) for name in class_names])


def load_npz(path, class_names=None):
    """Images from an .npz file: `x_train`, `y_train`, maybe `x_test`, `y_test`, `class_names`."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"An .npz file that exists is needed. Received: {path}")
    with np.load(path, allow_pickle=False) as arrays:
        missing = [name for name in ("x_train", "y_train") if name not in arrays]
        if missing:
            raise ValueError(
                f"An .npz file must hold `x_train` and `y_train`. Received: {path} with "
                f"{sorted(arrays.files)}"
            )
        if class_names is None and "class_names" in arrays:
            class_names = arrays["class_names"]
        names = ("x_train", "y_train", "x_test", "y_test")
        return make_image_data(*(arrays.get(n) for n in names), class_names)


def load_idx(directory, class_names):
    """Images from the four gzipped files of MNIST's layout."""
    arrays = []
    for split in ("train", "t10k"):
        for kind, header in (("images-idx3", 16), ("labels-idx1", 8)):
            with gzip.open(os.path.join(directory, f"{split}-{kind}-ubyte.gz")) as file:
                arrays.append(np.frombuffer(file.read(), "uint8", offset=header))
    x_train, y_train, x_test, y_test = arrays
    x_train, x_test = x_train.reshape(-1, 28, 28), x_test.reshape(-1, 28, 28)
    return make_image_data(x_train, y_train, x_test, y_test, class_names)


def image_folder(directory):
    """Images in a subfolder for each class, maybe below `train/` and `test/` (or `val/`)."""
    directory = os.path.abspath(directory)
    inside = {
        name for name in os.listdir(directory) if os.path.isdir(os.path.join(directory, name))
    }
    if "train" not in inside:
        train, names = _folder_stream(directory, shuffled=True)
        return ImageStream(train, None, names)
    train, names = _folder_stream(os.path.join(directory, "train"), shuffled=True)
    held_out = [name for name in ("test", "val") if name in inside]
    test = _folder_stream(os.path.join(directory, held_out[0]), names)[0] if held_out else None
    return ImageStream(train, test, names)


def find_images(directory):
    """All image files below `directory`, sorted."""
    return sorted(
        os.path.join(root, name)
        for root, _, names in os.walk(directory, followlinks=True)
        for name in names
        if name.lower().endswith(IMAGE_EXTENSIONS) and not name.startswith(".")
    )


def folder_labels(paths, directory, names=None):
    """An int32 label for each file, and the names of the classes: the folders in `directory`."""
    classes = [os.path.relpath(path, directory).split(os.sep)[0] for path in paths]
    loose = [path for path in paths if os.path.dirname(path) == directory]
    if loose or not paths:
        found = f"an image outside a class folder: {loose[0]}" if loose else "no image"
        raise ValueError(
            "A folder of images must hold files as class/.../file. Received: "
            f"directory={directory}, with {found}"
        )
    names = names or sorted(set(classes))
    unknown = sorted(set(classes) - set(names))
    if unknown:
        raise ValueError(f"Classes must be those of train/. Received: {unknown} in {directory}")
    return np.array([names.index(name) for name in classes], "int32"), names


def _folder_stream(directory, names=None, shuffled=False):
    import tensorflow as tf

    paths = find_images(directory)
    if shuffled:  # a buffer cannot mix what is sorted by class
        paths = [paths[i] for i in np.random.default_rng(0).permutation(len(paths))]
    labels, names = folder_labels(paths, directory, names)

    def read(path, label):
        image = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
        return image, label

    files = tf.data.Dataset.from_tensor_slices((paths, labels))
    return files.map(read, num_parallel_calls=tf.data.AUTOTUNE), names
