import keras
import numpy as np
import pytest

from trainers import CollapseMonitor, SimCLR, SwAV

RNG = np.random.default_rng(0)
VIEWS = RNG.random((16, 2, 8, 8, 3)).astype("float32")


def backbone():
    return keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(6, 3), keras.layers.GlobalMaxPooling2D()]
    )


def swav(**options):
    trainer = SwAV(backbone(), projection_dim=8, hidden_dim=12, num_prototypes=10, **options)
    trainer.compile(keras.optimizers.SGD(0.0))
    return trainer


def fit(trainer, monitor, epochs=3):
    history = trainer.fit(
        VIEWS, batch_size=8, epochs=epochs, shuffle=False, verbose=0, callbacks=[monitor]
    )
    return history.history


def collapse(trainer):
    """Whatever the image, the embedding is the head's bias."""
    last = trainer.projection_head.dense[-1]
    last.kernel.assign(np.zeros(last.kernel.shape))
    last.bias.assign(np.ones(last.bias.shape))


def test_healthy_training_logs_and_does_not_warn(recwarn):
    trainer = swav()
    history = fit(trainer, CollapseMonitor())
    assert not [w for w in recwarn if "collapse" in str(w.message)]
    np.testing.assert_allclose(history["loss_share"], np.array(history["loss"]) / np.log(10))
    expected = np.array(history["deviation"]) * np.sqrt(8)
    np.testing.assert_allclose(history["deviation_share"], expected)


def test_equal_embeddings():
    trainer = swav()
    collapse(trainer)
    with pytest.warns(UserWarning, match="deviate by.*What helps.*epsilon") as warned:
        fit(trainer, CollapseMonitor(), epochs=5)
    assert len([w for w in warned if "collapse" in str(w.message)]) == 1


def equal_prototypes(trainer):
    """No embedding prefers one: the loss is log K, though the embeddings are healthy."""
    trainer.prototypes.kernel.assign(np.ones((8, 10)))
    return trainer


def test_a_loss_that_stays_at_log_k():
    with pytest.warns(UserWarning, match=r": the loss stays at 2\.303.*10 prototypes.*hidden_dim"):
        history = fit(equal_prototypes(swav()), CollapseMonitor())
    np.testing.assert_allclose(history["loss_share"], 1, rtol=1e-5)


def test_the_loss_counts_after_the_freeze():
    trainer = equal_prototypes(swav(freeze_prototypes_steps=4))  # two epochs
    monitor = CollapseMonitor()
    fit(trainer, monitor, epochs=3)
    assert not monitor.warned and monitor.lasted["loss"] == 1
    with pytest.warns(UserWarning, match="the loss stays"):
        fit(trainer, monitor, epochs=2)


def test_simclr():
    trainer = SimCLR(backbone())
    trainer.compile(keras.optimizers.SGD(0.0))
    history = fit(trainer, CollapseMonitor(), epochs=1)
    assert history["deviation_share"][0] > 0.5 and "loss_share" not in history
    norm = trainer.projection_head.norms[-1]
    norm.gamma.assign(np.zeros(norm.gamma.shape))
    with pytest.warns(UserWarning, match=r"healthy ones by 0\.088.*differ"):
        fit(trainer, CollapseMonitor(patience=1), epochs=1)


def test_bad_input():
    for name, value in (("tolerance", 0), ("share", 1), ("patience", 0)):
        with pytest.raises(ValueError, match=f"`{name}` must be"):
            CollapseMonitor(**{name: value})
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="watches `SimCLR` and `SwAV`"):
        model.fit(np.ones((2, 2)), np.ones(2), verbose=0, callbacks=[CollapseMonitor()])
