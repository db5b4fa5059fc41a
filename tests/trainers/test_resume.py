import os
import signal
import subprocess
import sys
import wave
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainers import Resume

ROOT = Path(__file__).parents[2]


def start(*args):
    command = [sys.executable, Path(__file__).with_name("resumable_training.py"), *map(str, args)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(command, env=env)


@pytest.fixture
def speakers(tmp_path):
    """A folder of three speakers with five noises each."""
    rng = np.random.default_rng(0)
    for i in range(15):
        path = tmp_path / f"audio/speaker{i % 3}/{i}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16000)
            file.writeframes(rng.integers(-3000, 3000, 2500 + 300 * i).astype("<i2").tobytes())
    return tmp_path / "audio"


def test_a_killed_training_goes_on_bit_equal(speakers, tmp_path):
    whole = start(speakers, tmp_path / "whole")
    assert start(speakers, tmp_path / "cut", 7).wait(300) == -signal.SIGKILL
    # Killed after batch 7, the third of the second epoch; the last save was after batch 6.
    assert start(speakers, tmp_path / "cut").wait(300) == 0
    assert whole.wait(300) == 0
    with np.load(tmp_path / "whole.npz") as a, np.load(tmp_path / "cut.npz") as b:
        assert (int(a["seen"]), int(b["seen"])) == (0, 6)
        assert set(a) == set(b)
        for name in a:
            if name.startswith("v"):
                np.testing.assert_array_equal(a[name], b[name], err_msg=name)
        for name in ("loss", "accuracy"):
            np.testing.assert_array_equal(a[name][1:], b[name])


@pytest.fixture
def fit():
    """Fits a tiny model to an endless stream, six steps an epoch; returns model and history."""

    def fit(resume, epochs, callbacks=(), **compile_args):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.Adam(0.1), "mse", **compile_args)
        rng = np.random.default_rng(0)
        x = rng.normal(size=(48, 3)).astype("float32")
        data = tf.data.Dataset.from_tensor_slices((x, x.sum(1))).batch(4).repeat()
        data = data.skip(6 * resume.epoch + resume.batch)
        history = model.fit(
            data,
            steps_per_epoch=6,
            initial_epoch=resume.epoch,
            epochs=epochs,
            callbacks=[resume, *callbacks],
            shuffle=False,
            verbose=0,
        )
        return model, history

    return fit


class Interrupt(keras.callbacks.Callback):
    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) >= self.step:
            raise KeyboardInterrupt


def test_twice_interrupted(fit, tmp_path):
    expected, history = fit(Resume(tmp_path / "a.npz"), 3)
    for step in (8, 10):
        with pytest.raises(KeyboardInterrupt):
            fit(Resume(tmp_path / "b.npz", every=1), 3, [Interrupt(step)])
    resume = Resume(tmp_path / "b.npz")
    assert (resume.epoch, resume.batch) == (1, 4)
    model, rest = fit(resume, 3)
    for a, b in zip(expected.get_weights(), model.get_weights()):
        np.testing.assert_array_equal(a, b)
    assert rest.epoch == [1, 2]
    assert rest.history["loss"] == history.history["loss"][1:]
    assert int(model.optimizer.iterations) == 18


def test_a_finished_training_goes_on_to_more_epochs(fit, tmp_path):
    expected, _ = fit(Resume(tmp_path / "a.npz"), 3)
    fit(Resume(tmp_path / "b.npz"), 2)
    resume = Resume(tmp_path / "b.npz")
    assert (resume.epoch, resume.batch) == (2, 0)
    model, history = fit(resume, 3)
    assert history.epoch == [2]
    for a, b in zip(expected.get_weights(), model.get_weights()):
        np.testing.assert_array_equal(a, b)
    again, history = fit(Resume(tmp_path / "b.npz"), 3)  # nothing left to do: weights are restored
    assert history.epoch == []
    np.testing.assert_array_equal(again.get_weights()[0], model.get_weights()[0])


def test_early_stopping_is_not_undone(fit, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit(Resume(tmp_path / "a.npz", every=2), 9, [Interrupt(3)])
    stop = keras.callbacks.LambdaCallback()
    stop.on_epoch_end = lambda epoch, logs: setattr(stop.model, "stop_training", epoch == 0)
    _, history = fit(Resume(tmp_path / "a.npz"), 9, [stop])
    assert history.epoch == [0]


def test_steps_per_execution(fit, tmp_path):
    expected, _ = fit(Resume(tmp_path / "a.npz"), 2)
    with pytest.raises(KeyboardInterrupt):
        fit(Resume(tmp_path / "b.npz", every=2), 2, [Interrupt(4)], steps_per_execution=2)
    resume = Resume(tmp_path / "b.npz")
    assert (resume.epoch, resume.batch) == (0, 4)
    model, _ = fit(resume, 2, steps_per_execution=2)
    np.testing.assert_allclose(expected.get_weights()[0], model.get_weights()[0], rtol=1e-6)
    with pytest.raises(ValueError, match="steps_per_execution"):
        fit(Resume(tmp_path / "c.npz"), 1, steps_per_execution=4)


def test_restart_and_errors(fit, tmp_path):
    fit(Resume(tmp_path / "a.npz"), 1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npz"]  # nothing temporary is left
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("adam", "mse")
    data = tf.data.Dataset.from_tensors((np.zeros((4, 3)), np.zeros((4, 2)))).repeat()
    options = dict(steps_per_epoch=1, epochs=2, shuffle=False, verbose=0)
    with pytest.raises(ValueError, match=r"shape \(3, 2\)"):
        model.fit(data, callbacks=[Resume(tmp_path / "a.npz")], initial_epoch=1, **options)
    same = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    same.compile("adam", "mse")
    with pytest.raises(ValueError, match=r"initial_epoch=resume\.epoch"):
        same.fit(data, callbacks=[Resume(tmp_path / "a.npz")], **options)
    assert Resume(tmp_path / "a.npz", restart=True).epoch == 0
    assert not (tmp_path / "a.npz").exists()
    with pytest.raises(ValueError, match="every"):
        Resume(tmp_path / "a.npz", every=0)
