"""A simulated collection becomes a real one, in one transaction; repairs do the rest.

Every vector in it goes, and with it whatever a simulator was to make next. What is published stays
published, found by its words; what was on its way starts again. Money keeps the origin it had.
"""

from dataclasses import dataclass
from typing import Any, Final

from gristmill.contract import Origin
from gristmill.database.engine import Connection, Database, Row
from gristmill.errors import CollectionError
from gristmill.pipeline.context import Context
from gristmill.pipeline.document import PUBLISHED, PipelineOptions
from gristmill.pipeline.removal import release_parses
from gristmill.pipeline.repair import Degraded, degraded_of
from gristmill.pipeline.store import ENDED_NAMES, QUEUE

# As if it were made real at this moment.
_WOULD_LACK: Final = """
SELECT d.id AS document_id, d.source, c.name AS collection, 'real' AS origin,
       array_remove(ARRAY[CASE WHEN p.origin = 'simulated' THEN 'parse' END,
                          CASE WHEN has.passages THEN 'vectors' END], NULL) AS lacks,
       CASE WHEN p.origin = 'simulated' AND %(parses)s THEN 'parse'
            WHEN has.passages THEN 'vectors' END AS remedy,
       'due' AS standing, v.published_at AS since, v.id AS version_id, v.sha256, v.kind, v.mime,
       v.pages
FROM documents d
JOIN collections c ON c.id = d.collection_id
JOIN versions v ON v.id = d.published_id
LEFT JOIN parses p ON p.id = v.parse_id
CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM chunks WHERE version_id = v.id)) has (passages)
WHERE c.id = %(collection)s
ORDER BY since, document_id
"""

# Whoever works on one of them writes nothing more; and nothing comes in until this is over.
_CLAIM: Final = """
UPDATE documents d SET claim = claim + 1
FROM (SELECT id FROM documents WHERE collection_id = %(collection)s ORDER BY id FOR UPDATE) locked
WHERE d.id = locked.id
"""
_LOCK: Final = "SELECT origin FROM collections WHERE id = %(collection)s FOR UPDATE"

# One statement: the keys from passages to their collection and their space hold when it ends.
_CONVERT: Final = """
WITH made AS (
    UPDATE collections SET origin = 'real' WHERE id = %(collection)s RETURNING id
)
UPDATE chunks c SET origin = 'real', space_id = NULL, vector = NULL
FROM made WHERE c.collection_id = made.id
"""

_PUBLISHED: Final = """
UPDATE versions v SET
    is_fallback = v.is_fallback
        OR EXISTS (SELECT FROM parses p WHERE p.id = v.parse_id AND p.origin = 'simulated'),
    lacks_vectors = EXISTS (SELECT FROM chunks c WHERE c.version_id = v.id),
    is_repair = false, space_id = NULL, fingerprint = f.fingerprint,
    incomplete = coalesce((SELECT jsonb_agg(gap) FROM jsonb_array_elements(v.incomplete) gap
                           WHERE gap->>'passage' IS NULL), '[]')
FROM documents d, unnest(%(contents)s::text[], %(fingerprints)s::text[]) AS f (content, fingerprint)
WHERE d.collection_id = %(collection)s AND d.published_id = v.id AND f.content = v.sha256
"""
_PUBLISHED_DOCUMENTS: Final = """
UPDATE documents d SET claim = claim + 1, status = 'ready_incomplete', stage = 'ready_incomplete',
    attempts = 0, next_try = NULL, error_kind = NULL, error = NULL, advice = NULL,
    updated_at = clock_timestamp()
FROM versions v
WHERE d.collection_id = %(collection)s AND v.id = d.published_id AND d.building_id = v.id
  AND (v.is_fallback OR v.lacks_vectors OR d.status <> ALL (%(published)s))
"""

_BUILDING: Final = """
SELECT v.id, v.parse_id FROM documents d JOIN versions v ON v.id = d.building_id
WHERE d.collection_id = %(collection)s AND d.published_id IS DISTINCT FROM v.id
"""
_LOCK_PARSES: Final = "SELECT FROM parses WHERE id = ANY (%s) ORDER BY id FOR UPDATE"
_DROP_PASSAGES: Final = "DELETE FROM chunks WHERE version_id = ANY (%(versions)s)"
# From where its bytes are: a file that is stored elsewhere is brought here by this home.
_RESTART: Final = """
WITH again AS (
    UPDATE versions v SET
        parse_id = NULL, space_id = NULL, incomplete = '[]', is_fallback = false,
        lacks_vectors = false, fingerprint = f.fingerprint,
        host = CASE WHEN v.object_id IS NULL OR s.is_stored THEN v.host ELSE %(host)s END
    FROM unnest(%(contents)s::text[], %(fingerprints)s::text[]) AS f (content, fingerprint),
        versions o CROSS JOIN LATERAL (SELECT EXISTS (
            SELECT FROM objects WHERE id = o.object_id AND removing_since IS NULL
            AND (endpoint, bucket) = (%(endpoint)s, %(bucket)s))) s (is_stored)
    WHERE v.id = ANY (%(versions)s) AND o.id = v.id AND f.content = v.sha256
    RETURNING v.id, v.host, CASE WHEN s.is_stored THEN 'stored' ELSE 'uploaded' END AS stage
), moved AS (
    UPDATE documents d SET claim = claim + 1, stage = again.stage, attempts = 0,
        next_try = NULL,
        status = CASE WHEN d.status = ANY (%(ended)s) THEN d.status ELSE again.stage END,
        error_kind = CASE WHEN d.status = ANY (%(ended)s) THEN d.error_kind END,
        error = CASE WHEN d.status = ANY (%(ended)s) THEN d.error END,
        advice = CASE WHEN d.status = ANY (%(ended)s) THEN d.advice END,
        updated_at = clock_timestamp()
    FROM again WHERE d.building_id = again.id
    RETURNING d.id, d.status, d.stage, again.host
)
SELECT id, wake(id, CASE stage WHEN 'uploaded' THEN 'host:' || host ELSE %(queue)s END)
FROM moved WHERE status <> ALL (%(ended)s)
"""
_TELL: Final = """
INSERT INTO events (document_id, status, detail)
SELECT id, status, 'its collection was made real' FROM documents
WHERE collection_id = %(collection)s ORDER BY id
"""
_CONTENTS: Final = """
SELECT DISTINCT v.sha256 FROM versions v JOIN documents d ON d.id = v.document_id
WHERE d.collection_id = %(collection)s
"""


@dataclass(frozen=True, slots=True)
class Conversion:
    """A collection that is real now: how many documents are published, and how many start again."""

    name: str
    published: int
    unfinished: int


async def would_lack(database: Database, options: PipelineOptions, name: str) -> list[Degraded]:
    """What would be degraded if the collection were made real now, the oldest first.

    Raises:
        CollectionError: there is none, or it is real already.
    """
    async with database.connection() as connection:
        arguments = {
            "collection": await _simulated(connection, name),
            "parses": options.parse.origin is Origin.REAL,
        }
        rows = await (await connection.execute(_WOULD_LACK, arguments)).fetchall()
    return [degraded_of(row) for row in rows]


async def make_real(context: Context, name: str) -> Conversion:
    """Makes it real; whatever stops in between, all of that is done or nothing.

    Raises:
        CollectionError: there is none, or it is real already.
    """
    async with context.database.transaction() as connection:
        collection = await _simulated(connection, name)
        await connection.execute(_CLAIM, {"collection": collection})
        await connection.execute(_LOCK, {"collection": collection})
        await _simulated(connection, name)
        arguments = await _arguments(context, connection, collection)
        await connection.execute(_CONVERT, arguments)
        published = (await connection.execute(_PUBLISHED, arguments)).rowcount
        await connection.execute(_PUBLISHED_DOCUMENTS, arguments)
        unfinished = await _start_again(connection, arguments)
        await connection.execute(_TELL, arguments)
    return Conversion(name, published, unfinished)


async def _simulated(connection: Connection, name: str) -> int:
    cursor = await connection.execute("SELECT id, origin FROM collections WHERE name = %s", (name,))
    row = await cursor.fetchone()
    if row is None:
        raise CollectionError(
            f"There is no collection {name!r}.", advice="gristmill collections lists them."
        )
    if row["origin"] != Origin.SIMULATED:
        raise CollectionError(
            f"The collection {name!r} is real already.",
            advice="gristmill repair puts right what is degraded in it.",
        )
    return int(row["id"])


async def _arguments(context: Context, connection: Connection, collection: int) -> dict[str, Any]:
    options, storage = context.options, context.options.storage
    rows = await _rows(connection, _CONTENTS, {"collection": collection})
    contents = [row["sha256"] for row in rows]
    return {
        "collection": collection,
        "contents": contents,
        "fingerprints": [options.fingerprint(content) for content in contents],
        "endpoint": storage.endpoint,
        "bucket": storage.bucket,
        "host": context.host,
        "published": list(PUBLISHED),
        "ended": ENDED_NAMES,
        "queue": QUEUE,
    }


async def _start_again(connection: Connection, arguments: dict[str, Any]) -> int:
    """Versions that are being built forget what a simulator made of them; gives how many go on."""
    building = await _rows(connection, _BUILDING, arguments)
    parses = [row["parse_id"] for row in building if row["parse_id"] is not None]
    arguments = arguments | {"versions": [row["id"] for row in building]}
    await connection.execute(_LOCK_PARSES, (parses,))
    await connection.execute(_DROP_PASSAGES, arguments)
    woken = await _rows(connection, _RESTART, arguments)
    await release_parses(connection, parses)
    return len(woken)


async def _rows(connection: Connection, statement: str, arguments: dict[str, Any]) -> list[Row]:
    return await (await connection.execute(statement.encode(), arguments)).fetchall()
