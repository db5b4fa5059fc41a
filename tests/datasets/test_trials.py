import numpy as np
import pytest

from keras_resnets.datasets import Trials, read_trials


def test_reads_labels_and_pairs(tmp_path):
    path = tmp_path / "trials.txt"
    path.write_text("1 a/1.wav a/2.wav\n\n0 a/1.wav b/1.wav\n")
    trials = read_trials(path)
    assert trials.labels.tolist() == [1, 0] and trials.labels.dtype == "int32"
    assert trials.enrol == ["a/1.wav", "a/1.wav"] and trials.test == ["a/2.wav", "b/1.wav"]
    assert len(trials) == 2 and trials.files == ["a/1.wav", "a/2.wav", "b/1.wav"]


@pytest.mark.parametrize("line", ["1 a.wav", "2 a.wav b.wav", "a.wav b.wav 1", "1 a.wav b.wav c"])
def test_malformed_line_is_named(tmp_path, line):
    path = tmp_path / "trials.txt"
    path.write_text(f"1 a.wav b.wav\n{line}\n")
    with pytest.raises(ValueError, match=r"trials\.txt, line 2"):
        read_trials(path)


def test_missing_and_empty_list(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.txt"):
        read_trials(tmp_path / "no.txt")
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(ValueError, match="at least one trial"):
        read_trials(tmp_path / "empty.txt")


def test_check_lists_up_to_five_unknown_files(tmp_path):
    names = [f"{i}.wav" for i in range(8)]
    trials = Trials(np.ones(4, "int32"), names[:4], names[4:])
    (tmp_path / "3.wav").write_text("")
    with pytest.raises(
        ValueError, match=r"7 of 8 files are missing: 0.wav, 1.wav, 2.wav, 4.wav, 5"
    ) as e:
        trials.check(tmp_path)
    assert "6.wav" not in str(e.value) and "..." in str(e.value)
    for name in names:
        (tmp_path / name).write_text("")
    trials.check(tmp_path)
