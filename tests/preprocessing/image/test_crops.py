import numpy as np
import pytest
import tensorflow as tf

from keras_resnets.preprocessing import image


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (64, 9, 7, 3)).astype("uint8")


def test_pad_crop_takes_every_place_of_the_padded_image(pictures):
    padded = np.pad(pictures, ((0, 0), (2, 2), (2, 2), (0, 0)))
    found = image.random_pad_crop(pictures, (3, 4), pad=2).numpy()
    assert found.dtype == "uint8" and found.shape == pictures.shape
    places = set()
    for original, crop in zip(padded, found):
        fits = [
            (row, column)
            for row in range(5)
            for column in range(5)
            if np.array_equal(original[row : row + 9, column : column + 7], crop)
        ]
        assert len(fits) == 1
        places.update(fits)
    assert {row for row, _ in places} == {column for _, column in places} == set(range(5))


def test_flip_mirrors_about_half(pictures):
    found = image.random_flip(pictures, (0, 5)).numpy()
    mirrored = [np.array_equal(a, b[:, ::-1]) for a, b in zip(found, pictures)]
    kept = [np.array_equal(a, b) for a, b in zip(found, pictures)]
    assert [a != b for a, b in zip(mirrored, kept)] == [True] * 64
    assert 16 < sum(mirrored) < 48
    np.testing.assert_array_equal(image.random_flip(pictures[0], (0, 5)).shape, (9, 7, 3))


@pytest.mark.parametrize("name", ["random_pad_crop", "random_flip"])
def test_random_functions_depend_on_the_seed_alone(pictures, name):
    function = getattr(image, name)
    graph = tf.function(function)(pictures, tf.constant([1, 2]))
    np.testing.assert_array_equal(graph, function(pictures, (1, 2)))
    assert not np.array_equal(graph, function(pictures, (1, 3)))


def test_resized_crop_lies_inside():
    """In the image `10 * row + column`, whose scale shows the piece that was cut."""
    rows, columns = np.meshgrid(np.arange(60.0), np.arange(80.0), indexing="ij")
    ramp = np.stack([rows, columns], -1).astype("float32")
    shares, ratios = [], []
    for seed in range(200):
        crop = image.random_resized_crop(ramp, (0, seed), 20).numpy()
        assert crop.shape == (20, 20, 2)
        step_y, step_x = crop[10, 10] - crop[9, 9]
        shares.append(400 * step_x * step_y / 4800)
        ratios.append(step_x / step_y)
    assert 0.07 < min(shares) < 0.2 and 0.6 < max(shares) <= 1.01
    assert 0.7 < min(ratios) < 0.85 and 1.2 < max(ratios) < 1.4
    again = image.random_resized_crop(ramp, (0, 199), 20)
    np.testing.assert_array_equal(again, crop)


@pytest.mark.parametrize("sides", [(300, 400), (257, 256), (100, 90)])
def test_eval_crop_is_the_middle(sides):
    rows, columns = np.meshgrid(*map(np.arange, sides), indexing="ij")
    ramp = np.stack([rows, columns], -1).astype("float32")
    crop = image.eval_crop(ramp, 56).numpy()
    middle = (np.array(sides) - 1) / 2
    scale = min(sides) / 64
    np.testing.assert_allclose(crop.mean((0, 1)), middle, atol=0.51 * scale)
    np.testing.assert_allclose(crop[40, 40] - crop[16, 16], 24 * scale, rtol=0.02)
    with pytest.raises(ValueError, match="share"):
        image.eval_crop(ramp, 56, share=0)


def test_pad_crop_wants_a_batch(pictures):
    with pytest.raises(ValueError, match="batch, height"):
        image.random_pad_crop(pictures[0], (0, 0))
