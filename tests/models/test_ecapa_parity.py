"""Weights of SpeechBrain, WeSpeaker and TaoRuijie give those projects' embeddings.

The embeddings in tests/data were made by running the projects (tests/data/make_goldens.py).
"""

import json
import runpy

import keras
import numpy as np
import pytest

from keras_resnets import weights
from keras_resnets.models.ecapa_tdnn import ecapa_tdnn, load_ecapa
from keras_resnets.weights.ecapa import infer_ecapa

CASES = [
    "speechbrain_small",
    "speechbrain_512",
    "wespeaker_64",
    "wespeaker_64_emb_bn",
    "wespeaker_512",
    "wespeaker_512_emb_bn",
    "taoruijie_64",
    "taoruijie_512",
]
SMALL = [name for name in CASES if "512" not in name]
SIZES = {"channels": 64, "input_shape": (None, 80), "se_channels": 128, "scale": 8}
SIZES |= {"embedding_dim": 192, "mfa_channels": 1536, "attention_channels": 128}


@pytest.fixture(scope="module")
def goldens(request):
    data = request.config.rootpath / "tests" / "data"
    cases = json.loads((data / "speaker_states.json").read_text())
    return cases, np.load(data / "speaker_models.npz"), runpy.run_path(data / "states.py")


@pytest.fixture
def case(goldens):
    cases, outputs, states = goldens

    def get(name):
        state = states["random_state"](cases[name]["shapes"])
        return state, states["random_features"](name, cases[name]["frames"]), outputs[name]

    return get


def embed(model, *inputs):
    return keras.ops.convert_to_numpy(model(list(inputs), training=False))


@pytest.mark.parametrize("name", CASES)
def test_embeddings_equal_the_projects_own(case, name):
    state, x, expected = case(name)
    model = load_ecapa(state, frontend=None)
    np.testing.assert_allclose(embed(model, x), expected, rtol=0, atol=5e-6)


@pytest.mark.parametrize("name", SMALL)
def test_embeddings_equal_the_projects_own_with_padding(case, name):
    state, x, expected = case(name)
    padded = np.pad(x, [(0, 0), (0, 37), (0, 0)], constant_values=1e3)
    result = embed(load_ecapa(state, frontend=None), padded, np.full(2, x.shape[1], "int32"))
    np.testing.assert_allclose(result, expected, rtol=0, atol=5e-6)


@pytest.mark.parametrize("name", SMALL)
def test_state_dict_round_trip(case, name):
    state, _, _ = case(name)
    layout = name.partition("_")[0]
    back = weights.to_torch(load_ecapa(state, layout, frontend=None))
    buffers = {k for k in state if k.endswith("num_batches_tracked")}
    assert back.keys() == state.keys() - buffers
    for key, array in back.items():
        np.testing.assert_array_equal(array, state[key], err_msg=key)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "speechbrain_small",
            {
                "se_channels": 16,
                "embedding_dim": 48,
                "mfa_channels": 96,
                "attention_channels": 32,
                "embedding_bn": False,
            },
        ),
        ("wespeaker_64", {"embedding_bn": False}),
        ("wespeaker_64_emb_bn", {"embedding_bn": True}),
        ("taoruijie_64", {"attention_channels": 256, "embedding_bn": True}),
    ],
)
def test_configuration_is_read_off_the_shapes(case, name, expected):
    state, _, _ = case(name)
    config, layout = infer_ecapa({f"module.{k}": v for k, v in state.items()})
    assert layout.name == config["variant"] == name.partition("_")[0]
    assert config == {**SIZES, "variant": layout.name, **expected}


@pytest.mark.parametrize(
    ("name", "prefix", "extra", "front_end"),
    [
        ("speechbrain_small", "embedding_model.", "classifier.weight", "speechbrain"),
        ("wespeaker_64", "module.", "projection.weight", "kaldi_fbank"),
        ("taoruijie_64", "speaker_encoder.", "speaker_loss.weight", "torchaudio_htk"),
    ],
)
def test_training_checkpoint_with_its_front_end(case, name, prefix, extra, front_end):
    state, _, _ = case(name)
    plain = load_ecapa(state)
    wrapped = {prefix + k: v for k, v in state.items()} | {extra: np.zeros((5, 192))}
    if name == "taoruijie_64":
        wrapped[prefix + "torchfbank.0.flipped_filter"] = np.zeros((1, 1, 2))
    with pytest.warns(UserWarning, match=extra):
        model = load_ecapa({"model": wrapped, "epoch": 3})
    assert model.get_layer(front_end).num_mel_bins == 80
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 8000)).astype("float32")
    np.testing.assert_array_equal(embed(model, wave), embed(plain, wave))


@pytest.mark.parametrize("name", SMALL)
def test_missing_unexpected_and_misshaped_are_listed(case, name):
    state, _, _ = case(name)
    model = load_ecapa(state, frontend=None)
    before = model.get_weights()
    first, second = [k for k, v in state.items() if v.ndim == 3][3:5]
    state[first + ".more"] = state.pop(first)
    state[second] = state[second][:, :, :0]
    with pytest.raises(ValueError) as error:
        weights.from_torch(model, state)
    message = str(error.value)
    assert f"missing: {first!r}" in message
    assert f"unexpected: {first + '.more'!r}" in message
    assert f"misshaped: {second!r}" in message
    for old, new in zip(before, model.get_weights()):
        np.testing.assert_array_equal(old, new)
    with pytest.raises(ValueError, match="misshaped"):
        load_ecapa(state, frontend=None)


def test_another_variant_is_refused(case):
    model = ecapa_tdnn(channels=64)
    for name in ("speechbrain_small", "taoruijie_64"):
        state, _, _ = case(name)
        with pytest.raises(ValueError, match=r"missing|unexpected"):
            weights.from_torch(model, state)
    state, _, _ = case("wespeaker_64")
    with pytest.raises(ValueError, match=r"missing: 'bn2\.weight'"):
        ecapa_tdnn(channels=64, weights=state)


def test_not_an_ecapa(case):
    state, _, _ = case("x_vector")
    with pytest.raises(ValueError, match=r"not those of an ECAPA-TDNN.*speechbrain"):
        load_ecapa(state)
    state, _, _ = case("wespeaker_64")
    with pytest.raises(ValueError, match="layout 'taoruijie'"):
        load_ecapa(state, "taoruijie")
    with pytest.raises(ValueError, match="`layout` must be"):
        load_ecapa(state, "nemo")


def test_attention_without_global_context_is_refused(case):
    state, _, _ = case("wespeaker_64")
    state["pool.linear1.weight"] = state["pool.linear1.weight"][:, :1536]
    with pytest.raises(ValueError, match=r"pool\.linear1\.weight.*global context"):
        load_ecapa(state)
