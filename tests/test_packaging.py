"""The wheel holds everything: it works in an empty environment, away from the checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile

import pytest

pytestmark = pytest.mark.slow

CHECK = """
import keras_resnets, trainers, tuners
for package in (keras_resnets, trainers, tuners):
    print(package.__file__)
data = keras_resnets.datasets.load("speech_sample")
print(len(data.train.paths), len(set(data.train.labels.tolist())), len(data.trials.labels))
print(keras_resnets.datasets.read_audio(data.train.paths[0]).shape)
"""


@pytest.fixture(scope="module")
def wheel(root, tmp_path_factory):
    """Built from a copy, so that nothing left over in the checkout gets in."""
    source = tmp_path_factory.mktemp("source")
    for name in ("keras_resnets", "trainers", "tuners"):
        shutil.copytree(root / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, source)
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", target, source], check=True)
    (path,) = target.glob("keras_resnets-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """An environment with the wheel alone; its dependencies are looked up in the running one."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False)
    scheme = {"base": str(home), "platbase": str(home)}
    site_packages = sysconfig.get_path("purelib", "venv", scheme)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    subprocess.run([*command, site_packages, wheel], check=True)
    # Listed after the environment's own packages; an editable install there is not followed.
    with open(os.path.join(site_packages, "dependencies.pth"), "w") as file:
        file.write(sysconfig.get_path("purelib") + "\n")
    return home


def test_wheel_has_the_packages_and_the_samples(wheel, root):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"keras_resnets", "trainers", "tuners"}
    samples = root / "keras_resnets" / "datasets" / "samples"
    expected = {str(p.relative_to(root)) for p in samples.rglob("*") if p.is_file()}
    assert expected
    assert expected <= set(names)
    assert any(name.endswith("LICENSE") for name in names)


def test_samples_are_small_and_attributed(root):
    samples = root / "keras_resnets" / "datasets" / "samples"
    size = sum(path.stat().st_size for path in samples.rglob("*") if path.is_file())
    assert size <= 10 * 2**20
    for sample in (path for path in samples.iterdir() if path.suffix != ".LICENSE"):
        notice = sample / "ATTRIBUTION" if sample.is_dir() else sample.with_suffix(".LICENSE")
        assert notice.read_text(encoding="utf-8").strip()


def test_installed_wheel_works(installed, tmp_path):
    python = installed / "bin" / "python"
    environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "PYTHONHOME"}}
    run = subprocess.run(
        [python, "-c", CHECK], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    *files, counts, shape = run.stdout.splitlines()[-5:]
    assert all(file.startswith(str(installed)) for file in files), files
    train, speakers, trials = map(int, counts.split())
    assert (train, speakers, trials) == (251, 251, 1770)
    assert shape == "(102400,)"  # 6.4 s at 16 kHz
