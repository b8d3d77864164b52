"""The layer that waits for turns: what it gives back, what it slows down, what it learns."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
from clock import Time
from money import SetClock
from scripted import ENDPOINT, Look, ScriptedService, answer

from gristmill.contract import Demand, RateLimitFeedback, Status
from gristmill.errors import BudgetExceeded, RateLimited, Throttled, Unavailable
from gristmill.policies import deadline
from gristmill.policies.rate_limit import RateLimit
from gristmill.quotas.turns import Turns
from gristmill.settings.rates import RateLimitSetting

SIXTY = RateLimitSetting("requests", 60, 60.0)


@dataclass(frozen=True, slots=True)
class Thresh(Look):
    """Takes tokens of a pool."""

    service: ClassVar[str] = "openai"

    def demand(self) -> Demand:
        return Demand(tokens=10, pool="wheat")


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
async def limited(time):
    turns = Turns(
        time.database, "openai", ENDPOINT, limits=[SIXTY], clock=time.clock, sleep=time.sleep
    )
    yield lambda *script, **changes: RateLimit(ScriptedService(script), turns=turns, **changes)
    await turns.close()


NO_MONEY = BudgetExceeded(
    "No room.", scope="global", key="", period="day", limit=1, spent=1, held=0, asked=1,
    window_end=None,
)  # fmt: skip


async def test_a_call_waits_for_its_turn(limited, time):
    layer = limited(answer(), answer())
    await layer.execute(Look())
    await layer.execute(Look())
    assert time.passed == pytest.approx(1.02)


async def test_who_would_wait_too_long_is_refused_before_anything_leaves(limited):
    layer = limited(answer(), patience=0.5)
    await layer.execute(Look())
    with pytest.raises(RateLimited):
        await layer.execute(Look())
    assert len(layer.next.calls) == 1


async def test_a_callers_deadline_bounds_its_waiting(limited):
    layer = limited(answer())
    await layer.execute(Look())
    with deadline.within(0.5), pytest.raises(RateLimited):
        await layer.execute(Look())


async def test_a_call_that_the_budget_refuses_gives_its_turn_back(limited, time):
    layer = limited(NO_MONEY, answer())
    with pytest.raises(BudgetExceeded):
        await layer.execute(Look())
    await layer._turns.close()
    await layer.execute(Look())
    assert time.passed == 0


async def test_a_call_that_has_left_keeps_its_turn_whatever_came_of_it(limited, time):
    layer = limited(Unavailable("gone"), answer())
    with pytest.raises(Unavailable):
        await layer.execute(Look())
    await layer.execute(Look())
    assert time.passed == pytest.approx(1.02)


async def test_after_a_429_everybody_waits_as_long_as_the_vendor_says(limited, time):
    layer = limited(Throttled("slower", retry_after=7.0), answer())
    with pytest.raises(Throttled):
        await layer.execute(Look())
    await layer.execute(Look())
    assert time.passed == pytest.approx(7.0, abs=0.1)


async def test_without_a_word_of_the_vendor_pauses_double_until_a_call_goes_through(limited, time):
    layer = limited(*[Throttled("slower")] * 3, answer(), Throttled("slower"), answer())
    ended = []
    for _ in range(6):
        with deadline.within(100):
            try:
                await layer.execute(Look())
            except Throttled:
                ended.append("429")
            else:
                ended.append(round(time.passed))
    assert ended == ["429", "429", "429", 1 + 2 + 4, "429", 1 + 2 + 4 + 1 + 1]


async def test_what_an_answer_tells_of_its_pool_is_heeded_by_the_next_call(limited, time):
    told = (RateLimitFeedback("tokens", limit=60, remaining=50),)
    layer = limited(answer(rate_limits=told), answer(rate_limits=told))
    await layer.execute(Thresh())
    await layer.execute(Thresh())
    assert time.passed == pytest.approx(1.02)
    with pytest.raises(RateLimited) as caught:
        await limited(answer(), patience=0.0).execute(Thresh())
    assert caught.value.retry_after == pytest.approx(10.2, abs=0.1)


async def test_requests_beyond_those_of_the_demand_are_counted_afterwards(limited, time):
    layer = limited(answer(requests=4), answer())
    await layer.execute(Look())
    await layer.execute(Look())
    assert time.passed == pytest.approx(4 * 1.02)


async def test_a_health_probe_takes_a_turn_and_is_left_out_where_there_is_none_soon(limited, time):
    layer = limited(answer())
    await layer.get_health()
    await layer.get_health()
    assert time.passed == pytest.approx(1.02)
    await layer._turns.pause("", 60.0)
    health = await layer.get_health()
    assert health.status is Status.UNKNOWN
    assert health.reason == "Not asked: its rate limit is used up for 60 s."
