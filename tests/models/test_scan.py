"""Networks whose blocks run as a loop, and what the tools make of them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_resnets as kr
import trainers
from keras_resnets.models.scan import block_weights

FORMS = {
    "basic": {},
    "preactivation": {"preactivation": True, "attention": "se"},
    "bottleneck": {"block": "bottleneck", "groups": 2, "attention": "eca"},
    "strides_last": {"stride_on": "last", "shortcut": "maxpool_identity", "preactivation": True},
    "evonorm": {"norm_act": "evonorm_b0"},
}


def network(scan, blocks=4, **options):
    settings = dict(block="basic", stem="cifar", stem_width=8, minimum_size=8, classes=10)
    settings |= dict(depths=(3, blocks, 3), filters=(8, 16, 32), input_shape=(16, 16, 3))
    return kr.resnet(
        **{**settings, **options}, classifier_activation=None, name="net", scan_blocks=scan
    )


def batch(n=4):
    x = np.random.default_rng(0).standard_normal((n, 16, 16, 3)).astype("float32")
    return x, np.arange(n) % 10


@pytest.fixture(scope="module")
def pair():
    """A network block by block and scanned, with the same weights, all random."""
    plain, scanned = network(False), network(True)
    rng = np.random.default_rng(0)
    for weight in plain.weights:
        if weight.name in ("gamma", "moving_variance"):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        elif weight.name in ("beta", "moving_mean"):
            weight.assign(rng.normal(0, 0.3, weight.shape))
    return plain, kr.models.transfer_weights(plain, scanned)


@pytest.mark.parametrize("options", FORMS.values(), ids=FORMS)
def test_equals_the_network_block_by_block(options):
    """After a step of gradient descent all weights and statistics are those of the other form."""
    plain, scanned = network(False, **options), network(True, **options)
    stacks = [x.count for x in scanned.layers if isinstance(x, kr.layers.StackedBlocks)]
    assert stacks == ([2, 2] if "stride_on" in options else [2, 3, 2])
    assert scanned.count_params() == plain.count_params()
    kr.models.transfer_weights(scanned, plain)
    x, y = batch()
    losses = []
    for model in (plain, scanned):
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1), loss, run_eagerly=bool(options))
        losses.append(model.train_on_batch(x, y))
    np.testing.assert_allclose(*losses, rtol=1e-5)
    ours, theirs = block_weights(scanned), block_weights(plain)
    assert ours.keys() == theirs.keys()
    for path in ours:
        np.testing.assert_allclose(ours[path], theirs[path], rtol=1e-4, atol=1e-5, err_msg=path)
    np.testing.assert_allclose(scanned(x), plain(x), rtol=1e-4, atol=1e-4)


def test_weights_go_both_ways(pair):
    plain, scanned = pair
    copy = kr.models.transfer_weights(scanned, network(False))
    for a, b in zip(copy.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_other_networks_weights_are_refused(pair):
    other = network(True, blocks=6)
    before = other.get_weights()
    with pytest.raises(ValueError, match=r"stage2_block5_conv1/kernel: None and \(3, 3, 16, 16\)"):
        kr.models.transfer_weights(pair[0], other)
    for a, b in zip(before, other.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_cost_is_the_same(pair):
    plain, scanned = (kr.analysis.cost(model) for model in pair)
    for name in ("macs", "params", "trainable_params", "elementwise", "traffic_bytes"):
        assert getattr(scanned, name) == getattr(plain, name), name
    assert scanned.unsupported == []


def test_gamma_report_is_the_same(pair):
    plain, scanned = (kr.analysis.gamma_report(model, 0.8) for model in pair)
    assert scanned.gammas.keys() == plain.gammas.keys()
    assert scanned.small_gammas == plain.small_gammas > 0
    for name in plain.betas:
        np.testing.assert_array_equal(scanned.betas[name], plain.betas[name])


@pytest.mark.parametrize("rule", ["batch_norm", "output", "shortcut", "all-batch_norm", "gamma"])
def test_rules_choose_as_many(rule):
    plain, scanned = (trainers.train_only(network(scan), rule) for scan in (False, True))
    assert (scanned.trainable, scanned.total) == (plain.trainable, plain.total)


def test_batch_norm_only_leaves_the_kernels(pair):
    model = network(True)
    trainer = trainers.PartialTrainer(model, "batch_norm")
    trainer.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = block_weights(model)
    trainer.train_on_batch(*batch())
    after = block_weights(model)
    for path in before:
        kept = path.endswith(("kernel", "bias"))
        assert np.array_equal(before[path], after[path]) == kept, path


@pytest.mark.parametrize(
    "tool",
    [
        kr.fold_batch_norm,
        lambda model: kr.regroup(model, group_size=4),
        kr.analysis.prune_zero_features,
        kr.analysis.zero_small_gamma,
        lambda model: kr.analysis.disabled_activations(model, batch()[0]),
        trainers.RandomMask,
    ],
    ids=["fold", "regroup", "prune", "zero", "disabled", "mask"],
)
def test_other_tools_refuse(pair, tool):
    with pytest.raises(ValueError, match=r"scan_blocks=False.*transfer_weights.*stage1_blocks2_3"):
        tool(pair[1])


def test_features_and_mixed_precision(pair):
    keras.config.set_dtype_policy("mixed_bfloat16")
    half = kr.models.transfer_weights(pair[0], network(True))
    x, _ = batch()
    assert half.get_layer("stage1_blocks2_3").weights[0].dtype == "float32"
    expected = keras.ops.convert_to_numpy(pair[0](x))
    difference = keras.ops.convert_to_numpy(tf.cast(half(x), "float32")) - expected
    assert np.abs(difference).max() < 0.02 * np.abs(expected).max()
    features = kr.models.feature_extractor(pair[1], [0, 1, 2])
    assert [y.shape[1:] for y in features(x)] == [(16, 16, 8), (8, 8, 16), (4, 4, 32)]


def test_drop_path_is_refused():
    with pytest.raises(ValueError, match="`drop_path` rises"):
        network(True, drop_path=0.1)


def test_deep_networks_are_scanned():
    stacks = [x.count for x in kr.cifar_resnet(218).layers if hasattr(x, "count")]
    assert stacks == [35, 35, 35]


@pytest.mark.release
@pytest.mark.parametrize(
    ("depth", "scan"), [(218, True), (434, True), (866, True), (1202, True), (866, False)]
)
def test_very_deep_networks_train_save_and_load(depth, scan, tmp_path):
    model = kr.cifar_resnet(depth, classifier_activation=None, scan_blocks=scan)
    slow = keras.optimizers.SGD(1e-6)
    model.compile(slow, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = np.random.default_rng(0).standard_normal((2, 32, 32, 3)).astype("float32")
    assert np.isfinite(model.train_on_batch(x, np.array([1, 4])))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    expected = model.predict(x, verbose=0)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(loaded.predict(x, verbose=0), expected, rtol=1e-6)
