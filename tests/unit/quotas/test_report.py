"""Rate limits as they are reported: what is known of them, what was used, when a turn comes."""

import pytest
from clock import BEGIN, Time
from money import SetClock

from gristmill.contract import Demand, RateLimitFeedback
from gristmill.quotas.report import Allowance, rate_limits, unused
from gristmill.quotas.turns import Turns
from gristmill.settings.rates import RateLimitSetting

SIXTY = RateLimitSetting("requests", 60, 60.0)
TOKENS = RateLimitSetting("tokens", 6000, 60.0)
PATIENCE = 600.0


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
    def make(*limits, service="openai"):
        facts = {"limits": limits, "clock": time.clock, "sleep": time.sleep}
        return Turns(time.database, service, "vendor.example", **facts)

    return make


async def only(time, **facts):
    (use,) = await rate_limits(time.database, **facts)
    return use


async def test_a_configured_limit_is_told_with_what_the_last_minute_used(time, turns):
    mine = turns(SIXTY)
    for _ in range(3):
        await mine.take(Demand(), PATIENCE)
    use = await only(time)
    assert (use.service, use.endpoint, use.pool, use.name) == (
        "openai",
        "vendor.example",
        "",
        "requests",
    )
    assert (use.set_to, use.told) == (Allowance(60, 60.0), None)
    assert (use.used, use.share, use.paused) == (3, 0.05, 0)
    assert use.next_turn == pytest.approx(1.02)


async def test_what_was_used_goes_out_of_the_minute_evenly(time, turns):
    mine = turns(SIXTY)
    await mine.take(Demand(requests=4), PATIENCE)
    await time.go(60)
    assert (await only(time)).used == 4
    await time.go(30)
    assert (await only(time)).used == 2
    await mine.take(Demand(requests=8), PATIENCE)
    assert (await only(time)).used == 10
    await time.go(30)
    assert (await only(time)).used == 8
    await time.go(600)
    assert (await only(time)).used == 0


async def test_a_limit_that_the_vendor_tells_has_its_time_and_the_slower_one_counts(time, turns):
    mine = turns(SIXTY)
    await mine.take(Demand(pool="wheat"), PATIENCE)
    await time.go(5)
    await mine.learn("wheat", RateLimitFeedback("requests", limit=30))
    await mine.learn("wheat", RateLimitFeedback("project-tokens", limit=9000))
    tokens, requests = await rate_limits(time.database)
    assert (requests.pool, requests.told, requests.per_minute) == ("wheat", Allowance(30, 60.0), 30)
    assert (requests.told_at - BEGIN).total_seconds() == 5
    assert (tokens.name, tokens.unit, tokens.set_to) == ("project-tokens", "tokens", None)


async def test_a_pause_is_how_long_everybody_waits(time, turns):
    mine = turns(SIXTY)
    await mine.take(Demand(), PATIENCE)
    await mine.pause("", 30.0)
    await time.go(10)
    use = await only(time)
    assert (use.paused, use.next_turn) == (20, 20)


async def test_a_burst_brings_the_next_turn_nearer(time, turns):
    mine = turns(SIXTY)
    await mine.take(Demand(requests=10), PATIENCE)
    assert (await only(time)).next_turn == pytest.approx(10.2)
    assert (await only(time, burst=5.0)).next_turn == pytest.approx(10.2 - 4)
    assert (await only(time, burst=60.0)).next_turn == 0


async def test_a_limit_that_is_no_longer_set_is_none(time, turns):
    await turns(SIXTY).take(Demand(), PATIENCE)
    await turns().take(Demand(), PATIENCE)
    assert await rate_limits(time.database) == []


def test_a_limit_is_told_before_the_first_call():
    use = unused("openai", "vendor.example", TOKENS)
    assert (use.unit, use.per_minute, use.share, use.next_turn) == ("tokens", 6000, 0, 0)
