"""The speaker networks: sizes, padding, inputs, saving, and what they refuse."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

import keras_resnets as kr

SMALL = dict(
    channels=32,
    mfa_channels=48,
    attention_channels=16,
    se_channels=16,
    scale=4,
    dilations=(2, 3),
)
NETWORKS = {
    **{
        variant: lambda variant=variant, **kw: kr.ecapa_tdnn(variant=variant, **SMALL, **kw)
        for variant in ("paper", "speechbrain", "wespeaker", "taoruijie")
    },
    "x_vector": kr.x_vector,
    "r_vector": lambda **kw: kr.r_vector(18, width=4, **kw),
}


def array(x):
    return keras.ops.convert_to_numpy(x)


def trainable(model):
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


def distance(a, b):
    """Relative L2 distance of the rows."""
    return np.linalg.norm(a - b, axis=-1) / np.linalg.norm(b, axis=-1)


@pytest.fixture(scope="module", params=NETWORKS)
def waveform_model(request):
    """A network whose normalisation is not the identity, as after training."""
    keras.utils.set_random_seed(1)
    model = NETWORKS[request.param](frontend="kaldi_fbank")
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.name in ("gamma", "moving_variance"):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        elif weight.name in ("beta", "moving_mean", "bias"):
            weight.assign(rng.normal(0, 0.2, weight.shape))
    return model


@pytest.fixture(scope="module")
def utterances():
    """20 real utterances of different lengths."""
    data = kr.datasets.load("speech_sample")
    lengths = np.random.default_rng(3).integers(16000, 48000, 20)
    return [
        kr.datasets.read_audio(path)[:n]
        for path, n in zip(data.test.paths[::3], lengths, strict=True)
    ]


@pytest.mark.parametrize(
    ("build", "parameters", "with_statistics"),
    [
        (lambda: kr.ecapa_tdnn(128), 2_244_400, 2_253_392),
        (lambda: kr.ecapa_tdnn(256), 3_331_104, 3_342_560),
        (kr.ecapa_tdnn_512, 6_191_104, 6_207_488),
        (kr.ecapa_tdnn_1024, 14_657_472, 14_683_712),
        (lambda: kr.ecapa_tdnn(512, variant="speechbrain"), 6_194_048, None),
        (lambda: kr.ecapa_tdnn(1024, variant="speechbrain"), 14_660_416, None),
        (lambda: kr.ecapa_tdnn(1024, variant="speechbrain", mfa_channels=3072), 20_767_552, None),
        (lambda: kr.ecapa_tdnn(512, variant="wespeaker"), 6_190_720, None),
        (lambda: kr.ecapa_tdnn(1024, variant="wespeaker"), 14_657_088, None),
        (lambda: kr.ecapa_tdnn(512, variant="taoruijie"), 6_978_176, None),
        (lambda: kr.ecapa_tdnn(1024, variant="taoruijie"), 15_444_544, None),
        (kr.x_vector, 4_610_524, None),
        (lambda: kr.r_vector(18), 4_105_440, None),
        (kr.r_vector, 6_634_336, None),
        (lambda: kr.r_vector(50), 11_131_360, None),
        (lambda: kr.r_vector(101), 15_892_448, None),
        (lambda: kr.r_vector(152), 19_814_880, None),
    ],
)
def test_parameters(build, parameters, with_statistics):
    model = build()
    assert trainable(model) == parameters
    if with_statistics is not None:
        assert model.count_params() == with_statistics


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "parameters"), [(221, 23_792_224), (293, 28_626_016)])
def test_parameters_of_the_deepest(depth, parameters):
    """On a stack of its own: pytest's frames and a graph of 293 layers reach Python's limit."""
    with ThreadPoolExecutor() as pool:
        assert trainable(pool.submit(kr.r_vector, depth).result()) == parameters


def test_a_front_end_adds_no_parameters():
    assert trainable(kr.ecapa_tdnn(512, frontend="kaldi_fbank")) == 6_191_104


@pytest.fixture(scope="module")
def alone(waveform_model, utterances):
    """The embedding of each utterance by itself."""
    return np.concatenate([array(waveform_model(w[None])) for w in utterances])


@pytest.mark.parametrize("padding", [0, 1, 7, 500])
def test_padding_never_changes_an_embedding(waveform_model, utterances, alone, padding):
    """Each utterance alone against ragged batches padded with zeros, noise and garbage."""
    lengths = np.array([len(w) for w in utterances], "int32")
    rng = np.random.default_rng(0)
    for fill in (0.0, 0.1, 1e6):
        batch = rng.normal(size=(20, lengths.max() + 160 * padding)).astype("float32") * fill
        for row, waveform in zip(batch, utterances, strict=True):
            row[: len(waveform)] = waveform
        padded = array(waveform_model({"inputs": batch, "lengths": lengths}))
        assert distance(padded, alone).max() <= 1e-5


def test_padding_at_full_width(utterances):
    model = kr.ecapa_tdnn_512(frontend="kaldi_fbank")
    short, long = utterances[0][:10000], utterances[1][:16000]
    batch = np.stack([np.pad(short, (0, 6000), constant_values=1.0), long])
    padded = array(model([batch, np.array([10000, 16000])]))
    assert distance(padded[:1], array(model(short[None]))).max() <= 1e-5


def test_rows_do_not_see_each_other(waveform_model, utterances):
    batch = np.stack([w[:16000] for w in utterances[:4]])
    expected = array(waveform_model(batch))
    order = [2, 0, 3, 1]
    assert distance(array(waveform_model(batch[order])), expected[order]).max() <= 1e-5
    batch[1, 50] = np.nan
    result = array(waveform_model(batch))
    assert not np.isfinite(result[1]).all()
    assert distance(result[[0, 2, 3]], expected[[0, 2, 3]]).max() <= 1e-5
    np.testing.assert_array_equal(
        array(waveform_model(batch[2:])), array(waveform_model(batch[2:]))
    )


@pytest.mark.parametrize("gain", [0.1, 3.0])
def test_gain_hardly_changes_an_embedding(utterances, gain):
    model = kr.ecapa_tdnn(frontend="kaldi_fbank", **SMALL)
    batch = np.stack([w[:16000] for w in utterances[:4]])
    batch += np.random.default_rng(0).normal(0, 1e-2, batch.shape).astype("float32")
    assert distance(array(model(gain * batch / 4)), array(model(batch / 4))).max() < 1e-3


def test_int16_is_the_same_audio(utterances):
    model = kr.ecapa_tdnn(frontend="kaldi_fbank", **SMALL)
    pcm = np.rint(utterances[0][None, :16000] * 32767).astype("int16")
    expected = array(model(pcm.astype("float32") / 32768))
    np.testing.assert_array_equal(array(model(pcm)), expected)


def test_save_and_load(waveform_model, utterances, tmp_path):
    waveform_model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    batch = np.stack([w[:16000] for w in utterances[:2]])
    for inputs in (batch, [batch, np.array([16000, 9000])]):
        np.testing.assert_array_equal(array(loaded(inputs)), array(waveform_model(inputs)))
    assert [layer.name for layer in loaded.layers] == [
        layer.name for layer in waveform_model.layers
    ]


@pytest.mark.parametrize("jit_compile", [False, True])
def test_predict(utterances, jit_compile):
    import tensorflow as tf

    model = kr.ecapa_tdnn(frontend="kaldi_fbank", **SMALL)
    model.compile(jit_compile=jit_compile)
    batch = np.stack([w[:16000] for w in utterances[:4]])
    lengths = np.array([16000, 9000, 400, 12345], "int32")
    expected = array(model([batch, lengths]))
    named = {"inputs": batch, "lengths": lengths}
    forms = [[batch, lengths]]
    if not jit_compile:  # which compiles anew for each form
        forms += [named, tf.data.Dataset.from_tensor_slices(named).batch(2)]
    for inputs in forms:
        np.testing.assert_allclose(model.predict(inputs, verbose=0), expected, atol=1e-4)
    np.testing.assert_allclose(model.predict(batch, verbose=0), array(model(batch)), atol=1e-4)


def test_masked_statistics_are_those_of_the_valid_frames():
    """One training step on a padded batch, and on the same frames without padding."""
    x = np.random.default_rng(0).normal(size=(1, 12, 80)).astype("float32")
    padded = np.concatenate([x, np.full((1, 8, 80), 5.0, "float32")], axis=1)
    statistics = []
    for inputs in ([padded, np.array([12])], x):
        keras.utils.set_random_seed(0)
        model = kr.ecapa_tdnn(**SMALL)
        model(inputs, training=True)
        statistics.append([array(w) for w in model.non_trainable_weights])
    for a, b in zip(*statistics, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        (dict(pooling="asp"), (2, 192)),
        (dict(pooling="stats"), (2, 192)),
        (dict(pooling="avg"), (2, 192)),
        (dict(pooling=None), (2, 30, 48)),
        (dict(embedding_dim=64), (2, 64)),
        (dict(include_top=True, classes=7), (2, 7)),
        (dict(dilations=(2, 3)), (2, 192)),
        (dict(scale=4), (2, 192)),
        (dict(spec_augment=kr.layers.SpecAugment()), (2, 192)),
    ],
)
def test_options(options, shape):
    model = kr.ecapa_tdnn(**{**SMALL, **options})
    x = np.random.default_rng(0).normal(size=(2, 30, 80)).astype("float32")
    full = model([x, np.array([30, 30])])
    assert tuple(full.shape) == shape
    np.testing.assert_array_equal(array(model(x)), array(full))


def test_classifier_takes_a_heads_weights():
    model = kr.ecapa_tdnn(**SMALL, include_top=True, classes=5, classifier_activation="softmax")
    x = np.random.default_rng(0).normal(size=(2, 30, 80)).astype("float32")
    np.testing.assert_allclose(array(model(x)).sum(-1), 1, atol=1e-5)
    head = kr.layers.AdditiveAngularMargin(5)
    head.build((None, 192))
    model.get_layer("predictions").kernel.assign(head.kernel)
    encoder = keras.Model(model.input, model.get_layer("zero_empty").output)
    embedding = encoder({"inputs": x, "lengths": None})
    expected = keras.ops.softmax(head(embedding))
    np.testing.assert_allclose(array(model(x)), array(expected), atol=1e-5)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: kr.ecapa_tdnn(variant="other"), "`variant` must be one of"),
        (lambda: kr.ecapa_tdnn(pooling="max"), "`pooling` must be one of"),
        (lambda: kr.ecapa_tdnn(channels=100), "divisible by `scale`"),
        (lambda: kr.ecapa_tdnn(include_top=True), "needs `classes`"),
        (lambda: kr.ecapa_tdnn(frontend="mel"), "kaldi_fbank"),
        (lambda: kr.ecapa_tdnn(input_shape=(16000,)), "`input_shape`"),
        (lambda: kr.r_vector(20), "`depth` must be one of"),
    ],
)
def test_bad_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()


WAV = np.zeros((2, 16000), "float32")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (WAV[0], r"wav\[None\]"),
        (np.zeros((2, 16000, 2), "float32"), "mix down first"),
        (np.zeros((2, 16000), "int32"), "int16"),
        (WAV[:, :399], "399"),
        ([WAV, np.array([16000, 16001])], "lengths"),
        ([WAV, np.array([16000, 0])], "lengths"),
        ([WAV, np.array([16000, -1])], "lengths"),
        ([WAV, np.array([16000])], "lengths"),
        ([WAV, WAV, WAV], "dictionary"),
        ({"audio": WAV}, "inputs"),
    ],
)
def test_bad_inputs(inputs, message):
    model = kr.ecapa_tdnn(frontend="kaldi_fbank", **SMALL)
    with pytest.raises(ValueError, match=message):
        model(inputs)


def test_wrong_number_of_bins_names_both():
    with pytest.raises(ValueError, match=r"(?s)80.*64|64.*80"):
        kr.ecapa_tdnn(**SMALL)(np.zeros((1, 20, 64), "float32"))


@pytest.mark.parametrize("name", ["wespeaker", "x_vector", "r_vector"])
def test_no_warning_of_lost_masks(name):
    waveforms = np.random.default_rng(0).normal(0, 0.1, (2, 4000)).astype("float32")
    data = {"inputs": waveforms, "lengths": np.array([4000, 3600])}
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*mask")
        model = NETWORKS[name](frontend="kaldi_fbank", include_top=True, classes=3)
        model.compile(
            "sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=True
        )
        model.fit(data, np.array([0, 2]), verbose=0)
        model.predict(data, verbose=0)
