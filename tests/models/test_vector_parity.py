"""Weights of WeSpeaker's x-vector and r-vector give WeSpeaker's embeddings.

The embeddings in tests/data were made by running WeSpeaker (tests/data/make_goldens.py).
"""

import json
import runpy

import keras
import numpy as np
import pytest

from keras_resnets import weights
from keras_resnets.models.r_vector import r_vector
from keras_resnets.models.x_vector import x_vector

MODELS = {
    "x_vector": x_vector,
    "r_vector_34": lambda **kwargs: r_vector(depth=34, **kwargs),
    "r_vector_50": lambda **kwargs: r_vector(depth=50, **kwargs),
}


@pytest.fixture(scope="module", params=MODELS)
def case(request):
    data = request.config.rootpath / "tests" / "data"
    case = json.loads((data / "speaker_states.json").read_text())[request.param]
    states = runpy.run_path(data / "states.py")
    state = states["random_state"](case["shapes"])
    x = states["random_features"](request.param, case["frames"])
    expected = np.load(data / "speaker_models.npz")[request.param]
    return MODELS[request.param](weights=state), state, x, expected


def test_embeddings_equal_wespeakers(case):
    model, _, x, expected = case
    result = keras.ops.convert_to_numpy(model(x, training=False))
    np.testing.assert_allclose(result, expected, rtol=0, atol=5e-6)


def test_embeddings_equal_wespeakers_with_padding(case):
    model, _, x, expected = case
    padded = np.pad(x, [(0, 0), (0, 37), (0, 0)], constant_values=1e3)
    lengths = np.full(2, x.shape[1], "int32")
    result = keras.ops.convert_to_numpy(model([padded, lengths], training=False))
    np.testing.assert_allclose(result, expected, rtol=0, atol=5e-6)


def test_state_dict_round_trip(case):
    model, state, _, _ = case
    back = weights.to_torch(model)
    assert back.keys() == {k for k in state if not k.endswith("num_batches_tracked")}
    for key, array in back.items():
        np.testing.assert_array_equal(array, state[key], err_msg=key)


def test_another_network_is_refused(case):
    model, state, _, _ = case
    before = model.get_weights()
    name = next(key for key in state if key.endswith("running_var"))
    with pytest.raises(ValueError, match="missing") as error:
        weights.from_torch(
            model, {k: v for k, v in state.items() if k != name} | {"x": state[name]}
        )
    assert f"missing: {name!r}" in str(error.value) and "unexpected: 'x'" in str(error.value)
    for old, new in zip(before, model.get_weights()):
        np.testing.assert_array_equal(old, new)
