"""Whoever took a document over last may write; an older runner changes nothing at all."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gristmill.contract import Origin
from gristmill.database.engine import Connection, Database
from gristmill.errors import LostClaim, Unavailable
from gristmill.pipeline import chunks, parses, store
from gristmill.pipeline.chunking import Chunk, ChunkingOptions
from gristmill.pipeline.document import (
    DocumentStatus,
    EmbeddingOptions,
    IncompletePage,
    ParseOptions,
    PipelineOptions,
    StorageOptions,
    Work,
)
from gristmill.pipeline.intake import Source, collection_id, register
from gristmill.pipeline.parses import Parse
from gristmill.pipeline.worker import recover

SHA = "a" * 64
PARSING = ParseOptions("simulator", Origin.SIMULATED, "agentic", "latest", 100)
EMBEDDING = EmbeddingOptions("simulator", Origin.SIMULATED, "text-embedding-3-small", 4)
OPTIONS = PipelineOptions(
    StorageOptions("simulator", Origin.SIMULATED, "documents"),
    PARSING,
    ChunkingOptions(512, 64),
    EMBEDDING,
)
PASSAGE = Chunk(
    ordinal=0,
    start=0,
    end=5,
    first_page=1,
    last_page=1,
    headings=("A “heading”", "\\N and {braces}, NULL"),
    text="Grist",
    tokens=2,
)
TABLES = ("documents", "versions", "parses", "pages", "chunks", "events")


@pytest.fixture
async def work(database: Database) -> Work:
    """A document with a parse, in the hands of a first runner."""
    collection = await collection_id(database, "default", Origin.SIMULATED)
    source = Source("a.pdf", Path("/nowhere/a.pdf"), "a.pdf", SHA, 10)
    ((document_id, _),) = await register(database, OPTIONS, collection, "here", [source])
    work = await claimed(database, document_id)
    async with database.connection() as connection:
        fingerprint = PARSING.fingerprint(SHA)
        parse = await parses.find_or_add(connection, work, fingerprint, PARSING)
        work = replace(work, version=replace(work.version, kind="pdf", parse_id=parse.id))
        known = store.saved(work.version)
        return await store.step(connection, work, DocumentStatus.PARSE_QUEUED, "", known)


async def claimed(database: Database, document_id: str) -> Work:
    work = await store.claim(database, document_id)
    assert work is not None
    return work


async def parse_of(connection: Connection, work: Work) -> Parse:
    assert work.version.parse_id is not None
    return await parses.read(connection, work.version.parse_id)


async def everything(database: Database) -> dict[str, list[dict[str, object]]]:
    async with database.connection() as connection:
        return {
            table: await (
                await connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2".encode())
            ).fetchall()
            for table in TABLES
        }


async def keep_pages(connection: Connection, work: Work) -> None:
    changes = parses.kept(await parse_of(connection, work), [(1, "Grist", None)])
    await store.step(connection, work, DocumentStatus.PARSED, "", *changes)


async def add_passages(connection: Connection, work: Work) -> None:
    gaps = chunks.lacking([IncompletePage(2, "empty")])
    await store.step(connection, work, DocumentStatus.CHUNKED, "", chunks.added([PASSAGE]), gaps)


async def publish(connection: Connection, work: Work) -> None:
    space = await chunks.space_of(connection, EMBEDDING)
    await store.step(connection, work, DocumentStatus.READY, "", *chunks.published(space))


async def submitted(connection: Connection, work: Work) -> None:
    change = parses.submitted_as(await parse_of(connection, work), "job-1")
    await store.step(connection, work, DocumentStatus.PARSING, "", change)


async def intend_to_submit(connection: Connection, work: Work) -> None:
    await parses.mark_submitting(connection, work, await parse_of(connection, work), "file-1")


async def call_it_failed(connection: Connection, work: Work) -> None:
    await parses.mark_failed(connection, work, await parse_of(connection, work), "no")


async def start_again(connection: Connection, work: Work) -> None:
    await parses.restart(connection, work, await parse_of(connection, work))


async def park(connection: Connection, work: Work) -> None:
    async with connection.transaction():
        await store.park(connection, work, Unavailable("away"), 60.0)


WRITES = [
    keep_pages,
    add_passages,
    publish,
    submitted,
    intend_to_submit,
    call_it_failed,
    start_again,
    park,
]


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)
async def test_what_the_newest_runner_may_write_an_older_one_may_not(
    database: Database, work: Work, write: Callable[[Connection, Work], Awaitable[None]]
) -> None:
    newest = await claimed(database, work.document_id)
    before = await everything(database)
    async with database.connection() as connection:
        with pytest.raises(LostClaim):
            await write(connection, work)
        assert await everything(database) == before
        await write(connection, newest)
    assert await everything(database) != before


async def test_an_older_runner_neither_takes_the_wheel_nor_reuses_vectors(
    database: Database, work: Work
) -> None:
    async with database.connection() as connection:
        await add_passages(connection, work)
        space = await chunks.space_of(connection, EMBEDDING)
        newest = await claimed(database, work.document_id)
        before = await everything(database)
        assert await parses.drive(connection, work) is None
        assert (await chunks.pending(connection, work, space, 9)).texts == []
        assert await everything(database) == before
        assert await parses.drive(connection, newest) is not None
        assert len((await chunks.pending(connection, newest, space, 9)).texts) == 1


async def test_a_step_gives_the_document_as_the_next_claim_finds_it(
    database: Database, work: Work
) -> None:
    again = await claimed(database, work.document_id)
    assert again == replace(work, claim=again.claim)


async def test_passages_come_back_as_they_were_given(database: Database, work: Work) -> None:
    async with database.connection() as connection:
        await add_passages(connection, work)
        cursor = await connection.execute("SELECT *, sha256(text::bytea) AS hash FROM chunks")
        (row,) = await cursor.fetchall()
    assert tuple(row["headings"]) == PASSAGE.headings
    assert (row["text"], row["tokens"], row["start_offset"], row["end_offset"]) == (
        "Grist",
        2,
        0,
        5,
    )
    assert row["text_sha256"] == row["hash"]


async def test_the_last_batch_and_the_publication_are_one_commit(
    database: Database, work: Work
) -> None:
    async with database.connection() as connection:
        await add_passages(connection, work)
        space = await chunks.space_of(connection, EMBEDDING)
        pending = await chunks.pending(connection, work, space, 1)
        assert pending.is_all
        vectors = np.ones((1, 4), dtype=np.float32)
        kept = chunks.embedded(space, pending.texts, vectors)
        changes = (kept, *chunks.published(space))
        await store.step(connection, work, DocumentStatus.READY, "", *changes)
    rows = await everything(database)
    assert rows["documents"][0]["published_id"] == work.version.id
    assert rows["versions"][0]["space_id"] == space
    assert [row["space_id"] for row in rows["chunks"]] == [space]


async def test_a_look_at_what_is_pending_takes_so_many_and_says_that_more_is_left(
    database: Database, work: Work
) -> None:
    second = replace(PASSAGE, ordinal=1, text="Gruel")
    async with database.connection() as connection:
        added = chunks.added([PASSAGE, second])
        work = await store.step(connection, work, DocumentStatus.CHUNKED, "", added)
        space = await chunks.space_of(connection, EMBEDDING)
        pending = await chunks.pending(connection, work, space, 1)
    assert [text.text for text in pending.texts] == ["Grist"]
    assert not pending.is_all


async def test_a_refused_text_is_a_gap_wherever_it_stands_and_pending_no_more(
    database: Database, work: Work
) -> None:
    passages = [replace(PASSAGE, ordinal=n, text=text) for n, text in enumerate("abca")]
    async with database.connection() as connection:
        lacking = chunks.lacking([IncompletePage(9, "empty", "no text on it")])
        added = chunks.added([replace(p, first_page=p.ordinal + 1) for p in passages])
        work = await store.step(connection, work, DocumentStatus.CHUNKED, "", added, lacking)
        space = await chunks.space_of(connection, EMBEDDING)
        texts = (await chunks.pending(connection, work, space, 9)).texts
        refused = chunks.refused([(texts[0], "because")])
        work = await store.step(connection, work, DocumentStatus.EMBEDDING, "", refused)
        left = await chunks.pending(connection, work, space, 9)
        again = await store.claim(database, work.document_id)
    assert [text.text for text in left.texts] == ["b", "c"]
    assert again is not None
    assert again.version.lacks == 3
    found = (await everything(database))["versions"][0]["incomplete"]
    assert [IncompletePage(**gap) for gap in found] == [
        IncompletePage(9, "empty", "no text on it"),
        IncompletePage(1, "refused", "because", passage=1),
        IncompletePage(4, "refused", "because", passage=4),
    ]


async def test_a_text_that_has_a_vector_in_the_same_space_is_not_bought_again(
    database: Database, work: Work
) -> None:
    async with database.connection() as connection:
        added = chunks.added([PASSAGE, replace(PASSAGE, ordinal=1, text="Gruel")])
        work = await store.step(connection, work, DocumentStatus.CHUNKED, "", added)
        space = await chunks.space_of(connection, EMBEDDING)
        first = await chunks.pending(connection, work, space, 1)
        vectors = chunks.embedded(space, first.texts, np.ones((1, 4), dtype=np.float32))
        work = await store.step(connection, work, DocumentStatus.EMBEDDING, "", vectors)
        await connection.execute(
            "INSERT INTO chunks (version_id, collection_id, ordinal, start_offset, end_offset,"
            " first_page, last_page, headings, text, text_sha256, tokens, origin)"
            " SELECT version_id, collection_id, 2, 6, 11, 1, 1, headings, text, text_sha256,"
            " tokens, origin FROM chunks WHERE ordinal = 0"
        )
        left = await chunks.pending(connection, work, space, 1)
    assert [text.text for text in left.texts] == ["Gruel"]
    assert left.is_all
    rows = {row["ordinal"]: row["space_id"] for row in (await everything(database))["chunks"]}
    assert rows == {0: space, 1: None, 2: space}


async def test_a_dead_workers_look_is_put_back_unless_another_is_queued_by_then(
    database: Database, work: Work
) -> None:
    dead = "UPDATE procrastinate_jobs SET status = 'doing', worker_id = NULL"
    async with database.connection() as connection:
        await connection.execute(dead)
        assert await recover(database) == 1
        assert await looks(connection) == ["todo"]
        await connection.execute(dead)
        await store.wake(connection, work)
        assert await recover(database) == 1
        assert await looks(connection) == ["todo"]
        assert await recover(database) == 0


async def looks(connection: Connection) -> list[str]:
    cursor = await connection.execute("SELECT status::text FROM procrastinate_jobs")
    return [row["status"] for row in await cursor.fetchall()]


async def test_a_result_wakes_the_others_that_wait_for_it_and_not_its_bringer(
    database: Database, work: Work
) -> None:
    collection = await collection_id(database, "default", Origin.SIMULATED)
    source = Source("b.pdf", Path("/nowhere/b.pdf"), "b.pdf", SHA, 10)
    ((other_id, _),) = await register(database, OPTIONS, collection, "here", [source])
    async with database.connection() as connection:
        other = await claimed(database, other_id)
        version = replace(other.version, parse_id=work.version.parse_id)
        saved = store.saved(version)
        await store.step(connection, other, DocumentStatus.PARSING, "", saved)
        work = await store.step(connection, work, DocumentStatus.PARSING)
        await connection.execute("DELETE FROM procrastinate_jobs")
        await keep_pages(connection, work)
        cursor = await connection.execute("SELECT queueing_lock FROM procrastinate_jobs")
        assert [row["queueing_lock"] for row in await cursor.fetchall()] == [other_id]
