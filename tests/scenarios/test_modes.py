"""Modes: which side is asked, switching while everything runs, and hybrid in an outage."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from simulator import SimulatorControl
from waits import shorten

from gristmill import DocumentStatus, Gristmill, Origin, ServiceMode, Settings
from gristmill.costs.budgets import Limit
from gristmill.errors import CollectionError, InvalidArgument, Misconfigured
from gristmill.services.openai import Embed
from gristmill.settings import InvalidSettings

SettingsIn = Callable[..., Settings]
WritePdf = Callable[..., Path]

EMBED = "openai.embeddings.create"
UPLOAD = "llamacloud.files.create"
SUBMIT = "llamacloud.parsing.create"
STORE = "supabase.object.create"


async def rows(mill: Gristmill, statement: str) -> list[dict[str, Any]]:
    async with mill._system.database.connection() as connection:
        return await (await connection.execute(statement.encode())).fetchall()


async def origins(mill: Gristmill) -> set[str]:
    """Whatever answered, wherever that is recorded."""
    tables = ("collections", "spaces", "objects", "parses", "chunks", "journal")
    union = " UNION ".join(f"SELECT origin FROM {table}" for table in tables)
    return {row["origin"] for row in await rows(mill, union)}


def down(vendor: SimulatorControl, *routes: str) -> None:
    for route in routes:
        vendor.fault(route, "status", status=503, count=None)


async def test_real_mode_asks_the_vendors_and_records_that_they_answered(
    settings_in: SettingsIn, write_pdf: WritePdf, simulator: SimulatorControl
) -> None:
    async with Gristmill(settings_in("real")) as mill:
        report = await mill.ingest(write_pdf("a.pdf", "Barley is ground between stones."))
        assert report.is_complete
        (hit,) = (await mill.search("barley")).hits
        assert (hit.origin, hit.parse_origin) == (Origin.REAL, Origin.REAL)
        assert await origins(mill) == {"real"}
    assert simulator.paid_calls() == 0


async def test_a_simulator_behind_a_real_address_is_found_out(
    settings_in: SettingsIn, write_pdf: WritePdf, simulator: SimulatorControl, tmp_path: Path
) -> None:
    prices = (
        (tmp_path / "prices.toml")
        .read_text()
        .replace(
            settings_in("real").openai_base_url.split("/")[2], simulator.base_url.split("/")[2]
        )
    )
    (tmp_path / "elsewhere.toml").write_text(prices)
    address = f"{simulator.base_url}/openai/v1"
    settings = settings_in(
        "real", OPENAI_BASE_URL=address, LLAMA_CLOUD_BASE_URL=f"{simulator.base_url}/llamacloud",
        GRISTMILL_PRICES_FILE=str(tmp_path / "elsewhere.toml"),
    )  # fmt: skip
    async with Gristmill(settings) as mill:
        report = await mill.ingest(write_pdf("a.pdf", "Barley."))
        assert report.documents[0].error_kind == "SimulatedAnswer"
        assert (await mill.search("barley")).hits == ()


async def test_a_switch_is_seen_by_every_process_and_remembered(
    settings_in: SettingsIn,
) -> None:
    async with Gristmill(settings_in("mock")) as one, Gristmill(settings_in("mock")) as other:
        await other.modes()
        await one.switch_mode(ServiceMode.REAL, "openai")
        other._system.modes.forget()  # half a second later
        seen = (await other.modes())["openai"]
        assert (seen.mode, seen.set_aside) == (ServiceMode.REAL, "GRISTMILL_MODE=mock")
        assert seen.asks == other._system.endpoint("openai", Origin.REAL)
        assert "switched to real by" in seen.reason
        assert (await other.modes())["llamaparse"].mode is ServiceMode.MOCK
    async with Gristmill(settings_in("mock")) as later:
        assert (await later.modes())["openai"].mode is ServiceMode.REAL
        await later.reset_mode()
        reset = (await later.modes())["openai"]
        assert (reset.mode, reset.reason) == (ServiceMode.MOCK, "GRISTMILL_MODE is mock")


async def test_a_switch_that_could_not_work_is_refused(settings_in: SettingsIn) -> None:
    async with Gristmill(settings_in("mock", OPENAI_API_KEY="", GRISTMILL_BUDGET="")) as mill:
        with pytest.raises(InvalidSettings, match="OPENAI_API_KEY"):
            await mill.switch_mode(ServiceMode.HYBRID, "openai")
        with pytest.raises(InvalidArgument, match="no service 'mill'"):
            await mill.switch_mode(ServiceMode.REAL, "mill")
        with pytest.raises(Misconfigured, match="no limit is set"):
            await mill.switch_mode(ServiceMode.REAL, "llamaparse")
        await mill.set_budget(Limit("global", "day", 10**9), origin=Origin.REAL)
        await mill.switch_mode(ServiceMode.REAL, "llamaparse")
        assert {name: each.mode for name, each in (await mill.modes()).items()} == {
            "openai": ServiceMode.MOCK,
            "llamaparse": ServiceMode.REAL,
            "supabase": ServiceMode.MOCK,
        }


async def test_production_never_uses_a_simulator_that_another_process_switched_to(
    settings_in: SettingsIn, write_pdf: WritePdf, simulator: SimulatorControl
) -> None:
    production = settings_in("real", GRISTMILL_ENVIRONMENT="production")
    async with Gristmill(settings_in("real")) as other, Gristmill(production) as mill:
        with pytest.raises(Misconfigured, match="simulator may not answer"):
            await mill.switch_mode(ServiceMode.MOCK)
        await other.switch_mode(ServiceMode.MOCK)
        mill._system.modes.forget()
        assert "may not answer" in (await mill.modes())["openai"].refused
        with pytest.raises(Misconfigured, match="switched to mock"):
            await mill.ingest(write_pdf("a.pdf", "Barley."))
        with pytest.raises(Misconfigured, match="switched to mock"):
            await mill.search("barley")
    assert simulator.paid_calls() == 0


async def test_work_under_way_stays_where_it_is_when_the_mode_is_switched(
    settings_in: SettingsIn,
    write_pdf: WritePdf,
    vendor: SimulatorControl,
    simulator: SimulatorControl,
) -> None:
    down(vendor, EMBED)
    async with Gristmill(settings_in("real")) as mill:
        await shorten(mill)
        (entry,) = await mill.register(write_pdf("a.pdf", "Barley is ground."))
        worker = await mill._system.worker()
        async with worker.running():
            await _until(mill, lambda d: d.error_kind in ("Unavailable", "BreakerOpen"))
            await mill.switch_mode(ServiceMode.MOCK)
            await _until(mill, lambda d: d.error_kind == "Misconfigured")
            assert "holds real vectors" in ((await mill.documents())[0].error or "")
            with pytest.raises(CollectionError):
                await mill.register(write_pdf("b.pdf", "Rye."))
            vendor.clear_faults()
            await mill.switch_mode(ServiceMode.REAL)
            await _until(mill, lambda d: d.status is DocumentStatus.READY)
        assert await mill.link(entry.document_id or "")
        await mill.switch_mode(ServiceMode.MOCK)
        assert "/storage/v1/object/sign/" in await mill.link(entry.document_id or "")
        assert await origins(mill) == {"real"}
    assert simulator.paid_calls() == 0
    assert vendor.calls(SUBMIT) == 1


async def _until(mill: Gristmill, is_there: Callable[[Any], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_there((await mill.documents())[0]):
            await asyncio.sleep(0.02)


async def test_a_document_is_read_by_the_simulator_while_the_parser_is_down(
    settings_in: SettingsIn, write_pdf: WritePdf, vendor: SimulatorControl
) -> None:
    down(vendor, UPLOAD)
    async with Gristmill(settings_in("hybrid")) as mill:
        report = await mill.ingest(write_pdf("a.pdf", "Barley is ground between stones."))
        assert report.is_published
        assert not report.is_complete
        (hit,) = (await mill.search("barley")).hits
        assert (hit.origin, hit.parse_origin) == (Origin.REAL, Origin.SIMULATED)
        detail = await mill.show(report.documents[0].id)
        assert any("falls back to the simulator" in event.detail for event in detail.events)
        assert detail.events[-1].detail == "read by the simulator while the parser was down"
        told = await rows(mill, "SELECT is_fallback, lacks_vectors FROM versions")
        assert told == [{"is_fallback": True, "lacks_vectors": False}]
        money = await rows(mill, "SELECT DISTINCT service, origin FROM journal ORDER BY 1")
        assert money == [
            {"service": "llamaparse", "origin": "simulated"},
            {"service": "openai", "origin": "real"},
        ]


async def test_a_file_whose_job_was_not_taken_falls_back_as_well(
    settings_in: SettingsIn, write_pdf: WritePdf, vendor: SimulatorControl
) -> None:
    down(vendor, SUBMIT)
    async with Gristmill(settings_in("hybrid")) as mill:
        report = await mill.ingest(write_pdf("a.pdf", "Barley."))
        assert report.documents[0].status is DocumentStatus.READY_INCOMPLETE


async def test_nothing_falls_back_over_a_submit_whose_outcome_is_unknown(
    settings_in: SettingsIn,
    write_pdf: WritePdf,
    vendor: SimulatorControl,
    simulator: SimulatorControl,
) -> None:
    vendor.fault(SUBMIT, "drop_after")
    async with Gristmill(settings_in("hybrid")) as mill:
        await shorten(mill)
        report = await mill.ingest(write_pdf("a.pdf", "Barley."))
        assert report.is_complete
    assert simulator.paid_calls() == 0
    assert vendor.calls(SUBMIT) == 1


async def test_without_the_model_documents_are_found_by_their_words_and_no_vector_is_made_up(
    settings_in: SettingsIn,
    write_pdf: WritePdf,
    vendor: SimulatorControl,
    simulator: SimulatorControl,
) -> None:
    down(vendor, EMBED)
    async with Gristmill(settings_in("hybrid")) as mill:
        report = await mill.ingest(write_pdf("a.pdf", "Barley is ground between stones."))
        assert report.is_published
        answer = await mill.search("barley")
        assert [hit.name for hit in answer.hits] == ["a.pdf"]
        assert any("no vectors yet" in note for note in answer.notes)
        told = await rows(mill, "SELECT is_fallback, lacks_vectors FROM versions")
        assert told == [{"is_fallback": False, "lacks_vectors": True}]
        assert await rows(mill, "SELECT FROM chunks WHERE vector IS NOT NULL") == []
    assert simulator.paid_calls() == 0


async def test_storage_never_falls_back(
    settings_in: SettingsIn,
    write_pdf: WritePdf,
    vendor: SimulatorControl,
    simulator: SimulatorControl,
) -> None:
    down(vendor, STORE)
    async with Gristmill(settings_in("hybrid")) as mill:
        await shorten(mill)
        await mill.register(write_pdf("a.pdf", "Barley."))
        async with (await mill._system.worker()).running():
            await _until(mill, lambda d: d.error_kind in ("Unavailable", "BreakerOpen"))
            vendor.clear_faults()
            await _until(mill, lambda d: d.status is DocumentStatus.READY)
    assert simulator.calls(STORE) == 0


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO spaces (endpoint, model, dimensions, origin) VALUES ('simulator','m',3,'real')",
        """UPDATE chunks SET vector = '[1,2,3]',
        space_id = (SELECT id FROM spaces WHERE origin = 'simulated')""",
        "UPDATE chunks SET origin = 'simulated'",
        "UPDATE parses SET origin = 'real' WHERE endpoint = 'simulator'",
    ],
)
async def test_the_database_refuses_what_would_pass_a_simulated_vector_off_as_real(
    settings_in: SettingsIn, write_pdf: WritePdf, vendor: SimulatorControl, statement: str
) -> None:
    down(vendor, UPLOAD)
    async with Gristmill(settings_in("hybrid")) as mill:
        await mill.ingest(write_pdf("a.pdf", "Barley."))
        await rows(
            mill,
            "INSERT INTO spaces (endpoint, model, dimensions, origin)"
            " VALUES ('simulator', 'm', 3, 'simulated') RETURNING id",
        )
        with pytest.raises(psycopg.IntegrityError):
            await rows(mill, statement + " RETURNING 1")


async def test_a_submit_that_was_lost_is_not_made_again_in_a_mode_that_forbids_it(
    settings_in: SettingsIn, write_pdf: WritePdf, vendor: SimulatorControl
) -> None:
    vendor.fault(SUBMIT, "drop_before")
    async with Gristmill(settings_in("real")) as mill:
        await shorten(mill)
        await mill.register(write_pdf("a.pdf", "Barley."))
        async with (await mill._system.worker()).running():
            await _until(mill, lambda d: d.error_kind in ("OutcomeUnknown", "NotYet"))
            await mill.switch_mode(ServiceMode.MOCK)
            await _until(mill, lambda d: d.error_kind == "Misconfigured")
    assert vendor.calls(SUBMIT) == 1


async def test_a_deleted_document_leaves_nothing_at_the_parser_that_it_left_in_an_outage(
    settings_in: SettingsIn, write_pdf: WritePdf, vendor: SimulatorControl
) -> None:
    down(vendor, SUBMIT)
    async with Gristmill(settings_in("hybrid")) as mill:
        await shorten(mill)
        (document,) = (await mill.ingest(write_pdf("a.pdf", "Barley."))).documents
        vendor.clear_faults()
        await mill.delete(document.id)
        async with (await mill._system.worker()).running(), asyncio.timeout(20):
            while vendor.calls("llamacloud.files.delete") == 0:
                await asyncio.sleep(0.02)
        assert vendor.calls("llamacloud.files.delete") == 1


async def test_nothing_real_is_billed_before_somebody_has_set_a_limit(
    settings_in: SettingsIn, vendor: SimulatorControl
) -> None:
    async with Gristmill(settings_in("real", GRISTMILL_BUDGET="")) as mill:
        services = await mill.services()
        with pytest.raises(Misconfigured, match="no limit is set"):
            await services.execute(Embed(("barley",), "text-embedding-3-small", 1536, (2,)))
        await mill.set_budget(Limit("global", "day", 10**9))
        answer = await services.execute(Embed(("barley",), "text-embedding-3-small", 1536, (2,)))
        assert answer.origin is Origin.REAL
    assert vendor.calls(EMBED) == 1


async def test_a_tracker_spends_the_money_of_the_mode_that_is(settings_in: SettingsIn) -> None:
    async with Gristmill(settings_in("mock")) as mill:
        await mill.budget()
        await mill.switch_mode(ServiceMode.REAL)
        await mill.set_budget(Limit("global", "day", 10**9))
        limits = {each.origin: each.limit for each in await mill.budget()}
        assert limits[Origin.REAL] == 10**9
