"""Our image networks beside timm's and torchvision's, both run here, at random weights."""

import importlib.util
import runpy
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_resnets as kr

pytestmark = pytest.mark.peers

TABLE = runpy.run_path(Path(__file__).parents[1] / "data" / "image_cases.py")
CASES, FIXED, our_input = TABLE["CASES"], TABLE["FIXED"], TABLE["our_input"]
SIZES = ((224, 224), (193, 161))


@pytest.fixture(scope="module")
def image_peers(root):
    for package in ("torch", "torchvision", "timm"):  # torchvision cannot be imported as it is
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    path = root / "tests" / "peers" / "image_models.py"
    spec = importlib.util.spec_from_file_location("image_models", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ours(case, size):
    shape = {"input_shape": (*size, 3)} if case.static else {}
    factory = getattr(kr, case.factory)
    return factory(classifier_activation=None, **case.options, **shape)


def relative_error(model, images, expected):
    result = keras.ops.convert_to_numpy(model(images, training=False))
    return np.abs(result - expected).max() / np.abs(expected).max()


def check_weights_go_back(model, case, theirs, state):
    """Bit for bit, and into the peer itself."""
    import torch

    back = kr.weights.to_torch(model, case.layout)
    for name, array in back.items():
        np.testing.assert_array_equal(array, state[name], err_msg=name)
    missing, unexpected = theirs.load_state_dict(
        {name: torch.from_numpy(array) for name, array in back.items()}, strict=False
    )
    assert not unexpected
    heads = ("aux1.", "aux2.", "AuxLogits.")  # which serve training only
    assert all(key.endswith("num_batches_tracked") or key.startswith(heads) for key in missing)


@pytest.mark.filterwarnings("ignore:Tensors of heads")
@pytest.mark.parametrize("name", CASES)
def test_equal_outputs_and_weights(image_peers, states, name):
    """Also behind `fold_batch_norm`."""
    case = CASES[name]
    theirs, shapes = image_peers.build(name, states["image_state"])
    state = states["image_state"](name, shapes)
    sizes = FIXED if case.sizes == FIXED else SIZES
    model = None
    for size in sizes:
        if model is None or case.static:
            model = ours(case, size)
            assert not kr.weights.from_torch(model, state).missing
        images = states["random_array"](f"images {size}", (1, *size, 3))
        expected = image_peers.run(theirs, images)
        error = relative_error(model, our_input(case, images), expected)
        folded = relative_error(kr.fold_batch_norm(model), our_input(case, images), expected)
        print(f"{name} {size[0]}x{size[1]}: {error:.1e}, folded {folded:.1e}")
        assert error < 1e-4 and folded < 1e-4
    check_weights_go_back(model, case, theirs, state)


def test_files_of_torch(image_peers, states, tmp_path):
    """A training checkpoint in a file, of a network with other classes."""
    import torch

    theirs, _ = image_peers.build("resnet18", states["image_state"])
    path = tmp_path / "checkpoint.pth.tar"
    state = {f"module.{name}": tensor for name, tensor in theirs.state_dict().items()}
    torch.save({"epoch": 3, "arch": "resnet18", "state_dict": state}, path)
    images = states["random_array"]("images", (1, 64, 64, 3))
    model = kr.resnet18(classifier_activation=None, weights=path)
    assert relative_error(model, images, image_peers.run(theirs, images)) < 1e-5
    with pytest.raises(ValueError, match=r"fc\.weight': expected \(7, 512\), found \(1000, 512\)"):
        kr.resnet18(classes=7, weights=path)
    with pytest.warns(UserWarning, match="another size"):
        report = kr.weights.from_torch(kr.resnet18(classes=7), path, skip_mismatch=True)
    assert sorted(report.skipped) == ["fc.bias", "fc.weight"]


def test_google_files_as_timm_reads_them(image_peers, states, tmp_path):
    """Big Transfer's `.npz`, written by our names and read by timm's own loader."""
    theirs, shapes = image_peers.build("resnetv2_50x1_bit", states["image_state"])
    case = CASES["resnetv2_50x1_bit"]
    model = ours(case, None)
    kr.weights.from_torch(model, states["image_state"](f"other {case.factory}", shapes))
    np.savez(tmp_path / "BiT.npz", **kr.weights.to_torch(model, "google_bit"))
    theirs.load_pretrained(str(tmp_path / "BiT.npz"))
    images = states["random_array"]("images", (1, 97, 65, 3))
    expected = image_peers.run(theirs, images)
    assert relative_error(model, images, expected) < case.tolerance
    loaded = getattr(kr, case.factory)(
        classifier_activation=None, **case.options, weights=tmp_path / "BiT.npz"
    )
    assert relative_error(loaded, images, expected) < case.tolerance


def test_auxiliary_head(image_peers, states):
    """Of Inception v3, whose peer computes it in training only: run by hand."""
    import torch

    name = "torchvision_inception_v3"
    theirs, shapes = image_peers.build(name, states["image_state"])
    model = kr.inception_v3(include_aux=True, classifier_activation=None)
    report = kr.weights.from_torch(model, states["image_state"](name, shapes))
    assert "AuxLogits.fc.bias" in report.loaded
    seen = []
    theirs.Mixed_6e.register_forward_hook(lambda module, inputs, output: seen.append(output))
    images = states["random_array"]("images", (1, 299, 299, 3))
    image_peers.run(theirs, images)
    with torch.no_grad():
        expected = theirs.AuxLogits(seen[0]).numpy()
    result = keras.ops.convert_to_numpy(model(images, training=False)[1])
    assert np.abs(result - expected).max() < 1e-5 * np.abs(expected).max()


def test_transformed_input(image_peers, states):
    """`transform_input`, which torchvision sets with its pretrained weights."""
    name = "torchvision_inception_v3"
    theirs, shapes = image_peers.build(name, states["image_state"])
    theirs.transform_input = True
    state = states["image_state"](name, shapes)
    model = kr.inception_v3(transform_input=True, classifier_activation=None)
    with pytest.warns(UserWarning, match="AuxLogits"):
        kr.weights.from_torch(model, state)
    images = states["random_array"]("images", (1, 97, 81, 3))
    assert relative_error(model, images, image_peers.run(theirs, images)) < 1e-5


def test_goldens_are_what_the_peers_compute(image_peers, states, root):
    goldens = np.load(root / "tests" / "data" / "image_models.npz")
    for name, case in CASES.items():
        model, _ = image_peers.build(name, states["image_state"])
        for height, width in case.sizes:
            size = f"{height}x{width}"
            images = states["random_array"](f"images {size}", (2, height, width, 3))
            logits = image_peers.first_logits(image_peers.run(model, images))
            expected = goldens[f"{name}_{size}"]
            assert np.abs(logits - expected).max() < case.tolerance * np.abs(expected).max(), name
