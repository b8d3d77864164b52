"""The SQL of reading: lists of documents, and one in detail."""

from collections.abc import Sequence
from typing import Any, Final

from gristmill.contract import Origin
from gristmill.costs.report import report
from gristmill.database.engine import Database, Row
from gristmill.errors import NotFound
from gristmill.pipeline.document import (
    CollectionSummary,
    Degradation,
    DocumentDetail,
    DocumentStatus,
    DocumentSummary,
    Event,
    IncompletePage,
)

# What a call costs is its newest entry: `posted` or `corrected` replace what was held.
_SUMMARIES: Final = """
WITH chosen AS (
    SELECT d.*, c.name AS collection, c.origin
    FROM documents d JOIN collections c ON c.id = d.collection_id
    WHERE (%(ids)s::text[] IS NULL OR d.id = ANY (%(ids)s))
      AND (%(prefix)s::text IS NULL OR starts_with(d.id, %(prefix)s))
      AND (%(collection)s::text IS NULL OR c.name = %(collection)s)
      AND (%(status)s::text IS NULL OR d.status = %(status)s)
    ORDER BY d.created_at, d.id LIMIT %(limit)s OFFSET %(offset)s
), passages AS (
    SELECT version_id, count(*) AS chunks, count(vector) AS embedded
    FROM chunks WHERE version_id IN (SELECT building_id FROM chosen) GROUP BY version_id
), paid AS (
    SELECT DISTINCT ON (document_id) document_id, origin,
           sum(nano_dollars) FILTER (WHERE entry IN ('posted', 'corrected'))::bigint AS spent,
           sum(nano_dollars) FILTER (WHERE entry IN ('held', 'assumed', 'open'))::bigint
               AS assumed
    FROM (
        SELECT DISTINCT ON (call_id) document_id, origin, nano_dollars, entry
        FROM journal WHERE document_id IN (SELECT id FROM chosen) ORDER BY call_id, id DESC
    ) calls WHERE entry <> 'released'
    GROUP BY document_id, origin ORDER BY document_id, origin  -- real before simulated
)
SELECT chosen.*, v.pages,
       coalesce(passages.chunks, 0) AS chunks, coalesce(passages.embedded, 0) AS embedded,
       coalesce(paid.spent, 0) AS spent, coalesce(paid.assumed, 0) AS assumed,
       array_remove(ARRAY[CASE WHEN shown.is_fallback THEN 'parse' END,
                          CASE WHEN shown.lacks_vectors THEN 'vectors' END], NULL) AS degraded
FROM chosen
LEFT JOIN versions shown ON shown.id = chosen.published_id
LEFT JOIN versions v ON v.id = chosen.building_id
LEFT JOIN passages ON passages.version_id = chosen.building_id
LEFT JOIN paid ON paid.document_id = chosen.id
    AND (paid.origin = 'real' OR chosen.origin = 'simulated')
ORDER BY chosen.created_at, chosen.id
"""

_DETAIL: Final = """
SELECT v.name, v.kind, v.mime, v.size, v.sha256, v.published_at, v.incomplete,
       p.endpoint AS parse_endpoint, p.origin AS parse_origin, p.tier, p.tier_version, p.job_id,
       s.endpoint AS space_endpoint, s.model, s.dimensions, s.origin AS space_origin
FROM documents d
JOIN versions v ON v.id = d.building_id
LEFT JOIN parses p ON p.id = v.parse_id
LEFT JOIN spaces s ON s.id = v.space_id
WHERE d.id = %s
"""


_COLLECTIONS: Final = """
SELECT c.name, c.origin, coalesce(d.documents, 0) AS documents,
       coalesce(d.degraded, 0) AS degraded, coalesce(p.passages, 0) AS passages,
       coalesce(p.embedded, 0) AS embedded
FROM collections c
LEFT JOIN (
    SELECT d.collection_id, count(*) AS documents,
           count(*) FILTER (WHERE v.is_fallback OR v.lacks_vectors) AS degraded
    FROM documents d LEFT JOIN versions v ON v.id = d.published_id GROUP BY d.collection_id
) d ON d.collection_id = c.id
LEFT JOIN (
    SELECT d.collection_id, count(*) AS passages, count(h.vector) AS embedded
    FROM documents d JOIN chunks h ON h.version_id = d.published_id GROUP BY d.collection_id
) p ON p.collection_id = c.id
ORDER BY c.name
"""


async def collections(database: Database) -> list[CollectionSummary]:
    """Every collection, in the order of their names, with what was paid for it."""
    async with database.connection() as connection:
        rows = await (await connection.execute(_COLLECTIONS)).fetchall()
    lines = (await report(database, "collection")).lines
    return [
        CollectionSummary(
            **row | {"origin": Origin(row["origin"])},
            costs=tuple(line for line in lines if line.name == row["name"]),
        )
        for row in rows
    ]


async def summaries(
    database: Database,
    *,
    ids: Sequence[str] | None = None,
    prefix: str | None = None,
    collection: str | None = None,
    status: DocumentStatus | None = None,
    limit: int = 1000,
    offset: int = 0,
) -> list[DocumentSummary]:
    """Documents, oldest first, with what they cost so far."""
    arguments: dict[str, Any] = {
        "ids": None if ids is None else list(ids),
        "prefix": prefix,
        "collection": collection,
        "status": status,
        "limit": limit,
        "offset": offset,
    }
    async with database.connection() as connection:
        cursor = await connection.execute(_SUMMARIES, arguments)
        return [_summary(row) for row in await cursor.fetchall()]


_FIELDS: Final = tuple(DocumentSummary.__dataclass_fields__)


def _summary(row: Row) -> DocumentSummary:
    values = {name: row[name] for name in _FIELDS}
    values["origin"] = Origin(row["origin"])
    values["status"] = DocumentStatus(row["status"])
    values["stage"] = DocumentStatus(row["stage"])
    values["degraded"] = tuple(row["degraded"])
    return DocumentSummary(**values)


async def counts(database: Database) -> dict[DocumentStatus, int]:
    """How many documents stand where; every status is named."""
    async with database.connection() as connection:
        cursor = await connection.execute(
            "SELECT status, count(*) AS documents FROM documents GROUP BY status"
        )
        found = {row["status"]: row["documents"] for row in await cursor.fetchall()}
    return {status: found.get(status.value, 0) for status in DocumentStatus}


async def degraded_counts(database: Database) -> dict[Degradation, int]:
    """How many published documents lack what for the time being."""
    async with database.connection() as connection:
        cursor = await connection.execute(
            "SELECT count(*) FILTER (WHERE v.is_fallback) AS parse,"
            " count(*) FILTER (WHERE v.lacks_vectors) AS vectors"
            " FROM versions v JOIN documents d ON d.published_id = v.id"
            " WHERE v.is_fallback OR v.lacks_vectors"
        )
        row = await cursor.fetchone() or {}
    return {"parse": row.get("parse", 0), "vectors": row.get("vectors", 0)}


async def find(database: Database, name: str) -> DocumentSummary:
    """The one document with this id, or whose id begins so.

    Raises:
        NotFound: none does, or more than one.
    """
    found = await summaries(database, prefix=name, limit=2) if name else []
    if len(found) == 1:
        return found[0]
    problem = "More than one document has an id beginning with" if found else "No document has id"
    raise NotFound(f"{problem} {name!r}.", advice="gristmill documents lists them.")


async def detail(database: Database, name: str) -> DocumentDetail:
    """Everything about one document, named by its id or an unambiguous beginning of it.

    Raises:
        NotFound: there is none, or more than one.
    """
    summary = await find(database, name)
    async with database.connection() as connection:
        row = await (await connection.execute(_DETAIL, (summary.id,))).fetchone()
        cursor = await connection.execute(
            "SELECT at, status, detail FROM events WHERE document_id = %s ORDER BY id",
            (summary.id,),
        )
        events = tuple(Event(**event) for event in await cursor.fetchall())
    if row is None:
        raise NotFound(f"{summary.id} was deleted at this moment.")
    return _detail(summary, row, events)


def _detail(summary: DocumentSummary, row: Row, events: tuple[Event, ...]) -> DocumentDetail:
    space = {name: row[name] for name in ("model", "dimensions")}
    space |= {"endpoint": row["space_endpoint"], "origin": row["space_origin"]}
    return DocumentDetail(
        summary=summary,
        name=row["name"],
        kind=row["kind"],
        mime=row["mime"],
        size=row["size"],
        sha256=row["sha256"],
        published_at=row["published_at"],
        parser={
            "endpoint": row["parse_endpoint"],
            "origin": row["parse_origin"],
            "tier": row["tier"],
            "version": row["tier_version"],
            "job": row["job_id"],
        },
        space=space if row["model"] is not None else None,
        incomplete=tuple(IncompletePage(**page) for page in row["incomplete"]),
        events=events,
    )
