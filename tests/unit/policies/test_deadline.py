"""One deadline over everything that waits."""

import asyncio
import math

import pytest

from gristmill.policies.deadline import remaining, within


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_without_a_deadline_nothing_is_bounded(clock):
    assert remaining(clock=clock) == math.inf


def test_what_remains_shrinks_with_the_clock(clock):
    with within(5.0, clock=clock):
        clock.now += 2
        assert remaining(clock=clock) == 3.0
        clock.now += 10
        assert remaining(clock=clock) <= 0
    assert remaining(clock=clock) == math.inf


def test_the_sooner_of_two_deadlines_counts(clock):
    with within(5.0, clock=clock):
        with within(60.0, clock=clock):
            assert remaining(clock=clock) == 5.0
        with within(1.0, clock=clock):
            assert remaining(clock=clock) == 1.0
        assert remaining(clock=clock) == 5.0


def test_a_deadline_is_over_with_its_block_also_after_an_error(clock):
    with pytest.raises(KeyError), within(5.0, clock=clock):
        raise KeyError
    assert remaining(clock=clock) == math.inf


async def test_tasks_begun_inside_share_it_and_others_do_not(clock):
    async def ask():
        return remaining(clock=clock)

    outside = asyncio.create_task(ask())
    with within(5.0, clock=clock):
        inside = asyncio.create_task(ask())
    assert (await outside, await inside) == (math.inf, 5.0)
