"""Repair: what was degraded in an outage is put right, once, and nothing is paid for twice."""

import asyncio
import contextlib
import gc
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine, command_line
from crash import Crash, CrashingAt
from simulator import SimulatorControl
from waits import shorten

from gristmill import DocumentStatus, Gristmill, IngestReport, Limit, Origin, ServiceMode, Settings
from gristmill.errors import GristmillError, Misconfigured, Unavailable
from gristmill.pipeline.repair import begin, begin_some, degraded
from gristmill.pipeline.runner import advance

SettingsIn = Callable[..., Settings]
WritePdf = Callable[..., Path]

EMBED = "openai.embeddings.create"
UPLOAD = "llamacloud.files.create"
SUBMIT = "llamacloud.parsing.create"
READY, INCOMPLETE = DocumentStatus.READY, DocumentStatus.READY_INCOMPLETE
PAGE, MILLION = 3_750_000, 10**6  # nano-dollars


async def rows(mill: Gristmill, statement: str) -> list[dict[str, Any]]:
    async with mill._system.database.connection() as connection:
        return await (await connection.execute(statement.encode())).fetchall()


def down(vendor: SimulatorControl, *routes: str) -> None:
    for route in routes:
        vendor.fault(route, "status", status=503, count=None)


async def ingested_in_outage(
    mill: Gristmill, vendor: SimulatorControl, *files: Path, routes: tuple[str, ...] = (UPLOAD,)
) -> IngestReport:
    """Documents that were taken in while the vendor was down at these routes; now it is up."""
    await shorten(mill)
    down(vendor, *routes)
    report = await mill.ingest(*files)
    vendor.clear_faults()
    return report


async def test_after_an_outage_and_a_repair_nothing_is_degraded_and_each_is_parsed_once(
    settings_in: SettingsIn, write_pdf: WritePdf, vendor: SimulatorControl
) -> None:
    async with Gristmill(settings_in("hybrid")) as mill:
        files = write_pdf("a.pdf", "Barley."), write_pdf("b.pdf", "Rye.", "Oats.")
        before = await ingested_in_outage(mill, vendor, *files)
        assert [d.degraded for d in before.documents] == [("parse",), ("parse",)]
        report = await mill.repair()
        assert [(d.status, d.degraded) for d in report.documents] == [(READY, ()), (READY, ())]
        for hit in (await mill.search("barley")).hits:
            assert (hit.origin, hit.parse_origin) == (Origin.REAL, Origin.REAL)
        assert vendor.calls(SUBMIT) == 2
        assert await rows(mill, "SELECT FROM versions WHERE is_fallback OR is_repair") == []
        assert (await mill.repair()).entries == ()
        unchanged = await mill.ingest(*files)
        assert {entry.outcome for entry in unchanged.entries} == {"unchanged"}
        assert vendor.calls(SUBMIT) == 2


async def test_vectors_that_were_put_off_are_bought_for_the_version_that_is_published(
    settings_in: SettingsIn, write_pdf: WritePdf, vendor: SimulatorControl
) -> None:
    async with Gristmill(settings_in("hybrid")) as mill:
        pdf = write_pdf("a.pdf", "Barley is ground.")
        (document,) = (await ingested_in_outage(mill, vendor, pdf, routes=(EMBED,))).documents
        assert document.degraded == ("vectors",)
        version = await rows(mill, "SELECT id FROM versions")
        paid = vendor.calls(EMBED)
        report = await mill.repair()
        assert report.is_complete
        assert await rows(mill, "SELECT id FROM versions WHERE NOT is_repair") == version
        assert (vendor.calls(SUBMIT), vendor.calls(EMBED)) == (1, paid + 1)
        assert (await mill.search("barley")).notes == ()


async def test_what_lacks_both_is_read_anew_and_embedded_once(
    settings_in: SettingsIn, write_pdf: WritePdf, vendor: SimulatorControl
) -> None:
    async with Gristmill(settings_in("hybrid")) as mill:
        pdf = write_pdf("a.pdf", "Barley.")
        report = await ingested_in_outage(mill, vendor, pdf, routes=(UPLOAD, EMBED))
        assert report.documents[0].degraded == ("parse", "vectors")
        tried = vendor.calls(EMBED)
        assert (await mill.repair()).is_complete
        assert (vendor.calls(SUBMIT), vendor.calls(EMBED)) == (1, tried + 1)


async def test_two_processes_that_begin_the_same_repairs_begin_each_once(
    settings_in: SettingsIn, write_pdf: WritePdf, vendor: SimulatorControl
) -> None:
    async with Gristmill(settings_in("hybrid")) as mill:
        files = [write_pdf(f"{n}.pdf", f"Barley number {n}.") for n in range(4)]
        await ingested_in_outage(mill, vendor, *files[:2])
        await ingested_in_outage(mill, vendor, *files[2:], routes=(EMBED,))
        context = await mill._system.context()
        found = await degraded(context.database, context.options)
        begun = await asyncio.gather(*(begin(context, each) for each in (found, found[::-1])))
        assert sorted(chain(*begun)) == sorted(each.document_id for each in found)
        assert (await mill.repair()).is_complete
        assert vendor.calls(SUBMIT) == 4


async def test_in_another_outage_a_repair_waits_and_the_document_stays_found(
    settings_in: SettingsIn, write_pdf: WritePdf, vendor: SimulatorControl
) -> None:
    async with Gristmill(settings_in("hybrid")) as mill:
        await ingested_in_outage(mill, vendor, write_pdf("a.pdf", "Barley."))
        vendor.fault(SUBMIT, "status", status=503, count=2)
        vendor.fault(EMBED, "status", status=503, count=2)
        report = await mill.repair()
        assert report.is_complete
        events = (await mill.show(report.documents[0].id)).events
        assert "parked" in {event.status for event in events}
        assert all("falls back" not in event.detail for event in events[-8:])
        assert (await rows(mill, "SELECT count(*) AS n FROM parses WHERE origin = 'real'")) == [
            {"n": 1}
        ]


async def test_a_budget_that_is_too_small_parks_a_repair_which_goes_on_when_it_is_raised(
    settings_in: SettingsIn, write_pdf: WritePdf, vendor: SimulatorControl
) -> None:
    async with Gristmill(settings_in("hybrid")) as mill:
        await ingested_in_outage(mill, vendor, write_pdf("a.pdf", "Barley."))
        await mill.set_budget(Limit("global", "day", MILLION), origin=Origin.REAL)
        assert (await mill.estimate_repair()).estimate.fits == "no"
        (document,) = (await mill.repair()).documents
        assert (document.status, document.error_kind) == (DocumentStatus.PARKED, "BudgetExceeded")
        assert document.degraded == ("parse",)
        assert [hit.is_fallback for hit in (await mill.search("barley")).hits] == [True]
        await mill.set_budget(Limit("global", "day", 10**10), origin=Origin.REAL)
        assert (await mill.repair()).is_complete
        assert vendor.calls(SUBMIT) == 1


@pytest.mark.parametrize("asks", ["repair", "resume"])
async def test_a_repair_that_failed_is_tried_again_only_when_somebody_asks(
    settings_in: SettingsIn, write_pdf: WritePdf, vendor: SimulatorControl, asks: str
) -> None:
    async with Gristmill(settings_in("hybrid")) as mill:
        await ingested_in_outage(mill, vendor, write_pdf("a.pdf", "Barley."))
        vendor.fault(SUBMIT, "status", status=422, count=1)
        (document,) = (await mill.repair()).documents
        assert document.status is DocumentStatus.FAILED
        assert document.degraded == ("parse",)
        assert len((await mill.search("barley")).hits) == 1
        assert await begin_some(await mill._system.context(), seconds=0) == []
        (listed,) = (await mill.estimate_repair()).documents
        assert listed.standing == "failed"
        again = mill.repair() if asks == "repair" else mill.resume(failed=True)
        assert (await again).is_complete


async def test_nothing_is_repaired_while_a_service_is_down_or_in_mock_mode(
    settings_in: SettingsIn, write_pdf: WritePdf, vendor: SimulatorControl
) -> None:
    async with Gristmill(settings_in("hybrid")) as mill:
        await ingested_in_outage(mill, vendor, write_pdf("a.pdf", "Barley."))
        down(vendor, "llamacloud.files.list")
        with pytest.raises(Unavailable, match="llamaparse does not serve"):
            await mill.repair()
        vendor.clear_faults()
        await mill.switch_mode(ServiceMode.MOCK, "llamaparse")
        with pytest.raises(Misconfigured, match="mode of llamaparse is mock"):
            await mill.repair()
        await mill.switch_mode(ServiceMode.MOCK)
        with pytest.raises(Misconfigured, match="mode of openai brings simulated"):
            await mill.repair()
        assert [d.status for d in await mill.documents()] == [INCOMPLETE]


async def test_what_can_be_repaired_is_and_the_rest_says_why_not(
    settings_in: SettingsIn, write_pdf: WritePdf, vendor: SimulatorControl
) -> None:
    async with Gristmill(settings_in("hybrid")) as mill:
        await ingested_in_outage(mill, vendor, write_pdf("b.pdf", "Rye."), routes=(EMBED,))
        await ingested_in_outage(mill, vendor, write_pdf("a.pdf", "Barley."))
        down(vendor, "llamacloud.files.list")
        report = await mill.repair()
        told = {Path(entry.source).name: entry.outcome for entry in report.entries}
        assert told == {"a.pdf": "refused", "b.pdf": "accepted"}
        assert not report.is_published
        assert {d.status for d in report.documents} == {INCOMPLETE, READY}
        (refused,) = [entry.error for entry in report.entries if entry.error]
        assert refused.startswith("llamaparse does not serve")


async def test_what_a_repair_would_cost_is_told_and_nothing_is_changed(
    settings_in: SettingsIn, write_pdf: WritePdf, vendor: SimulatorControl
) -> None:
    async with Gristmill(settings_in("hybrid")) as mill:
        read = write_pdf("a.pdf", "Barley is ground.", "Rye.")
        await ingested_in_outage(mill, vendor, read)
        await ingested_in_outage(mill, vendor, write_pdf("b.pdf", "Oats."), routes=(EMBED,))
        before = [(d.status, d.updated_at) for d in await mill.documents()]
        found = await mill.estimate_repair()
        assert [each.lacks for each in found.documents] == [("parse",), ("vectors",)]
        first, second = sorted(found.estimate.files, key=lambda file: file.source)
        assert (first.to_parse.expected, first.parse_cost.expected) == (2, 2 * PAGE)
        (tokens,) = await rows(
            mill, "SELECT sum(tokens)::int AS n FROM chunks WHERE vector IS NULL"
        )
        assert second.to_embed.expected == second.to_embed.at_most == tokens["n"]
        assert second.parse_cost.at_most == 0
        assert found.estimate.fits == "surely"
        assert [(d.status, d.updated_at) for d in await mill.documents()] == before


async def test_repairs_begin_by_themselves_behind_fresh_work_once_services_have_long_been_healthy(
    settings_in: SettingsIn, write_pdf: WritePdf, vendor: SimulatorControl
) -> None:
    async with Gristmill(settings_in("hybrid")) as mill:
        files = [write_pdf(f"{n}.pdf", f"Barley number {n}.") for n in range(6)]
        await ingested_in_outage(mill, vendor, *files)
    async with Gristmill(settings_in("hybrid")) as mill:
        await shorten(mill)
        context = await mill._system.context()
        assert await begin_some(context, seconds=0) == []  # the outage is a minute old at the most
        await rows(mill, "DELETE FROM health_snapshots RETURNING 1")
        await mill.health()
        await rows(
            mill,
            "UPDATE service_statuses SET status = 'healthy',"
            " since = clock_timestamp() - interval '30 s' RETURNING 1",
        )
        assert await begin_some(context) == []
        (fresh,) = await mill.register(write_pdf("fresh.pdf", "Rye."))
        assert await begin_some(context, seconds=0) == []
        await rows(
            mill, "UPDATE documents SET status = 'parked', error_kind = 'BudgetExceeded'"
            f" WHERE id = '{fresh.document_id}' RETURNING 1"
        )  # fmt: skip
        assert await begin_some(context, seconds=0) == []
        await mill.delete(fresh.document_id or "")
        begun = await begin_some(context, seconds=0)
        assert len(begun) == 4
        assert await begin_some(context, seconds=0) == []
        assert (await mill.resume()).is_complete
        assert len(await begin_some(context, seconds=0)) == 2


async def test_a_running_worker_repairs_what_services_that_are_well_again_can_repair(
    settings_in: SettingsIn, write_pdf: WritePdf, vendor: SimulatorControl
) -> None:
    async with Gristmill(settings_in("hybrid")) as mill:
        await ingested_in_outage(mill, vendor, write_pdf("a.pdf", "Barley."))
    async with Gristmill(settings_in("hybrid")) as mill:
        await shorten(mill)
        await rows(mill, "DELETE FROM health_snapshots RETURNING 1")
        await mill.health()
        await rows(
            mill,
            "UPDATE service_statuses SET status = 'healthy',"
            " since = clock_timestamp() - interval '61 s' RETURNING 1",
        )
        async with asyncio.timeout(20), (await mill._system.worker()).running():
            while (await mill.documents())[0].status is not READY:
                await asyncio.sleep(0.05)
        assert vendor.calls(SUBMIT) == 1


@pytest.fixture
def cli(
    tmp_path: Path, beside_vendor: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    """Runs a command in hybrid mode; what it prints."""
    return command_line(monkeypatch, tmp_path, beside_vendor | {"GRISTMILL_MODE": "hybrid"})


def test_a_person_sees_what_is_degraded_and_what_will_happen_and_has_it_put_right(
    cli: CommandLine, write_pdf: WritePdf, vendor: SimulatorControl
) -> None:
    assert "nothing to repair" in cli("repair")
    down(vendor, UPLOAD)
    told = cli("ingest", str(write_pdf("a.pdf", "Barley.")), code=3)
    vendor.clear_faults()
    assert "read by the simulator, and may say what the file does not. A running worker" in told
    (listed,) = json.loads(cli("documents", "--json"))
    assert listed["degraded"] == ["parse"]
    assert "ready, degraded" in cli("documents")
    assert "gristmill repair does it now" in cli("show", listed["id"])
    assert "read by the simulator" in cli("search", "barley")
    assert json.loads(cli("search", "barley", "--json"))["hits"][0]["is_fallback"] is True
    assert 'gristmill_documents_degraded{lacks="parse"} 1.0' in cli("metrics")
    planned = cli("repair", "--dry-run")
    assert "read by the simulator" in planned
    assert "1 pages  $0.003750" in planned
    told = json.loads(cli("repair", "--dry-run", "--json"))
    assert told["documents"][0]["standing"] == "due"
    assert told["estimate"]["fits"] == "surely"
    assert "1 of 1 ready" in cli("repair")
    assert "nothing to repair" in cli("repair", "--dry-run")
    assert json.loads(cli("repair", "--json"))["entries"] == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_repair_that_is_cut_off_while_it_begins_is_begun_by_the_next(
    settings_in: SettingsIn, write_pdf: WritePdf, vendor: SimulatorControl
) -> None:
    async with Gristmill(settings_in("hybrid")) as mill:
        files = [write_pdf(f"{n}.pdf", f"Barley number {n}.") for n in range(2)]
        await ingested_in_outage(mill, vendor, *files)
        context = await mill._system.context()
        found = await degraded(context.database, context.options)
        for number in range(1, 30):
            run = CrashingAt(begin(context, found), number)
            try:
                await run
            except (Crash, GristmillError):
                assert run.crashed
            told = await rows(mill, "SELECT count(*) AS n FROM versions WHERE is_repair")
            assert told in ([{"n": 0}], [{"n": 2}])  # all or nothing
            if not run.crashed:
                break
        gc.collect()
        assert not run.crashed
        assert (await mill.repair()).is_complete
        assert vendor.calls(SUBMIT) == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("number", [5, 15, 25, 40, 60])
async def test_a_repair_that_is_cut_off_on_its_road_goes_on_and_is_paid_once(
    settings_in: SettingsIn, write_pdf: WritePdf, vendor: SimulatorControl, number: int
) -> None:
    async with Gristmill(settings_in("hybrid")) as mill:
        report = await ingested_in_outage(mill, vendor, write_pdf("a.pdf", "Barley."))
        identity = report.documents[0].id
        context = await mill._system.context()
        context = replace(
            context, limits=replace(context.limits, submit_wait=0.0, recording_wait=0.0)
        )
        mill._system._context = context
        await begin(context, await degraded(context.database, context.options))
        with contextlib.suppress(Crash, GristmillError):
            await CrashingAt(advance(context, identity), number)
        gc.collect()
        assert len((await mill.search("barley")).hits) == 1
        assert (await mill.repair()).is_complete
        assert vendor.calls(SUBMIT) == 1
