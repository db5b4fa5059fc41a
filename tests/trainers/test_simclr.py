import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_resnets as kr
from keras_resnets.layers import ProjectionHead
from keras_resnets.losses import NTXent
from trainers import SimCLR
from trainers.self_supervised import view_major

sys.path.insert(0, str(Path(__file__).parent))
from contrastive_networks import LABELS, LARGE, SMALL, backbone, fit_with_resume


def compiled(trainer=None, optimizer=None, **kwargs):
    trainer = trainer or SimCLR(backbone())
    trainer.compile(optimizer or keras.optimizers.SGD(0.05, momentum=0.9), **kwargs)
    return trainer


def fit(trainer, *data, epochs=2, **kwargs):
    data = data or (LARGE,)
    kwargs = dict(batch_size=8, shuffle=False, verbose=0) | kwargs
    return trainer.fit(*data, epochs=epochs, **kwargs).history


def test_both_views_go_through_the_network_at_once():
    """Batch statistics are those of all views: a hand-made step gives the same loss."""
    trainer = compiled()
    images = np.concatenate([LARGE[:8, 0], LARGE[:8, 1]])
    np.testing.assert_array_equal(view_major(tf.constant(LARGE[:8])), images)
    other = SimCLR(backbone())
    other.set_weights(trainer.get_weights())
    z = other.projection_head(other.backbone(images, training=True), training=True)
    expected = float(NTXent()(z[:8], z[8:]))
    assert fit(trainer, LARGE[:8], epochs=1)["loss"][0] == pytest.approx(expected, rel=1e-5)


def test_train_on_batch_is_a_step_of_fit():
    one, two = compiled(), compiled()
    two.set_weights(one.get_weights())
    logs = one.train_on_batch(LARGE[:8], return_dict=True)
    assert fit(two, LARGE[:8], epochs=1)["loss"][0] == pytest.approx(logs["loss"], rel=1e-6)


def test_figures_are_logged_and_learning_shows():
    history = fit(compiled(loss=NTXent(0.5)), epochs=8)
    assert history["loss"][-1] < history["loss"][0]
    assert set(SimCLR.figures) < set(history)
    assert all(np.all(np.isfinite(values)) for values in history.values())


@pytest.mark.parametrize("memory_size", (0, 32))
def test_xla_gives_the_same_losses(memory_size):
    one, two = (
        fit(compiled(SimCLR(backbone(), ProjectionHead(8), memory_size, 0.9), jit_compile=jit))
        for jit in (False, True)
    )
    np.testing.assert_allclose(one["loss"], two["loss"], rtol=1e-4)


def test_probe_learns_without_touching_the_backbone():
    plain, probed = SimCLR(backbone()), SimCLR(backbone(), probe=3)
    probed.projection_head.set_weights(plain.projection_head.get_weights())
    fit(compiled(plain), LARGE)
    history = fit(compiled(probed, probe_optimizer="adam"), LARGE, LABELS)
    for ours, theirs in zip(plain.backbone.weights, probed.backbone.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert np.any(probed.probe.kernel.numpy()) and "probe_accuracy" in history


def test_probe_skips_unknown_labels():
    trainer = compiled(SimCLR(backbone(), probe=3))
    history = fit(trainer, LARGE, np.full(16, -1), epochs=1)
    assert history["probe_loss"] == [0] and not np.any(trainer.probe.kernel.numpy())


def test_evaluate_changes_nothing():
    trainer = compiled(SimCLR(backbone(), memory_size=32))
    before = trainer.get_weights()
    assert np.isfinite(trainer.evaluate(LARGE, batch_size=8, verbose=0)[0])
    for old, new in zip(before, trainer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_predict_returns_features():
    trainer = compiled()
    images = LARGE[:, 0]
    np.testing.assert_array_equal(
        trainer.predict(images, verbose=0), trainer.backbone.predict(images, verbose=0)
    )


def test_memory_average_and_queue():
    trainer = compiled(SimCLR(backbone(), ProjectionHead(8), memory_size=32, momentum=0.9))
    queries = [q.numpy() for q, _ in trainer.averaged]
    for _, key in trainer.averaged:
        key.assign(np.zeros(key.shape))
    trainer.before_step()
    for query, (_, key) in zip(queries, trainer.averaged):
        np.testing.assert_allclose(key, 0.1 * query, rtol=1e-5, atol=1e-7)
    trainer.before_step()
    for query, (_, key) in zip(queries, trainer.averaged):  # 1 - m^n of the way
        np.testing.assert_allclose(key, (1 - 0.9**2) * query, rtol=1e-5, atol=1e-7)
    assert int(trainer.queue.filled) == 0
    fit(trainer, LARGE[:8], epochs=1)
    assert int(trainer.queue.filled) == 16
    rows = trainer.queue.rows.numpy()
    np.testing.assert_allclose(np.linalg.norm(rows[:16], axis=1), np.ones(16), rtol=1e-5)
    assert not rows[16:].any()
    fit(trainer, LARGE[:8], epochs=1)
    np.testing.assert_array_equal(trainer.queue.rows.numpy()[16:], rows[:16])
    assert int(trainer.queue.filled) == 32


def test_memory_without_past_and_momentum_is_the_query_network():
    trainer = compiled(SimCLR(backbone(), ProjectionHead(8), memory_size=16, momentum=0.0))
    loss, _, _, keys = trainer.objective([tf.constant(LARGE[:8])], training=True)
    plain = SimCLR(backbone(), ProjectionHead(8))
    plain.projection_head.set_weights(trainer.projection_head.get_weights())
    compiled(plain)
    expected = plain.objective([tf.constant(LARGE[:8])], training=True)[0]
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    assert len(keys) == 2


def test_memory_adds_negatives_by_hand():
    rng = np.random.default_rng(0)
    unit = lambda n: (lambda x: x / np.linalg.norm(x, axis=1, keepdims=True))(  # noqa: E731
        rng.normal(size=(n, 6)).astype("float32")
    )
    q1, q2, k1, k2, queue = unit(4), unit(4), unit(4), unit(4), unit(10)
    filled = (np.arange(10) < 7).astype("float32")
    losses = []
    for q, like, other in ((q1, k1, k2), (q2, k2, k1)):
        for i in range(4):
            rest = np.concatenate([other, np.delete(like, i, 0), queue[:7]])
            logits = rest @ q[i] / 0.1
            losses.append(np.log(np.exp(logits).sum()) - logits[i])
    found = NTXent(0.1)(q1, q2, keys=(k1, k2), queue=queue, queue_weights=filled)
    np.testing.assert_allclose(found, np.mean(losses), rtol=1e-5)


def test_save_and_load_in_mid_training(tmp_path):
    trainer = compiled(SimCLR(backbone(), ProjectionHead(8), 32, 0.9, probe=3))
    fit(trainer, LARGE, LABELS)
    trainer.save(tmp_path / "trainer.keras")
    again = keras.models.load_model(tmp_path / "trainer.keras")
    assert isinstance(again, SimCLR) and int(again.queue.filled) == 32
    one, two = (fit(each, LARGE, LABELS) for each in (trainer, again))
    assert one == two
    for ours, theirs in zip(trainer.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_an_interrupted_training_goes_on_to_the_bit(tmp_path):
    """After the second of eight steps: the queue is half full, the keys follow the queries."""
    data = tf.data.Dataset.from_tensor_slices(LARGE).batch(4, drop_remainder=True)

    def train(name, cut=None):
        trainer = compiled(SimCLR(backbone(), ProjectionHead(8), 32, 0.9))
        weights = fit_with_resume(trainer, data, tmp_path / name, steps=4, cut=cut)
        return trainer, weights

    _, whole = train("whole.npz")
    trainer, _ = train("cut.npz", cut=2)
    assert int(trainer.queue.filled) == 16
    for ours, theirs in zip(whole, train("cut.npz")[1], strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("from_layer", (0, 1, 2))
def test_finetune_model(from_layer, tmp_path):
    trainer = compiled()
    fit(trainer)
    model = trainer.finetune_model(5, from_layer)
    images = LARGE[:, 0]
    assert not np.any(model.predict(images, verbose=0))
    states = trainer.projection_head.hidden_states(trainer.predict(images, verbose=0))
    tapped = keras.Model(model.input, model.layers[-1].input)
    np.testing.assert_allclose(
        tapped.predict(images, verbose=0), states[from_layer], rtol=1e-4, atol=1e-5
    )
    head = [layer.name for layer in model.layers if layer.name.startswith("head_dense")]
    assert len(head) == from_layer
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(model.predict(images), again.predict(images))


def test_a_finetuned_model_is_served_as_it_is(tmp_path):
    model = SimCLR(backbone()).finetune_model(3)
    model.compile(keras.optimizers.Adam(0.1), keras.losses.SparseCategoricalCrossentropy(True))
    images = LARGE[:, 0]
    model.fit(images, np.arange(16) % 3, epochs=2, verbose=0)
    path = kr.export.to_saved_model(model, tmp_path / "finetuned" / "1", warmup=False)
    served = tf.saved_model.load(path).signatures["serving_default"]
    (found,) = served(tf.constant(images)).values()
    expected = model.predict(images, verbose=0)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_jit_compile_is_left_to_one_replica(two_replicas):
    with two_replicas.scope():
        trainer = SimCLR(backbone())
        with pytest.warns(UserWarning, match="`jit_compile=True` is ignored with several replicas"):
            trainer.compile("sgd", jit_compile=True)
    assert trainer.jit_compile is False
    assert compiled(jit_compile=True).jit_compile is True


def test_debug_stops_at_what_is_not_finite():
    trainer = compiled(loss=NTXent(debug=True))
    fit(trainer, epochs=1)
    broken = LARGE.copy()
    broken[:8] = np.nan
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"must be finite\. Received: row"):
        fit(trainer, broken, epochs=1)
    assert np.isnan(fit(compiled(), broken, epochs=1)["loss"][0])


@pytest.mark.parametrize("freeze_after, trained", ((-1, 13), (1, 9), (4, 2)))
def test_what_finetuning_freezes(freeze_after, trained):
    model = SimCLR(backbone()).finetune_model(3, freeze_after=freeze_after)
    before = [w.numpy() for w in model.weights]
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(LARGE[:, 0], np.arange(16) % 3, epochs=2, verbose=0)
    assert len(model.trainable_variables) == trained
    changed = {w.path for w, old in zip(model.weights, before) if np.any(w.numpy() != old)}
    if freeze_after == 4:  # not even the moving statistics
        assert all(path.startswith("predictions") for path in changed)
    stages = {f"stage{i}" for i in (1, 2) if any(f"stage{i}" in path for path in changed)}
    assert stages == {-1: {"stage1", "stage2"}, 1: {"stage2"}, 4: set()}[freeze_after]
    assert any("predictions" in path for path in changed)


def test_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    history = fit(compiled(SimCLR(backbone(), memory_size=32, probe=3)), LARGE, LABELS, epochs=4)
    assert np.all(np.isfinite(history["loss"]))
    keras.config.set_dtype_policy("mixed_bfloat16")
    assert np.all(np.isfinite(fit(compiled())["loss"]))


def test_a_batch_of_one_image():
    trainer = compiled()
    with pytest.warns(UserWarning, match="one image has no negatives"):
        history = fit(trainer, LARGE[:2], epochs=1, batch_size=1)
    assert history["loss"] == pytest.approx([0], abs=1e-5)  # rounding


def test_bad_input():
    with pytest.raises(ValueError, match=r"`momentum` must be in \[0, 1\)"):
        SimCLR(backbone(), momentum=1.0)
    with pytest.raises(ValueError, match="pooled features"):
        SimCLR(keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)]))
    with pytest.raises(ValueError, match=r"two views of one size.*\(8, 3, 8, 8, 3\)"):
        fit(compiled(), SMALL)
    with pytest.raises(ValueError, match=r"views of shape.*\(8, 12, 12, 3\)"):
        fit(compiled(), LARGE[:, 0])
    with pytest.raises(ValueError, match="multiple of twice the global batch"):
        fit(compiled(SimCLR(backbone(), memory_size=24)))
    with pytest.raises(ValueError, match=r"`from_layer` must be in \[0, 2\]"):
        SimCLR(backbone()).finetune_model(3, from_layer=3)
    with pytest.raises(ValueError, match="`freeze_after`"):
        SimCLR(backbone()).finetune_model(3, freeze_after=5)
    with pytest.raises(ValueError, match="with a `probe`"):
        compiled(probe_optimizer="sgd")
    trainer = compiled(run_eagerly=True)
    with pytest.warns(UserWarning, match=r"about \[0, 1\].*reach 255"):
        fit(trainer, np.full((8, 2, 12, 12, 3), 255.0), epochs=1)
    with pytest.warns(UserWarning, match=r"about \[0, 1\].*are uint8"):
        fit(compiled(), np.full((8, 2, 12, 12, 3), 255, "uint8"), epochs=1)
    with pytest.raises(ValueError, match=r"same images.*\(8, 2, 12, 12, 3\), \(4, 2, 12"):
        compiled().unpack(((tf.zeros((8, 2, 12, 12, 3)), tf.zeros((4, 2, 12, 12, 3))), None))
