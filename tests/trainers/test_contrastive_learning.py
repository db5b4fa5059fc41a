"""What training without labels must do to features of real images."""

import keras
import numpy as np
import pytest

import keras_resnets as kr
from keras_resnets.analysis import FeatureExtractor
from trainers.recipes import SIMCLR_SMALL


@pytest.mark.data
@pytest.mark.parametrize(
    ("side", "epochs"),
    [
        pytest.param(16, 16, marks=pytest.mark.slow),
        pytest.param(32, 10, marks=pytest.mark.release),
    ],
)
def test_neighbours_of_simclrs_features(side, epochs):
    """From 30 to above 36.5 % of ten classes: small images in a minute, whole ones in a few."""
    keras.utils.set_random_seed(0)
    data = kr.datasets.load("cifar10")
    assert data.x_train.shape == (4029, 32, 32, 3) and len(data.x_test) == 800
    backbone = kr.cifar_resnet(8, include_top=False, pooling="avg", input_shape=(side, side, 3))
    recipe = SIMCLR_SMALL.replace(size=side, epochs=epochs)
    steps = len(data.x_train) // recipe.batch_size
    extract = FeatureExtractor(backbone)
    small = [
        keras.ops.image.resize(x / np.float32(255), (side, side), antialias=True).numpy()
        for x in (data.x_train, data.x_test)
    ]

    def score():
        bank, queries = extract(small[0])[0], extract(small[1])[0]
        labels = data.y_train, data.y_test
        found = kr.metrics.knn_evaluate(bank, labels[0], queries, labels[1], k=20, temperature=0.1)
        return found.top1

    untrained = score()
    trainer = recipe.build_trainer(backbone)
    recipe.compile(trainer, steps, jit_compile=False)
    views = kr.datasets.multi_crop_dataset(
        data.x_train, recipe.batch_size, views=recipe.views, seed=0, repeat=True, batched=True
    )
    history = trainer.fit(
        views, steps_per_epoch=steps, epochs=recipe.epochs, shuffle=False, verbose=0
    )
    trained = score()
    assert history.history["loss"][-1] < 0.85 * history.history["loss"][0]
    assert trained >= 0.365 and trained >= untrained + 0.03, (untrained, trained)
