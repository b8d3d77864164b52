"""How the services do: asked for free, seldom, and told apart."""

import asyncio

import pytest
from simulator import SimulatorControl

from gristmill import Gristmill
from gristmill.contract import Status

LIST = "openai.models.list"
CASES = [
    (401, "invalid_api_key", Status.UNHEALTHY, "The key is wrong."),
    (429, "rate_limit_exceeded", Status.DEGRADED, "It is rate limited."),
    (503, "server_is_overloaded", Status.UNHEALTHY, "It is down or cannot be reached."),
    (404, "a page", Status.UNCONFIGURED, "It is misconfigured."),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case[0]))
async def test_each_trouble_of_one_service_is_told_as_what_it_is(
    mill: Gristmill, simulator: SimulatorControl, case: tuple[int, str, Status, str]
) -> None:
    status, code, expected, sentence = case
    if code == "a page":
        simulator.fault(LIST, "html", status=status)
    else:
        simulator.fault(LIST, "status", status=status, code=code)
    health = await mill.health()
    assert health["openai"].status is expected
    assert health["openai"].reason.startswith(sentence)
    assert health["llamaparse"].status is Status.HEALTHY


async def test_however_many_ask_the_service_is_asked_once_and_paid_nothing(
    mill: Gristmill, simulator: SimulatorControl
) -> None:
    answers = await asyncio.gather(*(mill.health() for _ in range(20)))
    assert {answer["openai"].status for answer in answers} == {Status.HEALTHY}
    assert simulator.calls(LIST) == 1
    assert simulator.paid_calls() == 0
