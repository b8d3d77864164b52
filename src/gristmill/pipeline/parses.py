"""The SQL of parses: one row per (content, options), paid once and shared by all who need it.

One document, the driver, does the talking; its claim fences what is written here too: a change is
part of that document's step, or reads the claim in the same statement.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import uuid4

from gristmill.contract import Origin
from gristmill.database.engine import Connection, Database, Row
from gristmill.pipeline import ended_jobs
from gristmill.pipeline.chunking import Page
from gristmill.pipeline.document import ParseOptions, Work
from gristmill.pipeline.ended_jobs import ended
from gristmill.pipeline.store import ENDED_NAMES, MINE, QUEUE, Change, lost

LOCAL: Final = "local"

# One that is there already is locked, so that it is not removed before somebody refers to it.
_FIND_OR_ADD: Final = f"""
WITH {MINE}
INSERT INTO parses (fingerprint, sha256, endpoint, origin, tier, tier_version, max_pages,
                    languages, tag, driver)
SELECT %(fingerprint)s, %(sha256)s, %(endpoint)s, %(origin)s, %(tier)s, %(tier_version)s,
       %(max_pages)s, %(languages)s, %(tag)s, mine.id
FROM mine
ON CONFLICT (fingerprint) DO UPDATE SET fingerprint = excluded.fingerprint
RETURNING *
"""

# A driver that is parked with nothing sent, for lack of money say, holds nobody else up.
_DRIVE: Final = f"""
WITH {MINE}
UPDATE parses p SET driver = mine.id FROM mine
WHERE p.id = %(parse)s AND p.status NOT IN ('submitted', 'completed', 'stored') AND (
    p.driver IS NULL OR p.driver = mine.id OR NOT EXISTS (
        SELECT FROM documents d WHERE d.id = p.driver AND d.status <> ALL (%(ended)s)
        AND NOT (d.status = 'parked' AND p.status IN ('new', 'uploaded', 'failed'))))
RETURNING p.*
"""

_UPLOADED: Final = "status = 'uploaded', attempts = attempts - 1"  # that one never became a job
_SUBMITTING: Final = """
status = 'submitting', file_id = %(file_id)s, attempts = attempts + 1,
submitting_since = clock_timestamp()
"""
_STILL_DRIVES: Final = "p.driver = mine.id"
_FAILED: Final = "status = 'failed', error = %(error)s"
_RESTARTED: Final = """
status = 'new', tag = translate(gen_random_uuid()::text, '-', ''), file_id = NULL, job_id = NULL,
error = NULL, submitted_at = NULL
"""
# Somebody asks for a parse that failed and that nobody tries again: as many jobs as the first time.
ASKED_AGAIN: Final = f"{_RESTARTED}, attempts = 0"
GIVEN_UP: Final = """
p.status = 'failed' AND NOT EXISTS (
    SELECT FROM documents d WHERE d.id = p.driver AND d.status <> ALL (%(ended)s))
"""
_ASK_AGAIN: Final = (
    f"UPDATE parses p SET {ASKED_AGAIN} WHERE id = %(id)s AND {GIVEN_UP} RETURNING *"
)

_SUBMITTED: Final = """
UPDATE parses p SET status = 'submitted', job_id = %(job_id)s, submitted_at = clock_timestamp()
FROM moved WHERE p.id = %(parse)s
"""

# Of several documents that bring the same result, the first keeps it.
_KEPT: Final = """
UPDATE parses p SET status = 'stored'
FROM moved WHERE p.id = %(parse)s AND p.status <> 'stored'
RETURNING p.id, p.endpoint, p.job_id, p.file_id
"""
# A part of it: the next job reads on in the same file. The job of this part is named by the row as
# it was before.
_CONTINUED: Final = """
UPDATE parses p SET status = 'uploaded', tag = %(tag)s, read_to = %(read_to)s, job_id = NULL,
    submitted_at = NULL, attempts = 0
FROM moved, parses was
WHERE p.id = %(parse)s AND was.id = p.id AND p.status = 'completed' AND p.read_to < %(read_to)s
RETURNING p.id, p.endpoint, was.job_id, p.file_id
"""
_PAGES: Final = """
INSERT INTO pages (parse_id, number, markdown, error)
SELECT {kept}.id, page.* FROM {kept},
    unnest(%(numbers)s::int[], %(texts)s::text[], %(errors)s::text[]) AS page
"""

_WOKEN: Final = """
SELECT wake(d.id, %(queue)s)
FROM kept JOIN versions v ON v.parse_id = kept.id JOIN documents d ON d.building_id = v.id, moved
WHERE d.stage = 'parsing' AND d.status <> ALL (%(ended)s) AND d.id <> moved.id
"""

_LOAD: Final = """
SELECT p.endpoint, p.max_pages, pages.number, pages.markdown, pages.error
FROM parses p LEFT JOIN pages ON pages.parse_id = p.id WHERE p.id = %s ORDER BY pages.number
"""

_WAKE_WAITING: Final = """
SELECT wake(d.id, %(queue)s)
FROM documents d JOIN versions v ON v.id = d.building_id
WHERE v.parse_id = ANY (%(parses)s) AND d.stage = 'parsing' AND d.status <> ALL (%(ended)s)
"""


@dataclass(frozen=True, slots=True)
class Parse:
    """A parse at a vendor, or of our own.

    `attempts` counts the jobs that its next part may have become; pages up to `read_to` are ours.
    """

    id: int
    endpoint: str
    origin: Origin
    tier: str
    tier_version: str
    max_pages: int
    languages: tuple[str, ...]
    status: str
    tag: str
    driver: str | None
    file_id: str | None
    job_id: str | None
    submitting_since: datetime | None
    submitted_at: datetime | None
    error: str | None
    attempts: int
    read_to: int


def _parse(row: Row) -> Parse:
    values = {name: row[name] for name in _COLUMNS}
    values |= {"origin": Origin(row["origin"]), "languages": tuple(row["languages"])}
    return Parse(**values)


_COLUMNS: Final = tuple(Parse.__dataclass_fields__)


async def find_or_add(
    connection: Connection, work: Work, fingerprint: str, options: ParseOptions
) -> Parse:
    """The parse of this fingerprint, made if nobody asked for it before, or given up since.

    In a transaction that goes on to refer to it.

    Raises:
        LostClaim: somebody else has taken the document over.
    """
    arguments = {
        "fingerprint": fingerprint,
        "sha256": work.version.sha256,
        "endpoint": options.endpoint,
        "origin": options.origin,
        "tier": options.tier,
        "tier_version": options.tier_version,
        "max_pages": options.max_pages,
        "languages": list(options.languages),
        "tag": uuid4().hex,
        "id": work.document_id,
        "claim": work.claim,
    }
    row = await (await connection.execute(_FIND_OR_ADD.encode(), arguments)).fetchone()
    if row is None:
        raise lost(work)
    if row["status"] == "failed":
        again = {"id": row["id"], "ended": ENDED_NAMES}
        row = await (await connection.execute(_ASK_AGAIN.encode(), again)).fetchone() or row
    return _parse(row)


async def read(connection: Connection, parse_id: int) -> Parse:
    cursor = await connection.execute("SELECT * FROM parses WHERE id = %s", (parse_id,))
    row = await cursor.fetchone()
    if row is None:
        raise AssertionError(f"parse {parse_id} vanished under its document")
    return _parse(row)


async def known(database: Database, fingerprints: Sequence[str]) -> dict[str, Parse]:
    """Those of these parses that somebody has asked for, by their fingerprint."""
    async with database.connection() as connection:
        cursor = await connection.execute(
            "SELECT * FROM parses WHERE fingerprint = ANY (%s)", (list(fingerprints),)
        )
        return {row["fingerprint"]: _parse(row) for row in await cursor.fetchall()}


async def drive(connection: Connection, work: Work) -> Parse | None:
    """Makes this document the driver, unless another one at work is; None then.

    None as well if the claim is lost, which the next step tells.
    """
    arguments = {
        "id": work.document_id,
        "claim": work.claim,
        "parse": work.version.parse_id,
        "ended": ENDED_NAMES,
    }
    row = await (await connection.execute(_DRIVE.encode(), arguments)).fetchone()
    return None if row is None else _parse(row)


async def mark_uploaded(connection: Connection, work: Work, parse: Parse) -> Parse:
    """The vendor holds the file and no job of it: nothing to look for before a submit."""
    return await _changed(connection, work, parse, _UPLOADED, {})


async def mark_submitting(
    connection: Connection, work: Work, parse: Parse, file_id: str | None
) -> Parse:
    """From here on a job may exist.

    Raises:
        LostClaim: somebody else has taken the document over, or another document the parse.
    """
    return await _changed(
        connection, work, parse, _SUBMITTING, {"file_id": file_id}, only_if=_STILL_DRIVES
    )


async def mark_failed(connection: Connection, work: Work, parse: Parse, error: str) -> Parse:
    failed = await _changed(connection, work, parse, _FAILED, {"error": error})
    await ended_jobs.add(connection, [parse.id])
    return failed


async def restart(connection: Connection, work: Work, parse: Parse) -> Parse:
    """Forgets a failed attempt; the next one is a new job under a new tag."""
    return await _changed(connection, work, parse, _RESTARTED, {})


async def _changed(
    connection: Connection,
    work: Work,
    parse: Parse,
    new: str,
    values: Mapping[str, object],
    *,
    only_if: str = "true",
) -> Parse:
    """The parse as changed under the claim of its driver.

    Raises:
        LostClaim: somebody else has taken the document over.
    """
    statement = (
        f"WITH {MINE} UPDATE parses p SET {new} FROM mine"
        f" WHERE p.id = %(parse)s AND {only_if} RETURNING p.*"
    )
    arguments = {"id": work.document_id, "claim": work.claim, "parse": parse.id, **values}
    row = await (await connection.execute(statement.encode(), arguments)).fetchone()
    if row is None:
        raise lost(work)
    return _parse(row)


def submitted_as(parse: Parse, job_id: str) -> Change:
    """The parse is at the vendor under this job id."""
    return Change("submitted", _SUBMITTED, {"parse": parse.id, "job_id": job_id})


PageRow = tuple[int, str, str | None]


def kept(parse: Parse, pages: Sequence[PageRow], *, is_billed: bool = False) -> tuple[Change, ...]:
    """The result is ours, (number, markdown, error) a page; this is what must never be lost.

    `is_billed` if its bill is settled already. Whoever else waits for it is woken.
    """
    return (
        Change("kept", _KEPT, {"parse": parse.id}),
        _pages_added("kept", pages),
        ended("kept", is_billed=is_billed),
        Change("woken", _WOKEN, {"queue": QUEUE, "ended": ENDED_NAMES}, is_query=True),
    )


def continued(
    parse: Parse, pages: Sequence[PageRow], read_to: int, *, is_billed: bool
) -> tuple[Change, ...]:
    """A part of the result is ours; the next job is to begin after page `read_to`."""
    arguments = {"parse": parse.id, "read_to": read_to, "tag": uuid4().hex}
    return (
        Change("continued", _CONTINUED, arguments),
        _pages_added("continued", pages),
        ended("continued", is_billed=is_billed, keeps_file=True),
    )


def _pages_added(change: str, pages: Sequence[PageRow]) -> Change:
    numbers, texts, errors = zip(*pages, strict=True) if pages else ((), (), ())
    arguments = {"numbers": list(numbers), "texts": list(texts), "errors": list(errors)}
    return Change("pages_added", _PAGES.format(kept=change), arguments)


async def submitted(database: Database, endpoint: str, limit: int) -> dict[str, datetime]:
    """The jobs out at the vendor, with the times of their submission, oldest first."""
    async with database.connection() as connection:
        cursor = await connection.execute(
            "SELECT job_id, submitted_at FROM parses"
            " WHERE endpoint = %s AND status = 'submitted' ORDER BY submitted_at LIMIT %s",
            (endpoint, limit),
        )
        return {row["job_id"]: row["submitted_at"] for row in await cursor.fetchall()}


async def mark_ended(
    connection: Connection, endpoint: str, ended: Iterable[tuple[str, str | None]]
) -> None:
    """Records what the vendor says is over, (job id, error or None), and wakes who waits."""
    jobs = list(ended)
    cursor = await connection.execute(
        "UPDATE parses p SET error = e.error, status = CASE"
        " WHEN e.error IS NOT NULL THEN 'failed'"
        " WHEN EXISTS (SELECT FROM versions v WHERE v.parse_id = p.id) THEN 'completed'"
        " ELSE 'failed' END"  # its document was deleted meanwhile: only the bill is wanted
        " FROM unnest(%s::text[], %s::text[]) AS e (job_id, error)"
        " WHERE p.job_id = e.job_id AND p.endpoint = %s AND p.status = 'submitted'"
        " RETURNING p.id, p.status",
        ([job for job, _ in jobs], [error for _, error in jobs], endpoint),
    )
    rows = await cursor.fetchall()
    await ended_jobs.add(connection, [row["id"] for row in rows if row["status"] == "failed"])
    await wake_waiting(connection, [row["id"] for row in rows])


async def wake_waiting(connection: Connection, parse_ids: Sequence[int]) -> None:
    """Queues a look at every document that waits for one of these parses."""
    arguments = {"parses": list(parse_ids), "queue": QUEUE, "ended": ENDED_NAMES}
    await connection.execute(_WAKE_WAITING, arguments)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a parse: the pages with their text, and (number, error) of those that failed."""

    endpoint: str
    max_pages: int
    pages: list[Page]
    failed: list[tuple[int, str]]


async def load(connection: Connection, parse_id: int) -> Result:
    rows = await (await connection.execute(_LOAD, (parse_id,))).fetchall()
    if not rows:
        raise AssertionError(f"parse {parse_id} vanished under its document")
    found = [row for row in rows if row["number"] is not None]
    return Result(
        endpoint=rows[0]["endpoint"],
        max_pages=rows[0]["max_pages"],
        pages=[Page(number=row["number"], markdown=row["markdown"]) for row in found],
        failed=[(row["number"], row["error"]) for row in found if row["error"] is not None],
    )
