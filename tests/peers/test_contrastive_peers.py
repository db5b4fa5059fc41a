"""Losses of training without labels beside lightly's, on the same numbers."""

import importlib.util

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("lightly", reason="lightly is not installed")

import torch

from keras_resnets.losses import NTXent, SwAVLoss, sinkhorn_knopp

pytestmark = pytest.mark.peers


@pytest.fixture(scope="module", autouse=True)
def torchvision(root):
    """Declares the operators that lightly's import of torchvision asks for."""
    path = root / "tests" / "peers" / "image_models.py"
    spec = importlib.util.spec_from_file_location("image_models", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.timm()
    return module


def unit(rows, width, seed):
    x = np.random.default_rng(seed).normal(size=(rows, width)).astype("float32")
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("temperature", (0.1, 0.5, 1.0))
def test_nt_xent(temperature):
    from lightly.loss import NTXentLoss

    a, b = unit(8, 16, 1) * 3, unit(8, 16, 2)
    theirs = NTXentLoss(temperature)(torch.tensor(a), torch.tensor(b))
    assert float(NTXent(temperature)(a, b)) == pytest.approx(float(theirs), rel=1e-5)


@pytest.mark.parametrize("epsilon", (0.05, 0.03))
def test_sinkhorn(epsilon):
    from lightly.loss.swav_loss import sinkhorn

    scores = unit(16, 16, 3) @ unit(32, 16, 4).T
    theirs = sinkhorn(torch.tensor(scores), 3, epsilon, gather_distributed=False)
    np.testing.assert_allclose(sinkhorn_knopp(scores, epsilon, 3), theirs.numpy(), atol=1e-6)


def test_swav_with_small_crops_and_a_queue():
    from lightly.loss import SwaVLoss

    prototypes = unit(32, 16, 4).T
    crops = [unit(16, 16, seed) @ prototypes for seed in range(10, 15)]
    queues = [unit(24, 16, seed) @ prototypes for seed in (20, 21)]
    large, small = ([torch.tensor(c) for c in part] for part in (crops[:2], crops[2:]))
    theirs = SwaVLoss()(large, small)
    assert float(SwAVLoss()(crops)) == pytest.approx(float(theirs), rel=1e-5)
    theirs = SwaVLoss()(large, small, [torch.tensor(q) for q in queues])
    assert float(SwAVLoss()(crops, queue=queues)) == pytest.approx(float(theirs), rel=1e-5)
