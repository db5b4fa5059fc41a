"""Our image networks beside timm's, both run here."""

import importlib.util

import numpy as np
import pytest

import keras_resnets as kr

pytestmark = pytest.mark.peers


@pytest.fixture(scope="module")
def image_peers(root):
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    pytest.importorskip("PIL", reason="pillow is not installed")
    path = root / "tests" / "peers" / "image_models.py"
    spec = importlib.util.spec_from_file_location("image_models", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_goldens_are_what_timm_computes(image_peers, states, root):
    goldens = np.load(root / "tests" / "data" / "image_models.npz")
    for name in image_peers.RESNETS:
        model, _ = image_peers.build(name, states["image_state"])
        for height, width in image_peers.SIZES:
            size = f"{height}x{width}"
            images = states["random_array"](f"images {size}", (2, height, width, 3))
            logits = image_peers.first_logits(image_peers.run(model, images))
            expected = goldens[f"{name}_{size}"]
            assert np.abs(logits - expected).max() < 1e-5 * np.abs(expected).max(), name


def test_our_weights_load_into_timm(image_peers, states):
    import torch

    theirs, _ = image_peers.build("resnet50d", states["image_state"])
    back = {k: torch.from_numpy(v) for k, v in kr.weights.to_torch(kr.resnet50d()).items()}
    missing, unexpected = theirs.load_state_dict(back, strict=False)
    assert not unexpected and all("num_batches_tracked" in key for key in missing)
