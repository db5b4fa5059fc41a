import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_resnets.layers.cepstral_mean import CepstralMeanNormalization
from keras_resnets.layers.filterbank import MFCC, KaldiFbank, LogMelSpectrogram, front_end
from keras_resnets.layers.frame_mask import FrameMask

NAMES = ["kaldi_fbank", "mfcc", "torchaudio_htk", "speechbrain"]
LENGTHS = np.array([16000, 11111, 400, 399], "int32")


@pytest.fixture(scope="module")
def waves():
    """Four coloured-noise waveforms of one second, with a quiet second half."""
    rng = np.random.default_rng(0)
    x = np.cumsum(rng.normal(size=(4, 16000)), axis=1)
    x = (x[:, 1:] - 0.95 * x[:, :-1]) * 0.02
    x = np.pad(x, ((0, 0), (1, 0)))
    x[:, 8000:] *= 0.01
    return x.astype("float32")


def run(layer, *args, **kwargs):
    return ops.convert_to_numpy(layer(*args, **kwargs))


# --- the formulas, in float64 and loops ---


def frames64(x, length=400, hop=160):
    count = 1 + (len(x) - length) // hop
    return np.stack([x[t * hop : t * hop + length] for t in range(count)])


def triangles(points, freqs, right=None):
    left, centre = points[:-2], points[1:-1]
    right = points[2:] if right is None else right
    weights = np.zeros((len(freqs), len(centre)))
    for k, f in enumerate(freqs):
        for j in range(len(centre)):
            if left[j] < f <= centre[j]:
                weights[k, j] = (f - left[j]) / (centre[j] - left[j])
            elif centre[j] < f < right[j]:
                weights[k, j] = (right[j] - f) / (right[j] - centre[j])
    return weights


def kaldi64(wave, window="hamming"):
    frames = frames64(wave.astype("float64") * 32768)
    frames -= frames.mean(axis=1, keepdims=True)
    emphasised = frames.copy()
    emphasised[:, 1:] -= 0.97 * frames[:, :-1]
    emphasised[:, 0] -= 0.97 * frames[:, 0]
    cosine = np.cos(2 * np.pi * np.arange(400) / 399)
    shape = 0.54 - 0.46 * cosine if window == "hamming" else (0.5 - 0.5 * cosine) ** 0.85
    power = np.abs(np.fft.rfft(emphasised * shape, 512)) ** 2

    def mel(f):
        return 1127 * np.log(1 + f / 700)

    points = np.linspace(mel(20), mel(8000), 82)
    weights = triangles(points, mel(np.arange(257) * 16000 / 512))
    weights[256] = 0
    return np.log(np.maximum(power @ weights, 1.1920929e-07))


def htk_points(low, high):
    mel = np.linspace(2595 * np.log10(1 + low / 700), 2595 * np.log10(1 + high / 700), 82)
    return 700 * (10 ** (mel / 2595) - 1)


PERIODIC_HAMMING = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(400) / 400)


def torchaudio64(wave):
    x = wave.astype("float64")
    x = np.concatenate([[x[0] - 0.97 * x[1]], x[1:] - 0.97 * x[:-1]])
    x = np.pad(x, 256, mode="reflect")
    frames = frames64(x, 512) * np.pad(PERIODIC_HAMMING, 56)
    power = np.abs(np.fft.rfft(frames)) ** 2
    weights = triangles(htk_points(20, 7600), np.linspace(0, 8000, 257))
    return np.log(power @ weights + 1e-6)


def speechbrain64(wave):
    frames = frames64(np.pad(wave.astype("float64"), 200)) * PERIODIC_HAMMING
    power = np.abs(np.fft.rfft(frames)) ** 2
    points = htk_points(0, 8000)
    weights = triangles(points, np.linspace(0, 8000, 201), right=2 * points[1:-1] - points[:-2])
    decibels = 10 * np.log10(np.maximum(power @ weights, 1e-10))
    return np.maximum(decibels, decibels.max() - 80)


@pytest.mark.parametrize(
    "layer, reference",
    [
        (KaldiFbank(), kaldi64),
        (KaldiFbank(window="povey"), lambda x: kaldi64(x, "povey")),
        (front_end("torchaudio_htk"), torchaudio64),
        (front_end("speechbrain"), speechbrain64),
    ],
    ids=["hamming", "povey", "torchaudio_htk", "speechbrain"],
)
def test_equals_the_formula_in_float64(waves, layer, reference):
    for wave in waves[:2]:
        error = np.abs(run(layer, wave[None])[0] - reference(wave))
        assert error.mean() < 1e-5
        assert error.max() < 1e-3


def test_decibel_floor_is_80_below_the_maximum_of_each_utterance(waves):
    quiet = waves.copy()
    quiet[:, 8000:] *= 1e-4
    quiet[1] *= 0.1
    features = run(front_end("speechbrain"), quiet)
    loudest = features.max(axis=(1, 2))
    np.testing.assert_allclose(features.min(axis=(1, 2)), loudest - 80, atol=1e-4)
    assert loudest[0] - loudest[1] > 15


def test_mfcc_is_the_liftered_dct(waves):
    k, n = np.arange(80)[:, None], np.arange(80)
    dct = np.sqrt(2 / 80) * np.cos(np.pi * k * (2 * n + 1) / 160)
    dct[0] = np.sqrt(1 / 80)
    np.testing.assert_allclose(dct @ dct.T, np.eye(80), atol=1e-12)
    fbank = kaldi64(waves[0])
    lifter = 1 + 11 * np.sin(np.pi * np.arange(80) / 22)
    np.testing.assert_allclose(run(MFCC(), waves[:1])[0], fbank @ dct.T * lifter, atol=2e-3)
    np.testing.assert_allclose(
        run(MFCC(num_ceps=13, lifter=0), waves[:1])[0], (fbank @ dct.T)[:, :13], atol=2e-3
    )


# --- frame counts and shapes ---


@pytest.mark.parametrize(
    "samples, frames", [(400, 1), (559, 1), (560, 2), (16000, 98), (32000, 198), (48000, 298)]
)
def test_frame_count_with_snip_edges(samples, frames):
    layer = KaldiFbank()
    x = np.zeros((2, samples), "float32")
    assert run(layer, x).shape == (2, frames, 80)
    assert layer.compute_output_shape(x.shape) == (2, frames, 80)
    assert layer.frame_lengths(samples) == frames
    assert ops.convert_to_numpy(layer.frame_lengths(np.array([samples, 399]))).tolist() == [
        frames,
        0,
    ]


@pytest.mark.parametrize("name", ["torchaudio_htk", "speechbrain"])
@pytest.mark.parametrize("samples", [400, 479, 480, 16000])
def test_frame_count_when_centred(name, samples):
    layer = front_end(name)
    assert run(layer, np.zeros((1, samples), "float32")).shape == (1, 1 + samples // 160, 80)
    assert layer.frame_lengths(samples) == 1 + samples // 160


def test_without_snip_edges_the_signal_is_mirrored(waves):
    """Kaldi: `(samples + hop / 2) // hop` frames, frame t from sample `(t + 1/2) hop - 200`."""
    whole = run(KaldiFbank(snip_edges=False), waves[:1, :8000])
    assert whole.shape == (1, 50, 80)
    mirrored = np.pad(waves[:1, :8000], ((0, 0), (120, 200)), mode="symmetric")
    np.testing.assert_allclose(whole, run(KaldiFbank(), mirrored), atol=1e-4)


def test_sizes_follow_the_sampling_rate():
    layer = KaldiFbank(num_mel_bins=40, sampling_rate=8000)
    assert (layer.frame_length, layer.hop_length, layer.fft_length) == (200, 80, 256)
    assert run(layer, np.zeros((1, 8000), "float32")).shape == (1, 98, 40)


def test_sampling_rate_moves_the_peak_to_the_same_bin():
    bins = []
    for rate in (8000, 16000):
        tone = np.sin(2 * np.pi * 1000 * np.arange(rate) / rate).astype("float32")[None]
        layer = KaldiFbank(num_mel_bins=23, sampling_rate=rate, high_freq=4000)
        bins.append(run(layer, tone)[0, 20].argmax())
    assert bins[0] == bins[1]


def test_has_no_weights():
    for name in NAMES:
        layer = front_end(name)
        run(layer, np.zeros((1, 800), "float32"))
        assert layer.weights == []


# --- padding ---


@pytest.mark.parametrize("garbage", ["zeros", "noise", "1e6", "nan", "inf"])
@pytest.mark.parametrize("name", [*NAMES, "mirrored"])
def test_padding_never_changes_valid_frames(waves, name, garbage):
    layer = KaldiFbank(snip_edges=False) if name == "mirrored" else front_end(name)
    padded = np.pad(waves, ((0, 0), (0, 777)))
    filler = {
        "zeros": 0.0,
        "noise": np.random.default_rng(1).normal(size=padded.shape),
        "1e6": 1e6,
        "nan": np.nan,
        "inf": np.inf,
    }[garbage]
    padded = np.where(np.arange(16777) < LENGTHS[:, None], padded, filler).astype("float32")
    batch = run(layer, padded, LENGTHS)
    assert np.isfinite(batch).all()
    for row, wave, length in zip(batch, waves, LENGTHS):
        count = layer.frame_lengths(int(length))
        if count:
            alone = run(layer, wave[None, :length])[0]
            assert len(alone) == count
            np.testing.assert_allclose(row[:count], alone, rtol=1e-5, atol=1e-4)
        np.testing.assert_array_equal(row[count:], 0)
    assert layer.frame_lengths(399) == 0


@pytest.mark.parametrize("name", NAMES)
def test_full_lengths_are_bit_equal_to_none(waves, name):
    layer = front_end(name)
    np.testing.assert_array_equal(run(layer, waves), run(layer, waves, np.full(4, 16000)))


@pytest.mark.parametrize("name", NAMES)
def test_nan_stays_in_its_example(waves, name):
    layer = front_end(name)
    broken = waves.copy()
    broken[1, 5000] = np.nan
    np.testing.assert_array_equal(run(layer, broken)[[0, 2, 3]], run(layer, waves)[[0, 2, 3]])


# --- graphs ---


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_dynamic_graph_equals_eager(waves, name, jit_compile):
    layer = front_end(name)
    signature = [tf.TensorSpec((None, None)), tf.TensorSpec((None,), tf.int32)]
    graph = tf.function(layer, input_signature=signature, jit_compile=jit_compile)
    np.testing.assert_allclose(graph(waves, LENGTHS).numpy(), run(layer, waves, LENGTHS), atol=2e-3)


@pytest.mark.parametrize("name", NAMES)
def test_short_waveform_in_a_graph_is_zero(waves, name):
    layer = front_end(name)
    graph = tf.function(layer, input_signature=[tf.TensorSpec((None, None))])
    for samples in (0, 1, 399):
        features = graph(waves[:, :samples]).numpy()
        np.testing.assert_array_equal(features, np.zeros((4, *features.shape[1:])))
        assert features.shape[1] > 0
    assert np.abs(graph(waves[:, :400]).numpy()).min(axis=-1).max() > 0


def test_lengths_are_clipped_in_a_graph(waves):
    layer = KaldiFbank()
    signature = [tf.TensorSpec((None, None)), tf.TensorSpec((None,), tf.int32)]
    graph = tf.function(layer, input_signature=signature)
    wild = graph(waves, np.array([99999, 16000, -3, 0], "int32")).numpy()
    tame = run(layer, waves)
    np.testing.assert_allclose(wild[:2], tame[:2], atol=1e-4)
    np.testing.assert_array_equal(wild[2:], 0)


def waveform_model(name, dtype=None):
    wave = keras.Input((None,), name="inputs")
    lengths = keras.Input((), dtype="int32", name="lengths", optional=True)
    layer = front_end(name)
    mask = FrameMask(layer.frame_length, layer.hop_length, layer.pad)
    features = layer(wave, lengths)
    outputs = CepstralMeanNormalization()(features, mask=mask(features, lengths))
    return keras.Model([wave, lengths], outputs)


@pytest.mark.parametrize("name", NAMES)
def test_model_with_optional_lengths_saves_and_exports(waves, name, tmp_path):
    model = waveform_model(name)
    assert model.output_shape == (None, None, 80)
    expected = run(model, [waves, LENGTHS])
    whole = run(model, [waves, None])
    np.testing.assert_array_equal(run(model, [waves, np.full(4, 16000)]), whole)

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(run(loaded, [waves, LENGTHS]), expected)

    archive = keras.export.ExportArchive()
    archive.track(model)
    wave_spec, lengths_spec = tf.TensorSpec((None, None)), tf.TensorSpec((None,), tf.int32)
    archive.add_endpoint("whole", lambda x: model([x, None]), input_signature=[wave_spec])
    archive.add_endpoint(
        "masked", lambda x, n: model([x, n]), input_signature=[wave_spec, lengths_spec]
    )
    archive.write_out(str(tmp_path / "exported"), verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(exported.whole(waves).numpy(), whole, atol=1e-3)
    np.testing.assert_allclose(exported.masked(waves, LENGTHS).numpy(), expected, atol=1e-3)


# --- dtypes ---


def test_int16_is_scaled(waves):
    pcm = np.round(waves * 32768).astype("int16")
    np.testing.assert_array_equal(
        run(KaldiFbank(), pcm), run(KaldiFbank(), (pcm / 32768).astype("float32"))
    )


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("kind", [KaldiFbank, MFCC, LogMelSpectrogram])
def test_mixed_precision_only_rounds_the_output(waves, kind, policy):
    mixed = kind(dtype=policy)(waves, LENGTHS)
    compute = policy.removeprefix("mixed_")
    assert keras.backend.standardize_dtype(mixed.dtype) == compute
    exact = ops.cast(kind(dtype="float32")(waves, LENGTHS), compute)
    np.testing.assert_array_equal(
        *(ops.convert_to_numpy(ops.cast(x, "float32")) for x in (mixed, exact))
    )


def test_front_end_stays_float32_under_mixed_precision(waves):
    keras.config.set_dtype_policy("mixed_bfloat16")
    assert front_end("kaldi_fbank")(waves).dtype == "float32"


@pytest.mark.parametrize("name", NAMES)
def test_gain_is_removed_by_the_mean(waves, name):
    steady = waves[:, :8000] / np.abs(waves).max()
    layer, cmn = front_end(name), CepstralMeanNormalization()
    if name == "torchaudio_htk":
        layer.log_floor = 1e-12  # 1e-6 is added to every energy
    whole, half = (run(cmn, layer(gain * steady)) for gain in (1.0, 0.5))
    np.testing.assert_allclose(whole, half, atol=2e-3)


# --- training ---


def test_dither_is_for_training_only(waves):
    layer = KaldiFbank(dither=1.0)
    still = run(layer, waves, training=False)
    np.testing.assert_array_equal(still, run(KaldiFbank(), waves))
    silent = np.zeros((1, 16000), "float32")
    energies = np.exp(run(layer, silent, training=True))
    # White noise of variance 1: a frame's periodogram is about the window's energy, pre-emphasised.
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(400) / 399)
    total = energies.sum(axis=-1).mean()
    assert 0.2 < total / (257 * np.sum(window**2) * (1 + 0.97**2)) < 2
    assert np.abs(run(layer, waves, training=True) - still).max() > 0.1


def test_is_differentiable(waves):
    x = tf.constant(waves[:1, :1600])
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(KaldiFbank()(x, np.array([1200])))
    gradient = tape.gradient(loss, x).numpy()
    assert np.isfinite(gradient).all()
    assert np.abs(gradient[:, :1200]).max() > 0
    np.testing.assert_array_equal(gradient[:, 1200:], 0)


# --- configuration ---


@pytest.mark.parametrize(
    "layer",
    [
        KaldiFbank(40, 8000, 32.0, 8.0, "povey", 30.0, -200.0, 1.0, 0.9, 0.5, False, name="a"),
        MFCC(num_ceps=20, lifter=10, num_mel_bins=30, window="povey"),
        LogMelSpectrogram(padding=None, mel="kaldi", log="add", log_floor=1e-3, periodic=False),
        *map(front_end, NAMES),
    ],
)
def test_config_round_trip(waves, layer):
    config = keras.saving.serialize_keras_object(layer)
    twin = keras.saving.deserialize_keras_object(config)
    assert twin.get_config() == layer.get_config()
    np.testing.assert_array_equal(run(twin, waves), run(layer, waves))


def test_front_end_takes_names_layers_and_overrides():
    layer = KaldiFbank()
    assert front_end(layer) is layer
    assert front_end("mfcc", num_ceps=30).num_ceps == 30
    with pytest.raises(ValueError, match=r"'kaldi_fbank', 'mfcc', 'speechbrain', 'torchaudio_htk'"):
        front_end("mel")


# --- bad input ---


@pytest.mark.parametrize(
    "x, message",
    [
        (np.zeros(16000, "float32"), r"wav\[None\]"),
        (np.zeros((1, 16000, 2), "float32"), "mix down first"),
        (np.zeros((1, 16000), "int32"), r"int16 in \[-32768, 32767\]"),
        (np.zeros((1, 399), "float32"), "400 samples.*399"),
    ],
)
def test_bad_waveform(x, message):
    for name in NAMES:
        with pytest.raises(ValueError, match=message):
            front_end(name)(x)


@pytest.mark.parametrize("lengths", [[0, 400], [-1, 400], [400, 801]])
def test_bad_lengths(lengths):
    with pytest.raises(ValueError, match="between 1 and 800"):
        KaldiFbank()(np.zeros((2, 800), "float32"), np.array(lengths))


def test_relative_lengths_are_refused():
    with pytest.raises(ValueError, match="`lengths` must be integers"):
        KaldiFbank()(np.zeros((2, 800), "float32"), np.array([0.5, 1.0]))


def test_symbolic_input_is_checked():
    with pytest.raises(ValueError, match="mix down first"):
        KaldiFbank()(keras.Input((16000, 2)))


def test_int16_range_in_float_warns_once():
    layer = KaldiFbank()
    x = np.full((1, 800), 3000.0, "float32")
    with pytest.warns(UserWarning, match="int16"):
        layer(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer(x)
        KaldiFbank()(np.where(np.arange(800) < 600, 0.5, x), np.array([600]))


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"window": "kaiser"}, "window"),
        ({"low_freq": 9000.0}, "low_freq"),
        ({"high_freq": 9000.0}, "high_freq"),
        ({"frame_length_ms": 0.0}, "frame_length_ms"),
        ({"mel": "slaney"}, "mel"),
        ({"log": "log2"}, "log"),
        ({"padding": "same"}, "padding"),
        ({"fft_length": 256}, "fft_length"),
    ],
)
def test_bad_settings(kwargs, message):
    with pytest.raises(ValueError, match=f"`{message}`"):
        LogMelSpectrogram(**kwargs)


def test_too_many_cepstra():
    with pytest.raises(ValueError, match="num_ceps=81"):
        MFCC(num_ceps=81)
