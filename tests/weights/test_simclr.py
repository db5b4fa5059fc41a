"""Checkpoints of google-research/simclr.

`Network` is the published network (sections 2 of the two papers and the official code's geometry)
written once more in plain TensorFlow: it creates its variables in the official order, under the
official names, and computes with them. What it computes is what ours must, from its checkpoint.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_resnets as kr
from trainers import SimCLR


class Network:
    """In inference mode; `variables` are made as they are asked for."""

    def __init__(self, depths, sk_ratio=0.0, width=1, small_stem=False, bottleneck=True):
        self.depths, self.sk_ratio, self.width = depths, sk_ratio, width
        self.small_stem, self.bottleneck = small_stem, bottleneck
        self.variables, self.rng = {}, np.random.default_rng(0)

    def __call__(self, x):
        self.counts = {"conv2d": 0, "batch_normalization": 0}
        x = self.stem(tf.constant(x))
        for group, depth in enumerate(self.depths):
            for block in range(depth):
                x = self.block(x, 64 * self.width * 2**group, 1 + (group > 0 and block == 0), block)
        x = tf.reduce_mean(x, (1, 2))
        kernel = self.get("head_supervised/linear_layer/dense/kernel", (x.shape[-1], 10))
        return x @ kernel + self.get("head_supervised/linear_layer/dense/bias", (10,))

    def get(self, name, shape):
        if name not in self.variables:
            value = self.rng.standard_normal(shape)
            if len(shape) > 1:
                value *= 1.4 * np.prod(shape[:-1]) ** -0.5
            if name.endswith("moving_variance"):
                value = 0.5 + np.abs(value)
            if name.endswith("gamma"):
                value = 0.9 + 0.2 * value
            self.variables[name] = value.astype("f4")
        return self.variables[name]

    def scope(self, kind):
        n = self.counts[kind]
        self.counts[kind] += 1
        return f"base_model/{kind}_{n}" if n else f"base_model/{kind}"

    def conv(self, x, filters, size, stride=1):
        kernel = self.get(f"{self.scope('conv2d')}/kernel", (size, size, x.shape[-1], filters))
        if stride > 1:
            before = (size - 1) // 2
            pads = (before, size - 1 - before)
            x = tf.pad(x, ((0, 0), pads, pads, (0, 0)))
        return tf.nn.conv2d(x, kernel, stride, "VALID" if stride > 1 else "SAME")

    def norm(self, x, relu=True):
        scope = self.scope("batch_normalization")
        names = ("gamma", "beta", "moving_mean", "moving_variance")
        gamma, beta, mean, var = (self.get(f"{scope}/{name}", x.shape[-1:]) for name in names)
        x = (x - mean) / np.sqrt(var + 1e-5) * gamma + beta
        return tf.nn.relu(x) if relu else x

    def stem(self, x):
        width = 64 * self.width
        if self.small_stem:
            return self.norm(self.conv(x, width, 3))
        if self.sk_ratio:
            x = self.norm(self.conv(x, width // 2, 3, 2))
            x = self.norm(self.conv(x, width // 2, 3))
            x = self.norm(self.conv(x, width, 3))
        else:
            x = self.norm(self.conv(x, width, 7, 2))
        return tf.nn.max_pool2d(x, 3, 2, "SAME")

    def block(self, x, filters, stride, number):
        shortcut, out = x, 4 * filters if self.bottleneck else filters
        if number == 0:
            if self.sk_ratio and stride > 1:
                shortcut = tf.pad(shortcut, ((0, 0), (0, 1), (0, 1), (0, 0)))
                shortcut = tf.nn.avg_pool2d(shortcut, 2, 2, "VALID")
            elif self.sk_ratio:
                shortcut = tf.nn.avg_pool2d(shortcut, 2, 1, "SAME")
            strided = 1 if self.sk_ratio else stride
            shortcut = self.norm(self.conv(shortcut, out, 1, strided), relu=False)
        if self.bottleneck:
            x = self.norm(self.conv(x, filters, 1))
            if self.sk_ratio:
                x = self.selective(x, filters, stride)
            else:
                x = self.norm(self.conv(x, filters, 3, stride))
            x = self.norm(self.conv(x, out, 1), relu=False)
        else:
            x = self.norm(self.conv(x, filters, 3, stride))
            x = self.norm(self.conv(x, filters, 3), relu=False)
        return tf.nn.relu(x + shortcut)

    def selective(self, x, filters, stride):
        x = self.norm(self.conv(x, 2 * filters, 3, stride))
        streams = tf.stack(tf.split(x, 2, axis=-1))
        mean = tf.reduce_mean(tf.reduce_sum(streams, 0), (1, 2), keepdims=True)
        hidden = self.norm(self.conv(mean, max(int(filters * self.sk_ratio), 32), 1))
        logits = tf.stack(tf.split(self.conv(hidden, 2 * filters, 1), 2, axis=-1))
        return tf.reduce_sum(streams * tf.nn.softmax(logits, axis=0), 0)

    def save(self, prefix):
        """Under the plain names of TensorFlow 1, with the optimizer's and the head's variables."""
        extra = {
            f"{name}/Momentum": np.zeros(value.shape, "f4")
            for name, value in self.variables.items()
        }
        extra["head_contrastive/nl_0/dense/kernel"] = np.zeros((64, 4), "f4")
        extra["head_contrastive/nl_0/batch_normalization/gamma"] = np.ones(4, "f4")
        extra["global_step"] = np.int64(100)
        arrays = {**self.variables, **extra}
        tf.raw_ops.SaveV2(
            prefix=str(prefix),
            tensor_names=[*arrays],
            shape_and_slices=[""] * len(arrays),
            tensors=[*arrays.values()],
        )


CASES = {
    "plain": ((1, 2, 1, 1), dict(), (64, 64)),
    "odd": ((1, 1, 1, 2), dict(width=2), (97, 65)),
    "sk": ((1, 2, 1, 1), dict(sk_ratio=1 / 16), (64, 64)),
    "sk_odd": ((2, 1, 1, 1), dict(sk_ratio=1 / 16), (97, 65)),
    "small": ((1, 1, 1, 1), dict(small_stem=True), (32, 32)),
    "basic": ((2, 1, 1, 1), dict(bottleneck=False), (65, 64)),
}


def ours(depths, width=1, bottleneck=True, small_stem=False, **options):
    kind = 50 if bottleneck else 18
    options |= dict(depths=depths, small_stem=small_stem, classes=10)
    return kr.simclr_resnet(kind, width, classifier_activation=None, **options)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A network of case `plain` that has been run once, and the prefix it was saved under."""
    depths, options, size = CASES["plain"]
    network = Network(depths, **options)
    network(np.zeros((1, *size, 3), "f4"))
    prefix = tmp_path_factory.mktemp("simclr") / "model.ckpt-100"
    network.save(prefix)
    return network, prefix


@pytest.mark.parametrize("name", CASES)
def test_computes_what_the_checkpoints_network_does(tmp_path, name):
    depths, options, size = CASES[name]
    network = Network(depths, **options)
    images = np.random.default_rng(1).standard_normal((2, *size, 3)).astype("f4")
    expected = network(images).numpy()
    network.save(tmp_path / "model.ckpt-100")
    model = ours(depths, **options)
    with pytest.warns(UserWarning, match="head_contrastive/nl_0/dense/kernel"):
        report = kr.weights.from_simclr_checkpoint(model, tmp_path / "model.ckpt-100")
    assert sorted(report.loaded) == sorted(network.variables)
    assert "base_model/conv2d/kernel/Momentum" in report.ignored
    assert not report.missing and not report.unexpected
    result = keras.ops.convert_to_numpy(model(images, training=False))
    assert np.abs(result - expected).max() < 1e-5 * np.abs(expected).max()
    back = kr.weights.to_torch(model, "simclr")
    assert back.keys() == network.variables.keys()
    for key, value in network.variables.items():
        np.testing.assert_array_equal(back[key], value)


def test_a_factory_takes_the_checkpoint(checkpoint):
    network, prefix = checkpoint
    with pytest.warns(UserWarning, match="head_supervised"):
        model = kr.simclr_resnet(
            depths=CASES["plain"][0], include_top=False, small_stem=False, weights=prefix
        )
    np.testing.assert_array_equal(
        model.get_layer("stage2_block1_conv1").kernel,
        network.variables["base_model/conv2d_6/kernel"],
    )


def test_the_folder_of_a_saved_model(tmp_path, checkpoint):
    network, _ = checkpoint
    (tmp_path / "variables").mkdir()
    network.save(tmp_path / "variables" / "variables")
    model = ours(CASES["plain"][0])
    with pytest.warns(UserWarning, match="head_contrastive"):
        kr.weights.from_simclr_checkpoint(model, tmp_path)
    np.testing.assert_array_equal(
        model.get_layer("stem_conv").kernel, network.variables["base_model/conv2d/kernel"]
    )


def test_the_projection_head(checkpoint):
    """Beside the backbone, alone, and into a trainer, whose momentum encoder follows."""
    network, _ = checkpoint
    head = kr.layers.ProjectionHead(8)
    head.build((None, 2048))
    names = kr.weights.to_torch(head, "simclr_head")
    assert names["head_contrastive/nl_1/dense/kernel"].shape == (2048, 2048)
    assert "head_contrastive/nl_2/batch_normalization/moving_mean" in names
    assert "head_contrastive/nl_2/batch_normalization/beta" not in names
    rng = np.random.default_rng(1)
    state = {name: rng.random(value.shape).astype("f4") for name, value in names.items()}
    average = {f"ema_model/{name}": value + 1 for name, value in state.items()}
    whole = {**network.variables, **state, **average, "global_step": np.int64(3)}
    report = kr.weights.from_simclr_checkpoint(head, whole)
    assert sorted(report.loaded) == sorted(state) and "base_model/conv2d/kernel" in report.ignored
    for name, value in kr.weights.to_torch(head, "simclr_head").items():
        np.testing.assert_array_equal(value, state[name])
    kr.weights.from_simclr_checkpoint(head, whole, ema=True)
    np.testing.assert_array_equal(
        head.dense[0].kernel, state["head_contrastive/nl_0/dense/kernel"] + 1
    )
    with pytest.raises(ValueError, match="under 'ema_model/'"):
        kr.weights.from_simclr_checkpoint(head, state, ema=True)

    options = dict(depths=CASES["plain"][0], small_stem=False, include_top=False, pooling="avg")
    trainer = SimCLR(kr.simclr_resnet(**options), kr.layers.ProjectionHead(8), memory_size=8)
    with pytest.warns(UserWarning, match="head_supervised"):
        report = trainer.load_pretrained(whole)
    assert len(report.loaded) == len(network.variables) - 2 + len(state)
    for query, key in trainer.averaged:
        np.testing.assert_array_equal(query, key)
    np.testing.assert_array_equal(
        trainer.key_head.dense[0].kernel, state["head_contrastive/nl_0/dense/kernel"]
    )
    state["head_contrastive/nl_0/dense/kernel"] = np.zeros((4, 4), "f4")
    with pytest.raises(ValueError, match=r"nl_0/dense/kernel': expected \(2048, 2048\)"):
        trainer.load_pretrained(network.variables | state)
    with pytest.raises(ValueError, match=r"projection_head\w*/dense1/kernel"):
        trainer.load_pretrained(network.variables)


def test_another_classifier(checkpoint):
    _, prefix = checkpoint
    other = kr.simclr_resnet(depths=CASES["plain"][0], small_stem=False, classes=3)
    with pytest.raises(ValueError, match=r"linear_layer/dense/kernel': expected \(2048, 3\)"):
        kr.weights.from_simclr_checkpoint(other, prefix)
    with pytest.warns(UserWarning) as warned:
        report = kr.weights.from_simclr_checkpoint(other, prefix, skip_mismatch=True)
    assert "another size" in str(warned[0].message) and len(report.skipped) == 2


@pytest.mark.parametrize(
    ("depths", "options", "message"),
    [
        ((1, 2, 1, 2), {}, r"missing: 'base_model/conv2d_20/kernel'"),
        ((1, 1, 1, 1), {}, r"unexpected: 'base_model/conv2d_19/kernel'"),
        ((1, 2, 1, 1), {"sk_ratio": 1 / 16}, r"misshaped: 'base_model/conv2d/kernel'"),
        ((1, 2, 1, 1), {"width": 2}, r"expected \(7, 7, 3, 128\), found \(7, 7, 3, 64\)"),
    ],
)
def test_another_network_is_refused(checkpoint, depths, options, message):
    model = ours(depths, **options)
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        kr.weights.from_simclr_checkpoint(model, checkpoint[1])
    for old, new in zip(before, model.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_missing_and_foreign_checkpoints(tmp_path):
    model = ours((1, 1, 1, 1))
    with pytest.raises(FileNotFoundError, match=r"model\.ckpt"):
        kr.weights.from_simclr_checkpoint(model, tmp_path / "model.ckpt")
    with pytest.raises(ValueError, match="missing: 'base_model/conv2d/kernel'"):
        kr.weights.from_simclr_checkpoint(model, {"layer/kernel": np.zeros((3, 3), "f4")})
    with pytest.raises(ValueError, match="No torch layout"):
        kr.weights.from_simclr_checkpoint(kr.x_vector(), {"layer/kernel": np.zeros((3, 3), "f4")})
