"""What the package is, what it needs, and what each extra adds."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "(.+)"$', (ROOT / "keras_resnets" / "version.py").read_text(), re.MULTILINE
)[1]

EXTRAS = {
    # It imports importlib_resources, which etils no longer brings along.
    "tfds": ["tensorflow-datasets>=4.9", "importlib-resources>=6"],
    "audio": ["soundfile>=0.12"],
    "video": ["av>=12"],
    "plot": ["matplotlib>=3.8"],
    "weights": ["safetensors>=0.4", "huggingface-hub>=0.24"],
    # KerasTuner's `search` imports tensorboard, which TensorFlow no longer brings along.
    "tuner": ["keras-tuner>=1.4.8", "tensorboard>=2.16"],
}
EXTRAS["explain"] = EXTRAS["plot"]
EXTRAS["all"] = sorted({need for needs in EXTRAS.values() for need in needs})

# The last tensorflow-io (2024-07): its native ops load with TensorFlow 2.16 only.
EXTRAS["io"] = ["tensorflow-io==0.37.1", "tensorflow>=2.16.2,<2.17"]
EXTRAS["test"] = [
    *EXTRAS["audio"],
    *EXTRAS["plot"],
    *EXTRAS["weights"],
    *EXTRAS["tuner"],
    "pytest>=8",
    "pytest-xdist>=3.5",
    "scikit-learn>=1.4",
    "scipy>=1.11",
    "setuptools>=77",
    "tensorflow-serving-api>=2.16",
]
EXTRAS["bench"] = [*EXTRAS["audio"], "kaldi-native-fbank>=1.20", "speechbrain>=1.0"]

setup(
    name="keras_resnets",
    version=VERSION,
    description="Residual networks in Keras: the models, their training, search and study.",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    install_requires=["keras>=3.10", "numpy>=1.26", "tensorflow>=2.16"],
    extras_require=EXTRAS,
    packages=find_packages(include=["keras_resnets*", "trainers*", "tuners*"]),
    package_data={"keras_resnets.datasets": ["samples/**/*"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    keywords="keras tensorflow resnet speaker-verification ecapa-tdnn",
)
