"""Makes the golden arrays beside this file by running the peers themselves.

    python tests/data/make_goldens.py PEERS

PEERS is a directory with the checkouts `wespeaker` (github.com/wenet-e2e/wespeaker) and
`ECAPA-TDNN` (github.com/TaoRuijie/ECAPA-TDNN). Needs torch, torchaudio, speechbrain,
kaldi-native-fbank and soundfile. Weights are a function of the tensors' names (`states.py`), so
only outputs are stored:
- `speaker_models.npz`: the embeddings, and `speaker_states.json`: names and shapes of the weights;
- `filterbanks.npz`: two seconds of three utterances (int16) and their features.
"""

import json
import sys
from pathlib import Path

import numpy as np
import soundfile
import torch

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "peers")]

import speaker_models as peers  # noqa: E402
from states import random_features, random_state  # noqa: E402

SAMPLE = HERE.parents[1] / "keras_resnets/datasets/samples/speech_sample/dev"
UTTERANCES = ("1688-142285-0000", "1998-15444-0000", "3080-5032-0000")


def models(root):
    outputs, cases = {}, {}
    for name, (_, _, frames) in peers.CASES.items():
        model = peers.build(name, root)
        shapes = peers.randomize(model, random_state)
        cases[name] = {"frames": frames, "shapes": shapes}
        outputs[name] = peers.run(name, model, random_features(name, frames))
        print(f"{name:24} {outputs[name].shape} rms {np.sqrt(np.mean(outputs[name] ** 2)):.3f}")
    np.savez_compressed(HERE / "speaker_models.npz", **outputs)
    (HERE / "speaker_states.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")


def filterbanks(root):
    arrays = {}
    for i, name in enumerate(UTTERANCES):
        audio, rate = soundfile.read(SAMPLE / f"{name}.ogg", dtype="int16")
        assert rate == 16000, name
        audio = audio[16000:48000] if len(audio) >= 48000 else audio[:32000]
        waveform = (audio / 32768).astype("float32")
        arrays[f"waveform_{i}"] = audio
        arrays[f"kaldi_hamming_{i}"] = peers.kaldi_features(waveform)
        arrays[f"kaldi_povey_{i}"] = peers.kaldi_features(waveform, "povey")
        arrays[f"mfcc_{i}"] = peers.kaldi_features(waveform, "hamming", mfcc=True)
        arrays[f"speechbrain_{i}"] = peers.speechbrain_features(waveform)
        arrays[f"torchaudio_htk_{i}"] = peers.taoruijie_features(waveform, root)
        print(name, {k: v.shape for k, v in arrays.items() if k.endswith(f"_{i}")})
    np.savez_compressed(HERE / "filterbanks.npz", **arrays)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    models(sys.argv[1])
    filterbanks(sys.argv[1])
