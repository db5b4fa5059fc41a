"""SavedModels: their signatures, alone and as TensorFlow Serving would call them."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnets.export import WARMUP_FILE, to_saved_model
from keras_resnets.models import ecapa_tdnn, r_vector, x_vector


def small_ecapa(**kwargs):
    """An ECAPA-TDNN of a few thousand weights, whose BatchNormalizations do something."""
    keras.utils.set_random_seed(3)
    model = ecapa_tdnn(
        channels=16,
        mfa_channels=24,
        attention_channels=8,
        se_channels=8,
        embedding_dim=12,
        scale=2,
        dilations=(2, 3),
        **kwargs,
    )
    rng = np.random.default_rng(3)
    for weight in model.non_trainable_weights:
        weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    return model


@pytest.fixture(scope="module")
def model():
    return small_ecapa(frontend="kaldi_fbank")


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    return to_saved_model(model, tmp_path_factory.mktemp("served") / "speaker" / "1")


@pytest.fixture(scope="module")
def served(path):
    loaded = tf.saved_model.load(path)
    yield loaded.signatures  # `loaded` holds the variables


def speech(*lengths, seed=0):
    """A zero-padded batch of noise, and its lengths."""
    rng = np.random.default_rng(seed)
    x = np.zeros((len(lengths), max(lengths)), "float32")
    for row, n in zip(x, lengths):
        row[:n] = rng.normal(size=n) * 0.1
    return x, np.array(lengths, "int32")


def embed_masked(served, x, lengths):
    out = served["embed_masked"](waveform=tf.constant(x), lengths=tf.constant(lengths))
    return out["embedding"].numpy()


def relative(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def test_signatures(served):
    wave, lengths = tf.TensorShape([None, None]), tf.TensorShape([None])
    expected = {
        "serving_default": {"waveform": (wave, tf.float32)},
        "embed_masked": {"waveform": (wave, tf.float32), "lengths": (lengths, tf.int32)},
        "verify": {
            "waveform_a": (wave, tf.float32),
            "lengths_a": (lengths, tf.int32),
            "waveform_b": (wave, tf.float32),
            "lengths_b": (lengths, tf.int32),
        },
    }
    found = {
        name: {k: (v.shape, v.dtype) for k, v in f.structured_input_signature[1].items()}
        for name, f in served.items()
    }
    assert found == expected
    outputs = {name: [*f.structured_outputs] for name, f in served.items()}
    assert outputs == {
        "serving_default": ["embedding"],
        "embed_masked": ["embedding"],
        "verify": ["score"],
    }


@pytest.mark.parametrize("samples", [400, 5000, 48000])
def test_equals_the_model_at_any_length(model, served, samples):
    x, lengths = speech(samples, max(400, samples - 777), samples)
    found = served["serving_default"](waveform=tf.constant(x))["embedding"]
    np.testing.assert_allclose(found, model(x), atol=1e-5)
    np.testing.assert_allclose(embed_masked(served, x, lengths), model([x, lengths]), atol=1e-5)


def test_verify_is_the_cosine(model, served):
    (a, n_a), (b, n_b) = speech(9000, 3000), speech(4000, 5000, seed=1)
    out = served["verify"](
        waveform_a=tf.constant(a),
        lengths_a=tf.constant(n_a),
        waveform_b=tf.constant(b),
        lengths_b=tf.constant(n_b),
    )
    e, f = np.array(model([a, n_a])), np.array(model([b, n_b]))
    cosine = (e * f).sum(-1) / np.linalg.norm(e, axis=-1) / np.linalg.norm(f, axis=-1)
    np.testing.assert_allclose(out["score"], cosine, atol=1e-6)


@pytest.mark.parametrize("extra", [0, 1, 7, 80000])
@pytest.mark.parametrize("fill", ["zeros", "noise", "garbage"])
def test_padding_has_no_influence(served, extra, fill):
    x, lengths = speech(16000, 6000, 400)
    alone = [embed_masked(served, row[None, :n], [n])[0] for row, n in zip(x, lengths)]
    x = np.pad(x, [(0, 0), (0, extra)])
    if fill != "zeros":
        noise = np.random.default_rng(9).normal(size=x.shape) * (1e6 if fill == "garbage" else 0.1)
        x = np.where(np.arange(x.shape[1]) < lengths[:, None], x, noise).astype("float32")
    for found, expected in zip(embed_masked(served, x, lengths), alone, strict=True):
        assert relative(found, expected) <= 1e-5


def test_padding_by_the_servers_batching(served):
    """TensorFlow Serving pads with a tensor's first value and concatenates the requests."""
    requests = [speech(4000), speech(9000), speech(2000, 6500)]
    alone = [embed_masked(served, *request) for request in requests]
    rows = [
        np.pad(x, [(0, 0), (0, 9000 - x.shape[1])], constant_values=x[0, 0]) for x, _ in requests
    ]
    together = embed_masked(served, np.concatenate(rows), np.concatenate([n for _, n in requests]))
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-5)


def test_bad_rows_leave_the_others_alone(served):
    x, lengths = speech(5000, 5000, 399, 5000, 5000)
    lengths[3:] = [-3, 99999]  # clipped to 0 and 5000
    expected = embed_masked(served, x[:1], lengths[:1])[0]
    x[1, 77] = np.nan
    found = embed_masked(served, x, lengths)
    np.testing.assert_allclose(found[0], expected, atol=1e-5)
    assert np.isnan(found[1]).all()
    assert not found[2:4].any()
    np.testing.assert_allclose(found[4], embed_masked(served, x[4:], [5000])[0], atol=1e-5)


@pytest.mark.parametrize("samples", [0, 1, 399])
def test_shorter_than_a_frame_gives_zeros(served, samples):
    x = tf.ones([2, samples])
    assert not served["serving_default"](waveform=x)["embedding"].numpy().any()
    n = tf.fill([2], samples)
    score = served["verify"](waveform_a=x, lengths_a=n, waveform_b=x, lengths_b=n)["score"]
    assert score.numpy().tolist() == [0, 0]


def test_order_of_the_batch(served):
    x, lengths = speech(3000, 8000, 500, 6000)
    order = np.array([2, 0, 3, 1])
    np.testing.assert_allclose(
        embed_masked(served, x[order], lengths[order]),
        embed_masked(served, x, lengths)[order],
        atol=1e-5,
    )


def test_xla_agrees(served):
    x, lengths = speech(8000, 3000)
    compiled = tf.function(served["embed_masked"], jit_compile=True)
    found = compiled(waveform=tf.constant(x), lengths=tf.constant(lengths))["embedding"]
    np.testing.assert_allclose(found, embed_masked(served, x, lengths), atol=3e-5)


CLEAN_PROCESS = """
import sys
sys.modules["keras"] = sys.modules["tf_keras"] = sys.modules["keras_resnets"] = None
import numpy as np
import tensorflow as tf
path, inputs, outputs = sys.argv[1:]
arrays = {name: tf.constant(array) for name, array in np.load(inputs).items()}
results = {}
for name, function in tf.saved_model.load(path).signatures.items():
    keys = function.structured_input_signature[1]
    [results[name]] = function(**{key: arrays[key] for key in keys}).values()
np.savez(outputs, **results)
ours = [m for m, module in sys.modules.items() if module and m.startswith(("keras", "trainers"))]
assert not ours, ours
"""


def test_loads_without_this_package_and_without_keras(served, path, tmp_path):
    x, lengths = speech(7000, 2500)
    arrays = {"waveform": x, "lengths": lengths, "waveform_a": x[:1], "lengths_a": lengths[:1]}
    arrays |= {"waveform_b": x[1:], "lengths_b": lengths[1:]}
    np.savez(tmp_path / "in.npz", **arrays)
    subprocess.run(
        [sys.executable, "-c", CLEAN_PROCESS, path, tmp_path / "in.npz", tmp_path / "out.npz"],
        check=True,
        cwd=tmp_path,
    )
    results = np.load(tmp_path / "out.npz")
    assert set(results) == set(served)
    for name, function in served.items():
        keys = function.structured_input_signature[1]
        [expected] = function(**{key: tf.constant(arrays[key]) for key in keys}).values()
        np.testing.assert_allclose(results[name], expected, atol=1e-5)


@pytest.mark.parametrize("factory", [x_vector, r_vector, small_ecapa])
def test_encoders_of_features(factory, tmp_path):
    options = {r_vector: {"depth": 18}, x_vector: {}, small_ecapa: {"variant": "speechbrain"}}
    model = factory(**options[factory])
    served = tf.saved_model.load(to_saved_model(model, tmp_path / "m" / "2")).signatures
    x = np.random.default_rng(0).normal(size=(2, 60, 80)).astype("float32")
    lengths = np.array([60, 41], "int32")
    found = served["embed_masked"](features=tf.constant(x), lengths=tf.constant(lengths))
    np.testing.assert_allclose(found["embedding"], model([x, lengths]), atol=1e-5)


def test_normalize(model, served, tmp_path):
    normalized = tf.saved_model.load(
        to_saved_model(model, tmp_path / "m" / "1", normalize=True)
    ).signatures
    x, lengths = speech(5000, 4000, 200)
    plain = embed_masked(served, x, lengths)
    norms = np.linalg.norm(plain, axis=1, keepdims=True)
    np.testing.assert_allclose(
        embed_masked(normalized, x, lengths), plain / np.maximum(norms, 1e-6), atol=1e-6
    )


def test_own_signatures(model, served, tmp_path):
    """16-bit audio, and a compiled graph of one length."""
    pcm = np.random.default_rng(0).integers(-9000, 9000, (2, 6000)).astype("int16")
    compiled = tf.function(lambda x: {"embedding": model(x)}, jit_compile=True, autograph=False)
    path = to_saved_model(
        model,
        tmp_path / "m" / "1",
        signatures={
            "serving_default": (model, {"pcm": tf.TensorSpec([None, None], tf.int16)}),
            "two": (compiled, {"waveform": tf.TensorSpec([None, 6000], tf.float32)}),
        },
        warmup={"serving_default": {"pcm": pcm}},
    )
    own = tf.saved_model.load(path).signatures
    x = tf.constant(pcm / np.float32(32768))
    expected = served["serving_default"](waveform=x)["embedding"]
    found = own["serving_default"](pcm=tf.constant(pcm))["output"]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(own["two"](waveform=x)["embedding"], expected, atol=3e-5)


def image_model():
    image = keras.Input((8, 8, 3), dtype="uint8", name="image")
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(x))
    logits = keras.layers.Dense(5, name="predictions")(x)
    return image, x, logits


def test_any_model(tmp_path):
    image, features, logits = image_model()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype("uint8")
    model = keras.Model(image, logits)
    named = keras.Model({"image": image}, {"b": features, "a": logits})
    sequential = keras.Sequential(
        [keras.Input((8, 8, 3), name="x"), keras.layers.Flatten(), keras.layers.Dense(2, name="y")]
    )
    for number, (network, x) in enumerate(
        [(model, pixels), (named, pixels), (sequential, pixels.astype("float32"))]
    ):
        path = to_saved_model(network, tmp_path / "image" / str(number))
        serve = tf.saved_model.load(path).signatures["serving_default"]
        [key] = serve.structured_input_signature[1]
        found = serve(**{key: tf.constant(x)})
        expected = network({"image": x} if network is named else x)
        if not isinstance(expected, dict):
            expected = {network.layers[-1].name: expected}
        assert set(found) == set(expected)
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, atol=1e-5)


# Warm-up


def test_warmup_requests(path, served):
    prediction_log_pb2 = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    replayed = []
    for record in tf.data.TFRecordDataset(f"{path}/{WARMUP_FILE}"):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        assert request.model_spec.name == "speaker"
        function = served[request.model_spec.signature_name]
        inputs = {key: tf.make_ndarray(tensor) for key, tensor in request.inputs.items()}
        specs = function.structured_input_signature[1]
        assert {k: v.dtype for k, v in inputs.items()} == {k: v.dtype for k, v in specs.items()}
        [output] = function(**{k: tf.constant(v) for k, v in inputs.items()}).values()
        assert output.shape[0] == 1 and np.isfinite(output).all()
        # The package itself would write the same message.
        again = prediction_log_pb2.PredictionLog.FromString(log.SerializeToString())
        assert again == log and not log.ListFields()[1:]
        replayed.append(request.model_spec.signature_name)
    assert replayed == ["serving_default", "embed_masked", "verify"]


def test_warmup_can_be_left_out(tmp_path):
    image, _, logits = image_model()
    to_saved_model(keras.Model(image, logits), tmp_path / "m" / "1", warmup=False)
    assert not (tmp_path / "m" / "1" / WARMUP_FILE).exists()


# Bad input, and what is left on the disk


@pytest.mark.parametrize("name", ["1", "model", "model/v1", "model/1.0", "model/01", "model/-1"])
def test_path_must_be_name_and_version(name, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="NAME/VERSION"):
        to_saved_model(model, name)
    assert not list(tmp_path.iterdir())


def test_overwrite(tmp_path):
    image, features, logits = image_model()
    folder = tmp_path / "m"
    path = to_saved_model(keras.Model(image, logits), f"{folder}/1/")
    with pytest.raises(FileExistsError, match="overwrite"):
        to_saved_model(keras.Model(image, features), path)
    outputs = tf.saved_model.load(path).signatures["serving_default"].structured_outputs
    assert outputs["predictions"].shape == (None, 5)
    to_saved_model(keras.Model(image, features), path, overwrite=True)
    [output] = tf.saved_model.load(path).signatures["serving_default"].structured_outputs.values()
    assert output.shape == (None, 4)
    assert [entry.name for entry in folder.iterdir()] == ["1"]


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    image, _, logits = image_model()
    model, folder = keras.Model(image, logits), tmp_path / "m"
    to_saved_model(model, folder / "1")

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(tf.io, "TFRecordWriter", fail)
    for version, overwrite in (("2", False), ("1", True)):
        with pytest.raises(OSError, match="disk full"):
            to_saved_model(model, folder / version, overwrite=overwrite)
    assert [entry.name for entry in folder.iterdir()] == ["1"]
    assert tf.saved_model.load(str(folder / "1")).signatures


def test_bad_arguments(model, tmp_path):
    path = tmp_path / "m" / "1"
    image = keras.Input((None, None, 3), name="image")
    any_size = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))
    with pytest.raises(ValueError, match=r"`warmup`.*'serving_default'"):
        to_saved_model(any_size, path)
    with pytest.raises(ValueError, match=r"must hold the inputs \['image'\]"):
        to_saved_model(any_size, path, warmup={"serving_default": {"x": np.zeros((1, 8, 8, 3))}})
    with pytest.raises(ValueError, match="must have the shape"):
        to_saved_model(any_size, path, warmup={"serving_default": {"image": np.zeros((8, 8, 3))}})
    with pytest.raises(ValueError, match=r"must name signatures.*\['serve'\]"):
        to_saved_model(any_size, path, warmup={"serve": {}})
    with pytest.raises(ValueError, match="normalize"):
        to_saved_model(any_size, path, normalize=True)
    with pytest.raises(ValueError, match="must be an encoder"):
        to_saved_model(small_ecapa(include_top=True, classes=3), path)
    with pytest.raises(ValueError, match="must be an encoder"):
        to_saved_model(small_ecapa(pooling=None), path)

    class Subclassed(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match="functional or sequential"):
        to_saved_model(Subclassed(), path)
    assert not list(tmp_path.iterdir())
