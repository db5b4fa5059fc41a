"""Small encoders and data that the trainers' tests share."""

import keras
import numpy as np
import pytest

from keras_resnets.layers import AdditiveAngularMargin, FrameMask, MaskedConv1D, StatisticsPooling
from keras_resnets.models.ecapa_tdnn import ecapa_tdnn
from keras_resnets.models.variable_length import VariableLengthModel
from trainers import SpeakerTrainer

CLASSES = 3


@pytest.fixture
def make_encoder():
    """A small masked network of features with BatchNormalization, always with the same weights."""

    def make():
        keras.utils.set_random_seed(1)
        x = keras.Input((None, 80), name="inputs")
        lengths = keras.Input((), dtype="int32", optional=True, name="lengths")
        mask = FrameMask()(x, lengths)
        y = MaskedConv1D(8, 3, activation="relu")(x, mask=mask)
        y = keras.layers.BatchNormalization()(y, mask=mask)
        y = StatisticsPooling()(y, mask=mask)
        y = keras.layers.Dense(12, name="fc")(y)
        return VariableLengthModel({"inputs": x, "lengths": lengths}, y)

    return make


@pytest.fixture
def make_ecapa():
    """A tiny ECAPA-TDNN, always with the same weights."""

    def make(**kwargs):
        keras.utils.set_random_seed(1)
        return ecapa_tdnn(
            channels=16,
            mfa_channels=24,
            attention_channels=8,
            se_channels=8,
            embedding_dim=12,
            scale=2,
            dilations=(2,),
            **kwargs,
        )

    return make


@pytest.fixture
def make_trainer(make_encoder):
    """A `SpeakerTrainer` over it, compiled with `optimizer` and `compile_args`."""

    def make(optimizer="adam", compile_args=None, encoder=None, head=None, **kwargs):
        trainer = SpeakerTrainer(
            make_encoder() if encoder is None else encoder,
            AdditiveAngularMargin(CLASSES) if head is None else head,
            **kwargs,
        )
        trainer.compile(optimizer, **(compile_args or {}))
        return trainer

    return make


@pytest.fixture(scope="session")
def data():
    """Ten sequences of 20 frames: features, labels, lengths."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(10, 20, 80)).astype("float32")
    return x, np.arange(10, dtype="int32") % CLASSES, rng.integers(5, 21, 10).astype("int32")
