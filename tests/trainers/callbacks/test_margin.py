import keras
import numpy as np
import pytest

from keras_resnets.layers import AdditiveAngularMargin
from trainers import MarginSchedule


@pytest.mark.parametrize(("mode", "expected"), [("exp", 0.2 * (1 - 0.001**0.5)), ("linear", 0.1)])
def test_margin_schedule_values(mode, expected):
    schedule = MarginSchedule(0.0, 0.2, start=20, end=40, mode=mode)
    assert [schedule.margin_at(e) for e in (0, 20, 40, 150)] == pytest.approx(
        [0, 0, 0.2, 0.2], abs=0
    )
    assert schedule.margin_at(30) == pytest.approx(expected)
    assert MarginSchedule(0.1, 0.3, 5, 5).margin_at(5) == 0.3


def test_margin_schedule_changes_the_loss_without_a_new_trace(make_trainer, data):
    x, y, _ = data
    traces = []

    class Head(AdditiveAngularMargin):
        def logits(self, cosines, labels=None):
            traces.append(labels is not None)
            return super().logits(cosines, labels)

    trainer = make_trainer(keras.optimizers.SGD(0.0), head=Head(3, margin=0.2))
    margins, losses = [], []

    class Record(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            margins.append(float(self.model.head.margin))
            losses.append(logs["loss"])
            self.model.reset_metrics()

    schedule = MarginSchedule(0.0, 0.4, 1, 3, "linear")
    trainer.fit(
        x, y, batch_size=5, epochs=4, shuffle=False, verbose=0, callbacks=[schedule, Record()]
    )
    np.testing.assert_allclose(margins, [0, 0, 0, 0.1, 0.2, 0.3, 0.4, 0.4], atol=1e-7)
    assert losses[2] < losses[4] < losses[6]
    assert traces.count(True) == 1


def test_margin_schedule_in_steps(make_trainer, data):
    x, y, _ = data
    trainer = make_trainer(keras.optimizers.SGD(0.0, gradient_accumulation_steps=2))
    schedule = MarginSchedule(0.0, 0.4, 1, 5, "linear", unit="step")
    trainer.fit(x, y, batch_size=5, epochs=2, verbose=0, callbacks=[schedule])
    assert float(trainer.head.margin) == pytest.approx(0.2)  # batch 3 of 1 ... 5


@pytest.mark.parametrize("kwargs", [{"mode": "log"}, {"unit": "day"}, {"start": 3, "end": 2}])
def test_margin_schedule_errors(kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        MarginSchedule(**kwargs)
