import numpy as np
import pytest

from keras_resnets.preprocessing.synthetic import synthetic_noises, synthetic_rooms


def test_rooms_decay_by_sixty_decibels_in_t60():
    (room,) = synthetic_rooms(1, t60=(0.4, 0.4), direct_to_reverb=(0, 0))
    assert len(room) == 6400
    tail = room[1:].astype("float64")
    early, late = (np.mean(tail[i : i + 640] ** 2) for i in (0, 5700))
    decibels = 10 * np.log10(early / late)
    assert decibels == pytest.approx(60 * 5700 / 6400, abs=2)


def test_rooms_have_the_asked_direct_to_reverberant_ratio():
    for room in synthetic_rooms(5, direct_to_reverb=(6, 6)):
        assert 10 * np.log10(room[0] ** 2 / np.sum(room[1:] ** 2)) == pytest.approx(6, abs=1e-3)


@pytest.mark.parametrize("slope", [0.0, 1.0, 2.0])
def test_noises_have_the_asked_slope(slope):
    (noise,) = synthetic_noises(1, seed=3, slope=(slope, slope))
    assert np.abs(noise).max() == pytest.approx(1)
    power = np.abs(np.fft.rfft(noise)) ** 2
    frequency = np.fft.rfftfreq(noise.size, 1 / 16000)
    low, high = (power[(frequency > f) & (frequency < 2 * f)].mean() for f in (200, 3200))
    assert np.log(low / high) / np.log(16) == pytest.approx(slope, abs=0.15)


def test_seeds_decide():
    for make in (synthetic_rooms, synthetic_noises):
        np.testing.assert_array_equal(make(2, seed=1)[1], make(2, seed=1)[1])
        assert not np.array_equal(make(1, seed=1)[0][:100], make(1, seed=2)[0][:100])
