"""The SQL of stored objects: a user's file, kept once per content and place."""

from dataclasses import dataclass
from typing import Final

from gristmill.contract import Origin
from gristmill.database.engine import Connection, Database
from gristmill.errors import NotYet
from gristmill.pipeline.document import StorageOptions, Version, Work
from gristmill.pipeline.store import MINE, lost

# The document is locked first, as everywhere.
_HOLD: Final = f"""
WITH {MINE}, held AS (
    SELECT o.id FROM mine, objects o
    WHERE o.id = %(object)s AND o.removing_since IS NULL FOR KEY SHARE OF o
)
SELECT (SELECT id FROM held) AS held FROM mine
"""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """Where a file is kept."""

    endpoint: str
    bucket: str
    key: str


def key_of(sha256: str, kind: str) -> str:
    """The key of a content: legal for storage whatever the file was called."""
    return f"files/{sha256[:2]}/{sha256}.{kind}"


async def find_object(database: Database, storage: StorageOptions, sha256: str) -> int | None:
    """The object that holds this content already, if any.

    Raises:
        NotYet: it is being removed.
    """
    async with database.connection() as connection:
        cursor = await connection.execute(
            "SELECT id, removing_since FROM objects"
            " WHERE endpoint = %s AND bucket = %s AND sha256 = %s LIMIT 1",
            (storage.endpoint, storage.bucket, sha256),
        )
        row = await cursor.fetchone()
    if row is not None and row["removing_since"] is not None:
        raise _being_removed()
    return None if row is None else int(row["id"])


async def keep_object(
    database: Database, storage: StorageOptions, version: Version, key: str, origin: Origin
) -> int:
    """Records an upload; the same upload twice is one object.

    Raises:
        NotYet: it is being removed, and with it what was just uploaded.
    """
    async with database.connection() as connection:
        cursor = await connection.execute(
            "INSERT INTO objects (endpoint, bucket, key, sha256, size, origin)"
            " VALUES (%s, %s, %s, %s, %s, %s)"
            " ON CONFLICT (endpoint, bucket, key) DO UPDATE SET origin = excluded.origin"
            " WHERE objects.removing_since IS NULL RETURNING id",
            (storage.endpoint, storage.bucket, key, version.sha256, version.size, origin),
        )
        row = await cursor.fetchone()
    if row is None:
        raise _being_removed()
    return int(row["id"])


async def hold_object(connection: Connection, work: Work, object_id: int) -> None:
    """Keeps an object from being removed until the transaction ends, which is to refer to it.

    Raises:
        NotYet: it is being removed, or is gone.
        LostClaim: somebody else has taken the document over.
    """
    arguments = {"id": work.document_id, "claim": work.claim, "object": object_id}
    row = await (await connection.execute(_HOLD.encode(), arguments)).fetchone()
    if row is None:
        raise lost(work)
    if row["held"] is None:
        raise _being_removed()


def _being_removed() -> NotYet:
    return NotYet("The stored file is just being removed with another document.", retry_after=1.0)


async def stored_object(database: Database, version: Version) -> StoredObject | None:
    """Where the version's bytes are stored; None while they are not."""
    if version.object_id is None:
        return None
    async with database.connection() as connection:
        cursor = await connection.execute(
            "SELECT endpoint, bucket, key FROM objects WHERE id = %s", (version.object_id,)
        )
        row = await cursor.fetchone()
    return None if row is None else StoredObject(**row)
