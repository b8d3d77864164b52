"""The door: turns files into documents, and says of each what became of it.

Identity is (collection, source). The same identity with the same bytes and the same options is no
work at all; other bytes or options make a new version, built beside the published one.
"""

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from gristmill.contract import Origin
from gristmill.database.engine import Database, Row
from gristmill.errors import CollectionError, InvalidArgument
from gristmill.pipeline.document import ENDED, PUBLISHED, DocumentStatus, PipelineOptions
from gristmill.pipeline.parses import ASKED_AGAIN, GIVEN_UP
from gristmill.pipeline.store import ENDED_NAMES, QUEUE, host_queue

ALPHABET: Final = "23456789abcdefghjkmnpqrstvwxyz"  # no look-alikes, no vowels but two

_KNOWN: Final = """
SELECT d.id, d.source, d.status, d.stage, v.sha256, v.fingerprint
FROM documents d LEFT JOIN versions v ON v.id = d.building_id
WHERE d.collection_id = %s AND d.source = ANY (%s)
"""

# The version's number is drawn first, since the two rows name each other.
_BUILD: Final = """
WITH drawn AS (
    SELECT nextval(pg_get_serial_sequence('versions', 'id')) AS version
), document AS (
    INSERT INTO documents (id, collection_id, source, status, stage, building_id)
    SELECT %(id)s, %(collection)s, %(source)s, 'uploaded', 'uploaded', version FROM drawn
    ON CONFLICT (collection_id, source) DO UPDATE
    SET claim = documents.claim + 1, status = 'uploaded', stage = 'uploaded', attempts = 0,
        next_try = NULL, error_kind = NULL, error = NULL, advice = NULL,
        building_id = excluded.building_id, updated_at = clock_timestamp()
    RETURNING id, building_id
), version AS (
    INSERT INTO versions (id, document_id, sha256, fingerprint, name, kind, mime, size, path, host)
    OVERRIDING SYSTEM VALUE
    SELECT building_id, id, %(sha256)s, %(fingerprint)s, %(name)s, '', '', %(size)s, %(path)s,
           %(host)s
    FROM document
), told AS (
    INSERT INTO events (document_id, status, detail) SELECT id, 'uploaded', %(name)s FROM document
)
SELECT id, wake(id, 'host:' || %(host)s) FROM document
"""

# A failed parse is asked for anew; everything else goes on in the stage where it stopped.
_RETRY: Final = f"""
WITH again AS (
    UPDATE documents SET
        claim = claim + 1, attempts = 0, next_try = NULL, error_kind = NULL, error = NULL,
        advice = NULL, updated_at = clock_timestamp(),
        stage = CASE stage WHEN 'parsing' THEN 'parse_queued' ELSE stage END,
        status = CASE stage WHEN 'parsing' THEN 'parse_queued' ELSE stage END
    WHERE id = ANY (%(ids)s) AND status = ANY (%(statuses)s)
    RETURNING id, stage, building_id
), asked AS (
    UPDATE parses p SET {ASKED_AGAIN}
    FROM again JOIN versions v ON v.id = again.building_id
    WHERE p.id = v.parse_id AND again.stage = 'parse_queued' AND {GIVEN_UP}
)
SELECT again.id,
       wake(again.id, CASE again.stage WHEN 'uploaded' THEN 'host:' || v.host ELSE %(queue)s END)
FROM again JOIN versions v ON v.id = again.building_id
"""


@dataclass(frozen=True, slots=True)
class Source:
    """A file at the door: its identity, its bytes' hash and size, and where they are."""

    identity: str
    path: Path
    name: str
    sha256: str
    size: int


Outcome = Literal["unchanged", "accepted"]
# What a source is to what is known of it: not known; known with other bytes or options; published
# as it is; on its way; ended without being published.
Standing = Literal["new", "changed", "unchanged", "under way", "failed"]


def standing(source: Source, known: Row | None, fingerprint: str) -> Standing:
    """What a source is to what is known under its identity."""
    if known is None:
        return "new"
    if (known["sha256"], known["fingerprint"]) != (source.sha256, fingerprint):
        return "changed"
    status = DocumentStatus(known["status"])
    if status in PUBLISHED:
        return "unchanged"
    return "failed" if status in ENDED else "under way"


async def collection_id(database: Database, name: str, origin: Origin) -> int:
    """The collection, made at first use.

    Raises:
        CollectionError: it exists and holds vectors of another origin.
        InvalidArgument: nothing can be called so.
    """
    _check_name(name)
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO collections (name, origin) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            (name, origin),
        )
    found = await find_collection(database, name, origin)
    if found is None:
        raise AssertionError("a collection vanished")
    return found


async def find_collection(database: Database, name: str, origin: Origin) -> int | None:
    """The collection; None if nobody has made it yet.

    Raises:
        CollectionError: it exists and holds vectors of another origin.
        InvalidArgument: nothing can be called so.
    """
    _check_name(name)
    async with database.connection() as connection:
        cursor = await connection.execute(
            "SELECT id, origin FROM collections WHERE name = %s", (name,)
        )
        row = await cursor.fetchone()
    if row is None:
        return None
    if row["origin"] != origin:
        raise CollectionError(
            f"The collection {name!r} holds {row['origin']} vectors, not {origin} ones.",
            advice="Use another --collection, or the mode in which it was made.",
        )
    return int(row["id"])


def _check_name(name: str) -> None:
    if not name.isprintable() or not name.strip():
        raise InvalidArgument(
            f"{name!a} cannot be the name of a collection: use characters that show."
        )


async def register(
    database: Database,
    options: PipelineOptions,
    collection: int,
    host: str,
    sources: Sequence[Source],
) -> list[tuple[str, Outcome]]:
    """Registers sources, (document id, outcome) for each, in their order."""
    found = await known(database, collection, sources)
    door = _Door(database, options, collection, host)
    return [await door.take(source, found.get(source.identity)) for source in sources]


async def known(database: Database, collection: int, sources: Sequence[Source]) -> dict[str, Row]:
    """What is known under the identities of these sources: `id`, `sha256`, `status` and more."""
    identities = [source.identity for source in sources]
    async with database.connection() as connection:
        cursor = await connection.execute(_KNOWN, (collection, identities))
        return {row["source"]: row for row in await cursor.fetchall()}


@dataclass(frozen=True, slots=True)
class _Door:
    """Takes sources into one collection on one machine."""

    database: Database
    options: PipelineOptions
    collection: int
    host: str

    async def take(self, source: Source, known: Row | None) -> tuple[str, Outcome]:
        fingerprint = self.options.fingerprint(source.sha256)
        whereto = standing(source, known, fingerprint)
        if known and whereto == "unchanged":
            return known["id"], "unchanged"
        if known and whereto == "under way":
            return await self._go_on(source, known), "accepted"
        return await self._build(source, fingerprint), "accepted"

    async def _go_on(self, source: Source, known: Row) -> str:
        """It is on its way already: brings its next look forward, from this file if need be."""
        local = known["stage"] == DocumentStatus.UPLOADED
        async with self.database.transaction() as connection:
            if local:
                await connection.execute(
                    "UPDATE versions v SET path = %s, host = %s FROM documents d"
                    " WHERE d.id = %s AND v.id = d.building_id",
                    (os.fsencode(source.path), self.host, known["id"]),
                )
            queue = host_queue(self.host) if local else QUEUE
            await connection.execute("SELECT wake(%s, %s)", (known["id"], queue))
        return str(known["id"])

    async def _build(self, source: Source, fingerprint: str) -> str:
        arguments = {
            "id": new_id(),
            "collection": self.collection,
            "source": source.identity,
            "fingerprint": fingerprint,
            "sha256": source.sha256,
            "name": source.name,
            "size": source.size,
            "path": os.fsencode(source.path),
            "host": self.host,
        }
        async with self.database.connection() as connection:
            row = await (await connection.execute(_BUILD, arguments)).fetchone()
        if row is None:
            raise AssertionError("an upsert gave no row")
        return str(row["id"])


async def retry(database: Database, ids: Sequence[str], *, failed: bool) -> list[str]:
    """Lets parked documents, and failed ones if asked, go on now; gives those it let go."""
    statuses = ["parked"] + (["failed", "quarantined"] if failed else [])
    arguments = {
        "ids": list(ids),
        "statuses": statuses,
        "queue": QUEUE,
        "ended": ENDED_NAMES,
    }
    async with database.connection() as connection:
        cursor = await connection.execute(_RETRY.encode(), arguments)
        return [row["id"] for row in await cursor.fetchall()]


async def unfinished(database: Database, *, failed: bool) -> list[str]:
    """Every document that has work left, oldest first; failed ones too if asked."""
    ended = [name for name in ENDED_NAMES if not failed or name not in ("failed", "quarantined")]
    async with database.connection() as connection:
        cursor = await connection.execute(
            "SELECT id FROM documents WHERE status <> ALL (%s) ORDER BY created_at", (ended,)
        )
        return [row["id"] for row in await cursor.fetchall()]


def new_id() -> str:
    """A short name for a document: 10 characters out of 30, some 49 bits."""
    return "doc-" + "".join(secrets.choice(ALPHABET) for _ in range(10))
