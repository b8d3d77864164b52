"""What is tried again, when, how often; time is moved, never waited for."""

import asyncio
import inspect
import logging
import math
import random

import pytest
import virtual_time
from hypothesis import given
from hypothesis import strategies as st
from scripted import Grind, Look, ScriptedService, Submit, answer

from gristmill import errors
from gristmill.policies.deadline import remaining, within
from gristmill.policies.retry import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    LONGEST_WAIT,
    PAID_TRIES,
    SECONDS,
    Retry,
    RetryFacts,
)

WORDS = "It does not work."
REPEATED = (errors.Throttled, errors.Unavailable, errors.OutcomeUnknown, errors.InvalidResponse)
ERRORS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.GristmillError) and kind is not errors.BudgetExceeded
]
BUDGET = errors.BudgetExceeded(
    "no", scope="global", key="", period="day", limit=1, spent=1, held=0, asked=1, window_end=None
)


class Time:
    """A clock that sleeping moves."""

    def __init__(self):
        self.now = 100.0
        self.slept = []

    def clock(self):
        return self.now

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def events(caplog):
    caplog.set_level(logging.INFO, logger="gristmill")
    return lambda: [record.msg for record in caplog.records]


def retrying(time, *script, **changes):
    inner = ScriptedService(script)
    facts = {"sleep": time.sleep, "clock": time.clock, "draw": random.Random(7), **changes}
    return Retry(inner, **facts), inner


async def test_what_was_refused_for_a_moment_succeeds_the_second_time(time):
    result = answer()
    service, inner = retrying(time, errors.Unavailable(WORDS), result)
    assert await service.execute(Look()) is result
    assert inner.calls == [Look(), Look()]
    assert 0 <= time.slept[0] <= FIRST_PAUSE


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
async def test_only_what_may_pass_the_next_time_is_tried_again(time, kind):
    service, inner = retrying(time, kind(WORDS), answer())
    if kind in REPEATED:
        await service.execute(Look())
    else:
        with pytest.raises(kind, match=WORDS):
            await service.execute(Look())
    assert len(inner.calls) == (2 if kind in REPEATED else 1)


async def test_a_budget_s_refusal_and_what_is_no_error_of_ours_go_up_at_once(time):
    for error in (BUDGET, OSError("disk"), asyncio.CancelledError()):
        service, inner = retrying(time, error)
        with pytest.raises(type(error)):
            await service.execute(Look())
        assert len(inner.calls) == 1


@pytest.mark.parametrize("kind", REPEATED)
async def test_what_may_have_happened_is_repeated_only_if_a_repeat_does_no_harm(time, kind):
    service, inner = retrying(time, kind(WORDS), answer())
    if kind.no_effect:
        await service.execute(Submit())
    else:
        with pytest.raises(kind):
            await service.execute(Submit())
    assert len(inner.calls) == (2 if kind.no_effect else 1)


@pytest.mark.parametrize("kind", [errors.OutcomeUnknown, errors.InvalidResponse])
async def test_what_may_be_billed_each_time_is_tried_a_few_times_only(time, kind):
    service, inner = retrying(time, *(kind(WORDS) for _ in range(50)))
    with pytest.raises(kind):
        await service.execute(Grind())
    assert len(inner.calls) == PAID_TRIES
    service, inner = retrying(time, *(kind(WORDS) for _ in range(50)))
    with pytest.raises(kind):
        await service.execute(Look())
    assert len(inner.calls) > PAID_TRIES


async def test_one_try_that_may_have_been_billed_is_enough_to_count_them_all(time):
    script = [errors.OutcomeUnknown(WORDS), *(errors.Unavailable(WORDS) for _ in range(50))]
    service, inner = retrying(time, *script)
    with pytest.raises(errors.Unavailable) as caught:
        await service.execute(Grind())
    assert len(inner.calls) == PAID_TRIES
    assert not caught.value.no_effect, "the first try may have been billed"


async def test_a_refusal_after_an_unknown_outcome_does_not_promise_that_nothing_happened(time):
    service, _ = retrying(time, errors.OutcomeUnknown(WORDS), errors.BreakerOpen("Left alone."))
    with pytest.raises(errors.BreakerOpen, match=r"^Left alone\.$") as caught:
        await service.execute(Look())
    assert not caught.value.no_effect
    assert errors.BreakerOpen.no_effect


async def test_pauses_are_drawn_below_a_bound_that_doubles(time):
    class Highest(random.Random):
        def uniform(self, _low, high):
            return high

    script = [errors.Unavailable(WORDS) for _ in range(50)]
    service, _ = retrying(time, *script, draw=Highest(), seconds=60)
    with pytest.raises(errors.Unavailable):
        await service.execute(Look())
    expected = [0.5, 1, 2, 4, 8, 8, 8, 8, 8, 8]
    assert time.slept == expected[: len(time.slept)]
    assert max(time.slept) == LONGEST_PAUSE


async def test_what_the_service_asks_to_wait_for_is_the_least(time):
    service, _ = retrying(time, errors.Throttled(WORDS, retry_after=3.0), answer())
    await service.execute(Look())
    assert 3.0 < time.slept[0] <= 3.0 + FIRST_PAUSE


async def test_a_wait_of_minutes_goes_up_with_its_length(time):
    error = errors.Throttled(WORDS, retry_after=LONGEST_WAIT + 1)
    service, inner = retrying(time, error, seconds=1000)
    with pytest.raises(errors.Throttled) as caught:
        await service.execute(Look())
    assert caught.value.retry_after == LONGEST_WAIT + 1
    assert (len(inner.calls), time.slept) == (1, [])


async def test_all_tries_begin_within_the_patience(time):
    service, inner = retrying(time, *(errors.Unavailable(WORDS) for _ in range(99)))
    with pytest.raises(errors.Unavailable):
        await service.execute(Look())
    assert time.now - 100.0 < SECONDS
    assert len(inner.calls) > 3


async def test_no_patience_is_one_try(time):
    service, inner = retrying(time, errors.Unavailable(WORDS), seconds=0)
    with pytest.raises(errors.Unavailable):
        await service.execute(Look())
    assert len(inner.calls) == 1


async def test_a_caller_in_a_hurry_is_answered_in_time(time):
    script = [errors.Throttled(WORDS, retry_after=1.0) for _ in range(9)]
    service, _ = retrying(time, *script)
    with pytest.raises(errors.Throttled), within(2.0, clock=time.clock):
        await service.execute(Look())
    assert time.now - 100.0 < 2.0


async def test_what_stands_below_knows_how_long_it_may_wait(time):
    class Curious(ScriptedService):
        async def execute(self, operation):
            seen.append(remaining(clock=time.clock))
            return await super().execute(operation)

    seen = []
    service = Retry(
        Curious([errors.Throttled(WORDS, retry_after=4.0), answer()]),
        sleep=time.sleep,
        clock=time.clock,
    )
    await service.execute(Look())
    assert seen == [SECONDS, pytest.approx(SECONDS - 4.0, abs=FIRST_PAUSE)]
    assert remaining() == math.inf


async def test_the_error_in_the_end_says_how_often_was_tried(time):
    service, inner = retrying(time, *(errors.Unavailable(WORDS) for _ in range(50)))
    with pytest.raises(errors.Unavailable) as caught:
        await service.execute(Look())
    assert caught.value.tries == len(inner.calls)
    assert str(caught.value) == f"It does not work. Tried {len(inner.calls)} times."


async def test_a_single_try_is_not_worth_a_word(time):
    service, _ = retrying(time, errors.Rejected(WORDS))
    with pytest.raises(errors.Rejected) as caught:
        await service.execute(Look())
    assert (caught.value.tries, str(caught.value)) == (1, WORDS)


async def test_each_retry_is_one_event_with_its_reason(time, events):
    service, _ = retrying(time, errors.Throttled(WORDS, retry_after=3.0), answer())
    await service.execute(Grind())
    (event,) = events()
    assert event.pop("timestamp")
    assert event == {
        "event": "service.retry",
        "level": "info",
        "logger": "gristmill.policies.retry",
        "service": "openai",
        "operation": "Grind",
        "why": "Throttled",
        "error": WORDS,
        "attempt": 2,
        "wait": round(time.slept[0], 3),
    }
    assert service.facts == RetryFacts(retries=1, last_error=WORDS)
    assert service.live().retries == 1


async def test_retries_end_when_all_calls_together_have_made_too_many(time, events):
    class Down(ScriptedService):
        async def execute(self, operation):
            self.calls.append(operation)
            raise errors.Unavailable(WORDS)

    inner = Down()
    service = Retry(inner, sleep=time.sleep, clock=lambda: 0.0)
    for _ in range(100):
        with pytest.raises(errors.Unavailable):
            await service.execute(Look())
    assert len(inner.calls) == 100 + 10 + 19  # the first tries, the floor, a fifth of a hundred
    assert service.facts.retries == 29
    assert service.facts.forgone > 0
    assert "service.retry_forgone" in {event["event"] for event in events()}


def test_a_cancelled_wait_ends_at_once():
    async def scenario():
        service = Retry(
            ScriptedService([errors.Throttled(WORDS, retry_after=9.0)]), clock=virtual_time.clock
        )
        call = asyncio.create_task(service.execute(Look()))
        await asyncio.sleep(1.0)
        call.cancel()
        await asyncio.wait([call])
        return call.cancelled(), len(service.next.calls), virtual_time.clock()

    assert virtual_time.run(scenario()) == (True, 1, 1001.0)


FAILURES = st.one_of(
    st.builds(errors.Throttled, st.just(WORDS), retry_after=st.none() | st.floats(0, 30)),
    *(
        st.builds(kind, st.just(WORDS))
        for kind in (errors.Unavailable, errors.OutcomeUnknown, errors.InvalidResponse)
    ),
    st.builds(errors.Rejected, st.just(WORDS)),
    st.builds(errors.BreakerOpen, st.just(WORDS), retry_after=st.floats(0, 30)),
)


@given(
    st.lists(FAILURES, max_size=30),
    st.sampled_from([Look(), Grind(), Submit()]),
    st.floats(0, 60),
    st.randoms(use_true_random=False),
)
def test_in_every_history_a_call_keeps_its_promises(script, operation, seconds, draw):
    time = Time()
    script = [*script, answer()]
    service, inner = retrying(time, *script, seconds=seconds, draw=draw)
    try:
        asyncio.run(service.execute(operation))
    except errors.GristmillError as error:
        went_up = error
    else:
        went_up = None
    made = script[: len(inner.calls)]
    risky = [isinstance(e, (errors.OutcomeUnknown, errors.InvalidResponse)) for e in made]
    assert time.now - 100.0 <= seconds + 1e-6
    for error, slept in zip(made, time.slept, strict=False):
        assert slept >= (error.retry_after or 0.0)
    if isinstance(operation, Submit):
        assert not any(risky[:-1]), "never a second time after an unknown outcome"
    if not operation.worst_case().is_free and any(risky[:-1]):
        assert len(made) <= PAID_TRIES
    if went_up is not None:
        assert went_up.no_effect == (not any(risky))
        assert went_up is made[-1]
