import dataclasses

import keras
import numpy as np
import pytest

from trainers import recipes
from trainers.recipes import Recipe, SpeakerRecipe
from trainers.schedules import WarmupDecay

ALL = [r for r in vars(recipes).values() if isinstance(r, SpeakerRecipe)]


def rates(recipe, steps_per_epoch, steps):
    schedule = recipe.build_schedule(steps_per_epoch)
    return [float(schedule(step)) for step in steps]


def test_paper():
    recipe = recipes.ECAPA_PAPER
    steps = [0, 32_500, 65_000, 130_000, 195_000, 325_000, 455_000, 520_000]
    expected = [1e-8, 5.00005e-4, 1e-3, 1e-8, 5.00005e-4, 2.500075e-4, 1.2500875e-4, 1e-8]
    np.testing.assert_allclose(rates(recipe, 8000, steps), expected, rtol=1e-5)
    assert (recipe.weight_decay, recipe.head_weight_decay) == (2e-5, 2e-4)
    assert recipe.total_epochs(8000) == 65


def test_other_schedules():
    speechbrain = rates(recipes.ECAPA_SPEECHBRAIN, 1, [65_000, 195_000])
    np.testing.assert_allclose(speechbrain, [1e-3, 1e-3], rtol=1e-5)
    wespeaker = rates(recipes.ECAPA_WESPEAKER, 10, [0, 30, 60, 750, 1500])
    expected = [0.0, 0.5 * 0.1 * 5e-4**0.02, 0.1 * 5e-4**0.04, 0.1 * 5e-4**0.5, 5e-5]
    np.testing.assert_allclose(wespeaker, expected, rtol=1e-5)
    taoruijie = rates(recipes.ECAPA_TAORUIJIE, 10, [0, 9, 10, 799])
    np.testing.assert_allclose(taoruijie, [1e-3, 1e-3, 9.7e-4, 1e-3 * 0.97**79], rtol=1e-5)
    cosine = rates(recipes.ECAPA_3DSPEAKER, 10, [0, 25, 50, 375, 700])
    np.testing.assert_allclose(cosine, [0, 0.1, 0.2, (0.2 + 5e-5) / 2, 5e-5], rtol=1e-4)
    small = rates(recipes.ECAPA_SMALL, 11, [0, 40, 80, 440, 800, 900])
    np.testing.assert_allclose(small, [0, 1e-3, 2e-3, 1e-3, 0, 0], atol=1e-9)


@pytest.mark.parametrize("recipe", ALL, ids=lambda r: r.name)
def test_every_recipe_builds_its_parts(recipe):
    optimizer = recipe.build_optimizer(100)
    assert optimizer.weight_decay is None
    assert type(optimizer) is type(keras.optimizers.get(recipe.optimizer))
    head = recipe.build_head(10)
    assert head.classes == 10 * len(recipe.speeds)
    assert (head.scale, head.top_k) == (recipe.scale, recipe.top_k)
    assert [c.end_margin for c in recipe.build_callbacks()] == [recipe.margin] * (
        recipe.start_margin is not None
    )
    assert keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert dataclasses.asdict(recipe)["name"] == recipe.name


def test_names_are_unique():
    assert len({r.name for r in ALL}) == len(ALL) == 7


def test_margin_schedules():
    wespeaker = recipes.ECAPA_WESPEAKER.build_callbacks()[0]
    assert [wespeaker.margin_at(e) for e in (0, 19, 39)] == [0.0, 0.0, 0.2]
    small = recipes.ECAPA_SMALL.build_callbacks()[0]
    assert small.unit == "step"
    assert small.margin_at(300) == pytest.approx(0.1)


def test_optimizer_options_pass():
    optimizer = recipes.ECAPA_WESPEAKER.build_optimizer(10, gradient_accumulation_steps=2)
    assert (optimizer.momentum, optimizer.nesterov) == (0.9, True)
    assert optimizer.gradient_accumulation_steps == 2


def test_recipes_are_frozen_and_checked():
    recipe = recipes.ECAPA_PAPER
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.batch_size = 1
    assert recipe.replace(batch_size=64).batch_size == 64
    assert recipe.batch_size == 128
    with pytest.raises(ValueError, match="epochs"):
        Recipe("x", "y", "z", batch_size=1)
    with pytest.raises(ValueError, match="schedule"):
        Recipe("x", "y", "z", batch_size=1, epochs=1, schedule="sawtooth")


@pytest.mark.parametrize("jit_compile", [False, True])
def test_warmup_decay_in_a_graph(jit_compile):
    import tensorflow as tf

    schedule = WarmupDecay(1.0, 0.01, 10, 2, "exponential")
    found = tf.function(schedule, jit_compile=jit_compile)(tf.constant(5, tf.int64))
    assert float(found) == pytest.approx(0.1)
    clone = WarmupDecay.from_config(schedule.get_config())
    assert float(clone(5)) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"shape": "cubic"}, "shape"),
        ({"warmup_steps": 10}, "warmup_steps"),
        ({"shape": "exponential", "end": 0.0}, "end"),
    ],
)
def test_warmup_decay_errors(change, match):
    with pytest.raises(ValueError, match=match):
        WarmupDecay(**{"peak": 1.0, "end": 0.1, "total_steps": 10, **change})
