"""Image networks of timm and torchvision, with weights from `tests/data/states.py`.

timm imports torchvision, whose compiled operators a torch without a matching build lacks; they are
declared here so that the Python part loads.
"""

import contextlib
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

_LIBRARIES = []


def timm():
    """The module timm."""
    if not _LIBRARIES:
        _LIBRARIES.append(_declare_operators())
    import timm

    return timm


def _declare_operators():
    folder = Path(find_spec("torchvision").origin).parent
    text = (folder / "_meta_registrations.py").read_text()
    names = {
        *re.findall(r'torchvision::(\w+)"', text),
        *re.findall(r'register_meta\("(\w+)"', text),
    }
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in sorted(names):
        with contextlib.suppress(RuntimeError):  # the operator is there
            library.define(f"{name}(Tensor x) -> Tensor")
    return library


def create(name):
    """A network of timm, or of torchvision behind `torchvision_`."""
    library = timm()
    if not name.startswith("torchvision_"):
        return library.create_model(name)
    import torchvision

    name = name.removeprefix("torchvision_")
    slow = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return getattr(torchvision.models, name)(**slow)


def build(name, image_state):
    """The network in inference mode with random weights; also its names and shapes."""
    model = create(name).eval()
    shapes = {k: list(v.shape) for k, v in model.state_dict().items()}
    state = {k: torch.from_numpy(v) for k, v in image_state(name, shapes).items()}
    model.load_state_dict(state)
    return model, shapes


def run(model, images):
    """Logits of images (B, H, W, 3)."""
    with torch.no_grad():
        return model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()


def first_logits(logits):
    """What the golden file keeps: 32 of the 1000 logits."""
    return np.ascontiguousarray(logits[:, :: logits.shape[1] // 32][:, :32])
