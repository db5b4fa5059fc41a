import keras
import numpy as np
import pytest

from keras_resnets.datasets import Trials, read_audio
from keras_resnets.inference.batches import embed_waveforms
from keras_resnets.metrics import cosine_scores, equal_error_rate, min_dcf
from trainers import VerificationCallback, embed_trials


def write_wav(path, samples):
    import wave

    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(samples.astype("<i2").tobytes())


@pytest.fixture(scope="module")
def trial_audio(tmp_path_factory):
    """Six noises of various lengths, and all pairs of them as trials."""
    root = tmp_path_factory.mktemp("audio")
    rng = np.random.default_rng(0)
    names = [f"s{i % 2}/{i}.wav" for i in range(6)]
    for i, name in enumerate(names):
        write_wav(root / name, rng.integers(-9000, 9000, 1000 + 500 * (i * 7 % 5)))
    pairs = [(i, j) for i in range(6) for j in range(i)]
    labels = np.array([i % 2 == j % 2 for i, j in pairs], "int32")
    return Trials(labels, [names[i] for i, _ in pairs], [names[j] for _, j in pairs]), root


def one_by_one(model, trials, root):
    """Scores without batches or padding."""
    vectors = {
        name: np.asarray(model(read_audio(str(root / name))[None]))[0]
        for name in {*trials.enrol, *trials.test}
    }
    return cosine_scores(
        np.stack([vectors[name] for name in trials.enrol]),
        np.stack([vectors[name] for name in trials.test]),
    )


def test_embed_trials(make_trainer, trial_audio):
    trials, root = trial_audio
    trainer = make_trainer(frontend="kaldi_fbank")
    expected = one_by_one(trainer, trials, root)
    np.testing.assert_allclose(
        embed_trials(trainer, trials, root, batch_size=4), expected, atol=1e-5
    )
    lines = [f"{a} {b} {c}\n" for a, b, c in zip(trials.labels, trials.enrol, trials.test)]
    (root / "trials.txt").write_text("".join(lines))
    found = embed_trials(trainer, root / "trials.txt", root)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    quiet = embed_trials(trainer, trials, root, degrade=lambda w, i: w * 0.5)
    np.testing.assert_allclose(quiet, expected, atol=1e-3)
    short = embed_trials(trainer, trials, root, degrade=lambda w, i: w[: 600 + 40 * i])
    assert np.abs(short - expected).max() > 0.01


def test_embed_waveforms_keeps_the_order(make_trainer):
    rng = np.random.default_rng(1)
    waveforms = [rng.uniform(-0.1, 0.1, n).astype("float32") for n in (900, 4000, 400, 2000, 1000)]
    trainer = make_trainer(frontend="kaldi_fbank")
    found = embed_waveforms(trainer, waveforms, batch_size=2)
    for vector, waveform in zip(found, waveforms):
        expected = np.asarray(trainer(waveform[None]))[0]
        assert np.linalg.norm(vector - expected) <= 1e-5 * np.linalg.norm(expected)


def test_bad_trial_lists(make_trainer, trial_audio):
    trials, root = trial_audio
    trainer = make_trainer(frontend="kaldi_fbank")
    missing = Trials(trials.labels, ["gone.wav", *trials.enrol[1:]], trials.test)
    with pytest.raises(ValueError, match=r"gone\.wav"):
        embed_trials(trainer, missing, root)
    one_class = Trials(np.ones_like(trials.labels), trials.enrol, trials.test)
    with pytest.raises(ValueError, match="both target and non-target"):
        embed_trials(trainer, one_class, root)


def test_verification_callback(make_trainer, trial_audio, monkeypatch):
    trials, root = trial_audio
    reads = []
    monkeypatch.setattr(
        "trainers.evaluation.trials.read_audio", lambda path: reads.append(path) or read_audio(path)
    )
    trainer = make_trainer(keras.optimizers.SGD(0.01), frontend="kaldi_fbank")
    seen = []
    after = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(
            (dict(logs), one_by_one(trainer, trials, root))
        )
    )
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-0.1, 0.1, (6, 2000)).astype("float32"), np.arange(6) % 3
    history = trainer.fit(
        x,
        y,
        epochs=3,
        verbose=0,
        callbacks=[
            VerificationCallback(trials, root),
            VerificationCallback(
                trials, root, every=2, prefix="val_noisy_", degrade=lambda w, i: w[: 900 + i]
            ),
            keras.callbacks.EarlyStopping("val_eer", patience=9, mode="min"),
            after,
        ],
    ).history
    for logs, scores in seen:
        assert logs["val_eer"] == pytest.approx(equal_error_rate(scores, trials.labels), abs=1e-6)
        assert logs["val_min_dcf"] == pytest.approx(min_dcf(scores, trials.labels), abs=1e-6)
    assert len(history["val_eer"]) == len(history["val_min_dcf"]) == 3
    assert len(history["val_noisy_eer"]) == 1
    assert len(reads) == 2 * 6  # each callback reads each file once
