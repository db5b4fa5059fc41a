import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import tuners
from trainers.distribution import MultiWorkerMixin

sys.path.insert(0, str(Path(__file__).parent))
black_box = pytest.importorskip("black_box")
keras_tuner = black_box.keras_tuner

X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
DATA = dict(x=X, y=X[:, :1], validation_data=(X, X[:, :1]), verbose=0)


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.setattr(tuners.core, "ArchitectureRecipePredictor", black_box.Nearest)

    def make(hypermodel=black_box.build, space=black_box.SPACE, kind=tuners.NARS, **options):
        settings = {**black_box.SETTINGS, "objective": "val_loss", "max_trials": 5, "max_epochs": 2}
        folder = dict(directory=tmp_path, project_name="search")
        return kind(hypermodel, space, **settings | folder | options)

    return make


def test_a_search_as_any_other(make, capsys, monkeypatch):
    monkeypatch.setattr("tuners.tuner.FOLDS", 2)
    tuner = make(executions_per_trial=2)
    tuner.search(**DATA)
    trials = tuner.oracle.get_best_trials(5)
    assert [trial.status for trial in trials] == ["COMPLETED"] * 5
    assert trials[0].score == min(trial.score for trial in trials)
    history = trials[0].metrics.get_history("val_loss")
    assert [o.step for o in history] == [0, 1] and len(history[0].value) == 1
    assert {"loss", "val_loss"} == set(trials[0].metrics.metrics)
    loss = tuner.get_best_models()[0].evaluate(X, X[:, :1], verbose=0)
    assert loss == pytest.approx(trials[0].score, rel=1e-5)
    assert tuner.get_best_hyperparameters()[0].values == trials[0].hyperparameters.values
    tuner.results_summary(1)
    printed = capsys.readouterr().out
    assert "Score" in printed and "Kendall's tau" in printed and "0.25" in printed
    again = make(executions_per_trial=2)
    again.search(**DATA)  # all is done
    assert again.oracle.get_best_trials()[0].score == trials[0].score


def test_predictions_are_verified_by_trials(make):
    tuner = make()
    with pytest.raises(ValueError, match="`verify` needs a `search` before it"):
        tuner.best_configs(verify=1)
    tuner.search(**DATA)
    before = set(tuner.oracle.trials)
    best = [row["config"] for row in tuner.best_configs(k=3) if row["value"] is None]
    tuner.best_configs(k=3, verify=2)
    new = [tuner.oracle.trials[i] for i in sorted(set(tuner.oracle.trials) - before)]
    tried = [tuner.space.from_hyperparameters(trial.hyperparameters) for trial in new]
    assert tried == best[:2] and all(trial.status == "COMPLETED" for trial in new)
    assert all(trial.hyperparameters.values["tuner/epochs"] == 2 for trial in new)


def test_later_trials_end_where_the_order_is_settled(make):
    """By the first ones the order after the first epoch is that of the last."""
    tuner = make(max_epochs=4, max_trials=6)
    seen = []

    class Count(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            seen.append(len(self.model.history.history["loss"]))

        def __deepcopy__(self, memo):
            return self

    tuner.search(**DATA, callbacks=[Count()])
    epochs = tuner.own_oracle.core.epochs
    assert 1 <= epochs < 4
    assert seen == [4] * 4 + [epochs] * 2
    # those that were trained on are no better for it
    best = tuner.oracle.get_best_trials(6)
    after = [t.metrics.get_history("val_loss")[epochs - 1].mean() for t in best]
    assert after == sorted(after) and after[0] < after[-1]


def test_an_oracle_may_stop_a_trial(make, monkeypatch):
    tuner = make(max_epochs=5, max_trials=4)
    update = tuner.oracle.update_trial

    def stop_at_once(*args, **kwargs):
        trial = update(*args, **kwargs)
        trial.status = "STOPPED"
        return trial

    monkeypatch.setattr(tuner.oracle, "update_trial", stop_at_once)
    tuner.search(**DATA)
    for trial in tuner.oracle.trials.values():
        assert trial.status == "COMPLETED"
        assert len(trial.metrics.get_history("loss")) == 1


def test_failing_trials_end_the_search(make):
    def build(hp):
        raise ArithmeticError("no model can be built")

    tuner = make(build, max_retries_per_trial=0)
    with pytest.raises(RuntimeError, match=r"3 failed trials in a row(.|\n)*no model can be built"):
        tuner.search(**DATA)
    messages = [trial.message for trial in tuner.oracle.trials.values()]
    assert len(messages) == 3 and all("ArithmeticError" in message for message in messages)


def test_what_is_fatal_ends_it_at_once(make):
    tuner = make(lambda hp: "no model")
    with pytest.raises(keras_tuner.errors.FatalTypeError, match="valid Keras Model"):
        tuner.search(**DATA)
    (trial,) = tuner.oracle.trials.values()
    assert trial.status == "FAILED" and "valid Keras Model" in trial.message


def test_hypermodel_with_a_fit_of_its_own(make):
    """It says itself for how long a trial is trained, and may return a number."""

    class Own(keras_tuner.HyperModel):
        def build(self, hp):
            return black_box.build(hp)

        def fit(self, hp, model, *args, **kwargs):
            model.fit(*args, epochs=1, **kwargs)
            return hp.values["width"] * 1.0

    tuner = make(Own())
    tuner.search(**DATA)
    for trial in tuner.oracle.trials.values():
        assert trial.score == trial.hyperparameters.values["width"]


def test_tensorboard_is_imported_for_its_callback_only(make, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.plugins.hparams", None)
    tuner = make(max_trials=4, max_epochs=1)
    tuner._configure_tensorboard_dir([keras.callbacks.EarlyStopping()], None)
    with pytest.raises(ImportError):
        tuner._configure_tensorboard_dir([keras.callbacks.TensorBoard(tmp_path)], None)


def test_idle_workers_wait_longer_and_longer(make, monkeypatch):
    tuner, slept = make(), []
    statuses = iter(["IDLE"] * 8 + ["RUNNING", "IDLE", "STOPPED"])
    trial = keras_tuner.engine.trial.Trial
    monkeypatch.setattr(tuner.oracle, "create_trial", lambda _: trial(None, status=next(statuses)))
    monkeypatch.setattr(time, "sleep", slept.append)
    assert len(list(tuner._trials())) == 1
    np.testing.assert_allclose(slept, [0.2 * min(1.5**i, 10) for i in range(8)] + [0.2])


def test_several_objectives_are_summed(make):
    objectives = [keras_tuner.Objective("val_loss", "min"), keras_tuner.Objective("loss", "min")]
    tuner = make(objective=objectives, max_trials=4, max_epochs=1)
    tuner.search(**DATA)
    for trial in tuner.oracle.trials.values():
        parts = [trial.metrics.get_last_value(name) for name in ("val_loss", "loss")]
        assert trial.score == pytest.approx(sum(parts))


def test_two_replicas(make, two_replicas):
    tuner = make(max_trials=4, max_epochs=1, distribution_strategy=two_replicas)
    data = tf.data.Dataset.from_tensor_slices((X, X[:, :1])).batch(8)
    tuner.search(data, validation_data=data, verbose=0)
    assert {trial.status for trial in tuner.oracle.trials.values()} == {"COMPLETED"}
    assert not isinstance(tuner.get_best_models()[0], MultiWorkerMixin)


def test_bad_input(make):
    with pytest.raises(ValueError, match="`hypermodel` must be given"):
        make(None)
    with pytest.raises(ValueError, match="`space` must be a `SearchSpace`"):
        make(space=None)
    with pytest.raises(ValueError, match=r"(?i)could not infer optimization direction"):
        make(objective="nonsense")
    with pytest.raises(ValueError, match="`max_trials`"):
        make(max_trials=2)
    servers = object.__new__(tf.distribute.ParameterServerStrategy)
    with pytest.raises(ValueError, match="Received: ParameterServerStrategy"):
        make(distribution_strategy=servers)
