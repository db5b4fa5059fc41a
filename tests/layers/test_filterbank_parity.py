"""The front ends equal the projects' own, on two seconds of three utterances.

The features in tests/data were made by running kaldi-native-fbank, SpeechBrain and torchaudio
(tests/data/make_goldens.py).
"""

import keras
import numpy as np
import pytest

from keras_resnets.layers import front_end

# name of the golden features -> front end, its settings, mean and maximum difference allowed
CASES = {
    "kaldi_hamming": ("kaldi_fbank", {}, 2e-5, 1e-2),
    "kaldi_povey": ("kaldi_fbank", {"window": "povey"}, 2e-5, 1e-2),
    "mfcc": ("mfcc", {}, 1e-4, 5e-3),
    "speechbrain": ("speechbrain", {}, 5e-5, 1e-3),
    "torchaudio_htk": ("torchaudio_htk", {}, 2e-5, 1e-3),
}


@pytest.fixture(scope="module")
def goldens(request):
    return np.load(request.config.rootpath / "tests" / "data" / "filterbanks.npz")


@pytest.mark.parametrize("utterance", range(3))
@pytest.mark.parametrize("name", CASES)
def test_features_equal_the_projects_own(goldens, name, utterance):
    recipe, settings, mean, maximum = CASES[name]
    waveform, expected = goldens[f"waveform_{utterance}"], goldens[f"{name}_{utterance}"]
    result = keras.ops.convert_to_numpy(front_end(recipe, **settings)(waveform[None]))[0]
    assert result.shape == expected.shape
    difference = np.abs(result - expected)
    assert difference.mean() <= mean
    assert difference.max() <= maximum


@pytest.mark.parametrize("name", CASES)
def test_features_equal_the_projects_own_in_a_padded_batch(goldens, name):
    recipe, settings, _, maximum = CASES[name]
    waves = [goldens[f"waveform_{i}"] for i in range(3)]
    batch = np.full((3, 40000), 9999, "int16")
    for row, wave in zip(batch, waves):
        row[: len(wave)] = wave
    lengths = np.array([len(wave) for wave in waves], "int32")
    result = keras.ops.convert_to_numpy(front_end(recipe, **settings)(batch, lengths=lengths))
    for i, row in enumerate(result):
        expected = goldens[f"{name}_{i}"]
        assert np.abs(row[: len(expected)] - expected).max() <= maximum
