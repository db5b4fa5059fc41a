import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnets.layers import AdditiveAngularMargin, AdditiveMargin

RNG = np.random.default_rng(0)
HEADS = {
    "aam": lambda **kw: AdditiveAngularMargin(5, **kw),
    "continuous tail": lambda **kw: AdditiveAngularMargin(5, tail="continuous", **kw),
    "easy margin": lambda **kw: AdditiveAngularMargin(5, easy_margin=True, **kw),
    "sub-centres": lambda **kw: AdditiveAngularMargin(5, subcenters=3, **kw),
    "inter-top-k": lambda **kw: AdditiveAngularMargin(5, top_k=2, **kw),
    "am": lambda **kw: AdditiveMargin(5, **kw),
}


def cross_entropy(labels, logits):
    return keras.ops.convert_to_numpy(
        keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    )


def head_of(cosines, **options):
    """A head, and an embedding that has these cosines with its classes."""
    cosines = np.array(cosines, "float32")
    head = AdditiveAngularMargin(len(cosines), **options)
    head.build((None, len(cosines) + 1))
    head.kernel.assign(3.0 * np.eye(len(cosines) + 1, len(cosines)))
    rest = np.sqrt(1 - np.square(cosines.astype("float64")).sum())
    return head, 7.0 * np.append(cosines, rest)[None].astype("float32")


@pytest.mark.parametrize(
    "cosines, label, options, phi, loss",
    [
        ((0.5, 0.2, -0.1), 0, dict(), 0.3179806015, 0.0286203028),
        ((0.5, 0.2, -0.1), 0, dict(margin=0.0), 0.5, 0.0001234174),
        ((0.5, 0.2, -0.1), 1, dict(), 0.0013579204, 14.9592627),
        ((-0.99, 0.2, -0.1), 0, dict(), -1.0297338662, 36.8921394),
        ((-0.99, 0.2, -0.1), 0, dict(tail="continuous"), -1.0099334222, 36.2981261),
        ((0.5, 0.2, -0.1, 0.3), 0, dict(top_k=2), 0.3179806, 1.4721781),
    ],
)
def test_closed_forms(cosines, label, options, phi, loss):
    head = AdditiveAngularMargin(len(cosines), **options)
    head.build((None, 2))
    logits = [head.logits(keras.ops.array([cosines], "float32"), np.array([label]))]
    if np.square(cosines).sum() < 1:
        head, embedding = head_of(cosines, **options)
        logits.append(head(embedding, np.array([label])))
    for each in logits:
        assert float(each[0, label]) / 30 == pytest.approx(phi, abs=1e-6)
        assert cross_entropy(np.array([label]), each)[0] == pytest.approx(loss, rel=1e-6, abs=1e-5)


def test_inter_top_k_logits():
    head, x = head_of((0.5, 0.2, -0.1, 0.3), top_k=2)
    expected = [0.3179806, 0.2583926, -0.1, 0.3566622]
    np.testing.assert_allclose(head(x, np.array([0]))[0] / 30, expected, atol=1e-6)
    # the penalty follows the margin: half of it at 0.1, none at 0
    head.margin.assign(0.1)
    angle = np.arccos([0.5, 0.2, 0.3]) + np.array([0.1, -0.03, -0.03])
    result = np.array(head(x, np.array([0])))[0] / 30
    np.testing.assert_allclose(result[[0, 1, 3]], np.cos(angle), atol=1e-6)
    head.margin.assign(0.0)
    np.testing.assert_allclose(head(x, np.array([0])), head(x), atol=1e-5)


def test_easy_margin():
    for cosine, phi in ((0.5, 0.3179806015), (-0.5, -0.5)):
        head, x = head_of((cosine, 0.2, -0.1), easy_margin=True)
        assert float(head(x, np.array([0]))[0, 0] / 30) == pytest.approx(phi, abs=1e-6)


def test_additive_margin():
    head = AdditiveMargin(3, margin=0.35, scale=64.0)
    head.build((None, 2))
    logits = head.logits(keras.ops.array([[0.5, 0.2, -0.1]]), np.array([1]))
    np.testing.assert_allclose(logits[0], 64 * np.array([0.5, 0.2 - 0.35, -0.1]), rtol=1e-6)


def test_the_nearest_subcentre_counts():
    head = AdditiveAngularMargin(2, subcenters=3)
    head.build((None, 4))
    x = RNG.normal(size=(5, 4)).astype("float32")
    kernel = head.kernel.numpy()
    cosines = (x / np.linalg.norm(x, axis=1, keepdims=True)) @ (
        kernel / np.linalg.norm(kernel, axis=0)
    )
    expected = np.stack([cosines[:, :3].max(axis=1), cosines[:, 3:].max(axis=1)], axis=1)
    np.testing.assert_allclose(head(x), 30 * expected, atol=1e-5)


@pytest.fixture(params=HEADS)
def make_head(request):
    return HEADS[request.param]


def test_without_labels_or_margin_it_is_a_normalised_softmax(make_head):
    x, labels = RNG.normal(size=(6, 8)).astype("float32"), np.arange(6) % 5
    head = make_head(scale=12.0)
    plain = np.array(head(x))
    np.testing.assert_allclose(plain, 12 * np.array(head.cosines(x)), rtol=1e-6)
    assert np.all(np.abs(plain) <= 12)
    margined = np.array(head(x, labels))
    target = np.arange(6), labels
    if head.get_config().get("easy_margin"):
        assert np.all(margined[target] <= plain[target])
    else:
        assert np.all(margined[target] < plain[target])
    head.margin.assign(0.0)
    np.testing.assert_allclose(head(x, labels), plain, atol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_margin_changes_the_loss_without_a_new_trace(make_head, jit_compile):
    head, traces = make_head(), []
    x, labels = RNG.normal(size=(6, 8)).astype("float32"), np.arange(6) % 5
    head(x)

    @tf.function(jit_compile=jit_compile)
    def loss(x, labels):
        traces.append(1)
        return tf.reduce_mean(
            keras.losses.sparse_categorical_crossentropy(labels, head(x, labels), from_logits=True)
        )

    losses = []
    for margin in (0.0, 0.2, 0.4):
        head.margin.assign(margin)
        losses.append(float(loss(x, labels)))
        expected = cross_entropy(labels, head(x, labels)).mean()
        assert losses[-1] == pytest.approx(expected, rel=1e-5)
    assert losses[0] < losses[1] < losses[2]
    assert len(traces) == 1


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("case", ["same", "opposite", "zero embedding", "zero weight", "tiny"])
def test_gradient_is_finite(make_head, case, policy):
    head = make_head(dtype=policy)
    head.build((None, 4))
    kernel = head.kernel.numpy()
    x = {"same": kernel, "opposite": -kernel, "tiny": 1e-6 * kernel}.get(case, kernel)
    x = (x.T if case != "zero embedding" else np.zeros_like(x.T))[:: head.subcenters]
    if case == "zero weight":
        head.kernel.assign(np.zeros_like(kernel))
    x, labels = tf.constant(x, keras.DTypePolicy(policy).compute_dtype), np.arange(5)
    with tf.GradientTape() as tape:
        tape.watch(x)
        logits = head(x, labels)
        loss = keras.ops.mean(
            keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        )
    assert logits.dtype == "float32"
    assert np.isfinite(float(loss))
    for gradient in tape.gradient(loss, [x, head.kernel]):
        assert np.all(np.isfinite(np.array(gradient, "float32")))


def test_gradient_equals_finite_differences(make_head):
    """In float64; one example lies beyond `pi - margin`, in the tail."""
    head = make_head(dtype="float64")
    head.build((None, 4))
    kernel = head.kernel.numpy()
    assert kernel.dtype == "float64"
    x = RNG.normal(size=(4, 4))
    x[3] = 0.05 * RNG.normal(size=4) - kernel[:, 3 * head.subcenters]
    labels = np.arange(4)

    def loss(x, kernel):
        head.kernel.assign(kernel)
        logits = head(x, labels)
        assert logits.dtype == "float64"
        return keras.ops.mean(
            keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        )

    watched = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(watched)
        value = loss(watched, kernel)
    gradients = tape.gradient(value, [watched, head.kernel])
    step = 1e-6
    for i, gradient in enumerate(gradients):
        differences = np.zeros_like(gradient)
        for index in np.ndindex(*differences.shape):
            sides = []
            for sign in (1, -1):
                at = [x.copy(), kernel.copy()]
                at[i][index] += sign * step
                sides.append(float(loss(*at)))
            differences[index] = (sides[0] - sides[1]) / (2 * step)
        np.testing.assert_allclose(gradient, differences, rtol=1e-6, atol=1e-7)


def test_half_precision_loses_nothing(make_head):
    x, labels = RNG.normal(size=(6, 8)).astype("float32"), np.arange(6) % 5
    head, half = make_head(), make_head(dtype="mixed_float16")
    head.build(x.shape), half.build(x.shape)
    half.set_weights(head.get_weights())
    np.testing.assert_array_equal(half(x, labels), head(x, labels))


def test_as_a_keras_layer(make_head, tmp_path):
    head = make_head(margin=0.3)
    assert type(head).from_config(head.get_config()).get_config() == head.get_config()
    assert keras.saving.get_registered_name(type(head)).startswith("keras_resnets>")
    inputs, labels = keras.Input((8,)), keras.Input((), dtype="int32")
    outputs = head(inputs, labels)
    assert outputs.shape == head.compute_output_shape((None, 8)) == (None, 5)
    model = keras.Model([inputs, labels], outputs)
    head.margin.assign(0.1)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x, labels = RNG.normal(size=(6, 8)).astype("float32"), np.arange(6) % 5
    np.testing.assert_array_equal(loaded([x, labels]), model([x, labels]))
    assert float(loaded.layers[-1].margin) == pytest.approx(0.1)
    assert not any(w is head.margin for w in head.trainable_variables)


def test_labels():
    head = AdditiveAngularMargin(5)
    x = RNG.normal(size=(3, 4)).astype("float32")
    expected = np.array(head(x, np.array([0, 4, 2])))
    for labels in (np.array([[0], [4], [2]]), np.array([0.0, 4.0, 2.0])):
        np.testing.assert_array_equal(head(x, labels), expected)
    for labels in ([0, 5, 2], [0, -1, 2]):
        with pytest.raises(ValueError, match=r"`labels` must be in \[0, 5\)"):
            head(x, np.array(labels))
    with pytest.raises(ValueError, match=r"`labels` must be integers of shape \(batch,\)"):
        head(x, np.eye(5)[:3])


@pytest.mark.parametrize("cls", [AdditiveAngularMargin, AdditiveMargin])
@pytest.mark.parametrize(
    "options",
    [
        dict(classes=0),
        dict(classes=2.5),
        dict(subcenters=0),
        dict(scale=0.0),
        dict(scale=float("nan")),
        dict(margin=-0.1),
        dict(margin=3.2),
    ],
    ids=str,
)
def test_bad_arguments(cls, options):
    ((name, value),) = options.items()
    with pytest.raises(ValueError, match=f"`{name}` must be.*{name}={value}"):
        cls(**{"classes": 5, **options})


@pytest.mark.parametrize("options", [dict(top_k=5), dict(top_k=-1), dict(tail="flat")], ids=str)
def test_bad_arguments_of_the_angular_margin(options):
    ((name, value),) = options.items()
    with pytest.raises(ValueError, match=f"`{name}` must be.*{name}={value!r}"):
        AdditiveAngularMargin(5, **options)


def test_takes_masked_embeddings():
    embeddings = keras.layers.Masking()(np.ones((2, 4), "float32"))
    head = AdditiveAngularMargin(3)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*mask")
        assert head(embeddings).shape == (2, 3)
    assert head.compute_mask(embeddings, [True, False]) is None
