"""timm's image networks, with weights from `tests/data/states.py`.

timm imports torchvision, whose compiled operators a torch without a matching build lacks; they are
declared here so that the Python part loads.
"""

import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

RESNETS = (
    "resnet18",
    "resnet50",
    "resnet50d",
    "resnet152s",
    "resnext50_32x4d",
    "seresnet50",
    "senet154",
    "skresnet50",
    "wide_resnet50_2",
    "resnetv2_50",
    "resnetv2_50d_evos",
    "resnet50_gn",
    "ecaresnet50d",
    "densenet121",
)
SIZES = ((64, 64), (97, 65))
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
    library = torch.library.Library("torchvision", "DEF")
    for name in sorted({*names}):
        try:
            library.define(f"{name}(Tensor x) -> Tensor")
        except RuntimeError:  # the compiled operators are there
            break
    return library


def build(name, image_state):
    """timm's network in inference mode with random weights; also its names and shapes."""
    model = timm().create_model(name).eval()
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
