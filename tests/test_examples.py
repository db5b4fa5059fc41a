"""The examples, end to end, as a user runs them."""

import json
import re
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


@pytest.mark.slow
def test_energy_profile(root, tmp_path):
    script = root / "examples" / "energy_profile.py"
    run = subprocess.run(
        [sys.executable, script, "--short", "--size", "64", "--epochs", "1", "--output", tmp_path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    for word in ("grouped MACs/word", "latency ms", "energy_j of training", "test accuracy"):
        assert word in run.stdout
    assert {path.name for path in tmp_path.glob("*.png")} == {
        "group_sizes.png",
        "resnext50_cost.png",
    }


@pytest.mark.slow
@pytest.mark.parametrize("model", ["cifar_resnet8", "resnet18"])
def test_train_resnet(root, tmp_path, model):
    script = root / "examples" / "train_resnet.py"
    command = [sys.executable, script, "--short", "--model", model, "--output", tmp_path]
    for _ in range(2):  # the second run finds the first one's state and has nothing to train
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        for word in ("test accuracy %", "parameters", "MACs", "served as"):
            assert word in run.stdout
    accuracy = re.search(rf"^{model} .*", run.stdout.split("MACs")[1], re.MULTILINE)[0].split()[3]
    assert float(accuracy) > 30  # of ten classes
    assert (tmp_path / "curves.png").exists() and (tmp_path / "model.keras").exists()
    assert (tmp_path / "saved_models" / model / "1" / "saved_model.pb").exists()


@pytest.mark.slow
def test_compare_norms(root, tmp_path):
    script = root / "examples" / "compare_norms.py"
    command = [sys.executable, script, "--short", "--output", tmp_path]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    table = (tmp_path / "table.md").read_text()
    for word in (
        "BatchNorm + ReLU",
        "GroupNorm + ReLU",
        "EvoNorm-B0",
        "EvoNorm-S0",
        "| 2 |",
        "| 32 |",
    ):
        assert word in table
    assert (tmp_path / "accuracy.png").exists()
    assert len(json.loads((tmp_path / "runs.json").read_text())) == 8


@pytest.mark.slow
def test_meal_v2(root, tmp_path):
    script = root / "examples" / "meal_v2.py"
    command = [sys.executable, script, "--short", "--output", tmp_path]
    for _ in range(2):  # the second run finds the first one's networks and trains nothing
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
    found = json.loads((tmp_path / "runs.json").read_text())["results"]
    results = found["teachers"] | found["0"]
    table = (tmp_path / "table.md").read_text()
    for name in (
        "teachers together",
        "student, MEAL V2 without labels",
        "student, further on labels",
    ):
        assert name in table and results[name] > 0.25  # of ten classes
    served = float(re.search(r"right on (.*) %", run.stdout)[1])
    assert served == pytest.approx(100 * results["student, MEAL V2 without labels"], abs=1)
    assert (tmp_path / "accuracy.png").exists()
    assert (tmp_path / "seed0/saved_models/student/1/saved_model.pb").exists()


@pytest.mark.slow
def test_readme(root, tmp_path):
    """The first Python lines that a user sees, as they stand."""
    code = re.search(r"```python\n(.*?)```", (root / "README.md").read_text(), re.DOTALL)[1]
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert 0 < float(run.stdout.split()[-1]) < 0.6
    assert (tmp_path / "saved_models/ecapa_tdnn/1/saved_model.pb").exists()


@pytest.mark.slow
@pytest.mark.parametrize("system", ["simclr_v2", "swav"])
def test_without_labels(root, tmp_path, system):
    command = [sys.executable, root / "examples" / f"{system}.py", "--short", "--output", tmp_path]
    for _ in range(2):  # the second run finds all done
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
    assert "Seed 0" not in run.stdout
    state = json.loads((tmp_path / "runs.json").read_text())["results"]["0"]
    found = state if system == "simclr_v2" else {**state["untrained"], **state["multi-crop"]}
    assert all(0.1 < accuracy <= 1 for accuracy in found.values()), found
    assert (tmp_path / "table.md").exists() and (tmp_path / "accuracy.png").exists()
    assert [*tmp_path.rglob("saved_model.pb")]


@pytest.mark.slow
def test_nars_distributed(root, tmp_path):
    script = root / "examples" / "nars_distributed.py"
    command = [sys.executable, script, "--short", "--local-workers", "2", "--output", tmp_path]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    logs = [path.read_text() for path in tmp_path.glob("worker*.log")]
    assert run.returncode == 0 and len(logs) == 2, [run.stderr, *logs]
    assert len([*tmp_path.glob("search/trial_*/trial.json")]) == 4
    assert "val_accuracy" in (tmp_path / "table.md").read_text()
    assert (tmp_path / "trials.png").exists()


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--tuner", "nars"], ["--strategy", "multi_worker"]], ids=str)
def test_recipe_search(root, tmp_path, options):
    command = [sys.executable, root / "examples" / "recipe_search.py", "--short", *options]
    command += ["--output", tmp_path]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    scores = re.findall(r"^0\.\d+", run.stdout.split("val_accuracy ")[-1], re.MULTILINE)
    assert len(scores) == 3 and scores == sorted(scores, reverse=True)
    assert (tmp_path / "table.md").exists()


@pytest.mark.slow
def test_nars_search(root, tmp_path):
    command = [sys.executable, root / "examples" / "nars_search.py", "--short"]
    command += ["--output", tmp_path]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    found = json.loads((tmp_path / "runs.json").read_text())["results"]["0"]
    assert all(result["macs"] <= found["default"]["macs"] for result in found.values())
    assert found["NARS"]["epochs"] == found["random search"]["epochs"] == 4
    assert (tmp_path / "accuracy.png").exists() and (tmp_path / "seed0/pareto.png").exists()
    assert (tmp_path / "seed0/saved_models/nars/1/saved_model.pb").exists()
