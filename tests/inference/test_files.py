import re

import numpy as np
import pytest
import soundfile

from keras_resnets.inference import embed_files
from keras_resnets.inference.batches import BATCH_SAMPLES, by_length, compiled, embed_waveforms
from keras_resnets.models import ecapa_tdnn
from keras_resnets.preprocessing.audio_file import audio_blocks, read_audio


@pytest.fixture
def folder(tmp_path, noise):
    """Five good files of unlike lengths, in two folders."""
    for i, samples in enumerate((9000, 400, 30000, 16000, 9000)):
        path = tmp_path / f"s{i % 2}" / f"{i}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, noise(samples, seed=i), 16000, subtype="FLOAT")
    return tmp_path


def alone(model, paths):
    return np.stack([np.asarray(model(read_audio(path)[None]))[0] for path in paths])


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_list_of_files(model, folder, batch_size):
    paths = sorted(folder.rglob("*.wav"), reverse=True)
    result = embed_files(model, paths, batch_size=batch_size, verbose=0)
    assert result.paths == [str(path) for path in paths] and result.failed == {}
    assert result.vectors.dtype == "float32"
    np.testing.assert_allclose(result.vectors, alone(model, paths), atol=1e-5)


def test_folder(model, folder):
    result = embed_files(model, folder, verbose=0)
    assert result.paths == sorted(str(path) for path in folder.rglob("*.wav"))
    assert len(result.paths) == 5


def test_progress_bar(model, folder, capsys):
    embed_files(model, folder)
    assert "5/5" in capsys.readouterr().out
    embed_files(model, folder, verbose=0)
    assert not capsys.readouterr().out


def test_bad_files_are_named(model, folder, noise):
    bad = {
        "text.wav": "cannot be read",
        "missing.wav": "exists",
        "short.wav": r"at least one frame.*399 samples",
        "slow.wav": "8000 Hz",
        "stereo.wav": "mix down",
        "nan.wav": "finite",
    }
    (folder / "text.wav").write_text("this is no audio")
    soundfile.write(folder / "short.wav", noise(399), 16000)
    soundfile.write(folder / "slow.wav", noise(8000), 8000)
    soundfile.write(folder / "stereo.wav", noise((8000, 2)), 16000)
    broken = noise(8000)
    broken[99] = np.nan
    soundfile.write(folder / "nan.wav", broken, 16000, subtype="FLOAT")
    good = sorted(str(path) for path in folder.glob("s?/*.wav"))
    paths = [str(folder / name) for name in bad] + good

    with pytest.warns(UserWarning, match="6 of 11 files"):
        result = embed_files(model, paths, verbose=0)
    assert result.paths == good
    np.testing.assert_allclose(result.vectors, alone(model, good), atol=1e-5)
    assert [*result.failed] == paths[:6]
    for name, message in bad.items():
        found = result.failed[str(folder / name)]
        assert name in found and re.search(message, found)

    with pytest.raises(ValueError, match=r"(?s)6 of 6 files.*text\.wav"):
        embed_files(model, paths[:6], verbose=0)
    resampled = embed_files(model, [folder / "slow.wav"], resample=True, verbose=0)
    assert resampled.vectors.shape == (1, 12)


def test_bad_arguments(model, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        embed_files(model, tmp_path / "nowhere")
    for nothing in (tmp_path, []):
        with pytest.raises(ValueError, match="at least one audio file"):
            embed_files(model, nothing)
    features = ecapa_tdnn(channels=16)
    with pytest.raises(ValueError, match="must take waveforms"):
        embed_files(features, ["a.wav"])


def test_rate_is_that_of_the_front_end(tmp_path, noise):
    from keras_resnets.layers import KaldiFbank

    front = KaldiFbank(sampling_rate=8000)
    model = ecapa_tdnn(channels=16, mfa_channels=24, frontend=front)
    soundfile.write(tmp_path / "a.wav", noise(4000), 8000)
    assert embed_files(model, tmp_path, verbose=0).failed == {}
    soundfile.write(tmp_path / "b.wav", noise(4000), 16000)
    with pytest.warns(UserWarning, match="8000 Hz"):
        assert [*embed_files(model, tmp_path, verbose=0).failed] == [str(tmp_path / "b.wav")]


def test_by_length():
    assert [*by_length([5, 1, 4, 2, 3], 2)] == [[1, 3], [4, 2], [0]]
    assert [*by_length([], 2)] == []
    assert [*by_length([BATCH_SAMPLES, 9 * BATCH_SAMPLES, 1, 2], 9)] == [[2, 3], [0], [1]]


def test_one_trace_for_all_shapes(model, noise):
    traces = []

    def encoder(inputs, training):
        traces.append(inputs[0].shape)
        return model(inputs, training=training)

    embed = compiled(encoder)
    waveforms = [noise(n) for n in (4000, 700, 9000)]
    found = [embed_waveforms(embed, waveforms, batch_size) for batch_size in (1, 2, 3)]
    assert len(traces) == 1
    for vectors in found:
        expected = [np.asarray(model(wave[None]))[0] for wave in waveforms]
        np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_audio_blocks(folder, tmp_path, noise):
    path = folder / "s0" / "2.wav"
    blocks = [*audio_blocks(path, block=7000)]
    assert [len(block) for block in blocks] == [7000] * 4 + [2000]
    np.testing.assert_array_equal(np.concatenate(blocks), read_audio(path))
    with pytest.raises(ValueError, match="16000 Hz"):
        [*audio_blocks(path, sampling_rate=8000)]


@pytest.mark.data
def test_digits_at_8_khz(model, data_dir):
    """0.14 to 1.3 s of speech each: all are embedded, and what is cut below a frame is named."""
    recordings = data_dir / "fsdd" / "recordings"
    result = embed_files(model, recordings, resample=True, verbose=0)
    assert result.vectors.shape == (900, 12) and result.failed == {}
    assert np.isfinite(result.vectors).all() and (np.abs(result.vectors).max(1) > 0).all()


@pytest.mark.data
def test_digits_cut_below_a_frame(model, data_dir, tmp_path):
    recordings = sorted((data_dir / "fsdd" / "recordings").glob("*.wav"))[:8]
    for i, path in enumerate(recordings):
        samples, rate = soundfile.read(path)
        soundfile.write(tmp_path / path.name, samples[: 199 if i % 2 else 201], rate)
    with pytest.warns(UserWarning, match="4 of 8 files"):
        result = embed_files(model, tmp_path, resample=True, verbose=0)
    assert [*result.failed] == [str(tmp_path / path.name) for path in recordings[1::2]]
    assert all("398 samples" in message for message in result.failed.values())
