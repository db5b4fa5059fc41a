"""Our speaker networks and front ends beside the projects they come from, both run here."""

import keras
import numpy as np
import pytest

from keras_resnets import weights
from keras_resnets.layers import front_end
from keras_resnets.models.ecapa_tdnn import load_ecapa
from keras_resnets.models.r_vector import r_vector
from keras_resnets.models.x_vector import x_vector

pytestmark = pytest.mark.peers

SPEECHBRAIN = ["speechbrain_small", "speechbrain_512"]
CHECKOUTS = [
    "wespeaker_64",
    "wespeaker_64_emb_bn",
    "wespeaker_512",
    "wespeaker_512_emb_bn",
    "taoruijie_64",
    "taoruijie_512",
    "x_vector",
    "r_vector_34",
    "r_vector_50",
]


def ours(name, source):
    if name == "x_vector":
        return x_vector(weights=source)
    if name.startswith("r_vector"):
        return r_vector(depth=int(name[-2:]), weights=source)
    return load_ecapa(source, frontend=None)


def check(peers, states, name, root, tmp_path):
    import torch

    theirs = peers.build(name, root)
    peers.randomize(theirs, states["random_state"])
    torch.save({"state_dict": theirs.state_dict()}, tmp_path / "model.pt")
    model = ours(name, tmp_path / "model.pt")
    x = np.random.default_rng(1).standard_normal((3, 150, 80)).astype("float32")
    x -= x.mean(axis=1, keepdims=True)
    result = keras.ops.convert_to_numpy(model(x, training=False))
    np.testing.assert_allclose(result, peers.run(name, theirs, x), rtol=0, atol=1e-5)

    # The other way: our weights, in the project's own network.
    back = {k: torch.from_numpy(v) for k, v in weights.to_torch(model).items()}
    missing, unexpected = theirs.load_state_dict(back, strict=False)
    assert not unexpected
    assert all("num_batches_tracked" in k or "torchfbank" in k for k in missing)


@pytest.mark.parametrize("name", SPEECHBRAIN)
def test_speechbrain(peers, states, name, tmp_path):
    pytest.importorskip("speechbrain", reason="speechbrain is not installed")
    check(peers, states, name, None, tmp_path)


@pytest.mark.parametrize("name", CHECKOUTS)
def test_wespeaker_and_taoruijie(peers, states, checkouts, name, tmp_path):
    check(peers, states, name, checkouts, tmp_path)


def test_goldens_are_what_the_peers_compute(peers, states, checkouts, root):
    goldens = np.load(root / "tests" / "data" / "speaker_models.npz")
    assert set(goldens) == set(peers.CASES) == {*SPEECHBRAIN, *CHECKOUTS}
    for name, (_, _, frames) in peers.CASES.items():
        model = peers.build(name, checkouts)
        peers.randomize(model, states["random_state"])
        result = peers.run(name, model, states["random_features"](name, frames))
        np.testing.assert_allclose(result, goldens[name], rtol=0, atol=5e-6, err_msg=name)


@pytest.fixture(scope="module")
def waveforms():
    """Ten seconds of noise that fades and a silence, to reach the floors of the logarithms."""
    rng = np.random.default_rng(0)
    wave = rng.standard_normal(160000) * np.geomspace(0.3, 1e-3, 160000)
    wave[80000:90000] = 0.0
    return np.clip(wave, -1, 1).astype("float32")


def features(name, waveform, **settings):
    return keras.ops.convert_to_numpy(front_end(name, **settings)(waveform[None]))[0]


@pytest.mark.parametrize("window", ["hamming", "povey"])
def test_kaldi_fbank(peers, waveforms, window):
    pytest.importorskip("kaldi_native_fbank", reason="kaldi-native-fbank is not installed")
    expected = peers.kaldi_features(waveforms, window)
    result = features("kaldi_fbank", waveforms, window=window)
    assert np.abs(result - expected).mean() <= 2e-5
    np.testing.assert_allclose(result, expected, atol=1e-2)


def test_mfcc(peers, waveforms):
    pytest.importorskip("kaldi_native_fbank", reason="kaldi-native-fbank is not installed")
    expected = peers.kaldi_features(waveforms, mfcc=True)
    np.testing.assert_allclose(features("mfcc", waveforms), expected, atol=1e-2)


def test_speechbrain_fbank(peers, waveforms):
    pytest.importorskip("speechbrain", reason="speechbrain is not installed")
    expected = peers.speechbrain_features(waveforms)
    np.testing.assert_allclose(features("speechbrain", waveforms), expected, atol=1e-3)


def test_taoruijie_fbank(peers, waveforms, checkouts):
    expected = peers.taoruijie_features(waveforms, checkouts)
    np.testing.assert_allclose(features("torchaudio_htk", waveforms), expected, atol=1e-3)
