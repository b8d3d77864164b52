"""A health probe of OpenAI is free, and its failures are told apart."""

import pytest

from gristmill.contract import Status

KEY = "The key is wrong."
FORBIDDEN = "The key is not allowed to do this."
LIMIT = "It is rate limited."
CREDIT = "The credit is used up."
OUTAGE = "It is down or cannot be reached."
SETTING = "It is misconfigured."
STRANGER = "What answers there is broken, or another service."

ANSWERS = [
    (401, "invalid_api_key", Status.UNHEALTHY, KEY),
    (403, None, Status.UNHEALTHY, FORBIDDEN),
    (401, "missing_scope", Status.UNHEALTHY, FORBIDDEN),
    (429, "rate_limit_exceeded", Status.DEGRADED, LIMIT),
    (429, "slow_down", Status.DEGRADED, LIMIT),
    (429, "insufficient_quota", Status.UNHEALTHY, CREDIT),
    (500, None, Status.UNHEALTHY, OUTAGE),
    (502, None, Status.UNHEALTHY, OUTAGE),
    (503, "server_is_overloaded", Status.UNHEALTHY, OUTAGE),
    (404, None, Status.UNCONFIGURED, SETTING),
    (400, None, Status.UNCONFIGURED, SETTING),
]


@pytest.mark.parametrize("row", ANSWERS)
async def test_each_failure_has_a_sentence_of_its_own_and_says_what_to_do(vendor, openai, row):
    status, code, expected, sentence = row
    vendor.says(status, {"error": {"message": "words", "type": None, "param": None, "code": code}})
    health = await openai.get_health()
    assert health.status is expected
    assert health.reason.startswith(sentence)
    assert "words" in health.reason
    assert health.reason.endswith(".")
    assert (health.error_count, health.response_time) == (1, None)
    assert health.last_error
    assert health.checked_at


async def test_a_good_answer_is_healthy_and_asked_for_once_without_paying(vendor, openai):
    vendor.says(200, {"object": "list", "data": [{"id": "text-embedding-3-small"}]})
    health = await openai.get_health()
    assert (health.status, health.last_error) == (Status.HEALTHY, None)
    assert health.response_time is not None
    assert [(r.method, r.target) for r in vendor.requests] == [("GET", "/models")]


async def test_a_page_of_somebody_else_is_not_taken_for_the_service(vendor, openai):
    vendor.says(200, b"<html>Welcome</html>")
    health = await openai.get_health()
    assert health.status is Status.UNHEALTHY
    assert health.reason.startswith(STRANGER)


async def test_a_broken_connection_is_an_outage_and_no_word_is_said_of_the_key(vendor, openai):
    vendor.does(vendor.vanish)
    health = await openai.get_health()
    assert health.status is Status.UNHEALTHY
    assert health.reason.startswith(OUTAGE)
    assert "key" not in health.reason


async def test_nobody_listening_is_an_outage(adapter_of):
    health = await adapter_of("openai", base_url="http://127.0.0.1:9").get_health()
    assert health.reason.startswith(OUTAGE)


async def test_a_silent_service_is_down_before_its_calls_would_time_out(vendor, adapter_of):
    vendor.does(vendor.stay_silent)
    adapter = adapter_of("openai", probe_seconds=0.05)
    await adapter._loaded()
    health = await adapter.get_health()
    assert health.status is Status.UNHEALTHY
    assert health.reason == f"{OUTAGE} No answer within 0.05 s."
