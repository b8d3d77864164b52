"""The SQL of passages and their vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import numpy as np
import orjson
from pgvector import HalfVector

from gristmill.database.engine import Connection
from gristmill.pipeline.chunking import Chunk, Page
from gristmill.pipeline.document import EmbeddingOptions, IncompletePage, Work
from gristmill.pipeline.parses import LOCAL, Parse

_INSERT: Final = """
INSERT INTO chunks (version_id, collection_id, origin, ordinal, start_offset, end_offset,
                    first_page, last_page, headings, text, text_sha256, tokens)
VALUES (%s, %s, (SELECT origin FROM collections WHERE id = %s), %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""

# The same text in the same space has the same vector, whoever paid for it.
_REUSE: Final = """
WITH known AS (
    SELECT DISTINCT ON (o.text_sha256) o.text_sha256, o.vector
    FROM chunks c JOIN chunks o ON o.text_sha256 = c.text_sha256
    WHERE c.version_id = %(version)s AND c.vector IS NULL
      AND o.space_id = %(space)s AND o.vector IS NOT NULL
)
UPDATE chunks c SET vector = known.vector, space_id = %(space)s
FROM known WHERE c.version_id = %(version)s AND c.text_sha256 = known.text_sha256
  AND c.vector IS NULL
"""

_PENDING: Final = """
SELECT text_sha256, min(text) AS text, min(tokens) AS tokens
FROM chunks WHERE version_id = %s AND vector IS NULL
GROUP BY text_sha256 ORDER BY min(ordinal) LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class PendingText:
    """A text without a vector, once however often it stands in the document."""

    sha256: bytes
    text: str
    tokens: int


async def replace(connection: Connection, work: Work, passages: Sequence[Chunk]) -> None:
    """Writes the passages of the version being built, in place of an interrupted attempt's."""
    version = work.version.id
    await connection.execute("DELETE FROM chunks WHERE version_id = %s", (version,))
    collection = work.collection_id
    rows = [(version, collection, collection, *_columns(passage)) for passage in passages]
    await connection.cursor().executemany(_INSERT, rows)


def _columns(chunk: Chunk) -> tuple[object, ...]:
    return (
        chunk.ordinal,
        chunk.start,
        chunk.end,
        chunk.first_page,
        chunk.last_page,
        list(chunk.headings),
        chunk.text,
        sha256(chunk.text.encode()).digest(),
        chunk.tokens,
    )


async def save_incomplete(
    connection: Connection, work: Work, missing: Sequence[IncompletePage]
) -> None:
    await connection.execute(
        "UPDATE versions SET incomplete = %s WHERE id = %s",
        (orjson.dumps(list(missing)).decode(), work.version.id),
    )


def incomplete(
    pages: Sequence[Page], failed: Sequence[tuple[int, str]], expected: int | None, parse: Parse
) -> list[IncompletePage]:
    """The pages that a published document will lack, with the reason for each."""
    errors = dict(failed)
    found = [_problem(page, errors) for page in pages]
    missing = [problem for problem in found if problem is not None]
    last = max((page.number for page in pages), default=0)
    if parse.endpoint != LOCAL and expected is not None and last < expected:
        detail = f"pages {last + 1} to {expected} are over the limit of {parse.max_pages} pages"
        missing.append(IncompletePage(last + 1, "cut", detail))
    return missing


def _problem(page: Page, errors: dict[int, str]) -> IncompletePage | None:
    if page.number in errors:
        return IncompletePage(page.number, "failed", errors[page.number])
    if not page.markdown.strip():
        return IncompletePage(page.number, "empty", "no text on it")
    return None


async def space_of(connection: Connection, options: EmbeddingOptions) -> int:
    """The number of the embedding space, made at first use."""
    values = (options.endpoint, options.model, options.dimensions, options.origin)
    await connection.execute(
        "INSERT INTO spaces (endpoint, model, dimensions, origin) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT DO NOTHING",
        values,
    )
    cursor = await connection.execute(
        "SELECT id FROM spaces WHERE (endpoint, model, dimensions, origin) = (%s, %s, %s, %s)",
        values,
    )
    row = await cursor.fetchone()
    if row is None:
        raise AssertionError("a space vanished")
    return int(row["id"])


async def reuse_vectors(connection: Connection, work: Work, space: int) -> int:
    """Gives texts that are known already their vector; says how many passages got one."""
    arguments = {"version": work.version.id, "space": space}
    return (await connection.execute(_REUSE, arguments)).rowcount


async def pending(
    connection: Connection, work: Work, options: EmbeddingOptions
) -> list[PendingText]:
    """The next request's worth of texts without a vector."""
    cursor = await connection.execute(_PENDING, (work.version.id, options.batch_inputs))
    batch: list[PendingText] = []
    total = 0
    for row in await cursor.fetchall():
        total += row["tokens"]
        if batch and total > options.batch_tokens:
            break
        batch.append(PendingText(row["text_sha256"], row["text"], row["tokens"]))
    return batch


async def save_vectors(
    connection: Connection,
    work: Work,
    space: int,
    batch: Sequence[PendingText],
    vectors: np.ndarray,
) -> None:
    """Keeps the (n, dimensions) vectors of a batch of n texts."""
    await connection.execute(
        "UPDATE chunks c SET vector = v.vector, space_id = %s"
        " FROM unnest(%s::bytea[], %b::halfvec[]) AS v (text_sha256, vector)"
        " WHERE c.version_id = %s AND c.text_sha256 = v.text_sha256 AND c.vector IS NULL",
        (space, [text.sha256 for text in batch], [HalfVector(v) for v in vectors], work.version.id),
    )


async def publish(connection: Connection, work: Work, space: int) -> int:
    """Flips the pointer: from this commit on searches find the new version and not the old.

    Gives the number of entries in the list of pages that it lacks.
    """
    cursor = await connection.execute(
        "UPDATE versions SET published_at = clock_timestamp(), space_id = %s WHERE id = %s"
        " RETURNING jsonb_array_length(incomplete) AS missing",
        (space, work.version.id),
    )
    row = await cursor.fetchone()
    await connection.execute(
        "UPDATE documents SET published_id = building_id WHERE id = %s", (work.document_id,)
    )
    await connection.execute(
        "DELETE FROM versions WHERE document_id = %s AND id <> %s",
        (work.document_id, work.version.id),
    )
    return 0 if row is None else int(row["missing"])
