import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnets.layers import AdditiveAngularMargin, SpecAugment
from trainers import SpeakerTrainer, recipes


def test_predict_returns_embeddings_and_evaluate_has_no_margin(make_trainer, data):
    x, y, _ = data
    trainer = make_trainer()
    embeddings = trainer.predict(x, verbose=0)
    np.testing.assert_allclose(embeddings, trainer.encoder(x), rtol=1e-4, atol=1e-5)
    logits = trainer.head(embeddings)
    expected = keras.losses.sparse_categorical_crossentropy(y, logits, from_logits=True)
    result = trainer.evaluate(x, y, verbose=0, return_dict=True)
    assert result["loss"] == pytest.approx(float(np.mean(expected)), rel=1e-4)
    assert result["accuracy"] == pytest.approx(np.mean(np.argmax(logits, -1) == y))


def test_training_loss_has_the_margin_and_accuracy_has_not(make_trainer):
    # Two classes, the embedding nearer to its own by less than the margin.
    encoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, use_bias=False)])
    encoder.set_weights([np.eye(2, dtype="float32")])
    head = AdditiveAngularMargin(2, margin=0.5)
    trainer = make_trainer("sgd", encoder=encoder, head=head)
    head.kernel.assign(np.eye(2))
    x = np.array([[np.cos(0.7), np.sin(0.7)]], "float32")
    logs = trainer.train_on_batch(x, np.array([0]), return_dict=True)
    assert logs["accuracy"] == 1.0
    assert logs["loss"] == pytest.approx(np.log1p(np.exp(30 * (np.sin(0.7) - np.cos(1.2)))), 1e-4)


@pytest.mark.parametrize("form", ["tuple", "dict"])
def test_lengths_make_padding_irrelevant(make_trainer, data, form):
    x, y, lengths = data
    padded = np.concatenate([x, np.full((10, 7, 80), 9.0, "float32")], axis=1)

    def run(x):
        inputs = (x, lengths) if form == "tuple" else {"inputs": x, "lengths": lengths}
        trainer = make_trainer(keras.optimizers.SGD(0.01))
        return trainer.fit(inputs, y, epochs=2, shuffle=False, verbose=0).history["loss"]

    np.testing.assert_allclose(run(x), run(padded), rtol=1e-4)


def test_sample_weight(make_trainer, data):
    x, y, _ = data
    weight = np.array([1, 0] * 5, "float32")
    loss = make_trainer().evaluate(x, y, sample_weight=weight, verbose=0)[0]
    half = make_trainer().evaluate(x[::2], y[::2], verbose=0)[0]
    assert loss == pytest.approx(half / 2, rel=1e-4)  # Keras divides by the number of rows


@pytest.mark.parametrize("decoupled", [False, True])
def test_weight_decay_of_one_step_without_loss_gradient(make_trainer, data, decoupled):
    x, y, _ = data
    trainer = make_trainer(keras.optimizers.SGD(100.0), decoupled=decoupled)
    kernel, bias = trainer.encoder.get_layer("fc").trainable_variables
    bias.assign(np.linspace(1, 2, 12))
    before = [v.numpy() for v in (kernel, bias, trainer.head.kernel)]
    trainer.train_on_batch(x, y, sample_weight=np.zeros(10))
    after = [v.numpy() for v in (kernel, bias, trainer.head.kernel)]
    for b, a, rate in zip(before, after, (2e-5, 2e-5, 2e-4)):
        np.testing.assert_allclose(a, b * (1 - 100 * rate), rtol=1e-6)


def test_jit_steps_per_execution_and_accumulation_leave_the_losses(make_trainer, data):
    x, y, lengths = data
    dataset = tf.data.Dataset.from_tensor_slices(((x, lengths), y)).batch(5).repeat()

    def run(optimizer=None, **compile_args):
        trainer = make_trainer(optimizer or keras.optimizers.SGD(0.01), compile_args)
        fit = dict(steps_per_epoch=4, epochs=2, shuffle=False, verbose=0)
        return trainer.fit(dataset, **fit).history["loss"]

    plain = run()
    np.testing.assert_allclose(run(jit_compile=True), plain, rtol=1e-3)
    np.testing.assert_allclose(run(steps_per_execution=4), plain, rtol=1e-5)
    np.testing.assert_allclose(run(run_eagerly=True), plain, rtol=1e-4)
    accumulated = run(keras.optimizers.SGD(0.01, gradient_accumulation_steps=2))
    assert np.all(np.isfinite(accumulated))
    assert accumulated[1] < accumulated[0]


def test_accumulated_gradients_equal_the_whole_batch(make_trainer, data):
    """With BatchNormalization frozen and equal halves, two half batches are one batch."""
    x, y, _ = data

    def run(batch, **kwargs):
        trainer = make_trainer(keras.optimizers.SGD(0.1, **kwargs))
        for layer in trainer._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
        trainer.compile(trainer.optimizer)
        trainer.fit(x, y, batch_size=batch, shuffle=False, verbose=0)
        return trainer.encoder.get_layer("fc").kernel.numpy()

    np.testing.assert_allclose(run(5, gradient_accumulation_steps=2), run(10), atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(make_trainer, data, policy):
    x, y, _ = data
    keras.mixed_precision.set_global_policy(policy)
    try:
        trainer = make_trainer(keras.optimizers.SGD(0.01))
        loss = trainer.fit(x, y, epochs=12, verbose=0).history["loss"]
    finally:
        keras.mixed_precision.set_global_policy("float32")
    scaled = isinstance(trainer.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")
    assert loss[-1] < loss[0]


def test_waveforms_front_end_and_augmentation_in_training_only(make_trainer, make_ecapa):
    rng = np.random.default_rng(0)
    x, lengths = (
        rng.uniform(-0.1, 0.1, (4, 8000)).astype("float32"),
        np.array([8000, 8000, 700, 4000]),
    )
    y = np.array([0, 1, 2, 0])
    gain = GainRecorder()
    trainer = make_trainer(
        encoder=make_ecapa(),
        frontend="kaldi_fbank",
        augment={"waveform": gain, "features": SpecAugment(seed=1)},
    )
    whole = make_ecapa(frontend="kaldi_fbank")
    expected = whole([x, lengths])
    found = trainer.predict({"inputs": x, "lengths": lengths}, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    trainer.evaluate((x, lengths), y, verbose=0)
    assert gain.calls == 0
    trainer.fit((x, lengths), y, verbose=0)
    assert gain.calls > 0


@keras.saving.register_keras_serializable("test")
class GainRecorder(keras.layers.Layer):
    calls = 0

    def call(self, x, training=False):
        self.calls += 1
        return 2.0 * x


def test_augment_must_have_its_place(make_ecapa):
    head = AdditiveAngularMargin(3)
    with pytest.raises(ValueError, match="features"):
        SpeakerTrainer(
            make_ecapa(frontend="kaldi_fbank"), head, augment={"features": SpecAugment()}
        )
    with pytest.raises(ValueError, match="waveform"):
        SpeakerTrainer(make_ecapa(), head, augment={"waveform": SpecAugment()})
    with pytest.raises(ValueError, match="keys"):
        SpeakerTrainer(make_ecapa(), head, augment={"wave": SpecAugment()})


@pytest.mark.parametrize("label", [-1, 3])
def test_labels_out_of_range(make_trainer, data, label):
    x, y, _ = data
    y = y.copy()
    y[4] = label
    eager = make_trainer(compile_args={"run_eagerly": True})
    with pytest.raises(ValueError, match=r"\[0, 3\)"):
        eager.train_on_batch(x, y)
    assert np.isnan(make_trainer().test_on_batch(x, y)[0])
    assert np.isnan(make_trainer().train_on_batch(x, y)[0])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[0, 3\)"):
        make_trainer(debug_labels=True).train_on_batch(x, y)


def test_only_the_rows_with_wrong_labels_are_nan(make_trainer):
    check = tf.function(make_trainer()._checked_labels)
    _, safe, weight = check(tf.constant([[0], [7], [2], [-1]]), tf.constant([2.0, 1.0, 0.0, 0.0]))
    np.testing.assert_array_equal(safe, [0, 0, 2, 0])
    np.testing.assert_array_equal(weight, [2.0, np.nan, 0.0, np.nan])


def test_save_and_load(make_trainer, data, tmp_path):
    x, y, _ = data
    trainer = make_trainer(
        encoder=None, augment=SpecAugment(seed=3), decoupled=True, scope="kernels"
    )
    trainer.fit(x, y, verbose=0)
    trainer.head.margin.assign(0.13)
    trainer.save(tmp_path / "trainer.keras")
    loaded = keras.saving.load_model(tmp_path / "trainer.keras")
    assert isinstance(loaded, SpeakerTrainer)
    assert loaded.get_config().keys() == trainer.get_config().keys()
    assert (loaded.decoupled, loaded.scope) == (True, "kernels")
    assert float(loaded.head.margin) == pytest.approx(0.13)
    assert int(loaded.optimizer.iterations) == int(trainer.optimizer.iterations) == 1
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), trainer.predict(x, verbose=0))
    assert loaded.evaluate(x, y, verbose=0) == trainer.evaluate(x, y, verbose=0)
    loaded.fit(x, y, verbose=0)


def test_bad_arguments(make_trainer, make_encoder, data):
    with pytest.raises(ValueError, match="scope"):
        make_trainer(scope="weights")
    with pytest.raises(ValueError, match="head_weight_decay"):
        make_trainer(head_weight_decay=-1)
    with pytest.raises(ValueError, match="weight_decay"):
        make_trainer(keras.optimizers.AdamW())
    with pytest.raises(ValueError, match="shape"):
        make_trainer().train_on_batch(data[0], np.eye(10, 3))


def test_large_margin_finetune(make_trainer, data):
    x, y, _ = data
    head = AdditiveAngularMargin(3, top_k=1)
    trainer = make_trainer(head=head)
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(2)
    history = trainer.large_margin_finetune(dataset, epochs=2, verbose=0)
    recipe = recipes.ECAPA_LARGE_MARGIN
    assert len(history.history["loss"]) == 2
    assert float(head.margin) == pytest.approx(recipe.margin) == 0.5
    assert head.top_k == 0
    assert trainer.weight_decay == trainer.head_weight_decay == 1e-4
    assert isinstance(trainer.optimizer, keras.optimizers.SGD)
