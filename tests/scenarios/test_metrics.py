"""Metrics: what all processes have done, read from the database when somebody asks."""

from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from simulator import SimulatorControl
from typer.testing import CliRunner

from gristmill import Gristmill, Limit
from gristmill.cli.app import app
from gristmill.settings import Settings

WritePdf = Callable[..., Path]
Samples = dict[str, float]


def read(text: str) -> Samples:
    """Samples by name and the values of their labels, in the labels' order."""
    return {
        " ".join([sample.name, *(sample.labels[name] for name in sorted(sample.labels))]): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_what_several_processes_have_done_is_summed_and_outlives_them(
    settings: Settings, write_pdf: WritePdf
) -> None:
    for name in ("one.pdf", "two.pdf"):
        async with Gristmill(settings) as mill:
            assert (await mill.ingest(write_pdf(name, f"Rye of {name}."))).is_complete
    async with Gristmill(settings) as mill:
        found = read(await mill.metrics())
    assert found["gristmill_documents ready"] == 2
    assert found["gristmill_service_calls_total simulator openai"] >= 2
    assert (
        found["gristmill_service_calls_total simulator llamaparse"]
        == found["gristmill_service_response_seconds_count simulator llamaparse"]
    )
    assert found["gristmill_service_response_seconds_sum simulator supabase"] > 0
    assert found["gristmill_service_response_seconds simulator 0.95 supabase"] > 0
    assert found["gristmill_service_status simulator llamaparse healthy"] == 1


async def test_a_limit_is_told_with_what_is_spent_and_the_threshold_it_has_passed(
    mill: Gristmill, write_pdf: WritePdf
) -> None:
    await mill.set_budget(Limit("global", "day", 4_000_000), Limit("document", "total", 10**9))
    assert (await mill.ingest(write_pdf("one.pdf", "Rye."))).is_complete
    found = read(await mill.metrics())
    assert found["gristmill_budget_limit_nano_dollars  simulated day global"] == 4_000_000
    spent = found["gristmill_budget_spent_nano_dollars  simulated day global"]
    assert 3_750_000 <= spent < 4_000_000
    assert found["gristmill_budget_held_nano_dollars  simulated day global"] == 0
    assert found["gristmill_budget_overrun_nano_dollars  simulated day global"] == 0
    assert found["gristmill_budget_alerted_percent  simulated day global"] == 80
    assert found["gristmill_alerts budget"] == 1
    assert not any("document" in name for name in found if "budget" in name)


async def test_a_service_in_trouble_is_an_alert_with_its_errors_by_kind(
    mill: Gristmill, simulator: SimulatorControl
) -> None:
    simulator.fault("openai.models.list", "status", status=401, code="invalid_api_key")
    await mill.health()
    found = read(await mill.metrics())
    assert found["gristmill_service_status simulator openai unhealthy"] == 1
    assert found["gristmill_service_status simulator openai healthy"] == 0
    assert found["gristmill_service_errors_total simulator Unauthorized openai"] == 1
    assert found["gristmill_alerts service"] == 1


async def test_rate_limits_are_told_as_they_are_used(mill: Gristmill, write_pdf: WritePdf) -> None:
    assert (await mill.ingest(write_pdf("one.pdf", "Rye."))).is_complete
    found = read(await mill.metrics())
    place = "simulator requests text-embedding-3-small openai"
    assert found[f"gristmill_rate_limit_per_minute {place}"] > 0
    assert found[f"gristmill_rate_limit_paused_seconds {place}"] == 0


def test_a_home_that_has_done_nothing_has_metrics_and_starts_nothing_to_tell_them(
    conninfo_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("GRISTMILL_HOME", str(home))
    monkeypatch.setenv("DATABASE_URL", conninfo_url)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["metrics"])
    assert result.exit_code == 0
    found = read(result.output)
    assert found["gristmill_service_status simulator openai unknown"] == 1
    assert found["gristmill_alerts service"] == 0
    assert not (home / "simulator").exists()
