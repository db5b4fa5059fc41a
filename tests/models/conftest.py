"""The speaker encoders, small, and the multiply-adds of any of them."""

import keras
import numpy as np
import pytest

from keras_resnets import ecapa_tdnn, r_vector, x_vector
from keras_resnets.layers import MaskedConv1D
from keras_resnets.layers.masked_conv import _MaskedConv

SMALL = dict(
    channels=24, mfa_channels=24, attention_channels=8, se_channels=8, embedding_dim=12
)  # fmt: skip


def small_ecapa(variant):
    return lambda **kwargs: ecapa_tdnn(**{**SMALL, "variant": variant, **kwargs})


def shallow_ecapa(variant):
    return lambda **kwargs: small_ecapa(variant)(**{"scale": 3, "dilations": (2, 3), **kwargs})


ENCODERS = {
    "paper": shallow_ecapa("paper"),
    "speechbrain": shallow_ecapa("speechbrain"),
    "wespeaker": shallow_ecapa("wespeaker"),
    "taoruijie": shallow_ecapa("taoruijie"),
    "x_vector": lambda **kwargs: x_vector(embedding_dim=12, **kwargs),
    "r_vector": lambda **kwargs: r_vector(18, width=4, embedding_dim=12, **kwargs),
}


@pytest.fixture(scope="session")
def make_ecapa():
    """`make_ecapa(variant="paper", ...)`: a small ECAPA-TDNN."""
    return lambda variant="paper", **kwargs: small_ecapa(variant)(**kwargs)


@pytest.fixture(scope="module", params=ENCODERS)
def make_encoder(request):
    """Each encoder's factory; its attribute `shortest` is the frames that it needs."""
    make = ENCODERS[request.param]
    make.shortest = 15 if request.param == "x_vector" else 1
    return make


@pytest.fixture(scope="module")
def encoder(make_encoder, randomize):
    """From features, every weight random."""
    return randomize(make_encoder())


@pytest.fixture
def count_macs(monkeypatch):
    """`count_macs(model, x)`: multiply-adds of the convolutions and matrix products of one call."""

    def count(model, x):
        macs = []

        def counting(call):
            def wrapped(layer, *args, **kwargs):
                outputs = call(layer, *args, **kwargs)
                macs.append(np.prod(layer.kernel.shape) * np.prod(outputs.shape[:-1]))
                return outputs

            return wrapped

        for cls in (_MaskedConv, keras.layers.Dense):
            monkeypatch.setattr(cls, "call", counting(cls.call))
        assert MaskedConv1D.call is _MaskedConv.call
        model(x)
        return int(sum(macs))

    return count
