"""EvoNorm against timm's and batch normalisation against torch's, from goldens."""

import importlib.util

import numpy as np
import pytest
import tensorflow as tf

from keras_resnets.layers import BatchNorm2D, evonorm


@pytest.fixture(scope="module")
def peers(root):
    """`tests/peers/norms.py`, of which only what needs no torch is used here."""
    spec = importlib.util.spec_from_file_location("norms", root / "tests" / "peers" / "norms.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def goldens(root):
    return dict(np.load(root / "tests" / "data" / "norms.npz"))


def results(layer, peers):
    """What `peers.run` gives, of our layer."""
    x, dy, parameters = peers.batch()
    x, dy = (tf.constant(np.moveaxis(t, 1, -1)) for t in (x, dy))
    layer.build(x.shape)
    weights = {w.name: w for w in layer.trainable_variables}
    for name, value in zip(("gamma", "beta", "v"), parameters):
        if name in weights:
            weights[name].assign(value)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
    sources = {"dx": x, **{name: w.value for name, w in weights.items()}}
    found = {"y": y, **tape.gradient(y, sources, dy)}
    moving = [w for w in layer.non_trainable_variables if w.name == "moving_variance"]
    if moving:
        found |= {"moving_variance": moving[0], "inference": layer(x, training=False)}
    found = {key: np.asarray(value) for key, value in found.items()}
    return {k: np.moveaxis(v, -1, 1) if v.ndim == 4 else v for k, v in found.items()}


def ours(case, peers):
    name, act = case.split("/")
    if name == "batch_norm":
        return results(BatchNorm2D(epsilon=peers.EPSILON), peers)
    options = dict(groups=peers.GROUPS, epsilon=peers.EPSILON, moving_variance="unbiased")
    return results(evonorm(name, apply_act=act == "True", **options), peers)


def assert_same(ours, theirs):
    # timm keeps a moving variance without activation too, and never touches it.
    unused = {"moving_variance", "inference"} if "moving_variance" not in ours else set()
    assert ours.keys() == theirs.keys() - unused
    for key, value in ours.items():
        np.testing.assert_allclose(value, theirs[key], rtol=1e-5, atol=2e-5, err_msg=key)


def test_goldens(peers, goldens):
    cases = {key.rpartition("/")[0] for key in goldens}
    assert len(cases) == len(peers.CASES) + 1
    for case in sorted(cases):
        theirs = {k.rpartition("/")[2]: v for k, v in goldens.items() if k.startswith(case + "/")}
        assert_same(ours(case, peers), theirs)


@pytest.mark.peers
def test_goldens_are_the_peers(peers, goldens):
    if importlib.util.find_spec("timm") is None:  # `norms.py` knows how to import it
        pytest.skip("timm is not installed")
    found = peers.outputs()
    assert found.keys() == goldens.keys()
    for key, value in found.items():
        np.testing.assert_allclose(value, goldens[key], rtol=1e-5, atol=1e-5, err_msg=key)
