"""Turns in rate limits: evenly spaced, for every process together, void when a vendor says wait."""

import asyncio

import pytest
from clock import Time
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from money import SetClock

from gristmill.contract import Demand, RateLimitFeedback
from gristmill.errors import RateLimited, TooLarge
from gristmill.quotas.turns import LEAST_JITTER, SLICE_SECONDS, Turns
from gristmill.settings.rates import RateLimitSetting
from gristmill_simulators.bucket import Bucket

STRETCH = 1 + LEAST_JITTER / SLICE_SECONDS
SIXTY = RateLimitSetting("requests", 60, 60.0)
TOKENS = RateLimitSetting("tokens", 6000, 60.0)
ONE = Demand()


@pytest.fixture
async def time(database):
    clock = SetClock(database._conninfo)
    await clock.open()
    await clock.wind()
    time = Time(clock)
    await time.go(0)
    yield time
    await clock.close()


@pytest.fixture
def turns(time):
    def make(*limits, service="openai", **changes):
        facts = {"limits": limits, "clock": time.clock, "sleep": time.sleep, **changes}
        return Turns(time.database, service, "vendor.example", **facts)

    return make


async def times(time, turns, number, demand=ONE, patience=100.0):
    """When each of so many calls in a row has its turn."""
    began = []
    for _ in range(number):
        await turns.take(demand, patience)
        began.append(round(time.passed, 3))
    return began


async def test_the_first_call_goes_at_once_and_the_others_follow_evenly(time, turns):
    assert await times(time, turns(SIXTY), 4) == [0.0, 1.02, 2.04, 3.06]


async def test_two_services_at_one_address_have_limits_of_their_own(time, turns):
    parser, storage = turns(SIXTY, service="llamaparse"), turns(service="supabase")
    assert await times(time, parser, 1) == [0.0]
    assert await times(time, storage, 2) == [0.0, 0.0]
    assert await times(time, parser, 2) == [1.02, 2.04]
    await parser.pause("", 30.0)
    assert await times(time, storage, 1) == [2.04]
    assert await times(time, parser, 1) == [32.04]


async def test_of_two_limits_the_slower_one_sets_the_pace(time, turns):
    mixed = turns(SIXTY, TOKENS)
    assert await times(time, mixed, 2, Demand(tokens=10)) == [0.0, 1.02]
    assert await times(time, mixed, 2, Demand(tokens=500)) == [2.04, 7.14]


async def test_two_processes_keep_one_pace_together(time, turns):
    one, other = turns(SIXTY), turns(SIXTY)
    began = [await times(time, process, 1) for process in (one, other, one, other)]
    assert began == [[0.0], [1.02], [2.04], [3.06]]


async def test_pools_have_limits_of_their_own(time, turns):
    small = turns(SIXTY)
    assert await times(time, small, 1, Demand(pool="a")) == [0.0]
    assert await times(time, small, 1, Demand(pool="b")) == [0.0]


async def test_what_a_rest_has_saved_may_be_used_at_once_as_far_as_the_burst_allows(time, turns):
    saved = turns(SIXTY, burst=3.1)
    assert await times(time, saved, 5) == [0.0, 0.0, 0.0, 0.98, 2.0]
    await time.go(1000)
    assert await times(time, saved, 4) == [1002.0, 1002.0, 1002.0, 1002.98]


async def test_who_cannot_wait_so_long_is_told_how_long_and_takes_no_place(time, turns):
    one = turns(SIXTY)
    await times(time, one, 1)
    with pytest.raises(RateLimited) as caught:
        await one.take(ONE, 0.5)
    assert caught.value.retry_after == pytest.approx(1.02)
    assert await times(time, one, 1) == [1.02]


async def test_a_request_that_no_waiting_lets_through_is_refused_at_once(time, turns):
    with pytest.raises(TooLarge, match=r"7,000 tokens .* 6,000 in all"):
        await turns(TOKENS).take(Demand(tokens=7000), 100)
    assert time.passed == 0


async def test_without_a_limit_nobody_waits_and_the_database_is_asked_once_a_second(time, turns):
    free = turns()
    assert await times(time, free, 1000) == [0.0] * 1000
    other = turns()
    await other.pause("", 5.0)
    assert await free.take(ONE, 0) is None
    await time.go(1)
    with pytest.raises(RateLimited) as caught:
        await free.take(ONE, 0)
    assert caught.value.retry_after == pytest.approx(4.0)


async def test_a_vendor_teaches_its_limits_and_the_slower_of_told_and_set_counts(time, turns):
    one = turns(SIXTY)
    await one.learn("", RateLimitFeedback("requests", limit=30, remaining=30))
    assert await times(time, one, 2) == [0.0, 2.04]
    await one.learn("", RateLimitFeedback("requests", limit=600, remaining=600))
    await time.go(10)
    assert await times(time, one, 2) == [12.04, 13.06]


async def test_little_left_at_the_vendor_slows_down_and_much_left_never_speeds_up(time, turns):
    one = turns(SIXTY)
    await one.learn("", RateLimitFeedback("requests", limit=600, remaining=0))
    assert await times(time, one, 2) == [1.0, 2.02]
    await one.learn("", RateLimitFeedback("requests", limit=600, remaining=600))
    assert await times(time, one, 1) == [3.04]


async def test_a_limit_that_is_no_longer_set_is_gone_with_the_next_start(time, turns):
    await times(time, turns(SIXTY), 3)
    assert await times(time, turns(), 3) == [2.04] * 3


async def test_a_pause_voids_every_turn_and_they_begin_evenly_when_it_ends(time, turns):
    one, other = turns(SIXTY), turns(SIXTY)
    await times(time, one, 1)
    time.meanwhile = lambda: other.pause("", 10.0)
    began = await times(time, one, 3)
    assert began[0] == pytest.approx(10.0, abs=0.2)
    assert began[1:] == pytest.approx([began[0] + 1.02, began[0] + 2.04], abs=0.01)


async def test_calls_that_were_under_way_together_pause_once(time, turns):
    one = turns(SIXTY)
    await one.pause("", 10.0)
    await time.go(0.5)
    await one.pause("", 10.0)
    assert await times(time, one, 1) == [10.0]


async def test_a_turn_given_back_is_the_next_ones(time, turns):
    one = turns(SIXTY)
    turn = await one.take(ONE, 0)
    one.give_back(turn)
    await one.close()
    assert await times(time, one, 2) == [0.0, 1.02]


async def test_a_turn_that_others_stand_behind_is_lost(time, turns):
    one = turns(SIXTY)
    first = await one.take(ONE, 0)
    await one.take(ONE, 2)
    one.give_back(first)
    await one.close()
    assert await times(time, one, 1) == [2.04]


async def test_a_call_cancelled_while_it_waits_gives_its_turn_back(time, turns):
    one = turns(SIXTY)
    await times(time, one, 1)
    task = asyncio.current_task()

    async def cancel():
        task.cancel()
        await asyncio.sleep(0)

    time.meanwhile = cancel
    with pytest.raises(asyncio.CancelledError):
        await one.take(ONE, 100)
    task.uncancel()
    await one.close()
    assert await times(time, one, 1) == [1.02]


demands = st.lists(
    st.tuples(st.integers(1, 4000), st.floats(0, 2), st.floats(0, LEAST_JITTER / 2)),
    min_size=2,
    max_size=25,
)


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(demands=demands)
async def test_a_vendor_that_cuts_its_quota_into_seconds_refuses_nobody(turns, time, demands):
    one, other = turns(SIXTY, TOKENS), turns(SIXTY, TOKENS)
    await time.go(1000)  # whatever an earlier example has used
    buckets = {"requests": Bucket(60, 60.0, 1), "tokens": Bucket(6000, 60.0, 100)}
    for number, (tokens, rest, late) in enumerate(demands):
        demand = Demand(tokens=tokens)
        await (one, other)[number % 2].take(demand, 10_000)
        arrives = time.passed + late
        for name, bucket in buckets.items():
            assert bucket.wait(demand.of(name), arrives) == 0
            bucket.charge(demand.of(name), arrives)
        await time.go(rest)
