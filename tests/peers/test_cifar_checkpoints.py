"""The public CIFAR-10 checkpoints of akamaster/pytorch_resnet_cifar10.

They are looked for as the checkout `pytorch_resnet_cifar10` in the folder `KERAS_RESNETS_PEERS`.
"""

import runpy
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_resnets as kr

pytestmark = pytest.mark.peers
DEPTHS = (20, 32, 44, 56)


@pytest.fixture(scope="module")
def repository(checkouts):
    path = Path(checkouts) / "pytorch_resnet_cifar10"
    if not path.is_dir():
        pytest.skip(f"{path} is missing")
    return path


def checkpoint(repository, depth):
    (path,) = (repository / "pretrained_models").glob(f"resnet{depth}-*.th")
    return path


@pytest.mark.parametrize("depth", DEPTHS)
def test_equal_logits(repository, depth):
    torch = pytest.importorskip("torch")
    path = checkpoint(repository, depth)
    theirs = runpy.run_path(repository / "resnet.py")[f"resnet{depth}"]().eval()
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    theirs.load_state_dict({k.removeprefix("module."): v for k, v in state.items()})
    options = dict(classifier_activation=None, input_shape=(None, None, 3))
    model = kr.cifar_resnet(depth, shortcut="A", weights=path, **options)
    for side in (32, 37):
        images = np.random.default_rng(side).standard_normal((4, side, side, 3)).astype("f4")
        with torch.no_grad():
            expected = theirs(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
        result = keras.ops.convert_to_numpy(model(images, training=False))
        error = np.abs(result - expected).max() / np.abs(expected).max()
        print(f"resnet{depth} {side}x{side}: {error:.1e}")
        assert error < 1e-5
    back = kr.weights.to_torch(model, "akamaster")
    for name, array in back.items():
        np.testing.assert_array_equal(array, state[f"module.{name}"].numpy(), err_msg=name)


def test_real_images(repository, data_dir):
    """Images that the networks were trained on; the normalisation is the repository's."""
    with np.load(data_dir / "cifar10" / "cifar10_exact.npz") as file:
        images, labels = file["x_test"], file["y_test"]
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    images = ((images / 255 - mean) / deviation).astype("float32")
    for depth in (20, 56):
        model = kr.cifar_resnet(depth, shortcut="A", weights=checkpoint(repository, depth))
        accuracy = np.mean(model.predict(images, verbose=0).argmax(-1) == labels)
        print(f"resnet{depth}: {accuracy:.4f}")
        assert accuracy > 0.97


def test_other_depths_and_classes_are_refused(repository):
    path = checkpoint(repository, 32)
    with pytest.raises(ValueError, match=r"unexpected: 'layer1\.3\.conv1\.weight'"):
        kr.cifar_resnet(20, shortcut="A", weights=path)
    with pytest.raises(ValueError, match=r"missing: 'layer2\.0\.shortcut\.0\.weight'"):
        kr.cifar_resnet(32, shortcut="B", weights=path)
    with pytest.raises(
        ValueError, match=r"linear\.weight': expected \(100, 64\), found \(10, 64\)"
    ):
        kr.cifar_resnet(32, shortcut="A", classes=100, weights=path)
