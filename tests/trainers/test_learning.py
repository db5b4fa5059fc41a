"""What a few steps of training must do to embeddings of real speech."""

import keras
import numpy as np
import pytest

import keras_resnets as kr
from trainers import SpeakerTrainer
from trainers.evaluation import embed_trials


def contrast(encoder, waveforms, crop=32000):
    """Cosine of two crops of one utterance over that of crops of two speakers."""
    first, last = (
        keras.utils.normalize(encoder.predict(np.stack(crops), verbose=0))
        for crops in ([w[:crop] for w in waveforms], [w[-crop:] for w in waveforms])
    )
    cosines = first @ last.T
    others = cosines[~np.eye(len(cosines), dtype=bool)]
    return (np.diag(cosines).mean() - others.mean()) / others.std()


@pytest.mark.slow
def test_crops_of_one_utterance_come_together_and_errors_fall(speech_sample):
    keras.utils.set_random_seed(1)
    waveforms = [kr.datasets.read_audio(path) for path in speech_sample.test.paths[::3]]
    encoder = kr.ecapa_tdnn(
        channels=64,
        mfa_channels=192,
        attention_channels=32,
        se_channels=32,
        frontend="kaldi_fbank",
    )
    before = contrast(encoder, waveforms)
    untrained = embed_trials(encoder, speech_sample.trials, speech_sample.test.root)
    trainer = SpeakerTrainer(encoder, kr.layers.AdditiveAngularMargin(251, margin=0.05))
    trainer.compile(keras.optimizers.Adam(2e-3), jit_compile=False)
    files = speech_sample.train.dataset(crop=24000, batch_size=32, shuffle=True, repeat=True)
    history = trainer.fit(files, steps_per_epoch=50, epochs=3, verbose=0)
    trained = embed_trials(encoder, speech_sample.trials, speech_sample.test.root)
    labels = speech_sample.trials.labels
    assert history.history["loss"][-1] < 0.8 * history.history["loss"][0]
    assert contrast(encoder, waveforms) > before + 0.5
    eer = kr.metrics.equal_error_rate
    assert eer(trained, labels) < eer(untrained, labels) - 0.03
