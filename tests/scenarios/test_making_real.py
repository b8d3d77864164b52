"""A simulated collection is made real: all of it or nothing, and no simulated vector remains."""

import asyncio
import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from command_line import CommandLine, command_line
from crash import Crash, CrashingAt
from simulator import SimulatorControl
from waits import shorten

from gristmill import DocumentStatus, Gristmill, Origin, ServiceMode, Settings
from gristmill.errors import CollectionError, GristmillError, LostClaim, Misconfigured
from gristmill.pipeline import store
from gristmill.pipeline.making_real import make_real

SettingsIn = Callable[..., Settings]
WritePdf = Callable[..., Path]

EMBED = "openai.embeddings.create"
SUBMIT = "llamacloud.parsing.create"
PAGE = 3_750_000  # nano-dollars
SIMULATED = """
SELECT FROM chunks c LEFT JOIN spaces s ON s.id = c.space_id
WHERE c.origin = 'simulated' OR s.origin = 'simulated'
"""


async def rows(mill: Gristmill, statement: str) -> list[dict[str, Any]]:
    async with mill._system.database.connection() as connection:
        return await (await connection.execute(statement.encode())).fetchall()


async def simulated(settings_in: SettingsIn, *files: Path) -> list[str]:
    """A collection that was made in mock mode; the ids of its documents."""
    async with Gristmill(settings_in("mock")) as mill:
        report = await mill.ingest(*files)
        assert report.is_complete
        return [document.id for document in report.documents]


async def test_a_collection_made_real_is_read_and_embedded_by_the_vendors_though_its_files_are_gone(
    settings_in: SettingsIn, write_pdf: WritePdf, vendor: SimulatorControl, tmp_path: Path
) -> None:
    notes = tmp_path / "notes.md"
    notes.write_text("# Rye\n\nRye is sown in autumn.")
    files = write_pdf("a.pdf", "Barley is ground."), write_pdf("b.pdf", "Oats."), notes
    await simulated(settings_in, *files)
    for file in files:
        file.unlink()
    async with Gristmill(settings_in("hybrid")) as mill:
        await shorten(mill)
        before = await rows(mill, "SELECT * FROM journal ORDER BY id")
        found = await mill.estimate_make_real("default")
        assert sorted(each.lacks for each in found.documents) == [
            ("parse", "vectors"), ("parse", "vectors"), ("vectors",)
        ]  # fmt: skip
        made = await mill.make_real("default")
        assert (made.published, made.unfinished) == (3, 0)
        answer = await mill.search("barley", collection="default")
        assert [hit.is_fallback for hit in answer.hits] == [True]
        assert any("no vectors yet" in note for note in answer.notes)
        assert await rows(mill, SIMULATED) == []
        report = await mill.repair()
        assert [d.status for d in report.documents] == [DocumentStatus.READY] * 3
        assert (vendor.calls(SUBMIT), vendor.calls(EMBED)) == (2, 3)
        (summary,) = await mill.collections()
        assert (summary.origin, summary.documents, summary.degraded) == (Origin.REAL, 3, 0)
        assert summary.passages == summary.embedded == 3
        spent = {line.origin: line.spent for line in summary.costs}
        assert (
            2 * PAGE
            < spent[Origin.REAL]
            <= found.estimate.services[0].nano_dollars.at_most
            + (found.estimate.services[1].nano_dollars.at_most)
        )
        after = await rows(mill, "SELECT * FROM journal ORDER BY id")
        assert after[: len(before)] == before
        assert {row["origin"] for row in after[len(before) :]} == {"real"}
        assert sum(each.spent for each in report.documents) == spent[Origin.REAL]
        for hit in (await mill.search("barley")).hits:
            assert (hit.origin, hit.is_fallback) == (Origin.REAL, False)


async def test_documents_that_are_not_published_yet_start_again_at_the_vendors(
    settings_in: SettingsIn, write_pdf: WritePdf, vendor: SimulatorControl, simulator: SimulatorControl
) -> None:  # fmt: skip
    simulator.fault(EMBED, "status", status=503, count=None)
    async with Gristmill(settings_in("mock")) as mill:
        await mill.register(write_pdf("a.pdf", "Barley."))
        async with (await mill._system.worker()).running():
            await _until_parked(mill)
    pdf = write_pdf("b.pdf", "Rye.")
    async with Gristmill(settings_in("mock")) as mill:
        await mill.register(pdf)
    async with Gristmill(settings_in("hybrid")) as mill:
        made = await mill.make_real("default")
        assert (made.published, made.unfinished) == (0, 2)
        assert await rows(mill, "SELECT FROM chunks") == []
        report = await mill.resume()
        assert report.is_complete
        assert vendor.calls(SUBMIT) == 2
        assert await rows(mill, SIMULATED) == []
        parsed = await rows(
            mill, "SELECT p.origin FROM versions v JOIN parses p ON p.id = parse_id"
        )
        assert [row["origin"] for row in parsed] == ["real", "real"]


async def _until_parked(mill: Gristmill) -> None:
    async with asyncio.timeout(20):
        while (await mill.documents())[0].status is not DocumentStatus.PARKED:
            await asyncio.sleep(0.02)


async def test_whoever_works_on_a_document_meanwhile_writes_nothing_more(
    settings_in: SettingsIn, write_pdf: WritePdf
) -> None:
    async with Gristmill(settings_in("mock")) as mill:
        (entry,) = await mill.register(write_pdf("a.pdf", "Barley."))
    async with Gristmill(settings_in("hybrid")) as mill:
        work = await store.claim(mill._system.database, entry.document_id or "")
        assert work is not None
        await mill.make_real("default")
        async with mill._system.database.connection() as connection:
            with pytest.raises(LostClaim):
                await store.step(connection, work, DocumentStatus.STORED)


async def test_work_under_way_in_another_process_leaves_nothing_simulated_behind(
    settings_in: SettingsIn, write_pdf: WritePdf, vendor: SimulatorControl
) -> None:
    files = [write_pdf(f"{n}.pdf", f"Barley number {n}.") for n in range(5)]
    async with Gristmill(settings_in("mock")) as one, Gristmill(settings_in("mock")) as other:
        await shorten(one)
        await one.register(*files)
        async with asyncio.timeout(60), (await one._system.worker()).running():
            while (await one.documents(status=DocumentStatus.READY)) == []:
                await asyncio.sleep(0.01)
            await other.switch_mode(ServiceMode.REAL)
            await other.make_real("default")
            one._system.modes.forget()  # half a second later
            assert await rows(other, SIMULATED) == []
            await other.repair()
            await other.resume()
        assert [d.error for d in await other.documents() if d.error] == []
        assert {d.status for d in await other.documents()} == {DocumentStatus.READY}
        assert await rows(other, SIMULATED) == []
        assert vendor.calls(SUBMIT) == len(files)
        real = await rows(other, "SELECT FROM versions v JOIN parses p ON p.id = v.parse_id"
                          " WHERE p.origin = 'real'")  # fmt: skip
        assert len(real) == len(files)


async def test_only_a_simulated_collection_in_real_or_hybrid_mode_can_be_made_real(
    settings_in: SettingsIn, write_pdf: WritePdf
) -> None:
    await simulated(settings_in, write_pdf("a.pdf", "Barley."))
    async with Gristmill(settings_in("mock")) as mill:
        for ask in (mill.make_real, mill.estimate_make_real):
            with pytest.raises(Misconfigured, match="mode of openai is mock"):
                await ask("default")
            with pytest.raises((CollectionError, Misconfigured)):
                await ask("nowhere")
        assert (await mill.collections())[0].origin is Origin.SIMULATED
        await mill.switch_mode(ServiceMode.REAL)
        await mill.make_real("default")
        with pytest.raises(CollectionError, match="real already"):
            await mill.make_real("default")
        with pytest.raises(CollectionError, match="no collection 'nowhere'"):
            await mill.make_real("nowhere")


async def test_while_the_parser_stays_mock_only_the_vectors_become_real(
    settings_in: SettingsIn, write_pdf: WritePdf, vendor: SimulatorControl
) -> None:
    await simulated(settings_in, write_pdf("a.pdf", "Barley."))
    async with Gristmill(settings_in("mock")) as mill:
        await mill.switch_mode(ServiceMode.REAL, "openai")
        await mill.make_real("default")
        (document,) = (await mill.repair()).documents
        assert document.degraded == ("parse",)
        assert (vendor.calls(SUBMIT), vendor.calls(EMBED)) == (0, 1)


async def test_the_database_refuses_a_real_collection_with_simulated_vectors(
    settings_in: SettingsIn, write_pdf: WritePdf
) -> None:
    await simulated(settings_in, write_pdf("a.pdf", "Barley."))
    async with Gristmill(settings_in("mock")) as mill:
        for statement in (
            "UPDATE collections SET origin = 'real' RETURNING 1",
            "UPDATE chunks SET origin = 'real', vector = NULL, space_id = NULL RETURNING 1",
            """WITH made AS (UPDATE collections SET origin = 'real')
            UPDATE chunks SET origin = 'real' RETURNING 1""",
        ):
            with pytest.raises(psycopg.IntegrityError):
                await rows(mill, statement)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_death_in_the_middle_leaves_all_of_it_or_nothing(
    settings_in: SettingsIn, write_pdf: WritePdf
) -> None:
    await simulated(settings_in, write_pdf("a.pdf", "Barley."))
    async with Gristmill(settings_in("hybrid")) as mill:
        context = await mill._system.context()
        for number in range(1, 60):
            run = CrashingAt(make_real(context, "default"), number)
            try:
                await run
            except (Crash, GristmillError):
                if not run.crashed:  # the one before had come through
                    break
            told = await rows(
                mill,
                "SELECT o.origin, v.lacks_vectors, v.is_fallback, c.vector IS NULL AS is_bare"
                " FROM collections o JOIN chunks c ON c.collection_id = o.id"
                " JOIN versions v ON v.id = c.version_id",
            )
            assert {tuple(row.values()) for row in told} in (
                {("simulated", False, False, False)}, {("real", True, True, True)}
            )  # fmt: skip
            if not run.crashed:
                break
        gc.collect()
        assert number > 8
        assert (await mill.repair()).is_complete


@pytest.fixture
def cli(
    tmp_path: Path, beside_vendor: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    """Runs a command in the mode that was set last, first in mock mode; what it prints."""
    return command_line(monkeypatch, tmp_path, beside_vendor | {"GRISTMILL_MODE": "mock"})


def test_a_person_is_told_the_cost_and_asked_before_anything_changes(
    cli: CommandLine, write_pdf: WritePdf, vendor: SimulatorControl
) -> None:
    assert "No collections" in cli("collections")
    cli("ingest", str(write_pdf("a.pdf", "Barley.")))
    assert "openai is mock" in cli("collection", "make-real", "default", code=1)
    cli("mode", "real")
    told = cli("collection", "make-real", "default", typed="n\n", code=1)
    assert "1 pages  $0.003750" in told
    assert "Its simulated vectors go at once" in told
    planned = json.loads(cli("collection", "make-real", "default", "--dry-run", "--json"))
    assert planned["documents"][0]["lacks"] == ["parse", "vectors"]
    (listed,) = json.loads(cli("collections", "--json"))
    assert (listed["origin"], listed["degraded"]) == ("simulated", 0)
    assert vendor.paid_calls() == 0
    told = cli("collection", "make-real", "default", typed="y\n")
    assert "default is real now." in told
    assert "1 of 1 ready" in told
    assert "real already" in cli("collection", "make-real", "default", "--yes", code=1)
    assert "$0.003750 real, $0.003750 simulated" in cli("collections")
