"""The main example, end to end, as a user runs it."""

import subprocess
import sys

import pytest


@pytest.mark.slow
def test_speaker_verification(root, tmp_path):
    script = root / "examples" / "speaker_verification.py"
    run = subprocess.run(
        [sys.executable, script, "--short", "--output", tmp_path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    for word in ("EER", "minDCF", "same speaker", "different speakers"):
        assert word in run.stdout
    assert list(tmp_path.rglob("*.png"))
    assert list(tmp_path.rglob("saved_model.pb"))
