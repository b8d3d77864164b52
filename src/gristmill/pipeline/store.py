"""The SQL of documents at work: claims, fenced steps, parking and ending.

Every write to a document names the claim it was made under. A runner whose claim is no longer the
newest writes nothing and gets `LostClaim`.
"""

import os
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

from gristmill.contract import Origin
from gristmill.database.engine import Connection, Database, Row
from gristmill.errors import GristmillError, LostClaim
from gristmill.pipeline.document import ENDED, PUBLISHED, DocumentStatus, Version, Work

QUEUE: Final = "documents"
ENDED_NAMES: Final = sorted(ENDED)

_CLAIM: Final = """
WITH claimed AS (
    UPDATE documents SET claim = claim + 1
    WHERE id = %(id)s AND status <> ALL (%(ended)s)
    RETURNING id, claim, stage, attempts, collection_id, building_id
)
SELECT c.id AS document_id, c.claim, c.stage, c.attempts, c.collection_id,
       collections.name AS collection, collections.origin,
       jsonb_array_length(v.incomplete) AS lacks, v.*
FROM claimed c
JOIN collections ON collections.id = c.collection_id
JOIN versions v ON v.id = c.building_id
"""

_STEP: Final = """
WITH moved AS (
    UPDATE documents
    SET status = %(status)s, stage = %(status)s, attempts = 0, next_try = NULL,
        error_kind = NULL, error = NULL, advice = NULL, updated_at = clock_timestamp(),
        published_id = CASE WHEN %(publishes)s THEN building_id ELSE published_id END
    WHERE id = %(id)s AND claim = %(claim)s
    RETURNING id, collection_id, building_id AS version_id
), told AS (
    INSERT INTO events (document_id, status, detail)
    SELECT id, %(status)s, %(detail)s FROM moved
){changes}
SELECT id{counts} FROM moved
"""

# For statements under a claim without a step. It also locks the document until the transaction
# ends: rows are locked in the order documents, objects, parses.
MINE: Final = """
mine AS (SELECT id FROM documents WHERE id = %(id)s AND claim = %(claim)s FOR UPDATE)
"""

_LEARNED: Final = ("kind", "mime", "pages", "object_id", "parse_id", "is_fallback")
_SAVE_VERSION: Final = """
UPDATE versions v SET kind = %(kind)s, mime = %(mime)s, pages = %(pages)s,
    object_id = %(object_id)s, parse_id = %(parse_id)s, is_fallback = %(is_fallback)s
FROM moved WHERE v.id = moved.version_id
"""

_STOP: Final = """
WITH moved AS (
    UPDATE documents
    SET status = %(status)s, attempts = attempts + %(counts)s, next_try = %(next_try)s,
        error_kind = %(kind)s, error = %(error)s, advice = %(advice)s,
        updated_at = clock_timestamp()
    WHERE id = %(id)s AND claim = %(claim)s
    RETURNING id
)
INSERT INTO events (document_id, status, detail)
SELECT id, %(status)s, %(error)s FROM moved RETURNING id
"""

_UNTENDED: Final = """
SELECT wake(d.id, CASE d.stage WHEN 'uploaded' THEN 'host:' || v.host ELSE %(queue)s END)
FROM documents d
JOIN versions v ON v.id = d.building_id
LEFT JOIN parses p ON p.id = v.parse_id
WHERE d.status <> ALL (%(ended)s)
  AND NOT (d.status = 'parked' AND d.next_try > clock_timestamp())
  AND NOT (d.stage = 'parsing' AND (p.status = 'submitted' OR EXISTS (
        SELECT FROM documents o WHERE o.id = p.driver AND o.id <> d.id
        AND o.status <> ALL (%(ended)s)
        AND NOT (o.status = 'parked' AND p.status IN ('new', 'uploaded', 'failed')))))
  AND NOT EXISTS (SELECT FROM procrastinate_jobs j
                  WHERE j.lock = d.id AND j.status IN ('todo', 'doing'))
"""


_WAKE_PARKED: Final = """
SELECT wake(d.id, CASE d.stage WHEN 'uploaded' THEN 'host:' || v.host ELSE %(queue)s END,
            clock_timestamp() + make_interval(secs => %(after)s))
FROM documents d JOIN versions v ON v.id = d.building_id
WHERE d.status = 'parked' AND d.error_kind = ANY (%(kinds)s)
"""


async def claim(database: Database, document_id: str) -> Work | None:
    """Takes a document over from whoever had it; None when there is nothing left to do."""
    async with database.connection() as connection:
        cursor = await connection.execute(_CLAIM, {"id": document_id, "ended": ENDED_NAMES})
        row = await cursor.fetchone()
    return None if row is None else _work(row)


def _work(row: Row) -> Work:
    return Work(
        document_id=row["document_id"],
        claim=row["claim"],
        stage=DocumentStatus(row["stage"]),
        attempts=row["attempts"],
        collection=row["collection"],
        collection_id=row["collection_id"],
        origin=Origin(row["origin"]),
        version=Version(
            id=row["id"],
            sha256=row["sha256"],
            name=row["name"],
            kind=row["kind"],
            mime=row["mime"],
            size=row["size"],
            pages=row["pages"],
            path=Path(os.fsdecode(row["path"])),
            host=row["host"],
            object_id=row["object_id"],
            parse_id=row["parse_id"],
            lacks=row["lacks"],
            is_fallback=row["is_fallback"],
            is_repair=row["is_repair"],
        ),
    )


@dataclass(frozen=True, slots=True)
class Change:
    """What a step changes besides the document: one statement, a part of the step's own.

    It takes the document from `moved` (id, collection_id, version_id), which has no row when the
    claim is lost, and what earlier changes return from their names. A query is made for the
    effects of the functions that it calls; it sees the rows as they were before the step.
    """

    name: str
    statement: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    is_query: bool = False


async def step(
    connection: Connection, work: Work, to: DocumentStatus, detail: str = "", *changes: Change
) -> Work:
    """Moves the document on with all `changes`, in one statement; gives it as it stands then.

    Moving it to a published status publishes the version that was built.

    Raises:
        LostClaim: somebody else has taken the document over; nothing was changed.
    """
    arguments = {"status": to, "detail": detail, "publishes": to in PUBLISHED}
    for change in changes:
        arguments |= change.arguments
    texts = tuple((change.name, change.statement, change.is_query) for change in changes)
    statement = _with_changes(texts)
    await _fenced(connection, statement, work, arguments)
    return replace(work, stage=to, attempts=0)


@cache
def _with_changes(changes: tuple[tuple[str, str, bool], ...]) -> str:
    return _STEP.format(
        changes="".join(f", {name} AS ({text})" for name, text, _ in changes),
        # Postgres runs a query only if somebody asks for its rows.
        counts="".join(f", (SELECT count(*) FROM {name})" for name, _, query in changes if query),
    )


def saved(version: Version) -> Change:
    """What was learned about the version that is being built."""
    arguments = {name: getattr(version, name) for name in _LEARNED}
    return Change("version_saved", _SAVE_VERSION, arguments)


async def _fenced(
    connection: Connection, statement: str, work: Work, arguments: dict[str, Any]
) -> None:
    arguments |= {"id": work.document_id, "claim": work.claim}
    cursor = await connection.execute(statement.encode(), arguments)
    if await cursor.fetchone() is None:
        raise lost(work)


def lost(work: Work) -> LostClaim:
    return LostClaim(f"{work.document_id} was taken over by another worker.")


async def park(
    connection: Connection,
    work: Work,
    error: GristmillError,
    seconds: float,
    *,
    counts: bool = True,
) -> datetime:
    """Puts the document aside until `seconds` from now, saying why.

    `counts` if that was one of the tries that it has.
    """
    next_try = datetime.now(UTC) + timedelta(seconds=seconds)
    await _stop(connection, work, DocumentStatus.PARKED, error, next_try, counts=counts)
    await wake(connection, work, next_try)
    return next_try


async def end(
    connection: Connection, work: Work, status: DocumentStatus, error: GristmillError
) -> None:
    """Ends the document for good; a version published earlier stays published."""
    await _stop(connection, work, status, error, None, counts=True)


async def _stop(
    connection: Connection,
    work: Work,
    status: DocumentStatus,
    error: GristmillError,
    next_try: datetime | None,
    *,
    counts: bool,
) -> None:
    arguments = {
        "counts": int(counts),
        "status": status,
        "next_try": next_try,
        "kind": error.kind,
        "error": str(error),
        "advice": error.advice,
    }
    await _fenced(connection, _STOP, work, arguments)


async def wake(connection: Connection, work: Work, at: datetime | None = None) -> None:
    """Queues the next look at the document, now or at a time."""
    local = work.stage == DocumentStatus.UPLOADED
    queue = host_queue(work.version.host) if local else QUEUE
    await connection.execute("SELECT wake(%s, %s, %s)", (work.document_id, queue, at))


async def wake_untended(database: Database) -> int:
    """Queues every unfinished document that nobody has queued; gives their number.

    The safety net below all hand-overs: whatever was lost, the next look finds it.
    """
    async with database.connection() as connection:
        arguments = {"ended": ENDED_NAMES, "queue": QUEUE}
        return len(await (await connection.execute(_UNTENDED, arguments)).fetchall())


async def wake_parked(database: Database, *kinds: str, after: float = 0.0) -> int:
    """Queues a look at every document that is parked for these kinds of errors; their number.

    It comes `after` so many seconds, if not before.
    """
    async with database.connection() as connection:
        arguments = {"kinds": list(kinds), "queue": QUEUE, "after": after}
        return len(await (await connection.execute(_WAKE_PARKED, arguments)).fetchall())


def host_queue(host: str) -> str:
    """The queue of work that needs files of one machine."""
    return f"host:{host}"


def backoff(attempts: int, draw: random.Random, *, base: float = 1.0, cap: float = 300.0) -> float:
    """Full-jitter exponential delay in seconds, never below a quarter of `base`."""
    return max(base / 4, draw.uniform(0, min(cap, base * 2.0 ** min(attempts, 20))))
