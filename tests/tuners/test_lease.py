import pytest

from tuners.lease import Leases


@pytest.fixture
def clock():
    class Clock:
        now = 0.0

        def __call__(self):
            return self.now

    return Clock()


def test_the_silent_expire(clock):
    leases = Leases(10, clock)
    leases.renew("a")
    clock.now = 5
    leases.renew("b")
    clock.now = 10.5
    assert leases.expired() == ["a"]
    leases.renew("a")
    assert leases.expired() == []
    clock.now = 100
    assert leases.expired() == ["b", "a"]
    leases.drop("b")
    assert leases.expired() == ["a"]


def test_default_follows_the_longest_silence(clock):
    leases = Leases(clock=clock)
    leases.renew("a")
    assert leases.limit() == 60
    clock.now = 50
    leases.renew("a")
    assert leases.limit() == 150
    clock.now = 190
    assert leases.expired() == []
    clock.now = 201
    assert leases.expired() == ["a"]


def test_zero_is_for_ever(clock):
    leases = Leases(0, clock)
    leases.renew("a")
    clock.now = 1e9
    assert leases.expired() == []


def test_bad_input():
    with pytest.raises(ValueError, match=r"`lease_s` must be None or >= 0.*-1"):
        Leases(-1)
