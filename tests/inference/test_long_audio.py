import subprocess
import sys

import numpy as np
import pytest
import soundfile

from keras_resnets.inference import StreamingEmbedder, embed_long
from keras_resnets.models import ecapa_tdnn

RATE = 16000
WINDOW, HOP = 0.5, 0.2  # 8000 and 3200 samples


def by_definition(model, wav):
    """Windows cut, embedded and averaged one by one."""
    starts = [*range(0, len(wav) - 8000 + 1, 3200)]
    if starts[-1] + 8000 < len(wav):
        starts.append(len(wav) - 8000)
    vectors = [np.asarray(model(wav[None, s : s + 8000]))[0].astype("float64") for s in starts]
    norms = [np.linalg.norm(v) for v in vectors]
    mean = np.mean([v / n for v, n in zip(vectors, norms)], axis=0)
    return mean / np.linalg.norm(mean) * np.mean(norms)


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_windows(model, noise, batch_size):
    stream = StreamingEmbedder(model, WINDOW, HOP, batch_size)
    for samples in (8000, 8001, 11199, 11200, 11201, 14400, 50000):
        wav = noise(samples)
        stream.reset()
        stream.push(wav)
        found = stream.embedding()
        assert found.shape == (12,) and found.dtype == "float32"
        np.testing.assert_allclose(found, by_definition(model, wav), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(embed_long(model, wav, WINDOW, HOP, batch_size), found)


@pytest.mark.parametrize("samples", [400, 8000])
def test_audio_of_one_window_is_embedded_as_it_is(model, noise, samples):
    wav = noise(samples)
    expected = np.asarray(model(wav[None]))[0]
    np.testing.assert_allclose(embed_long(model, wav, WINDOW, HOP), expected, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("samples", [5000, 30000])
def test_pushes_of_any_size(model, noise, samples, batch_size):
    wav = noise(samples)
    results = []
    for size in (1, 160, 9999, samples):
        stream = StreamingEmbedder(model, WINDOW, HOP, batch_size)
        for start in range(0, samples, size):
            stream.push(wav[start : start + size])
        assert stream.samples == samples
        results.append(stream.embedding())
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])
    expected = embed_long(model, wav, WINDOW, HOP)
    np.testing.assert_allclose(results[0], expected, atol=1e-5)


def test_looking_does_not_change_the_stream(model, noise):
    wav = noise(30000)
    watched = StreamingEmbedder(model, WINDOW, HOP, batch_size=2)
    for end in range(1000, 30001, 1000):
        watched.push(wav[end - 1000 : end])
        watched.embedding()
    unwatched = StreamingEmbedder(model, WINDOW, HOP, batch_size=2)
    unwatched.push(wav)
    np.testing.assert_array_equal(watched.embedding(), unwatched.embedding())


def test_reset_begins_another_stream(model, noise):
    stream = StreamingEmbedder(model, WINDOW, HOP)
    stream.push(noise(20000, seed=1))
    stream.reset()
    wav = noise(9000)
    stream.push(wav)
    np.testing.assert_allclose(stream.embedding(), embed_long(model, wav, WINDOW, HOP), atol=1e-5)


def test_hop_of_a_window(model, noise):
    """Without overlap, and a window that does not fit: nothing is left out, nothing padded."""
    wav = noise(20000)
    windows = [wav[:8000], wav[8000:16000], wav[12000:]]
    vectors = [np.asarray(model(w[None]))[0] for w in windows]
    mean = np.mean([v / np.linalg.norm(v) for v in vectors], axis=0)
    found = embed_long(model, wav, 0.5, 0.5)
    np.testing.assert_allclose(
        found / np.linalg.norm(found), mean / np.linalg.norm(mean), atol=1e-5
    )


def test_int16_and_files(model, noise, tmp_path):
    pcm = (noise(40000) * 32768).astype("int16")
    expected = embed_long(model, pcm / np.float32(32768), WINDOW, HOP)
    np.testing.assert_array_equal(embed_long(model, pcm, WINDOW, HOP), expected)
    soundfile.write(tmp_path / "a.wav", pcm, RATE)
    np.testing.assert_array_equal(embed_long(model, tmp_path / "a.wav", WINDOW, HOP), expected)


def test_bad_input(model, noise, tmp_path):
    with pytest.raises(ValueError, match=r"at least one frame.*399 samples"):
        embed_long(model, noise(399))
    with pytest.raises(ValueError, match=r"at least one frame.*0 samples"):
        StreamingEmbedder(model).embedding()
    with pytest.raises(ValueError, match="mix down"):
        embed_long(model, noise((8000, 2)))
    with pytest.raises(ValueError, match=r"int16.*int64"):
        embed_long(model, np.zeros(8000, "int64"))
    with pytest.raises(ValueError, match=r"16000 Hz.*sampling_rate=8000"):
        embed_long(model, noise(8000), sampling_rate=8000)
    for window, hop in ((1.0, 0.0), (1.0, 2.0), (0.0, 0.0)):
        with pytest.raises(ValueError, match="`hop` must be"):
            StreamingEmbedder(model, window, hop)
    with pytest.raises(ValueError, match="`batch_size`"):
        StreamingEmbedder(model, batch_size=0)
    with pytest.raises(ValueError, match="must take waveforms"):
        StreamingEmbedder(ecapa_tdnn(channels=16))
    with pytest.raises(FileNotFoundError, match=r"none\.wav"):
        embed_long(model, tmp_path / "none.wav")
    soundfile.write(tmp_path / "slow.wav", noise(8000), 8000)
    with pytest.raises(ValueError, match="8000 Hz"):
        embed_long(model, tmp_path / "slow.wav")


def test_nan_is_seen(model, noise):
    wav = noise(30000)
    wav[12345] = np.nan
    assert np.isnan(embed_long(model, wav, WINDOW, HOP)).all()


# Memory: the paper's small model, each measurement in a process of its own.

PEAK = """
import re, sys
import numpy as np
import keras_resnets as kr
model = kr.ecapa_tdnn_512(frontend="kaldi_fbank")
{work}
assert np.isfinite(result).all() and result.any()
peak = re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]
print("peak", int(peak) * 1024)
"""


def peak_memory(work, *args):
    run = subprocess.run(
        [sys.executable, "-c", PEAK.format(work=work), *args],
        check=True,
        capture_output=True,
        text=True,
    )
    return int(run.stdout.split("peak ")[-1])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_hour_in_bounded_memory(noise, tmp_path):
    path = str(tmp_path / "hour.wav")
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        for minute in range(60):
            file.write(noise(60 * RATE, seed=minute))
    assert peak_memory("result = kr.inference.embed_long(model, sys.argv[1])", path) < 1.5e9


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ten_minutes_in_one_call():
    work = """
wav = np.random.default_rng(0).normal(size=(1, 600 * 16000)).astype("float32")
result = kr.inference.batches.embed_waveforms(model, wav * 0.1)
"""
    assert peak_memory(work) < 3e9
