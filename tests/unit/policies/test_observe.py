"""The observing layer: one event for each call."""

import asyncio
import logging

import pytest
from scripted import Grind, Look, ScriptedService, answer

from gristmill import errors
from gristmill.policies.observe import Observe
from gristmill.telemetry.correlation import bound

ADDRESS = "https://user@api.vendor.test:8443/v1"


class Clock:
    """Moves by a quarter of a second whenever it is read."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 0.25
        return self.now


def observed(*script):
    return Observe(ScriptedService(script), endpoint=ADDRESS, clock=Clock())


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
