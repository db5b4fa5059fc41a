import numpy as np
import pytest
import tensorflow as tf

from keras_resnets.preprocessing.image.boxes import UNIFORM_AREAS, UNIFORM_HEIGHTS

LAWS = pytest.mark.parametrize("law", [UNIFORM_HEIGHTS, UNIFORM_AREAS], ids=["heights", "areas"])


def boxes(law, height, width, area, ratio=(3 / 4, 4 / 3), count=3000):
    draws = tf.random.stateless_uniform((count, law.draws), (1, 2))
    return law.boxes(draws, height, width, area, ratio).numpy()


@LAWS
@pytest.mark.parametrize("area", [(0.08, 1.0), (0.05, 0.14), (0.3, 0.3)])
@pytest.mark.parametrize("sides", [(300, 400), (90, 64), (32, 32)])
def test_areas_and_shapes_lie_in_their_ranges(law, area, sides):
    top, left, height, width = boxes(law, *sides, area).T
    share = height * width / np.prod(sides)
    rounding = 0 if area[0] < area[1] else 1 / height.min()
    assert area[0] - rounding <= share.min() and share.max() <= area[1] + rounding
    shape, rounding = width / height, 1 + 1.1 / min(height.min(), width.min())
    assert 0.75 / rounding < shape.min() and shape.max() < 4 / 3 * rounding
    assert top.min() >= 0 and (top + height).max() <= sides[0]
    assert left.min() >= 0 and (left + width).max() <= sides[1]


@LAWS
def test_boxes_reach_every_border(law):
    top, left, height, width = boxes(law, 40, 40, (0.5, 0.9)).T
    assert top.min() == left.min() == 0
    assert (top + height).max() == (left + width).max() == 40


def test_uniform_areas():
    """A square image has room for nearly all of them."""
    share = np.prod(boxes(UNIFORM_AREAS, 1000, 1000, (0.1, 0.5))[:, 2:], -1) / 1e6
    expected = np.linspace(0.1, 0.5, 9)
    np.testing.assert_allclose(np.quantile(share, np.linspace(0, 1, 9)), expected, atol=0.015)


def test_uniform_areas_have_a_uniform_logarithm_of_shape():
    height, width = boxes(UNIFORM_AREAS, 1000, 1000, (0.1, 0.5), (1 / 2, 2)).T[2:]
    quantiles = np.quantile(np.log2(width / height), np.linspace(0, 1, 9))
    np.testing.assert_allclose(quantiles, np.linspace(-1, 1, 9), atol=0.06)


def test_uniform_heights_are_as_tensorflows():
    """The distribution of area and shape of `sample_distorted_bounding_box`."""
    area, ratio = (0.08, 1.0), (3 / 4, 4 / 3)
    ours = boxes(UNIFORM_HEIGHTS, 300, 400, area, count=4000)[:, 2:]

    def draw(number):
        return tf.image.stateless_sample_distorted_bounding_box(
            (300, 400, 3),
            tf.zeros((0, 0, 4)),
            tf.stack([0, number]),
            min_object_covered=0.0,
            area_range=area,
            aspect_ratio_range=ratio,
            max_attempts=100,
            use_image_if_no_bounding_boxes=True,
        )[1]

    draw_all = tf.function(lambda n: tf.map_fn(draw, n))
    theirs = draw_all(tf.range(4000)).numpy()[:, :2]
    places = np.linspace(0.1, 0.9, 5)
    for measure in (np.prod, lambda sides, axis: sides[:, 1] / sides[:, 0]):
        quantiles = [np.quantile(measure(x, axis=-1), places) for x in (ours, theirs)]
        np.testing.assert_allclose(*quantiles, rtol=0.06)


@LAWS
def test_the_whole_image_where_nothing_fits(law):
    found = boxes(law, 20, 400, (0.5, 1.0), count=5)
    np.testing.assert_array_equal(found, np.tile([0, 0, 20, 400], (5, 1)))
