"""Deleting a document with everything that only it needed, here and at the vendors.

What others need stays. Whoever takes up a stored file or a parse locks its row until he refers to
it; so does a removal until it has looked for references. A stored file is marked first, then
removed from storage, then forgotten: whatever stops in between is finished by any worker.
"""

from collections.abc import Sequence
from typing import Final

from gristmill.database.engine import Connection, Row
from gristmill.errors import DatabaseUnavailable, GristmillError
from gristmill.pipeline import ended_jobs
from gristmill.pipeline.context import Context
from gristmill.services.supabase import RemoveObjects

_LOCK_OBJECTS: Final = """
SELECT o.id FROM objects o
WHERE o.id IN (SELECT object_id FROM versions WHERE document_id = %s) ORDER BY o.id FOR UPDATE
"""
# Also those that it handed over, or meant to, before another one took their place.
_LOCK_PARSES: Final = """
WITH document AS (SELECT %s::text AS id)
SELECT p.id FROM parses p, document
WHERE p.driver = document.id
   OR p.id IN (SELECT v.parse_id FROM versions v WHERE v.document_id = document.id)
ORDER BY p.id FOR UPDATE OF p
"""
_MARK: Final = """
UPDATE objects o SET removing_since = clock_timestamp() WHERE o.id = ANY (%s)
AND NOT EXISTS (SELECT FROM versions v WHERE v.object_id = o.id)
"""

# Their text goes at once. What the vendor has of them is left to the poller, as of any job.
_PAGES: Final = """
DELETE FROM pages USING parses p WHERE pages.parse_id = p.id AND p.id = ANY (%s)
AND NOT EXISTS (SELECT FROM versions v WHERE v.parse_id = p.id)
"""
_HANDED_OVER: Final = """
SELECT p.id FROM parses p WHERE p.id = ANY (%s) AND p.status IN ('uploaded', 'completed')
AND NOT EXISTS (SELECT FROM versions v WHERE v.parse_id = p.id)
"""
_PARSES: Final = """
UPDATE parses p SET status = 'failed', error = 'nothing needs it any more'
WHERE p.id = ANY (%s) AND p.status IN ('uploaded', 'completed', 'stored')
AND NOT EXISTS (SELECT FROM versions v WHERE v.parse_id = p.id)
"""
# One that was read in part: a job under way may bring a later part, which whoever takes the same
# file in again must not take for the beginning.
_PARTS: Final = """
UPDATE parses p SET fingerprint = fingerprint || ' deleted ' || id
WHERE p.id = ANY (%s) AND p.read_to > 0
AND NOT EXISTS (SELECT FROM versions v WHERE v.parse_id = p.id)
"""
_LOCAL: Final = """
DELETE FROM parses p WHERE p.id = ANY (%s) AND p.endpoint = 'local'
AND NOT EXISTS (SELECT FROM versions v WHERE v.parse_id = p.id)
"""

_MARKED: Final = """
SELECT id, endpoint, bucket, key FROM objects
WHERE endpoint = ANY (%s) AND removing_since <= clock_timestamp() - make_interval(secs => %s)
ORDER BY removing_since LIMIT %s
"""

AT_ONCE: Final = 100
STALE_SECONDS: Final = 60.0  # after that, whoever began a removal is taken for dead


async def delete(context: Context, document_id: str) -> None:
    """Removes a document with its versions, passages, vectors, text and stored files.

    Raises:
        ServiceError, RefusedError: a file could not be removed from storage; a worker will try
            again.
    """
    async with context.database.transaction() as connection:
        await connection.execute("SELECT FROM documents WHERE id = %s FOR UPDATE", (document_id,))
        objects = await _ids(connection, _LOCK_OBJECTS, document_id)
        parses = await _ids(connection, _LOCK_PARSES, document_id)
        await connection.execute("DELETE FROM documents WHERE id = %s", (document_id,))
        await connection.execute(_MARK, (objects,))
        await release_parses(connection, parses)
    if objects:
        await remove_marked(context, stale_seconds=0.0)


async def release_parses(connection: Connection, parses: list[int]) -> None:
    """Lets go of those of these parses, which are locked, that no version refers to any more."""
    await ended_jobs.add(connection, await _ids(connection, _HANDED_OVER, parses))
    for statement in (_PAGES, _PARSES, _PARTS, _LOCAL):
        await connection.execute(statement, (parses,))


async def _ids(connection: Connection, statement: str, of: str | list[int]) -> list[int]:
    cursor = await connection.execute(statement.encode(), (of,))
    return [row["id"] for row in await cursor.fetchall()]


async def remove_marked(context: Context, *, stale_seconds: float = STALE_SECONDS) -> int:
    """Removes from storage what nothing needs any more; gives the number of objects.

    Raises:
        ServiceError, RefusedError: storage failed; what is left is still marked.
    """
    reached = list(context.services.endpoints(RemoveObjects.service))
    async with context.database.connection() as connection:
        cursor = await connection.execute(_MARKED, (reached, stale_seconds, AT_ONCE))
        marked = await cursor.fetchall()
    failures: dict[str, GristmillError] = {}
    for row in marked:
        if row["endpoint"] in failures:
            continue
        try:
            await _remove(context, row)
        except DatabaseUnavailable:
            raise
        except GristmillError as error:  # the files of the other storage can go
            failures[row["endpoint"]] = error
    if failures:
        raise next(iter(failures.values()))
    return len(marked)


async def _remove(context: Context, row: Row) -> None:
    removal = RemoveObjects(bucket=row["bucket"], keys=(row["key"],))
    await context.services.at(removal.service, row["endpoint"]).execute(removal)
    await _forget(context, [row["id"]])


async def _forget(context: Context, ids: Sequence[int]) -> None:
    async with context.database.connection() as connection:
        await connection.execute(
            "DELETE FROM objects WHERE id = ANY (%s) AND removing_since IS NOT NULL", (list(ids),)
        )
