"""How the services do: asked for free, seldom, and told apart."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from simulator import SimulatorControl
from typer.testing import CliRunner

from gristmill import Gristmill
from gristmill.cli.app import app
from gristmill.contract import Status
from gristmill.settings import Settings, load_settings

LIST = "openai.models.list"
PRICES = """
version = "1"
source = "a test"
[[price]]
service = "openai"
product = "text-embedding-3-small"
host = "127.0.0.1:9"
dollars_per_million_tokens = "0.02"
[[price]]
service = "llamaparse"
product = "credit"
host = "127.0.0.1:9"
dollars_per_thousand_credits = "1.25"
"""
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


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wants to know asks each time."""
    monkeypatch.setattr("gristmill.health.heard.FRESH", 0.0)


@pytest.mark.usefixtures("at_once")
async def test_a_service_that_was_away_and_is_back_is_said_to_be(
    mill: Gristmill, simulator: SimulatorControl
) -> None:
    for _ in range(2):
        simulator.fault(LIST, "status", status=503)
        assert (await mill.health())["openai"].status is Status.UNHEALTHY
    health = (await mill.health())["openai"]
    assert health.status is Status.DEGRADED
    assert health.reason == "2 of its 3 calls in the last minute failed; the last one went well."
    assert health.errors == {"Unavailable": 2}
    (change,) = [each for each in await mill.health_changes() if each.service == "openai"]
    assert (change.before, change.after) == (Status.UNKNOWN, Status.UNHEALTHY)


async def test_a_slow_service_is_degraded(
    mill: Gristmill, simulator: SimulatorControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gristmill.health.rules.SLOW_PROBE_SECONDS", 0.1)
    simulator.fault(LIST, "delay", seconds=0.2)
    health = (await mill.health())["openai"]
    assert health.status is Status.DEGRADED
    assert health.reason.startswith("It is slow")


async def test_what_an_ended_process_has_heard_is_known_to_the_next_one(
    settings: Settings, write_pdf: Callable[..., Path], simulator: SimulatorControl
) -> None:
    async with Gristmill(settings) as first:
        assert (await first.ingest(write_pdf("one.pdf", "Rye."))).is_complete
    asked = simulator.calls(LIST)
    async with Gristmill(settings) as second:
        health = await second.health(ask="never")
    assert {name: each.status for name, each in health.items()} == {
        "openai": Status.HEALTHY,
        "llamaparse": Status.HEALTHY,
        "supabase": Status.HEALTHY,
    }
    assert all(each.calls and each.response_time for each in health.values())
    assert simulator.calls(LIST) == asked


async def test_what_two_processes_hear_is_one_answer(
    settings: Settings, mill: Gristmill, simulator: SimulatorControl
) -> None:
    simulator.fault(LIST, "status", status=401, code="invalid_api_key")
    assert (await mill.health())["openai"].status is Status.UNHEALTHY
    async with Gristmill(settings) as other:
        health = (await other.health())["openai"]
    assert health.reason.startswith("The key is wrong.")
    assert simulator.calls(LIST) == 1


@pytest.fixture
def cli(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., str]:
    """Runs a command and gives what it prints."""
    assert settings.database_url is not None
    monkeypatch.setenv("GRISTMILL_HOME", str(settings.home))
    monkeypatch.setenv("DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("GRISTMILL_SIMULATOR_URL", str(settings.simulator_url))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, list(arguments))
        assert result.exit_code == code, result.output
        return result.output

    return run


def services(printed: str) -> dict[str, Any]:
    return dict(json.loads(printed)["services"])


def test_the_exit_code_is_0_only_if_all_are_healthy(
    cli: Callable[..., str], simulator: SimulatorControl
) -> None:
    assert services(cli("health", "--json")).keys() == {"openai", "llamaparse", "supabase"}
    simulator.fault("llamacloud.*", "status", status=503, count=None)
    cli("health", "openai")
    assert "There is no service 'nobody'" in cli("health", "nobody", code=2)
    cli("health", "--watch", "--json", code=2)


@pytest.mark.usefixtures("at_once")
def test_the_command_tells_an_outage_of_one_service_and_what_is_left_of_quota_and_budget(
    cli: Callable[..., str], simulator: SimulatorControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRISTMILL_RATE_LLAMAPARSE", "20/minute")
    cli("budget", "set", "--daily", "5", "--service", "openai=2/day")
    simulator.fault("supabase.*", "status", status=503, count=None)
    found = services(cli("health", "--json", code=1))
    assert found["supabase"]["reason"].startswith("It is down or cannot be reached.")
    left = {name: each["budget_left"] for name, each in found.items()}
    assert left == {"openai": 2 * 10**9, "llamaparse": 5 * 10**9, "supabase": None}
    assert found["llamaparse"]["quota_left"] == pytest.approx(0.95, abs=0.01)
    assert "unhealthy" in cli("health", code=1)
    (limit,) = json.loads(cli("limits", "--json"))["limits"]
    assert (limit["service"], limit["per_minute"]) == ("llamaparse", 20)
    assert limit["used"] > 0.5


def test_real_services_at_a_dead_address_are_down_and_no_word_is_said_of_their_keys(
    conninfo_url: str, tmp_path: Path
) -> None:
    (tmp_path / "own.toml").write_text(PRICES)
    environment = {
        "GRISTMILL_HOME": str(tmp_path / "home"),
        "GRISTMILL_PRICES_FILE": "own.toml",
        "DATABASE_URL": conninfo_url,
        "GRISTMILL_MODE": "real",
        "OPENAI_API_KEY": "sk-no-such-key-0123456789",
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
        "LLAMA_CLOUD_API_KEY": "llx-no-such-key-0123456789",
        "LLAMA_CLOUD_BASE_URL": "http://127.0.0.1:9",
        "SUPABASE_URL": "http://127.0.0.1:9",
        "SUPABASE_SERVICE_ROLE_KEY": "sb_secret_no-such-key-0123456789",
    }
    settings = load_settings(environment, tmp_path)

    async def look() -> dict[str, Any]:
        async with Gristmill(settings) as mill:
            return dict(await mill.health())

    found = asyncio.run(look())
    assert {each.status for each in found.values()} == {Status.UNHEALTHY}
    assert all("key" not in each.reason.lower() for each in found.values())
