"""WeSpeaker's names for the x-vector (`tdnn.py`) and the r-vector (`resnet.py`)."""

from keras_resnets.weights.layout import TorchLayout

_HEADS = r"projection\..*|speaker_loss\..*|classifier\..*"
_PREFIXES = ("module.", "speaker_encoder.", "embedding_model.")

X_VECTOR = TorchLayout(
    "wespeaker_x_vector",
    {
        "frame{i}": "frame_{i}.conv_1d",
        "frame{i}_bn": "frame_{i}.bn",
        "segment1": "seg_1",
        "segment1_bn": "seg_bn_1",
        "segment2": "seg_2",
    },
    _PREFIXES,
    _HEADS,
)

R_VECTOR = TorchLayout(
    "wespeaker_r_vector",
    {
        "conv1": "conv1",
        "bn1": "bn1",
        "stage{s}_block{b}_conv{k}": "layer{s}.{b-1}.conv{k}",
        "stage{s}_block{b}_bn{k}": "layer{s}.{b-1}.bn{k}",
        "stage{s}_block{b}_shortcut_conv": "layer{s}.{b-1}.shortcut.0",
        "stage{s}_block{b}_shortcut_bn": "layer{s}.{b-1}.shortcut.1",
        "embedding": "seg_1",
    },
    _PREFIXES,
    _HEADS,
    flip=True,
)

LAYOUTS = (X_VECTOR, R_VECTOR)
