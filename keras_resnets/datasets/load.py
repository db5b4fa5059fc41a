"""One string names any data set: what every example takes as `--data`."""

import os

from keras_resnets.datasets.audio import audio_folder
from keras_resnets.datasets.image import (
    find_images,
    image_folder,
    load_idx,
    load_npz,
    make_image_data,
)
from keras_resnets.preprocessing.audio_file import find_audio

SAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "samples")

FASHION_NAMES = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
]
CIFAR10_NAMES = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
]


def load(spec):
    """Loads a data set by its name.

    | `spec` | what | returns |
    |---|---|---|
    | `"speech_sample"` | 257 speakers of LibriSpeech, shipped with the package | `AudioData` |
    | `"fashion_sample"` | 7,000 images of Fashion-MNIST, shipped with the package | `ImageData` |
    | `"cifar10"`, `"fashion_mnist"` | in `$KERAS_RESNETS_DATA`, or `keras.datasets` | `ImageData` |
    | `"tfds:NAME"` | TensorFlow Datasets; for `voxceleb` see below | `AudioData`, or images |
    | `"folder:DIR"` | see `audio_folder`; or `class/.../image` | `AudioData`, or images |
    | `"npz:FILE"` | arrays `x_train`, `y_train`, `x_test`, `y_test` | `ImageData` |

    Image folders and TFDS images are streams: `train` and `test` are `tf.data.Dataset`s of
    `(image, label)`, as the `train` and `test` of `ImageData` are.

    `"tfds:voxceleb"` (VoxCeleb1, identification splits) needs `vox_dev_wav.zip` in TFDS' manual
    folder, and pydub to prepare it. Its 1251 classes are the speakers id10001 to id11251 in order.
    TFDS leaves out files that it does not find, so with that archive alone the 40 speakers of the
    Vox1-O trials are absent. It has no trial list: `read_trials` reads one.

    Args:
        spec: str.

    Returns:
        See the table.

    Raises:
        ValueError: if `spec` is none of these.
        FileNotFoundError: if the folder or file does not exist.

    Example:

    >>> from keras_resnets import datasets
    >>> speech = datasets.load("speech_sample")
    >>> len(speech.train), len(speech.test), len(speech.trials)
    (251, 60, 1770)
    >>> datasets.load("fashion_sample").x_train.shape
    (6000, 28, 28)
    """
    kind, _, rest = str(spec).partition(":")
    if spec in NAMED:
        return NAMED[spec]()
    if kind == "tfds" and rest:
        from keras_resnets.datasets.tfds import load_tfds

        return load_tfds(rest)
    if kind == "folder" and rest:
        return _load_folder(rest)
    if kind == "npz" and rest:
        return load_npz(rest)
    raise ValueError(
        f"`spec` must be one of {', '.join(map(repr, NAMED))}, 'tfds:NAME', 'folder:DIR' or "
        f"'npz:FILE'. Received: spec={spec!r}"
    )


def _speech_sample():
    return audio_folder(os.path.join(SAMPLES, "speech_sample"))


def _fashion_sample():
    return load_npz(os.path.join(SAMPLES, "fashion_sample.npz"), FASHION_NAMES)


def _local(*parts):
    """A path below $KERAS_RESNETS_DATA if it is there, else `None`."""
    root = os.environ.get("KERAS_RESNETS_DATA")
    path = os.path.join(root, *parts) if root else ""
    return path if os.path.exists(path) else None


def _cifar10():
    local = _local("cifar10", "cifar10_exact.npz")
    if local:
        return load_npz(local, CIFAR10_NAMES)
    from keras.datasets import cifar10

    train, test = cifar10.load_data()
    return make_image_data(*train, *test, CIFAR10_NAMES)


def _fashion_mnist():
    if _local("fashion_mnist", "train-images-idx3-ubyte.gz"):
        return load_idx(_local("fashion_mnist"), FASHION_NAMES)
    from keras.datasets import fashion_mnist

    train, test = fashion_mnist.load_data()
    return make_image_data(*train, *test, FASHION_NAMES)


NAMED = {
    "speech_sample": _speech_sample,
    "fashion_sample": _fashion_sample,
    "cifar10": _cifar10,
    "fashion_mnist": _fashion_mnist,
}


def _load_folder(directory):
    if not os.path.isdir(directory):
        raise FileNotFoundError(f"'folder:DIR' needs a folder. Received: DIR={directory}")
    audio = os.path.isfile(os.path.join(directory, "train.csv")) or bool(find_audio(directory))
    images = bool(find_images(directory))
    if audio and not images:
        return audio_folder(directory)
    if images and not audio:
        return image_folder(directory)
    raise ValueError(
        "'folder:DIR' must hold audio or images, not both and not neither. "
        f"Received: DIR={directory}, with {'both' if audio else 'neither'}"
    )
