"""`gristmill simulator …`: what a person can make the simulators do from the command line."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from simulator import SimulatorControl
from typer.testing import CliRunner

from gristmill.cli.app import app
from gristmill.cli.simulator import quota
from gristmill_simulators.environment import OPENAI_API_KEY
from gristmill_simulators.lock import locked
from gristmill_simulators.server import SimulatorServer
from gristmill_simulators.settings import Quotas

EMBED = "openai.embeddings.create"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorServer]:
    with SimulatorServer(tmp_path_factory.mktemp("simulators")) as server:
        yield server


@pytest.fixture
def control(server: SimulatorServer) -> Iterator[SimulatorControl]:
    control = SimulatorControl(server.base_url)
    control.reset()
    yield control
    control.close()


@pytest.fixture
def cli(
    control: SimulatorControl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., str]:
    """Runs `gristmill simulator …` and gives what it prints; the simulators are those set."""
    monkeypatch.setenv("GRISTMILL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GRISTMILL_SIMULATOR_URL", control.base_url)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, ["simulator", *arguments])
        assert result.exit_code == code, result.output
        return result.output

    return run


def embed(server: SimulatorServer) -> httpx.Response:
    return httpx.post(
        f"{server.openai_base_url}/embeddings",
        json={"model": "text-embedding-3-small", "input": "a"},
        headers={"authorization": f"Bearer {OPENAI_API_KEY}"},
        trust_env=False,
    )


def test_a_fault_is_added_listed_hits_and_is_cleared(cli, server):
    cli("faults", "add", EMBED, "--status", "429", "--count", "3", "-H", "retry-after: 7")
    hit = embed(server)
    assert (hit.status_code, hit.headers["retry-after"]) == (429, "7")
    head, row = cli("faults").splitlines()
    assert head.split() == ["number", "route", "kind", "left", "hit", "seen", "details"]
    assert row.split()[:7] == ["1", EMBED, "status", "2", "1", "1", "status=429"]
    cli("faults", "add", "supabase", "slow_body", "--seconds", "2", "--count", "endless")
    assert len(cli("faults", "clear", "1").splitlines()) == 2
    assert cli("faults", "clear") == "No faults wait.\n"
    assert embed(server).status_code == 200


def test_a_fault_that_could_never_strike_is_bad_usage_told_in_a_sentence(cli):
    told = cli("faults", "add", "openai.embedings.create", code=2)
    assert "Do you mean openai.embeddings.create?" in told.replace("\n", " ")
    told = json.loads(cli("faults", "add", EMBED, "delay", "--json", code=2))
    assert told["error"]["message"] == "The kind delay needs seconds."
    cli("faults", "add", EMBED, "-n", "many", code=2)
    cli("faults", "add", EMBED, "-H", "retry-after", code=2)
    assert cli("faults") == "No faults wait.\n"


def test_quotas_are_shown_changed_and_lifted(cli, server):
    changed = json.loads(cli("quota", "--openai-tokens-per-minute", "1", "--json"))
    assert changed["quotas"]["openai_tokens_per_minute"] == 1
    assert [embed(server).status_code for _ in range(2)] == [200, 429]
    cli("quota", "--openai-tokens-per-minute", "none", "--no-openai-retry-after")
    assert embed(server).status_code == 200
    assert "quotas.openai_retry_after = false" in cli("quota").splitlines()
    assert "must be 'free', '1'" in cli("quota", "--openai-tier", "9", code=2)


def test_every_quota_has_its_option():
    assert set(quota.__annotations__) - {"url", "json", "return"} == set(Quotas.model_fields)


def test_latency_is_a_number_or_a_model_and_none_takes_it_away(cli):
    assert "latency.openai.seconds = 0.25" in cli("latency", "openai", "0.25")
    arguments = ("--median", "0.1", "--p95", "0.4", "--per", "inputs=0.01", "--seed", "7")
    model = json.loads(cli("latency", EMBED, *arguments, "--json"))["latency"][EMBED]
    assert model == {
        "kind": "lognormal",
        "median": 0.1,
        "p95": 0.4,
        "per": {"inputs": 0.01},
        "seed": 7,
    }
    assert '"uniform"' in cli("latency", "supabase", "--high", "1")
    assert list(json.loads(cli("latency", "openai", "none", "--json"))["latency"]) == [
        EMBED,
        "supabase",
    ]
    assert "How long openai takes is missing" in cli("latency", "openai", code=2)


def test_transitions_and_any_other_setting_are_changed_by_name(cli):
    assert "transition.value = 3" in cli("transition", "polls", "3")
    shown = cli("settings", "record_headers=true", "quotas.openai_tier=none", code=2)
    assert "quotas.openai_tier must be" in shown
    lines = cli("settings", "record_headers=true", "quotas.openai_tier=2").splitlines()
    assert 'quotas.openai_tier = "2"' in lines
    assert "record_headers = true" in lines
    assert 'transition.kind = "at_once"' in cli("settings", "--reset").splitlines()


def test_calls_and_bills_are_shown(cli, server):
    cli("faults", "add", EMBED, "html")
    embed(server), embed(server)
    _, first, second = cli("calls", "--route", "openai").splitlines()
    assert first.split()[2:4] + first.split()[-1:] == [EMBED, "502", "html"]
    assert second.strip().endswith("inputs=1 prompt_tokens=1")
    assert len(cli("calls", "-n", "1", "--fault", "*").splitlines()) == 2
    assert cli("calls", "--summary").splitlines()[1].strip().split(maxsplit=2) == [
        EMBED,
        "2",
        "200: 1, 502: 1",
    ]
    assert "openai.text-embedding-3-small.tokens = 1" in cli("billed").splitlines()
    cli("calls", "--clear")
    assert cli("calls") == "No calls.\n"


def test_routes_and_addresses_are_listed(cli, control):
    listed = cli("routes", "openai")
    assert EMBED in listed
    assert "vendor --what wrong_count" in listed
    assert "supabase." not in listed
    assert "There is no vendor 'opnai'." in cli("routes", "opnai", code=2)
    assert f"export OPENAI_BASE_URL={control.base_url}/openai/v1" in cli("status").splitlines()


def test_a_reset_asks_unless_told_not_to(cli, control):
    control.fault(EMBED, "html")
    cli("reset", code=1)
    assert "html" in cli("faults")
    cli("reset", "--yes")
    assert cli("faults") == "No faults wait.\n"


def test_an_address_without_simulators_is_told_with_what_to_do(cli, control):
    told = cli("status", "--url", "http://127.0.0.1:1", code=1)
    assert "No simulator answers at http://127.0.0.1:1" in told
    assert "gristmill simulate --port 9000" in told
    assert cli("faults", "--url", f"{control.base_url}/_simulator/") == "No faults wait.\n"
    cli("status", "--url", "http://[", code=1)


def test_the_help_loads_no_client_and_no_simulator():
    code = (
        "import sys, gristmill.cli.app as a;"
        "print(*{'httpx', 'gristmill_simulators', 'pydantic', 'rich.table'} & {*sys.modules})"
    )
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "\n"


def test_a_folder_that_other_simulators_use_is_named_with_what_to_do(
    tmp_path: Path, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
):
    there = ["--port", str(unused_tcp_port), "--data", str(tmp_path)]
    monkeypatch.setattr("gristmill_simulators.server._OWNER_SECONDS", 0)
    with locked(tmp_path / "owner.lock", seconds=0):
        result = CliRunner().invoke(app, ["simulate", *there])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: Other simulators use {tmp_path}. End those, or")
