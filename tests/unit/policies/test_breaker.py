"""A service that does not serve is left alone, and found out to serve again."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import pytest
import virtual_time
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import Look, answer

from gristmill import errors
from gristmill.contract import ServiceInterface
from gristmill.policies.breaker import (
    FIRST_SECONDS,
    LEAST,
    LONGEST_SECONDS,
    MEMORY_SECONDS,
    Breaker,
    BreakerFacts,
    BreakerState,
)
from gristmill.policies.retry import Retry

MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)
DOWN = "OpenAI cannot serve now (503)."


class Clock:
    now = 0.0

    def __call__(self):
        return self.now

    def today(self):
        return MIDNIGHT + timedelta(seconds=self.now)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def events(caplog):
    caplog.set_level(logging.INFO, logger="gristmill")
    return lambda: [(record.msg["event"], record.msg["level"]) for record in caplog.records]


class Vendor(ServiceInterface):
    """Answers each call as `behaviour` says; counts the calls."""

    def __init__(self, behaviour=None):
        self.behaviour = behaviour
        self.calls = 0
        self.available = True

    def is_available(self):
        return self.available

    async def get_health(self):
        raise NotImplementedError

    async def execute(self, operation):
        del operation
        self.calls += 1
        if isinstance(self.behaviour, BaseException):
            raise self.behaviour
        if self.behaviour is not None:
            await self.behaviour()
        return answer()


def broken(clock, **changes):
    """A breaker over a service that is down, and that service."""
    vendor = Vendor(errors.Unavailable(DOWN, service="openai", status=503))
    return Breaker(vendor, clock=clock, now=clock.today, **changes), vendor


async def ask(service, times=1):
    """What came of each call: an answer, or the kind of its error."""
    outcomes = []
    for _ in range(times):
        try:
            await service.execute(Look())
            outcomes.append("answer")
        except (errors.GristmillError, OSError) as error:
            outcomes.append(type(error).__name__)
    return outcomes


async def test_it_opens_when_a_few_calls_in_a_row_failed(clock):
    breaker, vendor = broken(clock)
    outcomes = await ask(breaker, LEAST + 3)
    assert outcomes == ["Unavailable"] * LEAST + ["BreakerOpen"] * 3
    assert vendor.calls == LEAST


async def test_a_service_that_mostly_answers_is_not_left_alone(clock):
    breaker, vendor = broken(clock)
    down = vendor.behaviour
    for number in range(200):
        vendor.behaviour = down if number % 3 == 2 else None
        await ask(breaker)
    assert vendor.calls == 200


async def test_half_of_the_last_calls_is_too_much(clock):
    breaker, vendor = broken(clock)
    down = vendor.behaviour
    vendor.behaviour = None
    await ask(breaker, 1000)
    vendor.behaviour = down
    outcomes = await ask(breaker, 11)
    assert outcomes == ["Unavailable"] * 10 + ["BreakerOpen"]


async def test_an_answer_never_opens_it(clock):
    breaker, vendor = broken(clock)
    await ask(breaker, LEAST - 1)
    vendor.behaviour = None
    assert await ask(breaker, 2) == ["answer"] * 2


async def test_what_failed_long_ago_is_forgotten(clock):
    breaker, _ = broken(clock)
    await ask(breaker, LEAST - 1)
    clock.now += MEMORY_SECONDS + 1
    assert await ask(breaker, LEAST) == ["Unavailable"] * LEAST


SERVES = [
    errors.Throttled("Slower.", status=429),
    errors.Rejected("No.", status=400),
    errors.NotFound("Not there.", status=404),
    errors.Unauthorized("Wrong key.", status=401),
    errors.QuotaExhausted("No credit.", status=402),
    errors.InvalidResponse("Nonsense."),
]
SHOWS_NOTHING = [
    errors.InvalidInput("An empty text; nothing was sent."),
    errors.Misconfigured("No key."),
    errors.RateLimited("Later.", retry_after=5.0),
    errors.DatabaseUnavailable("Gone."),
    OSError("disk full"),
]


@pytest.mark.parametrize("error", SERVES + SHOWS_NOTHING, ids=lambda e: type(e).__name__)
async def test_only_a_service_that_does_not_serve_opens_it(clock, error):
    breaker, vendor = broken(clock)
    vendor.behaviour = error
    assert await ask(breaker, 50) == [type(error).__name__] * 50


@pytest.mark.parametrize("kind", [errors.Unavailable, errors.OutcomeUnknown])
async def test_silence_counts_as_much_as_a_refusal(clock, kind):
    breaker, vendor = broken(clock)
    vendor.behaviour = kind("No answer in time.")
    assert (await ask(breaker, LEAST + 1))[-1] == "BreakerOpen"


async def test_a_refusal_says_why_until_when_and_what_to_do(clock):
    breaker, _ = broken(clock)
    await ask(breaker, LEAST)
    clock.now += 0.5
    with pytest.raises(errors.BreakerOpen) as caught:
        await breaker.execute(Look())
    assert str(caught.value) == (
        "OpenAI cannot serve now (503). 5 of its last 5 calls failed, so it is left alone until"
        " 00:00:02 UTC."
    )
    assert "by itself" in caught.value.advice
    assert caught.value.retry_after == FIRST_SECONDS - 0.5
    assert caught.value.retryable
    assert caught.value.no_effect


async def test_after_a_while_one_call_passes_and_its_success_lets_all_others_pass(clock):
    breaker, vendor = broken(clock)
    await ask(breaker, LEAST)
    vendor.behaviour = None
    clock.now += FIRST_SECONDS - 0.01
    assert await ask(breaker) == ["BreakerOpen"]
    clock.now += 0.01
    assert await ask(breaker, 100) == ["answer"] * 100


async def test_each_failed_probe_doubles_the_time_up_to_a_ceiling(clock):
    breaker, _ = broken(clock)
    await ask(breaker, LEAST)
    waits = []
    for _ in range(9):
        waits.append(breaker.facts.retry_after)
        clock.now += waits[-1]
        assert await ask(breaker) == ["Unavailable"]
    assert waits == [2, 4, 8, 16, 32, 64, 120, 120, 120]
    assert waits[-1] == LONGEST_SECONDS


async def test_the_ceiling_can_be_chosen(clock):
    breaker, _ = broken(clock, longest=1.0)
    await ask(breaker, LEAST)
    for _ in range(3):
        assert breaker.facts.retry_after == 1.0
        clock.now += 1.0
        await ask(breaker)


async def open_three_times(breaker, clock):
    await ask(breaker, LEAST)
    for _ in range(2):
        clock.now += breaker.facts.retry_after
        await ask(breaker)


async def test_a_service_that_falls_again_at_once_is_left_alone_for_longer(clock):
    breaker, vendor = broken(clock)
    down = vendor.behaviour
    await open_three_times(breaker, clock)
    clock.now += breaker.facts.retry_after
    vendor.behaviour = None
    await ask(breaker)
    vendor.behaviour = down
    await ask(breaker, LEAST)
    assert breaker.facts.retry_after == 16


async def test_a_service_that_has_recovered_is_given_the_first_short_time_again(clock):
    breaker, vendor = broken(clock)
    down = vendor.behaviour
    await open_three_times(breaker, clock)
    clock.now += breaker.facts.retry_after
    vendor.behaviour = None
    await ask(breaker, 1 + LEAST)
    vendor.behaviour = down
    while breaker.facts.state is BreakerState.CLOSED:
        await ask(breaker)
    assert breaker.facts.retry_after == FIRST_SECONDS


async def test_while_one_call_probes_all_others_are_refused(clock):
    breaker, vendor = broken(clock)
    await ask(breaker, LEAST)
    clock.now += FIRST_SECONDS
    answered = asyncio.Event()
    vendor.behaviour = answered.wait
    probe = asyncio.create_task(breaker.execute(Look()))
    await asyncio.sleep(0)
    assert not breaker.is_available()
    assert await ask(breaker, 10) == ["BreakerOpen"] * 10
    assert breaker.facts.retry_after == 2 * FIRST_SECONDS
    answered.set()
    await probe
    assert await ask(breaker) == ["answer"]


@pytest.mark.parametrize("error", [asyncio.CancelledError(), *SHOWS_NOTHING], ids=repr)
async def test_a_probe_that_shows_nothing_leaves_its_place_to_the_next_call(clock, error):
    breaker, vendor = broken(clock)
    await ask(breaker, LEAST)
    clock.now += FIRST_SECONDS
    vendor.behaviour = error
    with pytest.raises(type(error)):
        await breaker.execute(Look())
    assert breaker.is_available()
    vendor.behaviour = None
    assert await ask(breaker, 2) == ["answer"] * 2


async def test_what_began_before_a_change_changes_nothing_when_it_ends(clock):
    breaker, vendor = broken(clock)
    down, gates = vendor.behaviour, [asyncio.Event() for _ in range(4)]

    async def slow(gate, outcome):
        async def behaviour():
            await gate.wait()
            if outcome is not None:
                raise outcome

        vendor.behaviour = behaviour
        task = asyncio.create_task(ask(breaker))
        await asyncio.sleep(0)
        return task

    late = [await slow(gate, None) for gate in gates[:2]]
    late += [await slow(gate, down) for gate in gates[2:]]
    vendor.behaviour = down
    await ask(breaker, LEAST)
    gates[0].set()
    await late[0]
    assert breaker.facts.state is BreakerState.OPEN, "an old success does not close it"
    clock.now += FIRST_SECONDS
    vendor.behaviour = None
    await ask(breaker)
    for gate in gates:
        gate.set()
    await asyncio.gather(*late)
    assert breaker.facts == BreakerFacts(
        BreakerState.CLOSED, calls=0, failures=0, opened=1, last_error=DOWN
    ), "old failures do not count against a service that has recovered"


async def test_it_is_available_while_a_call_would_pass(clock):
    breaker, vendor = broken(clock)
    assert breaker.is_available()
    await ask(breaker, LEAST)
    assert not breaker.is_available()
    clock.now += FIRST_SECONDS
    assert breaker.is_available()
    vendor.available = False
    assert not breaker.is_available()


async def test_its_state_is_a_value(clock):
    breaker, vendor = broken(clock)
    assert breaker.facts == BreakerFacts()
    await ask(breaker, LEAST - 1)
    assert breaker.facts == BreakerFacts(BreakerState.CLOSED, calls=4, failures=4, last_error=DOWN)
    await ask(breaker)
    opened = BreakerFacts(
        BreakerState.OPEN, calls=5, failures=5, retry_after=2.0, opened=1, last_error=DOWN
    )
    assert breaker.facts == opened
    clock.now += FIRST_SECONDS
    vendor.behaviour = None
    await ask(breaker)
    assert breaker.facts.state is BreakerState.CLOSED


async def test_how_it_stands_is_told_to_whoever_asks_how_the_service_does(clock):
    breaker, _ = broken(clock)
    assert (breaker.live().breaker, breaker.live().breaker_seconds) == ("closed", None)
    await ask(breaker, LEAST)
    clock.now += 0.5
    assert (breaker.live().breaker, breaker.live().breaker_seconds) == ("open", 1.5)


async def test_each_change_is_an_event_and_the_end_is_told_to_whoever_waits(clock, events):
    told = []
    breaker, vendor = broken(clock, on_close=lambda: told.append(clock.now))
    await ask(breaker, LEAST)
    clock.now += FIRST_SECONDS
    await ask(breaker)
    clock.now += 2 * FIRST_SECONDS
    vendor.behaviour = None
    await ask(breaker, 3)
    assert events() == [
        ("breaker.opened", "warning"),
        ("breaker.half_open", "info"),
        ("breaker.opened", "warning"),
        ("breaker.half_open", "info"),
        ("breaker.closed", "info"),
    ]
    assert told == [6.0]


# A call of the history ends after some seconds, in one of four ways; or time passes.
STEPS = st.lists(
    st.tuples(st.sampled_from(["ok", "down", "busy", "cancelled"]), st.integers(0, 90))
    | st.floats(0.0, 200.0),
    max_size=60,
)


class Step(tuple):
    """A step as an operation."""

    __slots__ = ()
    service = "openai"
    name = "Step"


class Stepping(ServiceInterface):
    """Does what the operation says."""

    def is_available(self):
        return True

    async def get_health(self):
        raise NotImplementedError

    async def execute(self, operation):
        kind, seconds = operation
        await asyncio.sleep(seconds)
        if kind == "down":
            raise errors.OutcomeUnknown("No answer.")
        if kind == "busy":
            raise errors.Throttled("Slower.", status=429)
        return answer()


async def call(breaker, step):
    """One call of a history, that holds the breaker to its word."""
    is_available, state = breaker.is_available(), breaker.facts.state
    refusal = None
    try:
        await breaker.execute(Step(step))
    except errors.BreakerOpen as error:
        refusal = error
    except errors.ServiceError:
        pass
    assert is_available == (refusal is None)
    if refusal is not None:
        assert state is not BreakerState.CLOSED
        assert 0 <= refusal.retry_after <= LONGEST_SECONDS


async def play(breaker, steps):
    calls = []
    for step in steps:
        if isinstance(step, float):
            await asyncio.sleep(step)
            continue
        calls.append(asyncio.create_task(call(breaker, step)))
        await asyncio.sleep(0)
        if step[0] == "cancelled":
            calls[-1].cancel()
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        assert outcome is None or isinstance(outcome, asyncio.CancelledError)


@settings(deadline=None)
@given(STEPS)
def test_in_every_history_it_refuses_what_it_said_and_recovers_by_itself(steps):
    async def history():
        breaker = Breaker(Stepping(), clock=virtual_time.clock)
        await play(breaker, steps)
        await asyncio.sleep(LONGEST_SECONDS)
        assert breaker.is_available()
        await call(breaker, ("ok", 0))
        assert breaker.facts.state is BreakerState.CLOSED

    virtual_time.run(history())


@settings(deadline=None)
@given(STEPS)
def test_in_every_history_one_call_at_a_time_probes(steps):
    async def history():
        breaker = Breaker(service := Watched(), clock=virtual_time.clock)
        service.breaker = breaker
        await play(breaker, steps)
        assert service.probes == 0

    class Watched(Stepping):
        probes = 0

        async def execute(self, operation):
            is_probe = self.breaker.facts.state is BreakerState.HALF_OPEN
            self.probes += is_probe
            assert self.probes <= 1
            try:
                return await super().execute(operation)
            finally:
                self.probes -= is_probe

    virtual_time.run(history())


async def refuse():
    raise errors.Unavailable("No connection.")


async def hang():
    await asyncio.sleep(5.0)  # until the client gives up
    raise errors.OutcomeUnknown("No answer in time.")


async def refuse_sooner_or_later():
    await asyncio.sleep(virtual_time.clock() * 7919 % 3.0)
    raise errors.Unavailable("Cannot serve.")


@pytest.mark.parametrize("way", [refuse, hang, refuse_sooner_or_later])
def test_a_dead_vendor_is_called_at_most_forty_times_a_minute_by_thirty_two_tasks(way):
    async def hammer(service):
        while True:
            try:
                await service.execute(Look())
            except errors.GristmillError:
                await asyncio.sleep(0.1)

    async def minute():
        vendor = Vendor(way)
        breaker = Breaker(vendor, clock=virtual_time.clock)
        service = Retry(breaker, clock=virtual_time.clock)
        tasks = [asyncio.create_task(hammer(service)) for _ in range(32)]
        await asyncio.sleep(60.0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return vendor.calls

    assert virtual_time.run(minute()) <= 40
