"""The names of google-research/simclr's TensorFlow checkpoints.

Its variables are numbered in the order of creation: the stem first, in a block the shortcut before
the branch, in a selective kernel the streams before their attention.
"""

import re

from keras_resnets.weights.assign import Slot
from keras_resnets.weights.layout import TorchLayout

_LAYER = re.compile(r"(?:stem|stage(\d+)_block(\d+))_(.*)")
_ORDER = ("", "shortcut", "1", "2", "sk/", "sk/reduce", "sk/select", "3")
_SCOPES = {"conv": "conv2d", "norm": "batch_normalization"}
_WEIGHTS = "kernel|bias|gamma|beta|moving_mean|moving_variance"


class SimCLRLayout(TorchLayout):
    """A layout whose names count the convolutions and the norms of a network."""

    def slots(self, model):
        """The places of the checkpoint's tensors, as in `TorchLayout`."""
        slots, rest = super().slots(model)
        weights = {weight.path: weight for weight in model.weights}
        layers = {path: path.rpartition("/")[0] for path in rest}
        places = {layer: _place(layer) for layer in layers.values()}
        numbers = {}  # layer: its number among those of its kind
        for kind in _SCOPES:
            mine = [layer for layer, place in places.items() if place and place[0] == kind]
            numbers |= {layer: n for n, layer in enumerate(sorted(mine, key=places.get))}
        unnamed = [path for path, layer in layers.items() if layer not in numbers]
        for path, layer in layers.items():
            if layer in numbers:
                scope, n = _SCOPES[places[layer][0]], numbers[layer]
                name = f"base_model/{scope}_{n}" if n else f"base_model/{scope}"
                slots[f"{name}/{path.rpartition('/')[2]}"] = Slot([weights[path]], native=True)
        return slots, unnamed


def _place(layer):
    """The kind of one of our layers and where it stands in the order of creation, or None."""
    match = _LAYER.fullmatch(layer)
    if not match:
        return None
    stage, block, part = int(match[1] or 0), int(match[2] or 0), match[3].replace("avg_", "")
    kind = "norm" if "norm" in part else "conv"
    part = part.replace(kind, "").rstrip("_")
    return (kind, stage, block, _ORDER.index(part)) if part in _ORDER else None


_HEAD = {
    "{H}/dense{i}": "head_contrastive/nl_{i-1}/dense",
    "{H}/norm{i}": "head_contrastive/nl_{i-1}/batch_normalization",
}
# slots of the optimizer, the step, the average that the momentum encoder is
_BUFFERS = rf"(?!(.*/)?({_WEIGHTS})$).*|ema_model/.*"

SIMCLR = SimCLRLayout(
    "simclr",
    {"predictions": "head_supervised/linear_layer/dense"},
    heads=r"head_contrastive/.*",
    buffers=_BUFFERS,
    native=True,
)
# a network and its projection head; the head alone
PRETRAINED = SimCLRLayout(
    "simclr_pretrained", _HEAD, heads=r"head_supervised/.*", buffers=_BUFFERS, native=True
)
HEAD = SimCLRLayout(
    "simclr_head", _HEAD, buffers=rf"(?!head_contrastive/).*|{_BUFFERS}", native=True
)

LAYOUTS = (SIMCLR.without("predictions"), SIMCLR, PRETRAINED, HEAD)


def momentum_encoder(arrays):
    """The tensors under `ema_model/`, under the names of the others."""
    found = {k.removeprefix("ema_model/"): v for k, v in arrays.items() if k.startswith("ema_")}
    if not found:
        raise ValueError("`ema` needs a checkpoint with tensors under 'ema_model/'. Found: none")
    return found
