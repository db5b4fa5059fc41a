"""The names of facebookresearch/swav: a torchvision network, its projection head, prototypes."""

from keras_resnets.weights.layout import TorchLayout
from keras_resnets.weights.timm import PREFIXES, RESNET

_BACKBONE = RESNET.without("predictions").names
_HEAD = {
    "{H}/dense1": "projection_head.0",
    "{H}/norm1": "projection_head.1",
    "{H}/dense2": "projection_head.3",
}
_LINEAR_HEAD = {"{H}/dense1": "projection_head"}
_PROTOTYPES = {"prototypes": "prototypes"}


def _one_part(name, names, part):
    """A layout of one part of a checkpoint; the others' tensors are left out."""
    return TorchLayout(name, names, PREFIXES, buffers=rf"(?!{part}\.).*|{RESNET.buffers}")


LAYOUTS = (
    TorchLayout("swav_linear", _BACKBONE | _LINEAR_HEAD | _PROTOTYPES, PREFIXES),
    TorchLayout("swav", _BACKBONE | _HEAD | _PROTOTYPES, PREFIXES),
    _one_part("swav_linear_head", _LINEAR_HEAD, "projection_head"),
    _one_part("swav_head", _HEAD, "projection_head"),
    _one_part("swav_prototypes", _PROTOTYPES, "prototypes"),
)
