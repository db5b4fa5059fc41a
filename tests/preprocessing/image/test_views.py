import numpy as np
import pytest
import tensorflow as tf

from keras_resnets.preprocessing import image

PLAIN = {"color_strength": 0, "grayscale": 0, "blur": False}
GROUPS = {"sizes": (16, 8), "counts": (2, 3)}


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).integers(0, 256, (40, 30, 3)).astype("uint8")


def seeds(count, first=7):
    return np.stack([np.full(count, first), np.arange(count)], -1)


def test_simclr_views(picture):
    views = image.simclr_views(picture, (0, 1), size=16)
    assert views.shape == (2, 16, 16, 3) and views.dtype == "float32"
    assert np.min(views) >= 0 and np.max(views) <= 1
    assert not np.array_equal(views[0], views[1])


def test_multi_crop(picture):
    large, small = image.multi_crop(picture, (0, 1), **GROUPS, blur=False)
    assert large.shape == (2, 16, 16, 3) and small.shape == (3, 8, 8, 3)
    (plain,) = image.multi_crop(picture, (0, 1), (16,), (2,), ((0.14, 1.0),), blur=False, mean=None)
    assert np.min(plain) >= 0 and np.max(plain) <= 1
    expected = (plain - np.array([0.485, 0.456, 0.406])) / [0.228, 0.224, 0.225]
    np.testing.assert_allclose(large, expected, atol=1e-5)


FUNCTIONS = {
    "simclr_views": lambda x, seed: image.simclr_views(x, seed, size=16),
    "multi_crop": lambda x, seed: image.multi_crop(x, seed, **GROUPS, blur=False),
    "crop_and_flip": lambda x, seed: image.crop_and_flip(x, seed, size=16),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_pure_function_of_image_and_seed(picture, name):
    """The same eagerly, in a graph, in `Dataset.map`, and for an image in a batch."""
    function = FUNCTIONS[name]
    eager = [function(picture, seed) for seed in seeds(4)]
    data = tf.data.Dataset.from_tensor_slices(seeds(4)).map(lambda seed: function(picture, seed))
    batch = function(np.stack([picture] * 4), seeds(4))
    for number, (one, mapped) in enumerate(zip(eager, data)):
        of_batch = tf.nest.map_structure(lambda x: x[number], batch)  # noqa: B023
        for a, b, c in zip(*map(tf.nest.flatten, (one, mapped, of_batch))):
            np.testing.assert_array_equal(a, b)
            np.testing.assert_allclose(a, c, atol=2e-3)
    assert not np.allclose(tf.nest.flatten(eager[0])[0], tf.nest.flatten(eager[1])[0], atol=0.1)


def test_images_may_have_unknown_sides(picture):
    function = tf.function(
        lambda image: FUNCTIONS["simclr_views"](image, (0, 1)),
        input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)],
    )
    expected = FUNCTIONS["simclr_views"](picture, (0, 1))
    np.testing.assert_allclose(function(picture), expected, atol=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_integers_are_scaled(dtype):
    top = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    picture = np.full((20, 20, 3), top // 5 if top > 1 else 0.2, dtype)
    views = image.simclr_views(picture, (0, 0), size=8, **PLAIN)
    np.testing.assert_allclose(views, np.full((2, 8, 8, 3), 0.2), rtol=1e-4)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_floats_in_0_to_255_are_an_error(picture, name):
    floats, function = picture.astype("float32"), FUNCTIONS[name]
    with pytest.raises(ValueError, match=r"in \[0, 1\].*Received: a greatest value of 255"):
        function(floats, (0, 0))
    data = tf.data.Dataset.from_tensors(floats).map(lambda x: function(x, (0, 0)))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"in \[0, 1\].*255"):
        next(iter(data))


def test_constant_images_stay_constant():
    """Under cut, flip and blur, at the borders too."""
    pictures = np.full((8, 30, 25, 3), 0.4, "float32")
    options = {"color_strength": 0, "grayscale": 0}
    views = image.simclr_views(pictures, seeds(8), size=40, **options)
    np.testing.assert_allclose(views, np.full_like(views, 0.4), rtol=1e-5)


def test_half_are_mirrored_and_pieces_have_their_area():
    """A ramp of rows and columns shows what was cut: 1,000 views."""
    rows, columns = np.meshgrid(np.arange(60.0), np.arange(60.0), indexing="ij")
    ramp = np.stack([rows, columns], -1).astype("float32") / 60
    x = image.simclr_views(np.stack([ramp] * 50), seeds(50), 12, views=20, **PLAIN).numpy()
    x = x.reshape(1000, 12, 12, 2) * 60
    down, right = (x[:, 6, 6] - x[:, 5, 5]).T * 12
    assert np.mean(right < 0) == pytest.approx(0.5, abs=0.05)
    share = down * np.abs(right) / 3600
    assert share.min() >= 0.0799 and share.max() <= 1.0001
    shape = np.abs(right) / down
    assert 0.7 < shape.min() < 0.8 and 1.25 < shape.max() < 1.42


def test_one_in_five_is_gray():
    picture = np.random.default_rng(0).uniform(size=(8, 8, 3)).astype("float32")
    options = {"size": 8, "views": 20, "color_strength": 0, "blur": False}
    x = image.simclr_views(np.stack([picture] * 50), seeds(50), **options).numpy()
    gray = np.ptp(x, -1).max((-2, -1)) < 1e-6
    assert gray.mean() == pytest.approx(0.2, abs=0.04)


def test_eight_in_ten_are_jittered_and_brightness_has_its_range():
    """Of a grey constant image, which contrast, saturation and hue leave alone."""
    constant = np.full((50, 8, 8, 3), 0.4, "float32")
    options = {"size": 8, "views": 20, "blur": False, "color_strength": 0.5}
    for kind in ("multiplicative", "additive"):
        x = image.simclr_views(constant, seeds(50), brightness=kind, **options).numpy()
        value = x.reshape(1000, -1)[:, 0]
        assert np.mean(np.abs(value - 0.4) > 1e-4) == pytest.approx(0.8, abs=0.04)
        ends = (0.24, 0.56) if kind == "multiplicative" else (0.0, 0.8)
        np.testing.assert_allclose((value.min(), value.max()), ends, atol=0.02)


def test_half_are_blurred_with_deviations_of_their_own():
    """Seen at a dot in the middle of the whole image."""
    dot = np.zeros((41, 41, 1), "float32")
    dot[20, 20] = 1
    options = {"size": 41, "views": 4, "area": (1, 1), "ratio": (1, 1), "color_strength": 0}
    x = image.simclr_views(np.stack([dot] * 100), seeds(100), grayscale=0, **options).numpy()
    peak = x.reshape(400, 41, 41)[:, 20, 20]
    # a deviation below 0.23 leaves the dot as it is
    assert np.mean(peak < 0.999) == pytest.approx(0.5 * (2 - 0.23) / 1.9, abs=0.07)
    assert len(np.unique(np.round(peak[peak < 0.999], 4))) > 50
    least = 1 / np.sum(np.exp(-0.5 * (np.arange(-2, 3) / 2.0) ** 2)) ** 2
    assert least - 1e-6 < peak.min() < least + 0.01


def test_one_channel_needs_views_without_colors():
    gray = np.random.default_rng(0).integers(0, 256, (28, 28, 1)).astype("uint8")
    views = image.simclr_views(gray, (0, 0), size=28, color_strength=0, grayscale=0)
    assert views.shape == (2, 28, 28, 1)
    assert image.crop_and_flip(gray, (0, 0), size=28).shape == (28, 28, 1)
    for options in ({}, {"color_strength": 0}, {"grayscale": 0}):
        with pytest.raises(ValueError, match="three channels"):
            image.simclr_views(gray, (0, 0), **options)
        with pytest.raises(ValueError, match="three channels"):
            image.multi_crop(gray, (0, 0), **options)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"area": (0, 1)}, "`area`"),
        ({"area": (0.5, 0.2)}, "`area`"),
        ({"ratio": (1,)}, "`ratio`"),
        ({"size": 0}, "`size`"),
        ({"views": 0}, "`views`"),
        ({"color_strength": -1}, "`color_strength`"),
        ({"grayscale": 1.5}, "`grayscale`"),
        ({"brightness": "plus"}, "`brightness`"),
        ({"seed": 3}, "`seed`"),
    ],
)
def test_simclr_errors(picture, options, message):
    with pytest.raises(ValueError, match=message):
        image.simclr_views(picture, **{"seed": (0, 0)} | options)


def test_multi_crop_errors(picture):
    with pytest.raises(ValueError, match="equally long"):
        image.multi_crop(picture, (0, 0), sizes=(32,))
