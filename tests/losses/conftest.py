import numpy as np
import pytest


@pytest.fixture(scope="session")
def rule():
    """`rule(rows, width, phase)`: numbers that look random and are the same everywhere."""

    def rule(rows, width, phase):
        i = np.arange(rows * width, dtype="float64")
        return np.modf(np.sin(12.9898 * i + phase) * 43758.5453)[0].reshape(rows, width)

    return lambda *args: rule(*args).astype("float32")


@pytest.fixture(scope="session")
def unit():
    return lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
