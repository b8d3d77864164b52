"""The observing layer: one event for each call, and what the calls have shown."""

import asyncio
import logging

import pytest
from scripted import Grind, Look, ScriptedService, answer

from gristmill import errors
from gristmill.contract import ServiceHealth, Status
from gristmill.policies.observe import SAMPLES, CallFacts, Observe
from gristmill.telemetry.correlation import bound

ADDRESS = "https://user@api.vendor.test:8443/v1"


class Clock:
    """Moves by a quarter of a second whenever it is read."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 0.25
        return self.now


def observed(*script, **changes):
    return Observe(ScriptedService(script, **changes), endpoint=ADDRESS, clock=Clock())


@pytest.fixture
def events(caplog):
    caplog.set_level(logging.INFO, logger="gristmill")
    return lambda: [record.msg for record in caplog.records]


async def test_a_call_is_one_event_with_its_facts_and_ids(events):
    with bound(document="d1", collection="papers"):
        await observed(answer(used=3)).execute(Grind())

    (event,) = events()
    assert event.pop("timestamp")
    assert event == {
        "event": "service.call",
        "level": "info",
        "logger": "gristmill.policies.observe",
        "service": "openai",
        "operation": "Grind",
        "outcome": "ok",
        "seconds": 0.25,
        "request_id": "req_1",
        "origin": "real",
        "endpoint": "api.vendor.test",
        "document": "d1",
        "collection": "papers",
    }


@pytest.mark.parametrize(
    ("error", "outcome", "level"),
    [
        (errors.Unavailable("down", request_id="req_2"), "Unavailable", "warning"),
        (errors.Rejected("no", request_id="req_2"), "Rejected", "info"),
        (errors.DatabaseUnavailable("gone"), "DatabaseUnavailable", "warning"),
        (asyncio.CancelledError(), "cancelled", "info"),
        (ZeroDivisionError("a defect"), "ZeroDivisionError", "error"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_failed_call_says_how_it_ended_and_goes_on_to_the_caller(
    events, error, outcome, level
):
    with pytest.raises(type(error)) as caught:
        await observed(error).execute(Look())

    assert caught.value is error
    (event,) = events()
    assert (event["outcome"], event["level"]) == (outcome, level)
    assert event["request_id"] == getattr(error, "request_id", None)
    assert event["endpoint"] == "api.vendor.test:8443"


async def test_a_secret_in_an_error_does_not_reach_the_log(events):
    with pytest.raises(errors.Unauthorized):
        await observed(errors.Unauthorized("wrong key sk-test-0123456789")).execute(Look())
    assert events()[0]["error"] == "wrong key ***"


async def test_response_times_are_the_services_own_the_last_and_the_median():
    service = observed(*(answer(latency=seconds) for seconds in (0.1, 0.9, 0.2)))
    for _ in range(3):
        await service.execute(Look())
    assert service.facts == CallFacts(calls=3, last_response_time=0.2, p50_response_time=0.2)


async def test_old_response_times_are_forgotten():
    slow, fast = [answer(latency=9.0)] * SAMPLES, [answer(latency=0.1)] * SAMPLES
    service = observed(*slow, *fast)
    for _ in range(2 * SAMPLES):
        await service.execute(Look())
    assert service.facts.p50_response_time == 0.1


async def test_only_failures_of_the_service_count_as_its_errors():
    script = (
        errors.Unavailable("down"),
        errors.NotFound("gone"),
        errors.Misconfigured("no key"),
        asyncio.CancelledError(),
    )
    service = observed(*script)
    for error in script:
        with pytest.raises(type(error)):
            await service.execute(Look())
    assert service.facts == CallFacts(calls=4, error_count=1, last_error="down")


async def test_health_is_the_services_with_what_its_calls_have_shown():
    said = ServiceHealth(Status.HEALTHY, response_time=2.0, reason="It answers.")
    service = observed(errors.Unavailable("down"), answer(latency=0.3), health=said)
    assert await service.get_health() == said
    with pytest.raises(errors.Unavailable):
        await service.execute(Look())
    await service.execute(Look())
    assert await service.get_health() == ServiceHealth(
        Status.HEALTHY, response_time=0.3, error_count=1, last_error="down", reason="It answers."
    )
