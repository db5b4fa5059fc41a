import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_resnets as kr
import tuners
from keras_resnets.models.fbnet_v3 import CONFIGS
from trainers.recipes import FBNETV3_SEARCH
from tuners.fbnet_v3 import CHOICES, FIXED

pytestmark = pytest.mark.slow

keras_tuner = pytest.importorskip("keras_tuner")


def tiny_space():
    """The space's dimensions, of one small value each but for three."""
    values = {name: [1] for name in CHOICES if name not in FIXED}
    values |= {name: [8] for name in values if name.endswith(("stem", "channels"))}
    values |= {name: [3] for name in values if "kernel" in name}
    values |= {"stage2_channels": [8, 16], "input_size": [32, 40]}
    return tuners.SearchSpace(
        [tuners.Ordinal(name, value, part="architecture") for name, value in values.items()]
    )


RECIPE = FBNETV3_SEARCH.shortened(1).replace(batch_size=8, normalization="data")
SPACE = tiny_space() + tuners.recipe_space(RECIPE, mixup=[0.1, 0.4], optimizer=["rmsprop", "sgd"])


@pytest.fixture(scope="module")
def batches():
    rng = np.random.default_rng(0)
    images = rng.standard_normal((16, 36, 36, 3)).astype("float32")
    return tf.data.Dataset.from_tensor_slices((images, np.arange(16) % 4)).batch(8)


def test_it_builds_the_point():
    hp = SPACE.to_hyperparameters()
    hp.values |= {"stage2_channels": 16, "input_size": 40, "mixup": 0.4, "optimizer": "sgd"}
    model = tuners.fbnet_v3_hypermodel(SPACE, classes=4, steps_per_epoch=2).build(hp)
    network = model.model
    assert network.input_shape == (None, 40, 40, 3) and network.output_shape == (None, 4)
    assert network.get_layer("stage2_block1_project_conv").filters == 16
    assert network.get_layer("dropout").rate == RECIPE.dropout
    assert isinstance(model.optimizer, keras.optimizers.SGD) and model.optimizer.use_ema
    assert float(model.optimizer.learning_rate) == pytest.approx(4 * RECIPE.learning_rate)
    assert model.weight_decay == RECIPE.weight_decay


def test_default_length_is_imagenets():
    space = tuners.fbnet_v3_recipe_space()
    model = tuners.fbnet_v3_hypermodel(space, config=CONFIGS["a0"]).build(
        space.to_hyperparameters()
    )
    schedule = model.optimizer.get_config()["learning_rate"]["config"]
    assert schedule["total_steps"] == 150 * (1_281_167 // 256)
    assert model.model.output_shape == (None, 1000)


def test_random_search_runs_on_it(batches, tmp_path):
    """Recipes of one small network; what is kept of a trial is the average, as it was tested."""
    config = kr.FBNetV3Config(8, [kr.StageConfig(3, 3, 1, 1, 8, 1, 2)], 1, 16, input_size=40)
    space = tuners.recipe_space(RECIPE, mixup=[0.1, 0.4], optimizer=["rmsprop", "sgd"])
    settings = dict(classes=4, steps_per_epoch=2, config=config, jit_compile=False)
    tuner = keras_tuner.RandomSearch(
        tuners.fbnet_v3_hypermodel(space, **settings),
        objective=keras_tuner.Objective("val_loss", "min"),
        max_trials=2,
        seed=1,
        directory=tmp_path,
    )
    tuner.search(batches.repeat(), validation_data=batches, verbose=0)
    scores = [trial.score for trial in tuner.oracle.trials.values()]
    assert len(scores) == 2 and np.all(np.isfinite(scores))
    tested = RECIPE.replace(size=40).prepare(batches, 4)
    loss = tuner.get_best_models()[0].evaluate(tested, verbose=0, return_dict=True)["loss"]
    assert loss == pytest.approx(min(scores), rel=1e-4)


@pytest.mark.parametrize(
    ("space", "config"),
    [
        (tuners.fbnet_v3_recipe_space(), None),
        (tuners.fbnet_v3_space(), CONFIGS["a"]),
    ],
)
def test_an_architecture_is_needed(space, config):
    with pytest.raises(ValueError, match="architectures or a `config`, and one only"):
        tuners.fbnet_v3_hypermodel(space, config=config)
