import keras
import numpy as np
import pytest
import tensorflow as tf

import tuners
from tuners.ensemble import EnsembleDense, EnsembleTraining, epochs_of_batches
from tuners.predictor import huber
from tuners.ranks import kendall_tau

SPACE = tuners.SearchSpace(
    [
        *(tuners.Integer(f"width{i}", 1, 32, part="architecture") for i in range(3)),
        tuners.Categorical("kind", ["a", "b", "c"], part="architecture"),
        tuners.Real("rate", 1e-4, 1e-1, log=True),
    ]
)
POINTS = SPACE.sample(600, seed=0)


def params(configs):
    return np.array([c["width0"] * c["width1"] + c["width1"] * c["width2"] for c in configs])


def accuracy(configs):
    return np.log(params(configs)) - np.abs(np.log10([c["rate"] for c in configs]) + 2.5)


def pretrained(**options):
    predictor = tuners.ArchitectureRecipePredictor(SPACE, **options)
    predictor.fit_statistics(POINTS, {"params": params(POINTS), "zero": np.zeros(len(POINTS))})
    return predictor


@pytest.fixture(scope="module")
def predictor():
    predictor = pretrained(seed=1)
    predictor.fit_results(POINTS[:40], accuracy(POINTS[:40]))
    return predictor


def r_squared(truth, found):
    return 1 - np.mean((truth - found) ** 2) / np.var(truth)


def test_it_learns_the_free_statistics():
    fresh = SPACE.sample(200, seed=5)
    predictor = tuners.ArchitectureRecipePredictor(SPACE)
    statistics = {"params": params(POINTS), "zero": np.zeros(len(POINTS))}
    predictor.fit_statistics(POINTS, statistics, epochs=60)
    found = predictor.predict_statistics(fresh)
    assert r_squared(np.log(params(fresh)), np.log(found["params"])) > 0.9
    np.testing.assert_allclose(found["zero"], 0, atol=0.1)


@pytest.mark.slow
def test_it_learns_fbnet_v3s_multiply_adds():
    space = tuners.fbnet_v3_space()
    points = space.sample(20_000)
    statistics = tuners.fbnet_v3_statistics(points)
    predictor = tuners.ArchitectureRecipePredictor(space)
    predictor.fit_statistics(points[:16_000], {n: v[:16_000] for n, v in statistics.items()})
    found = predictor.predict_statistics(points[16_000:])["macs"]
    assert r_squared(np.log(statistics["macs"][16_000:]), np.log(found)) > 0.98


def test_it_ranks_what_it_has_not_seen(predictor):
    fresh = SPACE.sample(300, seed=5)
    assert kendall_tau(predictor.score(fresh), accuracy(fresh)) > 0.5
    explored = predictor.score(fresh, exploration=2.0) - predictor.score(fresh)
    assert np.all(explored > 0)  # its members never agree quite
    np.testing.assert_array_equal(
        predictor.score(fresh), predictor.score_vectors(SPACE.encode(fresh))
    )


def test_only_ranks_count_and_failures_are_the_worst(predictor):
    values = accuracy(POINTS[:40])
    failed = values <= np.sort(values)[4]
    a, b = (tuners.ArchitectureRecipePredictor(SPACE, seed=2) for _ in "ab")
    a.fit_results(POINTS[:40], np.where(failed, -1e7, np.exp(values)))
    b.fit_results(POINTS[:40], np.where(failed, np.nan, values))
    np.testing.assert_array_equal(a.score(POINTS), b.score(POINTS))


def test_it_learns_anew_every_time(predictor):
    """What was learnt before, in whatever order, plays no part."""
    again = pretrained(seed=1)
    again.fit_results(POINTS[40:50], -accuracy(POINTS[40:50]))
    again.fit_results(POINTS[:40], accuracy(POINTS[:40]))
    np.testing.assert_array_equal(again.score(POINTS), predictor.score(POINTS))
    # another seed is another ensemble
    other = pretrained(seed=2)
    other.fit_results(POINTS[:40], accuracy(POINTS[:40]))
    assert not np.array_equal(other.score(POINTS), predictor.score(POINTS))


@pytest.mark.parametrize("epochs", [0, 50, 100])
def test_a_frozen_encoder_stays_as_it_is(epochs):
    predictor = tuners.ArchitectureRecipePredictor(SPACE, freeze_epochs=epochs)
    before = [weight.tobytes() for weight in predictor.encoder.get_weights()]
    head = predictor.heads[0].get_weights()[0]
    predictor.fit_results(POINTS[:5], accuracy(POINTS[:5]))
    after = [weight.tobytes() for weight in predictor.encoder.get_weights()]
    assert (after == before) == (epochs == 100)
    assert not np.array_equal(predictor.heads[0].get_weights()[0], head)


def test_saved_and_loaded_it_scores_the_same(predictor, tmp_path):
    path = tmp_path / "predictor.npz"
    predictor.save(path)
    again = tuners.ArchitectureRecipePredictor.load(path, SPACE)
    np.testing.assert_array_equal(again.score(POINTS, 0.5), predictor.score(POINTS, 0.5))
    found, expected = (p.predict_statistics(POINTS)["params"] for p in (again, predictor))
    np.testing.assert_array_equal(found, expected)
    # also what it learns from now on
    for p in (again, copy := tuners.ArchitectureRecipePredictor.load(path, SPACE)):
        p.fit_results(POINTS[:10], accuracy(POINTS[:10]))
    np.testing.assert_array_equal(again.score(POINTS), copy.score(POINTS))
    other = tuners.SearchSpace([tuners.Integer("width0", 1, 32, part="architecture")])
    with pytest.raises(ValueError, match="must be of the given space"):
        tuners.ArchitectureRecipePredictor.load(path, other)


def test_rank_by_leaving_out(predictor):
    before = predictor.score(POINTS)
    tau = predictor.evaluate_rank(POINTS[:60], accuracy(POINTS[:60]), folds=3)
    noise = np.random.default_rng(0).normal(size=60)
    assert tau > 0.4 > predictor.evaluate_rank(POINTS[:60], noise, folds=3)
    np.testing.assert_array_equal(predictor.score(POINTS), before)


def test_measured_quantities():
    predictor = tuners.ArchitectureRecipePredictor(SPACE, measured=["memory"])
    some = POINTS[:80]
    memory = np.where(np.arange(80) % 4, params(some), np.nan)
    predictor.fit_results(some, accuracy(some), {"memory": memory})
    limit = tuners.Constraint("memory", max=float(np.nanmedian(memory)), measured=True)
    inside = limit.allows(params(POINTS))
    scores = predictor.score(POINTS, constraints=[limit])
    assert scores.min() >= 0 and scores.max() <= 1
    best = np.argsort(-scores)[:30]
    assert inside[best].mean() > 0.9 > inside[np.argsort(-predictor.score(POINTS))[:30]].mean()


@pytest.mark.parametrize("part", ["architecture", "recipe"])
def test_spaces_of_one_part(part):
    space = tuners.SearchSpace([tuners.Integer(name, 0, 9, part=part) for name in "ab"])
    predictor = tuners.ArchitectureRecipePredictor(space)
    configs = space.sample(30)
    values = [config["a"] for config in configs]
    predictor.fit_results(configs, values)
    assert kendall_tau(predictor.score(configs), values) > 0.5
    if part == "recipe":
        with pytest.raises(ValueError, match="of part 'architecture'"):
            predictor.fit_statistics(configs, {"a": values})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p.fit_results(POINTS[:2], [1.0]), "1 for 2"),
        (lambda p: p.fit_results([], []), "at least one"),
        (lambda p: p.fit_statistics(POINTS[:2], {"a": [1.0]}), "1 for 2"),
        (lambda p: p.evaluate_rank(POINTS[:5], np.ones(5), folds=3), "folds=3 of 5"),
    ],
)
def test_bad_input(predictor, make, message):
    with pytest.raises(ValueError, match=message):
        make(predictor)


def test_hubers_gradient_ends_at_one():
    errors = tf.constant([-3.0, -1.0, -0.5, 0.0, 0.25, 1.0, 2.0])
    with tf.GradientTape() as tape:
        tape.watch(errors)
        losses = huber(tf.zeros(7), errors)
    np.testing.assert_allclose(losses, [2.5, 0.5, 0.125, 0, 0.03125, 0.5, 1.5])
    np.testing.assert_allclose(tape.gradient(losses, errors), [-1, -1, -0.5, 0, 0.25, 1, 1])


def test_the_ensemble_trains_as_its_members_alone():
    """Against Keras' own layer, loss and Adam, on each member's batches."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)).astype("float32"), rng.normal(size=(20, 2)).astype("float32")
    y[3, 1] = np.nan
    model = keras.Sequential([keras.Input((None, 3)), EnsembleDense(4, 2)])
    start = [w.copy() for w in model.get_weights()]
    batches = epochs_of_batches(4, 20, epochs=3, batch_size=8, rng=rng, bootstrap=True)
    assert batches.shape == (9, 4, 8)
    rates = [0.1] * 5 + [0.01] * 4
    EnsembleTraining(model, huber).run(x, y, batches, rates)
    for member in range(4):
        alone = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        alone.set_weights([start[0][member], start[1][member, 0]])
        adam = keras.optimizers.Adam()
        for batch, rate in zip(batches[:, member], rates):
            adam.learning_rate = rate
            known = np.isfinite(y[batch])
            with tf.GradientTape() as tape:
                losses = huber(np.nan_to_num(y[batch]), alone(x[batch])) * known
                loss = tf.reduce_sum(losses) / 8
            variables = alone.trainable_variables
            adam.apply(tape.gradient(loss, variables), variables)
        for found, expected in zip(model.get_weights(), alone.get_weights()):
            np.testing.assert_allclose(found[member].reshape(expected.shape), expected, atol=1e-3)


def test_batches_are_epochs():
    batches = epochs_of_batches(2, 10, 3, 4, np.random.default_rng(0))
    for member in (0, 1):
        for epoch in batches[:, member].reshape(3, 12):
            assert sorted(epoch[:10]) == list(range(10))
            np.testing.assert_array_equal(epoch[10:], epoch[:2])
    resampled = epochs_of_batches(2, 10, 2, 5, np.random.default_rng(0), bootstrap=True)
    one, two = resampled[:, 0].reshape(2, 10)
    assert sorted(one) == sorted(two) != list(range(10))
