"""A small speech encoder that the room's tests share."""

import keras
import numpy as np
import pytest

from keras_resnets.models import ecapa_tdnn


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(5)
    return ecapa_tdnn(
        channels=16,
        mfa_channels=24,
        attention_channels=8,
        se_channels=8,
        embedding_dim=12,
        scale=2,
        dilations=(2,),
        frontend="kaldi_fbank",
    )


@pytest.fixture
def noise():
    """`noise(samples)`: a float32 waveform."""

    def make(samples, seed=0):
        return (np.random.default_rng(seed).normal(size=samples) * 0.1).astype("float32")

    return make
