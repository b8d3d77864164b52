"""Putting right what is degraded: read by the simulator for want of the parser, without vectors.

Only published versions are touched, and they stay published until what takes their place is whole.
One statement begins a repair; from then on it is a document on its road like any other, which
waits where it would have been degraded again. So whatever stops, the next worker goes on, and what
was paid for is found paid.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from gristmill.contract import Origin
from gristmill.database.engine import Connection, Database, Row
from gristmill.health import snapshots
from gristmill.pipeline.context import Context
from gristmill.pipeline.document import PUBLISHED, Degradation, PipelineOptions
from gristmill.pipeline.store import ENDED_NAMES, QUEUE, host_queue

# By themselves repairs begin only where every service concerned has been healthy for so long, and
# so few at a time that new documents never stand behind many.
STEADY_SECONDS: Final = 60.0
AT_ONCE: Final = 4

# The services that a repair of each kind asks.
CONCERNED: Final[Mapping[Degradation, tuple[str, ...]]] = {
    "parse": ("llamaparse", "openai", "supabase"),
    "vectors": ("openai",),
}

# due: nothing is done about it yet; failed: its repair has ended without success; replaced: a newer
# content of the document is on its way, or has failed.
Standing = Literal["due", "under way", "failed", "replaced"]

_DEGRADED: Final = """
SELECT * FROM (
    SELECT d.id AS document_id, d.source, c.name AS collection, c.origin,
           array_remove(ARRAY[CASE WHEN v.is_fallback THEN 'parse' END,
                              CASE WHEN v.lacks_vectors THEN 'vectors' END], NULL) AS lacks,
           CASE WHEN c.origin <> %(origin)s THEN NULL
                WHEN v.is_fallback AND %(parses)s THEN 'parse'
                WHEN v.lacks_vectors THEN 'vectors' END AS remedy,
           CASE WHEN d.building_id = v.id AND d.status = ANY (%(published)s) THEN 'due'
                WHEN NOT b.is_repair THEN 'replaced'
                WHEN d.status = ANY (%(ended)s) THEN 'failed'
                ELSE 'under way' END AS standing,
           v.published_at AS since, v.id AS version_id, v.sha256, v.kind, v.mime, v.pages
    FROM versions v
    JOIN documents d ON d.published_id = v.id
    JOIN collections c ON c.id = d.collection_id
    JOIN versions b ON b.id = d.building_id
    WHERE v.is_fallback OR v.lacks_vectors
) found
WHERE (%(collection)s::text IS NULL OR collection = %(collection)s)
  AND (%(remedies)s::text[] IS NULL OR standing = 'due' AND remedy = ANY (%(remedies)s))
ORDER BY since, document_id LIMIT %(limit)s
"""

# The old version is published until the new one is: read anew from the file, which is stored where
# `stored` is told, and else brought there by the home that repairs.
_READ_ANEW: Final = """
WITH chosen AS (
    SELECT d.id AS document_id, v.sha256, v.name, v.kind, v.mime, v.size, v.pages, v.path,
           v.object_id, o.id IS NOT NULL AS is_stored,
           CASE WHEN o.id IS NULL THEN %(host)s ELSE v.host END AS host
    FROM documents d
    JOIN versions v ON v.id = d.published_id
    LEFT JOIN objects o ON o.id = v.object_id AND o.removing_since IS NULL
        AND (o.endpoint, o.bucket) = (%(endpoint)s, %(bucket)s)
    WHERE d.id = ANY (%(ids)s) AND d.building_id = v.id AND d.status = ANY (%(published)s)
      AND v.is_fallback
    ORDER BY d.id FOR UPDATE OF d
), drawn AS (
    SELECT *, nextval(pg_get_serial_sequence('versions', 'id')) AS number,
           CASE WHEN is_stored THEN 'stored' ELSE 'uploaded' END AS stage
    FROM chosen
), version AS (
    INSERT INTO versions (id, document_id, sha256, fingerprint, name, kind, mime, size, pages, path,
                          host, object_id, is_repair)
    OVERRIDING SYSTEM VALUE
    SELECT number, document_id, sha256, f.fingerprint, name, kind, mime, size, pages, path, host,
           object_id, true
    FROM drawn JOIN unnest(%(contents)s::text[], %(fingerprints)s::text[])
        AS f (content, fingerprint) ON f.content = drawn.sha256
), moved AS (
    UPDATE documents d SET claim = claim + 1, status = drawn.stage, stage = drawn.stage,
        building_id = drawn.number, attempts = 0, next_try = NULL, error_kind = NULL, error = NULL,
        advice = NULL, updated_at = clock_timestamp()
    FROM drawn WHERE d.id = drawn.document_id
), told AS (
    INSERT INTO events (document_id, status, detail)
    SELECT document_id, stage, 'is repaired: the parser reads it' FROM drawn
)
SELECT document_id,
       wake(document_id, CASE WHEN is_stored THEN %(queue)s ELSE %(host_queue)s END)
FROM drawn
"""

# The same version, which has its passages already.
_EMBED: Final = """
WITH chosen AS (
    SELECT d.id, v.id AS version_id
    FROM documents d JOIN versions v ON v.id = d.published_id
    WHERE d.id = ANY (%(ids)s) AND d.building_id = v.id AND d.status = ANY (%(published)s)
      AND v.lacks_vectors
    ORDER BY d.id FOR UPDATE OF d
), moved AS (
    UPDATE documents d SET claim = claim + 1, status = 'chunked', stage = 'chunked', attempts = 0,
        next_try = NULL, error_kind = NULL, error = NULL, advice = NULL,
        updated_at = clock_timestamp()
    FROM chosen WHERE d.id = chosen.id RETURNING d.id, chosen.version_id
), marked AS (
    UPDATE versions v SET is_repair = true FROM moved WHERE v.id = moved.version_id
), told AS (
    INSERT INTO events (document_id, status, detail)
    SELECT id, 'chunked', 'is repaired: its vectors are bought' FROM moved
)
SELECT id AS document_id, wake(id, %(queue)s) FROM moved
"""

# Fresh work that waits for money is to be given it before any repair; what waits for another
# machine, or for a person, holds none up. While nothing is degraded, no document is looked at.
_SITUATION: Final = """
WITH degraded AS MATERIALIZED (
    SELECT EXISTS (SELECT FROM versions WHERE is_fallback OR lacks_vectors) AS found)
SELECT (SELECT found FROM degraded) AS is_degraded,
       count(*) FILTER (WHERE v.is_repair AND d.status <> 'parked') AS repairs,
       count(*) FILTER (WHERE NOT v.is_repair
           AND (d.status <> 'parked' OR d.error_kind = 'BudgetExceeded')
           AND (d.stage <> 'uploaded' OR v.host = %(host)s)) AS fresh
FROM documents d JOIN versions v ON v.id = d.building_id
WHERE (SELECT found FROM degraded) AND d.status <> ALL (%(ended)s)
"""


@dataclass(frozen=True, slots=True)
class Degraded:
    """A published document that lacks something, since when, and what is done about it.

    `remedy` is what would put it right in the present modes; None if nothing can.
    """

    document_id: str
    source: str
    collection: str
    origin: Origin
    lacks: tuple[Degradation, ...]
    remedy: Degradation | None
    standing: Standing
    since: datetime
    version_id: int
    sha256: str
    kind: str
    mime: str
    pages: int | None


@dataclass(frozen=True, slots=True)
class Situation:
    """What a repair would stand beside: other repairs, and `fresh` documents that go first."""

    is_degraded: bool
    repairs: int
    fresh: int

    @property
    def room(self) -> int:
        """How many repairs may begin by themselves."""
        return 0 if self.fresh or not self.is_degraded else max(0, AT_ONCE - self.repairs)


def remedies_of(steady: Mapping[str, float], seconds: float) -> list[Degradation]:
    """The kinds of repairs whose services have all been healthy for so long.

    `steady` has the seconds for each service that is healthy.
    """
    return [
        remedy
        for remedy, services in CONCERNED.items()
        if all(steady.get(service, -1.0) >= seconds for service in services)
    ]


async def degraded(
    database: Database,
    options: PipelineOptions,
    *,
    collection: str | None = None,
    remedies: Collection[Degradation] | None = None,
    limit: int | None = None,
) -> list[Degraded]:
    """What is degraded, the oldest first; with `remedies` only what is due for one of these."""
    arguments = {
        "origin": options.embedding.origin,
        "parses": options.parse.origin is Origin.REAL,
        "collection": collection,
        "remedies": None if remedies is None else list(remedies),
        "published": list(PUBLISHED),
        "ended": ENDED_NAMES,
        "limit": limit,
    }
    async with database.connection() as connection:
        rows = await (await connection.execute(_DEGRADED, arguments)).fetchall()
    return [degraded_of(row) for row in rows]


def degraded_of(row: Row) -> Degraded:
    """A row with these columns as a value."""
    return Degraded(**{**row, "origin": Origin(row["origin"]), "lacks": tuple(row["lacks"])})


async def begin(context: Context, found: Sequence[Degraded]) -> list[str]:
    """Begins the repairs that are still due; the documents that it was done for.

    Repeating it changes nothing.
    """
    anew = [each for each in found if each.remedy == "parse"]
    embedded = [each.document_id for each in found if each.remedy == "vectors"]
    async with context.database.transaction() as connection:
        begun = await _begun(connection, _READ_ANEW, _to_read(context, anew)) if anew else []
        if embedded:
            begun += await _begun(connection, _EMBED, {"ids": embedded})
    return begun


def _to_read(context: Context, found: Sequence[Degraded]) -> dict[str, Any]:
    contents = sorted({each.sha256 for each in found})
    storage = context.options.storage
    return {
        "ids": [each.document_id for each in found],
        "contents": contents,
        "fingerprints": [context.options.fingerprint(content) for content in contents],
        "endpoint": storage.endpoint,
        "bucket": storage.bucket,
        "host": context.host,
        "host_queue": host_queue(context.host),
    }


async def _begun(connection: Connection, statement: str, arguments: dict[str, Any]) -> list[str]:
    arguments |= {"published": list(PUBLISHED), "queue": QUEUE}
    cursor = await connection.execute(statement.encode(), arguments)
    return [row["document_id"] for row in await cursor.fetchall()]


async def begin_some(context: Context, *, seconds: float = STEADY_SECONDS) -> list[str]:
    """Begins a few repairs, where services have been healthy for `seconds` and nothing is before.

    What has failed is left to a person. Gives the documents that it was done for.

    Raises:
        Misconfigured: work cannot go on in the present modes.
    """
    if not (room := (await situation(context.database, context.host)).room):
        return []
    present = await context.current()
    steady = await snapshots.steady(context.database, _places(present.options))
    remedies = remedies_of(steady, seconds)
    found = await degraded(context.database, present.options, remedies=remedies, limit=room)
    return await begin(present, found)


async def situation(database: Database, host: str) -> Situation:
    """What is unfinished now, as seen from the home `host`."""
    arguments = {"ended": ENDED_NAMES, "host": host}
    async with database.connection() as connection:
        row = await (await connection.execute(_SITUATION, arguments)).fetchone()
    if row is None:
        raise AssertionError("a sum has a row")
    return Situation(**row)


def _places(options: PipelineOptions) -> dict[str, str]:
    return {
        "openai": options.embedding.endpoint,
        "llamaparse": options.parse.endpoint,
        "supabase": options.storage.endpoint,
    }
