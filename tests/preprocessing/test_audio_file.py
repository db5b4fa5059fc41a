import numpy as np
import pytest
import soundfile

from keras_resnets.datasets import read_audio
from keras_resnets.preprocessing.audio_file import find_audio, read_clips


@pytest.fixture
def wav(tmp_path):
    def write(name="a.wav", shape=1600, rate=16000):
        x = np.random.default_rng(0).uniform(-0.5, 0.5, shape)
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / name, x, rate)
        return tmp_path / name

    return write


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
def test_reads(wav, name):
    x = read_audio(wav(name))
    assert x.dtype == "float32" and x.shape == (1600,) and 0.3 < np.abs(x).max() <= 1


def test_resamples_only_when_asked(wav):
    path = wav(rate=8000)
    with pytest.raises(ValueError, match=r"16000 Hz.*a\.wav at 8000 Hz"):
        read_audio(path)
    assert read_audio(path, resample=True).shape == (3200,)
    assert read_audio(path, sampling_rate=8000).shape == (1600,)


def test_bad_files(wav, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.wav"):
        read_audio(tmp_path / "none.wav")
    with pytest.raises(ValueError, match="mix down first"):
        read_audio(wav("stereo.wav", (100, 2)))
    with pytest.raises(ValueError, match="empty"):
        read_audio(wav("empty.wav", 0))
    (tmp_path / "text.wav").write_text("no audio")
    with pytest.raises(ValueError, match=r"cannot be read.*text\.wav"):
        read_audio(tmp_path / "text.wav")


def test_missing_soundfile_names_the_extra(wav, monkeypatch):
    path = wav()
    monkeypatch.setitem(__import__("sys").modules, "soundfile", None)
    with pytest.raises(ImportError, match=r"keras_resnets\[audio\]"):
        read_audio(path)


def test_clips_from_folder_files_and_arrays(wav, tmp_path):
    paths = [str(wav("x/b.wav")), str(wav("x/deep/a.flac", 800, 8000))]
    (tmp_path / "x" / "notes.txt").write_text("")
    assert find_audio(tmp_path / "x") == sorted(paths)
    clips, source = read_clips(str(tmp_path / "x"))
    assert [len(c) for c in clips] == [1600, 1600] and source == str(tmp_path / "x")
    assert read_clips(paths)[1] == paths
    assert read_clips(paths[0])[1] == paths[0]
    clips, source = read_clips([np.zeros(3), np.ones(2)])
    assert [len(c) for c in clips] == [3, 2] and source is None


@pytest.mark.parametrize("source", [[], [np.zeros((2, 2))], [np.zeros(0)], [np.array([np.nan])]])
def test_bad_clips(source):
    with pytest.raises(ValueError, match="clip"):
        read_clips(source)
