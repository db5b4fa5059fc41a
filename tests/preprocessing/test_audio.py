import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf

from keras_resnets.preprocessing import audio
from keras_resnets.preprocessing.random_waveform import RandomWaveform

RNG = np.random.default_rng(0)
SPEECH = RNG.uniform(-0.3, 0.3, (6, 2000)).astype("float32")
CLIPS = [RNG.standard_normal(n).astype("float32") for n in (700, 2000, 5000)]
ROOMS = [np.exp(-np.arange(n) / 80) * RNG.standard_normal(n) for n in (300, 900)]


def make(name, **kwargs):
    return {
        "crop": lambda **k: audio.RandomCrop1D(800, **k),
        "noise": lambda **k: audio.AddNoise.noise(CLIPS, **k),
        "music": lambda **k: audio.AddNoise.music(CLIPS, **k),
        "babble": lambda **k: audio.AddNoise.babble(CLIPS, **k),
        "television": lambda **k: audio.television(CLIPS, CLIPS, **k),
        "reverb": lambda **k: audio.Reverberate(ROOMS, **k),
        "codec": lambda **k: audio.SimulatedCodec(**k),
        "speed": lambda **k: audio.SpeedPerturb(**k),
        "one of": lambda **k: audio.OneOf(
            [audio.AddNoise(CLIPS), audio.Reverberate(ROOMS), audio.SimulatedCodec()], **k
        ),
    }[name](**kwargs)


NAMES = ["crop", "noise", "music", "babble", "television", "reverb", "codec", "speed", "one of"]
RATED = [name for name in NAMES if name not in ("crop", "speed")]


def decibels(signal, noise):
    with np.errstate(divide="ignore"):
        return 10 * np.log10(np.mean(signal**2, -1) / np.mean(noise**2, -1))


@pytest.mark.parametrize("snr", [-5, 0, 15, 40])
@pytest.mark.parametrize("clips", [CLIPS[:1], CLIPS])
def test_snr_is_the_one_asked_for(snr, clips):
    noise = np.array(audio.AddNoise(clips, snr=snr)(SPEECH)) - SPEECH
    np.testing.assert_allclose(decibels(SPEECH, noise), snr, atol=2e-3)


def test_snr_is_uniform_over_its_range():
    layer = audio.AddNoise.noise(CLIPS, seed=0)
    measured = []
    for _ in range(50):
        measured.append(decibels(SPEECH, np.array(layer(SPEECH)) - SPEECH))
    measured = np.ravel(measured)
    assert measured.min() > -0.01 and measured.max() < 15.01
    np.testing.assert_allclose(np.quantile(measured, [0.1, 0.5, 0.9]), [1.5, 7.5, 13.5], atol=1.5)


def test_noise_is_a_piece_of_the_clip_tiled_if_short():
    ramp = np.arange(1, 301, dtype="float32")
    noise = np.array(audio.AddNoise([ramp], snr=0)(SPEECH)) - SPEECH
    period = noise[:, :300]
    np.testing.assert_allclose(noise[:, 300:600], period, atol=1e-5)
    np.testing.assert_allclose(noise[0] / noise[0].max() * 300, np.resize(ramp, 2000), atol=0.1)


def test_noise_start_is_uniform_up_to_the_last():
    layer = audio.AddNoise([np.array([1.0, 0.0, 0.0, 1.0])], snr=0, seed=0)
    x = np.ones((400, 3), "float32")
    noise = np.array(layer(x)) - x
    starts = np.argmax(noise, axis=1)  # (1, 0, 0) from the first, (0, 0, 1) from the last
    assert set(starts) == {0, 2} and 150 < (starts == 0).sum() < 250


def test_babble_adds_three_to_eight_speakers():
    # Each speaker is one spectral line; at exactly 20 dB the amplitudes count them.
    t = np.arange(2000)
    clips = [np.sin(2 * np.pi * k * t / 2000) for k in range(2, 998, 2)]
    speech = np.tile(SPEECH, (20, 1))
    noise = np.array(audio.AddNoise.babble(clips, snr=20, seed=0)(speech)) - speech
    one = np.sqrt(2 * np.mean(speech**2, -1) / 100) * 1000
    counts = np.abs(np.fft.rfft(noise))[:, 2::2].sum(-1) / one
    np.testing.assert_allclose(counts, np.rint(counts), atol=0.02)
    assert set(np.rint(counts)) == {3, 4, 5, 6, 7, 8}


@pytest.mark.parametrize("rooms", [ROOMS[:1], ROOMS])
def test_reverberation_is_a_unit_energy_convolution(rooms):
    wet = np.array(audio.Reverberate(rooms)(SPEECH))
    for x, y in zip(SPEECH, wet):
        expected = [np.convolve(x, h / np.linalg.norm(h))[: len(x)] for h in rooms]
        assert min(np.abs(y - e).max() for e in expected) < 1e-5


def test_crop_is_uniform_over_all_starts():
    x = np.tile(np.arange(10, dtype="float32"), (4000, 1))
    y = np.array(audio.RandomCrop1D(7, seed=0)(x))
    assert (np.diff(y) == 1).all()
    counts = np.bincount(y[:, 0].astype(int), minlength=4)
    assert len(counts) == 4 and (np.abs(counts - 1000) < 120).all()


def test_crop_tiles_what_is_short_and_cuts_the_middle_outside_training():
    x = np.array([[1.0, 2.0, 3.0]], "float32")
    np.testing.assert_array_equal(audio.RandomCrop1D(7)(x), [[1, 2, 3, 1, 2, 3, 1]])
    np.testing.assert_array_equal(audio.RandomCrop1D(1)(x, training=False), [[2]])
    assert audio.RandomCrop1D(7).compute_output_shape((None, 3)) == (None, 7)


def test_speed_perturbation_and_its_labels():
    layer = audio.SpeedPerturb((1.0, 0.9, 1.1), classes=100, length=1800, seed=1)
    labels = np.arange(6, dtype="int32")
    seen = set()
    for _ in range(5):
        y, new = layer(SPEECH, labels)
        for i in range(6):
            index, label = divmod(int(new[i]), 100)
            assert label == i
            orig, target = [(1, 1), (9, 10), (11, 10)][index]
            expected = np.resize(audio.resample(SPEECH[i], orig, target), 1800)
            if index < 2:
                expected = audio.resample(SPEECH[i], orig, target)[:1800]
            np.testing.assert_allclose(y[i], expected, atol=1e-5)
            seen.add(index)
    assert seen == {0, 1, 2}
    y, same = layer(SPEECH, labels, training=False)
    np.testing.assert_array_equal(y, SPEECH[:, :1800])
    np.testing.assert_array_equal(same, labels)
    with pytest.raises(ValueError, match="classes"):
        audio.SpeedPerturb()(SPEECH, labels)


def test_speed_changes_pitch():
    tone = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)[None]
    y = np.array(audio.SpeedPerturb((1.1,))(tone))[0, :14000]
    peak = np.abs(np.fft.rfft(y * np.hanning(14000))).argmax() * 16000 / 14000
    assert abs(peak - 1100) < 1.2


@pytest.mark.parametrize("start, first", [("zero", 2.0), ("repeat", 0.06), ("reflect", 1.03)])
def test_pre_emphasis(start, first):
    y = audio.PreEmphasis(start=start)(np.array([[2.0, 1.0, 3.0]]))
    np.testing.assert_allclose(y, [[first, 1 - 1.94, 3 - 0.97]], atol=1e-6)


def test_codec_limits_the_band_and_quantises():
    t = np.arange(8000) / 16000
    tones = np.stack([0.5 * np.sin(2 * np.pi * f * t) for f in (50, 1000, 6000)])
    y = np.array(audio.SimulatedCodec()(tones))[:, 500:-500]
    loss = decibels(tones[:, 500:-500], y)
    assert loss[0] > 20 and abs(loss[1]) < 0.2 and loss[2] > 30
    assert len(np.unique(y[1])) <= 255
    error = y[1] - tones[1, 500:-500]
    assert 30 < decibels(tones[1, 500:-500], error) < 45


@pytest.mark.parametrize("name", NAMES)
def test_silence_gives_no_nan(name):
    layer = make(name, seed=0)
    assert np.isfinite(layer(np.zeros((6, 2000), "float32"))).all()
    silent = audio.AddNoise([np.zeros(100)], snr=-40)
    np.testing.assert_array_equal(silent(SPEECH), SPEECH)


@pytest.mark.parametrize("name", NAMES)
def test_only_the_example_with_nan_is_spoilt(name):
    x = SPEECH.copy()
    x[2, 5] = np.nan
    good = np.delete(np.array(make(name, seed=0)(x)), 2, axis=0)
    assert np.isfinite(good).all()


@pytest.mark.parametrize("name", NAMES)
def test_seeds(name):
    a, b, other = make(name, seed=7), make(name, seed=7), make(name, seed=8)
    first, second = np.array(a(SPEECH)), np.array(a(SPEECH))
    np.testing.assert_array_equal(first, b(SPEECH))
    np.testing.assert_array_equal(second, b(SPEECH))
    pure = np.array(a(SPEECH, seed=(3, 4)))
    np.testing.assert_array_equal(pure, other(SPEECH, seed=(3, 4)))
    if name != "codec":  # draws nothing
        assert (first != second).any() and (first != np.array(other(SPEECH))).any()
        assert (pure != np.array(a(SPEECH, seed=(3, 5)))).any()


@pytest.mark.parametrize("name", NAMES)
def test_off_outside_training(name):
    x = SPEECH[:, :800]
    np.testing.assert_array_equal(make(name)(x, training=False), x)


@pytest.mark.parametrize("name", RATED)
def test_rate(name):
    x = np.tile(SPEECH[:1], (400, 1))
    changed = (np.array(make(name, rate=0.25, seed=0)(x)) != x).any(axis=1)
    assert 65 < changed.sum() < 135
    np.testing.assert_array_equal(make(name, rate=0.0)(x), x)


@pytest.mark.parametrize("name", NAMES)
def test_compiled_graph_and_xla_agree_with_eager(name):
    layer = make(name)
    eager = np.array(layer(SPEECH, seed=(1, 2)))
    dynamic = tf.TensorSpec([None, None], tf.float32)
    graph = tf.function(lambda x: layer(x, training=True, seed=(1, 2)), input_signature=[dynamic])
    np.testing.assert_allclose(graph(SPEECH), eager, atol=1e-5)
    xla = tf.function(lambda x: layer(x, training=True, seed=(1, 2)), jit_compile=True)
    # A sample on the border of two mu-law steps may round either way.
    assert np.mean(np.abs(xla(SPEECH) - eager)) < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_maps_over_tf_data(name):
    layer = make(name, seed=0)
    data = tf.data.Dataset.from_tensor_slices(SPEECH).repeat().batch(3)
    a, b = data.map(layer).take(2)
    assert a.dtype == "float32" and np.isfinite(a).all() and np.isfinite(b).all()
    counted = data.enumerate().map(lambda i, x: layer(x, seed=tf.stack([1, i])))
    for x, y in zip(counted.take(3), counted.take(3)):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("name", NAMES)
def test_save_and_load_keep_clips_and_random_state(name, tmp_path):
    inputs = keras.Input((2000,))
    model = keras.Model(inputs, make(name, seed=3)(inputs))
    model(SPEECH, training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    expected = model(SPEECH, training=True)
    np.testing.assert_array_equal(loaded(SPEECH, training=True), expected)


@pytest.mark.parametrize("layer", [audio.AddNoise, audio.Reverberate])
def test_config_holds_paths_and_says_when_arrays_are_missing(layer, tmp_path):
    soundfile.write(tmp_path / "a.wav", CLIPS[1] / 10, 16000)
    a = layer(str(tmp_path), seed=3, rate=0.5)
    b = layer.from_config(a.get_config())
    assert b.get_config() == a.get_config() and str(tmp_path) in a.get_config().values()
    np.testing.assert_array_equal(a(SPEECH), b(SPEECH))
    with pytest.raises(ValueError, match=r"Pass `(noises|rirs)` again"):
        layer.from_config(layer(CLIPS).get_config())(SPEECH)


def test_one_of_picks_by_weight_for_each_example():
    class Shift(RandomWaveform):
        def __init__(self, by):
            super().__init__()
            self.by = by

        def augment(self, waveform, seeds):
            return waveform + self.by

    layer = audio.OneOf([Shift(1.0), Shift(2.0), Shift(3.0)], weights=[1, 0, 3], seed=0)
    picked = np.array(layer(np.zeros((2000, 4), "float32")))
    assert (picked == picked[:, :1]).all()
    counts = np.bincount(picked[:, 0].astype(int), minlength=4)
    assert counts[0] == counts[2] == 0 and abs(counts[1] - 500) < 80
    np.testing.assert_array_equal(audio.Chain([Shift(1.0), Shift(2.0)])(np.zeros((1, 2))), [[3, 3]])


def test_waveforms_stay_float32_under_mixed_precision_and_int16_is_scaled():
    keras.config.set_dtype_policy("mixed_float16")
    assert audio.AddNoise(CLIPS)(SPEECH).dtype == "float32"
    keras.config.set_dtype_policy("float32")
    x = np.full((1, 4), 16384, "int16")
    np.testing.assert_allclose(audio.PreEmphasis(0.0)(x), 0.5)


def test_bad_input():
    noise = audio.AddNoise(CLIPS)
    with pytest.raises(ValueError, match=r"waveform\[None\]"):
        noise(SPEECH[0])
    with pytest.raises(ValueError, match="Mix down"):
        noise(SPEECH[..., None])
    with pytest.raises(ValueError, match="int32"):
        noise(np.zeros((1, 100), "int32"))
    for make_bad, match in [
        (lambda: audio.AddNoise(CLIPS, snr=(5, 0)), "snr"),
        (lambda: audio.AddNoise(CLIPS, count=0), "count"),
        (lambda: audio.AddNoise(CLIPS, rate=1.5), "rate"),
        (lambda: audio.RandomCrop1D(0), "length"),
        (lambda: audio.Reverberate([np.zeros(5)]), "silent"),
        (lambda: audio.SpeedPerturb((0.0,)), "factors"),
        (lambda: audio.PreEmphasis(start="no"), "start"),
        (lambda: audio.SimulatedCodec(high=9000), "high"),
        (lambda: audio.OneOf([noise], weights=[1, 2]), "weights"),
        (lambda: audio.OneOf([]), "layers"),
    ]:
        with pytest.raises(ValueError, match=match):
            make_bad()


@pytest.mark.data
def test_from_real_noise_and_rooms(data_dir, speech_sample):
    root = data_dir / "librispeech_mini"
    augment = audio.OneOf([audio.AddNoise(root / "noise"), audio.Reverberate(root / "rir")], seed=0)
    waveform, _ = next(iter(speech_sample.train.dataset(crop=32000, batch_size=16)))
    degraded = np.array(augment(waveform))
    assert np.isfinite(degraded).all() and (degraded != np.array(waveform)).any(axis=1).all()
