import keras
import numpy as np
import pytest

from keras_resnets.models.cifar_resnet import cifar_resnet
from trainers import PartialTrainer, RandomMask, recipes, train_only

LOSS = keras.losses.SparseCategoricalCrossentropy
rng = np.random.default_rng(0)
X = rng.normal(size=(16, 8, 8, 3)).astype("float32")
Y = np.arange(16) % 10


def network(depth=8, **kwargs):
    keras.utils.set_random_seed(1)
    options = {"gamma_initializer": "uniform01", "classifier_activation": None, **kwargs}
    return cifar_resnet(depth, 4, input_shape=(8, 8, 3), **options)


def compiled(trainer, optimizer=None, **kwargs):
    if optimizer is None:
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    trainer.compile(optimizer, LOSS(from_logits=True), **{"jit_compile": False, **kwargs})
    return trainer


def values(model):
    return {v.path: np.array(v) for v in model.variables}


def batch_norms(model):
    kind = keras.layers.BatchNormalization
    return [layer for layer in model._flatten_layers() if isinstance(layer, kind)]


def changed(before, after):
    return {path for path in before if not np.array_equal(before[path], after[path])}


# Trainable parameters of ResNet-14, W=16, 10 classes: the widths 16 (6 norms: stem and blocks with
# one shortcut less), 32 and 64 (5 norms each, the shortcut's among them).
NORM_CHANNELS = 16 * 5 + 32 * 5 + 64 * 5


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("batch_norm", 2 * NORM_CHANNELS),
        ("output", 64 * 10 + 10),
        ("batch_norm+output", 2 * NORM_CHANNELS + 650),
        ("bias", 10),
        ("shortcut", 16 * 32 + 32 * 64),
        ("batch_norm+output+shortcut", 2 * NORM_CHANNELS + 650 + 2560),
        ("all-batch_norm-output", 9 * (3 * 16 + 4 * 256 + 512 + 3 * 1024 + 2048 + 3 * 4096) + 2560),
        (r"stage2_block1_norm1/(gamma|beta)$", 64),
        (["output", r"^stem_norm"], 650 + 32),
        (lambda variable, layer: len(variable.shape) == 4 and layer.kernel_size == (1, 1), 2560),
    ],
)
def test_counts(rule, expected):
    model = cifar_resnet(14, 16)
    total = sum(np.prod(v.shape) for v in model.trainable_variables)
    report = train_only(model, rule)
    assert report.trainable == expected
    assert sum(np.prod(v.shape) for v in model.trainable_variables) == expected
    assert {v.path for v in model.trainable_variables} == set(report.paths)
    assert report.total == total
    assert report.share == expected / total


def test_evonorm_rule():
    model = network(norm_act="evonorm_s0")
    report = train_only(model, "evonorm")
    assert report.trainable > 0
    assert {path.rsplit("/", 1)[1] for path in report.paths} == {"gamma", "beta", "v"}


def test_context_restores_the_former_state():
    model = network()
    model.get_layer("stem_conv").trainable = False
    model.get_layer("stage1_block1_norm1").beta.trainable = False
    before = [v.path for v in model.trainable_variables]
    with train_only(model, "batch_norm"):
        assert len(model.trainable_variables) == 2 * len(batch_norms(model))
        with train_only(model, "output"):
            assert len(model.trainable_variables) == 2
        assert len(model.trainable_variables) == 2 * len(batch_norms(model))
    assert [v.path for v in model.trainable_variables] == before
    assert not model.get_layer("stem_conv").trainable


def test_rules_that_cannot_be():
    model = network()
    with pytest.raises(ValueError, match=r"at least one.*batchnorm"):
        train_only(model, "batchnorm")
    with pytest.raises(ValueError, match="rule must be"):
        train_only(model, 3)
    with pytest.raises(ValueError, match="dense or a convolution"):
        train_only(cifar_resnet(8, 4, include_top=False), "output")
    with pytest.raises(ValueError, match="built"):
        train_only(keras.Sequential([keras.layers.Dense(2)]), "all")
    assert len(model.trainable_variables) == len(network().trainable_variables)
    model.compile("sgd")
    with pytest.raises(ValueError, match="compiled"):
        train_only(model, "batch_norm")
    with pytest.raises(ValueError, match="neither"):
        PartialTrainer(network())
    with pytest.raises(ValueError, match="weight_decay"):
        PartialTrainer(network(), "all", weight_decay=-1)
    with pytest.raises(ValueError, match="per_channel"):
        RandomMask(network(), per_channel=0)
    with pytest.raises(ValueError, match=r"per_channel.*shortcut"):
        RandomMask(network(), per_channel=20)  # a 1x1 kernel over 4 channels
    with pytest.raises(ValueError, match="convolutions"):
        RandomMask(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_frozen_variables_keep_their_bits(jit_compile):
    model = network()
    trainer = compiled(
        PartialTrainer(model, "batch_norm", weight_decay=0.1), jit_compile=jit_compile
    )
    before = values(model)
    trainer.fit(X, Y, batch_size=8, epochs=10, verbose=0)  # 20 steps
    names = {path.rsplit("/", 1)[1] for path in changed(before, values(model))}
    assert names == {"gamma", "beta", "moving_mean", "moving_variance"}
    norms = {v.path for layer in batch_norms(model) for v in layer.variables}
    assert changed(before, values(model)) == norms
    assert len(trainer.optimizer.variables) == 2 + 2 * len(batch_norms(model))


def test_scales_frozen_still_normalises_by_the_batch():
    model = network()
    trainer = compiled(PartialTrainer(model, "all-batch_norm"))
    before = values(model)
    trainer.fit(X, Y, batch_size=8, verbose=0)
    names = {path.rsplit("/", 1)[1] for path in changed(before, values(model))}
    assert names == {"kernel", "bias", "moving_mean", "moving_variance"}


def test_one_step_is_sgd_with_l2():
    """Momentum off: w -= rate * (gradient + decay * w), the gradient of a plain Keras step."""
    steps = {}
    for decay in (0.0, 0.5):
        trainer = PartialTrainer(network(), "batch_norm", weight_decay=decay)
        compiled(trainer, keras.optimizers.SGD(0.1))
        start = values(trainer.model)
        trainer.fit(X, Y, batch_size=16, verbose=0)
        steps[decay] = values(trainer.model)
    plain = network()
    train_only(plain, "batch_norm")
    plain.compile(keras.optimizers.SGD(0.1), LOSS(from_logits=True), jit_compile=False)
    plain.fit(X, Y, batch_size=16, verbose=0)
    for variable in plain.trainable_variables:
        path = variable.path
        np.testing.assert_allclose(steps[0.0][path], variable, atol=1e-6)
        np.testing.assert_allclose(
            steps[0.5][path], steps[0.0][path] - 0.1 * 0.5 * start[path], atol=1e-6
        )


def kernels(model):
    return [v for v in model.variables if v.name == "kernel" and len(v.shape) == 4]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_random_mask_moves_exactly_its_entries(optimizer):
    model = network()
    trainer = PartialTrainer(model, random_mask={"per_channel": 2, "seed": 3}, weight_decay=0.1)
    optimizers = {
        "sgd": keras.optimizers.SGD(0.1, momentum=0.9),
        "adam": keras.optimizers.Adam(0.01),
    }
    compiled(trainer, optimizers[optimizer])
    before = values(model)
    trainer.fit(X, Y, batch_size=8, epochs=10, verbose=0)
    after = values(model)
    moved = 0
    for kernel in kernels(model):
        different = before[kernel.path] != after[kernel.path]
        np.testing.assert_array_equal(different, trainer.random_mask.mask(kernel))
        assert (different.sum((0, 1, 2)) == 2).all()
        moved += different.sum()
    assert moved == 2 * sum(layer.gamma.shape[0] for layer in batch_norms(model))
    rest = changed(before, after) - {kernel.path for kernel in kernels(model)}
    assert {path.rsplit("/", 1)[1] for path in rest} == {"moving_mean", "moving_variance"}


def test_random_mask_kinds_and_seeds():
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3),
            layers.DepthwiseConv2D(3, depth_multiplier=2),
            layers.Conv2DTranspose(5, 3),
        ]
    )
    first, again, other = RandomMask(model, 3, 0), RandomMask(model, 3, 0), RandomMask(model, 3, 1)
    plain, depthwise, transposed = (layer.kernel for layer in model.layers)
    assert (first.mask(plain).sum((0, 1, 2)) == 3).all()
    assert first.mask(depthwise).shape == (3, 3, 4, 2)
    assert (first.mask(depthwise).sum((0, 1)) == 3).all()
    assert first.mask(transposed).shape == (3, 3, 5, 8)
    assert (first.mask(transposed).sum((0, 1, 3)) == 3).all()
    for kernel in (plain, depthwise, transposed):
        np.testing.assert_array_equal(first.mask(kernel), again.mask(kernel))
        gradient = rng.normal(size=kernel.shape).astype("float32")
        np.testing.assert_array_equal(
            first.keep(gradient, kernel), np.where(first.mask(kernel), gradient, 0)
        )
    assert (first.mask(plain) != other.mask(plain)).any()
    assert first(plain) and not first(keras.Variable(1.0))


def test_optimizer_decay_beside_ours():
    decaying = keras.optimizers.AdamW(weight_decay=0.1)
    for trainer in (
        PartialTrainer(network(), random_mask={"per_channel": 2}),
        PartialTrainer(network(), "all", weight_decay=1e-4),
    ):
        with pytest.raises(ValueError, match="weight_decay"):
            trainer.compile(decaying)
    PartialTrainer(network(), "all").compile(decaying)


@keras.saving.register_keras_serializable("test_partial")
def second_stage(variable, layer):
    return layer.name.startswith("stage2")


@pytest.mark.parametrize(
    "kwargs",
    [
        {"trainable": "batch_norm+output", "weight_decay": 0.1},
        {"trainable": second_stage},
        {"trainable": ["output", "stem_norm"], "random_mask": {"per_channel": 2, "seed": 5}},
    ],
    ids=["name", "function", "list and mask"],
)
def test_save_keeps_the_rule(tmp_path, kwargs):
    trainer = compiled(PartialTrainer(network(), **kwargs), metrics=["accuracy"])
    trainer.fit(X, Y, batch_size=8, verbose=0)
    trainer.save(tmp_path / "trainer.keras")
    loaded = keras.saving.load_model(tmp_path / "trainer.keras")
    assert loaded.report.paths == trainer.report.paths
    assert loaded.weight_decay == trainer.weight_decay
    np.testing.assert_allclose(loaded.predict(X, verbose=0), trainer.predict(X, verbose=0))
    for both in (trainer, loaded):  # the optimizer's state came along
        both.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
    for mine, theirs in zip(trainer.variables, loaded.variables):
        np.testing.assert_allclose(mine, theirs, atol=1e-6, err_msg=mine.path)
    assert loaded.model.get_layer("stem_conv").kernel.shape == (3, 3, 3, 4)


def test_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    model = network()
    trainer = compiled(
        PartialTrainer(model, "batch_norm", {"per_channel": 2}, weight_decay=0.1), "sgd"
    )
    assert isinstance(trainer.optimizer, keras.optimizers.LossScaleOptimizer)
    trainer.optimizer.initial_scale = 256.0
    before = values(model)
    history = trainer.fit(X, Y, batch_size=8, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    for kernel in kernels(model):
        different = before[kernel.path] != np.array(kernel)
        assert not (different & ~trainer.random_mask.mask(kernel)).any()
    assert any(
        (before[layer.beta.path] != np.array(layer.beta)).any() for layer in batch_norms(model)
    )


def test_recipes():
    cifar = recipes.BATCH_NORM_ONLY_CIFAR10.build_schedule(100)
    rates = [float(cifar(step)) for step in (0, 7999, 8000, 12000)]
    np.testing.assert_allclose(rates, [0.1, 0.1, 0.01, 0.001], rtol=1e-5)
    imagenet = recipes.BATCH_NORM_ONLY_IMAGENET.build_schedule(100)
    rates = [float(imagenet(step)) for step in (0, 250, 500, 3000, 6000, 8000)]
    np.testing.assert_allclose(rates, [0, 0.2, 0.4, 0.04, 0.004, 0.0004], rtol=1e-5)
    optimizer = recipes.BATCH_NORM_ONLY_CIFAR10.build_optimizer(100)
    assert optimizer.momentum == 0.9 and optimizer.weight_decay is None


@pytest.mark.release
def test_batch_norm_alone_learns_more_than_the_output_alone():
    """The paper in small: ResNet-14 W=16 on digits, 30 epochs of batches of 128, rate 0.1."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    train, test = order[:1347], order[1347:]
    x, y = digits.images[..., None].astype("float32") / 8 - 1, digits.target
    accuracy = {}
    for rule in ("batch_norm", "output", "batch_norm+output", "all"):
        keras.utils.set_random_seed(0)
        model = cifar_resnet(
            14,
            16,
            input_shape=(8, 8, 1),
            classifier_activation=None,
            kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_in"),
            gamma_initializer="uniform01",
        )
        trainer = compiled(PartialTrainer(model, rule, weight_decay=1e-4), metrics=["accuracy"])
        trainer.fit(x[train], y[train], batch_size=128, epochs=30, verbose=0)
        logs = trainer.evaluate(x[test], y[test], verbose=0, return_dict=True)
        accuracy[rule] = logs["accuracy"]
    print(accuracy)
    assert accuracy["batch_norm"] >= 0.88
    assert accuracy["batch_norm"] >= accuracy["output"] + 0.1
    assert accuracy["all"] >= accuracy["batch_norm"] - 0.02
