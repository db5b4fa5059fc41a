import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_resnets as kr
from keras_resnets.losses import SwAVLoss, sinkhorn_knopp
from trainers import SwAV

sys.path.insert(0, str(Path(__file__).parent))
from contrastive_networks import LABELS, LARGE, SMALL, backbone, fit_with_resume

VIEWS = (LARGE, SMALL)


def make(optimizer=None, loss=None, jit_compile="auto", **options):
    options = dict(projection_dim=8, hidden_dim=12, num_prototypes=10) | options
    trainer = SwAV(backbone(), **options)
    optimizer = optimizer or keras.optimizers.SGD(0.05, momentum=0.9)
    trainer.compile(optimizer, loss, jit_compile=jit_compile)
    return trainer


def fit(trainer, epochs=2, images=16, **kwargs):
    views = tuple(view[:images] for view in VIEWS)
    kwargs = dict(batch_size=8, shuffle=False, verbose=0) | kwargs
    return trainer.fit(views, LABELS[:images], epochs=epochs, **kwargs).history


def test_a_step_by_hand():
    """One pass a size, one head for all crops, unit prototypes first, codes of the large crops."""
    trainer = make()
    twin = SwAV(backbone(), 8, 12, 10)
    twin.set_weights(trainer.get_weights())
    kernel = twin.prototypes.kernel.numpy()
    kernel /= np.linalg.norm(kernel, axis=0)
    features = [
        twin.backbone(view[:8].swapaxes(0, 1).reshape(-1, *view.shape[2:]), training=True)
        for view in VIEWS
    ]
    z = twin.projection_head(np.concatenate(features), training=True).numpy()
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    scores = (z @ kernel).reshape(5, 8, 10)
    losses = []
    for assigned in (0, 1):
        codes = np.array(sinkhorn_knopp(scores[assigned]))
        for crop in set(range(5)) - {assigned}:
            logits = np.array(tf.nn.log_softmax(scores[crop] / 0.1))
            losses.append(-np.mean(np.sum(codes * logits, 1)))
    found = fit(trainer, epochs=1, images=8)["loss"][0]
    assert found == pytest.approx(np.mean(losses), rel=1e-4)
    for crop_norm, ours in zip(twin.projection_head.norms, trainer.projection_head.norms):
        np.testing.assert_allclose(ours.moving_mean, crop_norm.moving_mean, rtol=1e-4, atol=1e-6)


def test_learns_and_logs():
    history = fit(make(), epochs=10)
    assert history["loss"][-1] < history["loss"][0]
    assert set(SwAV.figures) < set(history)
    assert all(0 < v <= np.log(10) + 1e-4 for v in history["code_entropy"])


@pytest.mark.parametrize(
    "optimizer",
    (
        lambda: keras.optimizers.SGD(0.05, momentum=0.9, weight_decay=1e-2),
        lambda: keras.optimizers.Adam(0.01),
    ),
    ids=("sgd", "adam"),
)
def test_frozen_prototypes_and_their_slots(optimizer):
    trainer = make(optimizer(), freeze_prototypes_steps=3)
    kernel = trainer.prototypes.kernel.numpy()
    unit = kernel / np.linalg.norm(kernel, axis=0)
    slots = [v.numpy() for v in trainer.prototype_variables()[1:]]
    assert slots
    fit(trainer, epochs=1)  # two steps
    np.testing.assert_allclose(trainer.prototypes.kernel, unit, rtol=1e-6)
    for old, new in zip(slots, trainer.prototype_variables()[1:]):
        np.testing.assert_array_equal(old, new.numpy())
    fit(trainer, epochs=1)  # the third and the first free one
    assert np.abs(trainer.prototypes.kernel.numpy() - unit).max() > 1e-4


def test_prototypes_are_unit_vectors_in_every_forward_pass():
    trainer, lengths = make(), []
    plain = trainer.prototypes.call
    trainer.prototypes.call = lambda x, training=False: (
        lengths.append(tf.norm(tf.convert_to_tensor(trainer.prototypes.kernel), axis=0))
        or plain(x, training=training)
    )
    trainer.run_eagerly = True
    fit(trainer, epochs=2)
    assert len(lengths) == 4
    np.testing.assert_allclose(lengths, np.ones((4, 10)), rtol=1e-5)


def test_queue_is_filled_then_used():
    trainer, plain = make(queue_length=16, queue_start_step=1), make()
    one = fit(trainer, epochs=1)["loss"]
    assert one == pytest.approx(fit(plain, epochs=1)["loss"], rel=1e-6)
    assert [int(q.filled) for q in trainer.queues] == [8, 8]  # the first step was before the start
    z = trainer.queues[0].rows.numpy()
    np.testing.assert_allclose(np.linalg.norm(z[:8], axis=1), np.ones(8), rtol=1e-5)
    fit(trainer, epochs=1, images=8)
    fit(plain, epochs=1, images=8)
    for ours, theirs in zip(trainer.backbone.weights, plain.backbone.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)  # not full: not used
    assert [int(q.filled) for q in trainer.queues] == [16, 16]
    np.testing.assert_array_equal(trainer.queues[0].rows.numpy()[8:], z[:8])
    loss, scores = trainer.loss, []
    trainer.loss = lambda s, **queue: scores.append((s, queue)) or loss(s, **queue)
    trainer.loss.codes = loss.codes
    trainer.objective([tf.constant(v[:8]) for v in VIEWS], training=True)
    ((crops, queue),) = scores
    expected = trainer.queues[0].rows.numpy() @ trainer.prototypes.kernel.numpy()
    np.testing.assert_allclose(queue["queue"][0], expected, rtol=1e-4, atol=1e-6)
    assert np.all(queue["queue_weights"] == 1)
    assert abs(float(loss(crops, **queue)) - float(loss(crops))) > 1e-4


def test_queue_is_rounded_down():
    trainer = make(queue_length=20)
    with pytest.warns(UserWarning, match="rounded down to 16, a multiple of the global batch of 8"):
        fit(trainer, epochs=1)


def test_evaluate_changes_nothing():
    trainer = make(queue_length=16, freeze_prototypes_steps=1)
    before = trainer.get_weights()
    assert np.isfinite(trainer.evaluate(VIEWS, LABELS, batch_size=8, verbose=0)[0])
    for old, new in zip(before, trainer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_xla_gives_the_same_losses():
    options = dict(queue_length=16, freeze_prototypes_steps=2, probe=3)
    one, two = (fit(make(jit_compile=jit, **options), epochs=3) for jit in (False, True))
    np.testing.assert_allclose(one["loss"], two["loss"], rtol=1e-3)


def test_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    trainer = make(queue_length=16, freeze_prototypes_steps=1)
    assert np.all(np.isfinite(fit(trainer, epochs=4)["loss"]))
    for variable in (trainer.prototypes.kernel, trainer.queues[0].rows):
        assert variable.dtype == "float32"


def test_save_and_load_in_mid_training(tmp_path):
    trainer = make(queue_length=16, freeze_prototypes_steps=5, probe=3)
    fit(trainer)
    trainer.save(tmp_path / "trainer.keras")
    again = keras.models.load_model(tmp_path / "trainer.keras")
    assert int(again.queues[1].filled) == 16
    assert fit(trainer) == fit(again)  # out of the freeze, with a full queue
    for ours, theirs in zip(trainer.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_an_interrupted_training_goes_on_to_the_bit(tmp_path):
    """Cut while the prototypes are frozen and the queue half full, and again when it is used."""
    data = tf.data.Dataset.from_tensor_slices(VIEWS).batch(4, drop_remainder=True)
    data = data.map(lambda large, small: ((large, small),))

    def train(name, cut=None):
        trainer = make(queue_length=16, freeze_prototypes_steps=3)
        weights = fit_with_resume(trainer, data, tmp_path / name, steps=4, cut=cut)
        return [int(queue.filled) for queue in trainer.queues], weights

    whole = train("whole.npz")
    assert train("cut.npz", cut=2)[0] == [8, 8]
    assert train("cut.npz", cut=6)[0] == [16, 16]
    for ours, theirs in zip(whole[1], train("cut.npz")[1], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_queues_start_is_logged():
    data = tf.data.Dataset.from_tensor_slices(VIEWS).batch(4, drop_remainder=True)
    data = data.map(lambda large, small: ((large, small),))
    trainer = make(queue_length=8, queue_start_step=3)
    history = trainer.fit(data, epochs=3, verbose=0).history
    # filled by the fourth and the fifth of four steps an epoch, used from the sixth on
    assert history["queue_used"] == [0, 0.75, 1]
    assert "queue_used" not in fit(make(), epochs=1)


@pytest.mark.parametrize(("prototypes", "queue", "held"), ((17, 8, 16), (9, 0, 8), (16, 8, None)))
def test_more_prototypes_than_embeddings(recwarn, prototypes, queue, held):
    fit(make(num_prototypes=prototypes, queue_length=queue), epochs=1)
    found = [str(w.message) for w in recwarn if "fewer than the" in str(w.message)]
    assert all(f"hold {held} embeddings, fewer than the {prototypes}" in text for text in found)
    assert len(found) == (held is not None)


def test_prototypes_are_exported_as_unit_vectors(tmp_path):
    trainer = make(keras.optimizers.SGD(1.0))
    fit(trainer, epochs=1)
    kernel = trainer.prototypes.kernel.numpy()
    lengths = np.linalg.norm(kernel, axis=0)
    assert np.abs(lengths - 1).max() > 1e-4  # the last update moved them
    x = trainer.backbone.input
    scores = trainer.prototypes(trainer.projection_head(trainer.backbone(x)))
    path = tmp_path / "swav" / "1"
    kr.export.to_saved_model(keras.Model(x, scores), path, warmup=False)
    served = tf.saved_model.load(str(path)).signatures["serving_default"]
    (found,) = served(tf.constant(LARGE[:, 0])).values()
    z = trainer.projection_head(trainer.predict(LARGE[:, 0], verbose=0)).numpy()
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    np.testing.assert_allclose(found, z @ (kernel / lengths), rtol=1e-4, atol=1e-5)


def test_bad_input():
    for name in ("queue_length", "queue_start_step", "freeze_prototypes_steps"):
        with pytest.raises(ValueError, match=f"`{name}` must be >= 0"):
            make(**{name: -1})
    with pytest.raises(ValueError, match=r"crops_for_assign=\(0, 1\)\. Received.*\(0,\)"):
        make(loss=SwAVLoss(crops_for_assign=(0,)))
    with pytest.raises(ValueError, match="at least the global batch"):
        fit(make(queue_length=4))
    with pytest.raises(ValueError, match="at least two crops"):
        make().fit(LARGE[:, :1], batch_size=8, verbose=0)
    with pytest.raises(ValueError, match="`crops_for_assign` must be of the 5 crops"):
        fit(make(crops_for_assign=(0, 7)))
