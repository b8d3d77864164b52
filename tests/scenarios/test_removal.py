"""What a deletion takes with it, what it leaves to others, and who finishes one that was cut off."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from simulator import SimulatorControl

from gristmill import DocumentStatus, Gristmill
from gristmill.errors import NotYet, ServiceError
from gristmill.pipeline import removal, store
from gristmill.pipeline.objects import find_object, hold_object, keep_object
from gristmill.pipeline.poller import Poller
from gristmill.pipeline.presence import Presence

WritePdf = Callable[..., Path]
REMOVED = "supabase.object.delete_many"


async def rows(mill: Gristmill, table: str) -> list[dict[str, object]]:
    async with mill._system.database.connection() as connection:
        return await (await connection.execute(f"SELECT * FROM {table}".encode())).fetchall()


async def test_nothing_of_a_deleted_documents_text_stays(
    mill: Gristmill, write_pdf: WritePdf, tmp_path: Path
) -> None:
    (tmp_path / "note.txt").write_text("A private note.")
    report = await mill.ingest(write_pdf("a.pdf", "A private page."), tmp_path / "note.txt")
    for document in report.documents:
        await mill.delete(document.id)
    for table in ("documents", "versions", "chunks", "pages", "events", "objects"):
        assert await rows(mill, table) == [], table


async def test_what_another_document_needs_stays(
    mill: Gristmill, tmp_path: Path, simulator: SimulatorControl
) -> None:
    for name in ("one.txt", "two.txt"):
        (tmp_path / name).write_text("The same words under two names.")
    report = await mill.ingest(tmp_path / "one.txt", tmp_path / "two.txt")
    await mill.delete(report.documents[0].id)
    assert simulator.calls(REMOVED) == 0
    assert len(await rows(mill, "pages")) == 1
    assert len((await mill.search("same words")).hits) == 1


async def test_a_deleted_document_can_come_back(mill: Gristmill, write_pdf: WritePdf) -> None:
    path = write_pdf("a.pdf", "It comes back.")
    first = await mill.ingest(path)
    await mill.delete(first.documents[0].id)
    again = await mill.ingest(path)
    assert again.is_complete
    assert (await mill.search("who comes back?")).hits


async def test_a_file_that_storage_would_not_remove_is_removed_by_the_next_worker(
    impatient: Gristmill, write_pdf: WritePdf, simulator: SimulatorControl
) -> None:
    report = await impatient.ingest(write_pdf("a.pdf", "Sticky."))
    simulator.fault("supabase.*", "status", status=503, count=None)
    with pytest.raises(ServiceError):
        await impatient.delete(report.documents[0].id)
    assert await impatient.documents() == []
    simulator.clear_faults()
    context = await impatient._system.context()
    assert await removal.remove_marked(context) == 0  # not stale yet
    assert await removal.remove_marked(context, stale_seconds=0.0) == 1
    assert await rows(impatient, "objects") == []


async def test_a_file_that_is_being_removed_is_not_taken_up_again(
    mill: Gristmill, write_pdf: WritePdf
) -> None:
    report = await mill.ingest(write_pdf("a.pdf", "Going."))
    context = await mill._system.context()
    document_id = report.documents[0].id
    async with context.database.connection() as connection:
        await connection.execute("UPDATE objects SET removing_since = clock_timestamp()")
        (stored,) = await rows(mill, "objects")
        (version,) = await rows(mill, "versions")
        storage, sha256 = context.options.storage, str(version["sha256"])
        with pytest.raises(NotYet):
            await find_object(context.database, storage, sha256)
        await connection.execute("UPDATE documents SET status = 'uploaded', stage = 'uploaded'")
        work = await store.claim(context.database, document_id)
        assert work is not None
        with pytest.raises(NotYet):
            await hold_object(connection, work, int(str(stored["id"])))
        with pytest.raises(NotYet):
            await keep_object(
                context.database, storage, work.version, str(stored["key"]), storage.origin
            )


async def test_a_removal_waits_for_whoever_is_just_taking_the_file_up(
    mill: Gristmill, tmp_path: Path, simulator: SimulatorControl
) -> None:
    (tmp_path / "one.txt").write_text("The same words under two names.")
    report = await mill.ingest(tmp_path / "one.txt")
    context = await mill._system.context()
    (stored,) = await rows(mill, "objects")
    async with context.database.connection() as connection:
        await connection.execute(
            "INSERT INTO documents (id, collection_id, source, status, stage)"
            " SELECT 'doc-other', collection_id, 'two.txt', 'uploaded', 'uploaded' FROM documents"
        )
        await connection.execute(
            "WITH other AS (INSERT INTO versions (document_id, sha256, fingerprint, name, kind,"
            " mime, size, path, host) SELECT 'doc-other', sha256, fingerprint, 'two.txt', kind,"
            " mime, size, path, host FROM versions RETURNING id)"
            " UPDATE documents SET building_id = other.id FROM other WHERE documents.id = 'doc-other'"
        )
    other = await store.claim(context.database, "doc-other")
    assert other is not None
    async with context.database.transaction() as connection:
        await hold_object(connection, other, int(str(stored["id"])))
        deletion = asyncio.create_task(mill.delete(report.documents[0].id))
        await asyncio.sleep(0.1)
        assert not deletion.done()
        version = replace(other.version, object_id=int(str(stored["id"])))
        await store.step(connection, other, DocumentStatus.STORED, "", store.saved(version))
    await deletion
    assert simulator.calls(REMOVED) == 0
    assert [row["removing_since"] for row in await rows(mill, "objects")] == [None]


async def test_a_parse_whose_document_was_deleted_meanwhile_is_billed_and_cleaned_up(
    mill: Gristmill, write_pdf: WritePdf, simulator: SimulatorControl
) -> None:
    simulator.configure(transition={"kind": "seconds", "value": 0.3})
    await mill.register(write_pdf("a.pdf", "Nobody waits for this."))
    worker = await mill._system.worker()
    async with worker.running():
        while (document := (await mill.documents())[0]).status is not DocumentStatus.PARSING:
            await asyncio.sleep(0.02)
    await mill.delete(document.id)
    context = await mill._system.context()
    presence = await Presence.open(context.database)
    poller = Poller(context, presence, "simulator", seconds=0.01)
    while await poller.look():
        await asyncio.sleep(0.02)
    await presence.close()
    assert await rows(mill, "ended_jobs") == []
    assert await rows(mill, "holds") == []
    assert await rows(mill, "pages") == []
    assert (await mill.costs()).totals[0].assumed == 0
