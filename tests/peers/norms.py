"""timm's EvoNorms and torch's batch normalisation on one small batch.

    python tests/peers/norms.py    writes tests/data/norms.npz

Needs torch, torchvision and timm.
"""

import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
NAMES = ("b0", "b1", "b2", "s0", "s1", "s2", "s0a", "s1a", "s2a")
CHANNELS, GROUPS, EPSILON = 16, 4, 1e-4
CASES = [(name, act) for name in NAMES for act in (True, False)]


def batch():
    """Input, gradient of the output, and gamma, beta and v; NCHW."""
    rng = np.random.default_rng(0)
    x, dy = rng.normal(0.3, 1.5, (2, 2, CHANNELS, 3, 4)).astype("float32")
    return x, dy, rng.normal(1, 0.5, (3, CHANNELS)).astype("float32")


def evonorm(name, act):
    """timm's layer in training on the batch: output, gradients and moving variance by name."""
    sys.path.append(str(HERE))
    import image_models

    image_models.timm()
    import timm.layers.evo_norm as layers

    kind = getattr(layers, f"EvoNorm2d{name[0].upper()}{name[1:]}")
    groups = {} if name.startswith("b") else {"groups": GROUPS}
    return run(kind(CHANNELS, apply_act=act, eps=EPSILON, **groups))


def batch_norm():
    """torch's layer, likewise."""
    import torch

    return run(torch.nn.BatchNorm2d(CHANNELS, eps=EPSILON))


def run(layer):
    import torch

    x, dy, (gamma, beta, v) = (torch.tensor(array) for array in batch())
    weights = {"gamma": (layer.weight, gamma), "beta": (layer.bias, beta)}
    if getattr(layer, "v", None) is not None:
        weights["v"] = layer.v, v
    with torch.no_grad():
        for parameter, value in weights.values():
            parameter.copy_(value)
    x.requires_grad_()
    y = layer.train()(x)
    y.backward(dy)
    found = {"y": y, "dx": x.grad, **{k: p.grad for k, (p, _) in weights.items()}}
    if getattr(layer, "running_var", None) is not None:
        found["moving_variance"] = layer.running_var
        found["inference"] = layer.eval()(x)
    return {key: value.detach().numpy() for key, value in found.items()}


def outputs():
    """All cases, as `{"b0/True/y": array}`."""
    cases = {f"{name}/{act}": evonorm(name, act) for name, act in CASES}
    cases["batch_norm/False"] = batch_norm()
    return {f"{case}/{key}": v for case, found in cases.items() for key, v in found.items()}


if __name__ == "__main__":
    np.savez_compressed(HERE.parent / "data" / "norms.npz", **outputs())
