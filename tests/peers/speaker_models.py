"""The speaker networks and front ends of other projects, built from their own code.

SpeechBrain is imported; WeSpeaker and TaoRuijie are no packages: `root` is a directory with the
checkouts `wespeaker` and `ECAPA-TDNN` in it.
"""

import importlib
import importlib.util
import sys
import types
from pathlib import Path

import numpy as np
import torch

# name -> (project, its arguments, frames of the test input); with few frames the unbiased standard
# deviation differs most from the biased one
CASES = {
    "speechbrain_small": (
        "speechbrain",
        {
            "channels": [64] * 4 + [96],
            "attention_channels": 32,
            "se_channels": 16,
            "lin_neurons": 48,
        },
        11,
    ),
    "speechbrain_512": ("speechbrain", {"lin_neurons": 192}, 150),
    "wespeaker_64": ("wespeaker", {"channels": 64}, 11),
    "wespeaker_64_emb_bn": ("wespeaker", {"channels": 64, "emb_bn": True}, 11),
    "wespeaker_512": ("wespeaker", {"channels": 512}, 150),
    "wespeaker_512_emb_bn": ("wespeaker", {"channels": 512, "emb_bn": True}, 150),
    "taoruijie_64": ("taoruijie", {"C": 64}, 11),
    "taoruijie_512": ("taoruijie", {"C": 512}, 150),
    "x_vector": ("x_vector", {}, 150),
    "r_vector_34": ("r_vector", {"depth": 34}, 150),
    "r_vector_50": ("r_vector", {"depth": 50}, 43),
}


def build(name, root=None):
    """The peer's network in inference mode."""
    project, options, _ = CASES[name]
    if project == "speechbrain":
        from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN

        return ECAPA_TDNN(80, **options).eval()
    if project == "taoruijie":
        return taoruijie(root).ECAPA_TDNN(**options).eval()
    if project == "wespeaker":
        ecapa = wespeaker(root, "ecapa_tdnn").ECAPA_TDNN
        return ecapa(feat_dim=80, embed_dim=192, global_context_att=True, **options).eval()
    if project == "x_vector":
        return wespeaker(root, "tdnn").XVEC(feat_dim=80, embed_dim=512).eval()
    resnet = getattr(wespeaker(root, "resnet"), f"ResNet{options['depth']}")
    return resnet(feat_dim=80, embed_dim=256).eval()


def randomize(model, random_state):
    """Give a network the weights of `states.random_state`; returns its names and shapes."""
    before = model.state_dict()
    shapes = {k: list(v.shape) for k, v in before.items() if not k.startswith("torchfbank")}
    state = {k: torch.from_numpy(v) for k, v in random_state(shapes).items()}
    model.load_state_dict({**before, **state})
    return shapes


def run(name, model, features):
    """The peer's embeddings of `features` (B, T, 80), a numpy array."""
    project = CASES[name][0]
    with torch.no_grad():
        x = torch.from_numpy(features.copy())
        if project == "speechbrain":
            return model(x)[:, 0].numpy()
        if project != "taoruijie":
            return model(x)[-1].numpy()
        model.torchfbank = _Given(x.transpose(1, 2))
        return model(x, aug=False).numpy()


class _Given(torch.nn.Module):
    """Stands for TaoRuijie's built-in front end; undoes the log and the offset after it.

    Its network then subtracts each example's mean over time, so the features must be centred.
    """

    def __init__(self, features):
        super().__init__()
        self.features = features

    def forward(self, x):
        return torch.exp(self.features) - 1e-6


def taoruijie(root):
    """TaoRuijie's `model.py` as a module."""
    return _module("taoruijie_model", Path(root) / "ECAPA-TDNN" / "model.py")


def wespeaker(root, name):
    """A file of `wespeaker/models`, without the package's own imports (ONNX, audio ...)."""
    package = sys.modules.setdefault("wespeaker", types.ModuleType("wespeaker"))
    package.__path__ = [str(Path(root) / "wespeaker" / "wespeaker")]
    return importlib.import_module(f"wespeaker.models.{name}")


def _module(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def kaldi_features(waveform, window="hamming", mfcc=False):
    """kaldi-native-fbank, 80 bins, no dither, of a float waveform in [-1, 1]."""
    import kaldi_native_fbank as knf

    options = knf.MfccOptions() if mfcc else knf.FbankOptions()
    options.frame_opts.dither = 0.0
    options.frame_opts.window_type = window
    options.frame_opts.samp_freq = 16000
    options.mel_opts.num_bins = 80
    options.use_energy = False
    if mfcc:
        options.num_ceps = 80
        computer = knf.OnlineMfcc(options)
    else:
        computer = knf.OnlineFbank(options)
    computer.accept_waveform(16000, (waveform * 32768).tolist())
    computer.input_finished()
    return np.stack([computer.get_frame(i) for i in range(computer.num_frames_ready)])


def speechbrain_features(waveform):
    """SpeechBrain's `Fbank(n_mels=80)`: decibels, floored, not centred."""
    from speechbrain.lobes.features import Fbank

    with torch.no_grad():
        return Fbank(n_mels=80)(torch.from_numpy(waveform)[None])[0].numpy()


def taoruijie_features(waveform, root):
    """TaoRuijie's log-mel before mean subtraction."""
    front = taoruijie(root).ECAPA_TDNN(C=8).torchfbank
    with torch.no_grad():
        return (front(torch.from_numpy(waveform)[None]) + 1e-6).log()[0].T.numpy()
