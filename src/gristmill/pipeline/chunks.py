"""The SQL of passages and their vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import orjson
from pgvector import HalfVector

from gristmill.database.engine import Connection
from gristmill.pipeline.chunking import Chunk, Page
from gristmill.pipeline.document import EmbeddingOptions, IncompletePage, Work
from gristmill.pipeline.parses import LOCAL, Result
from gristmill.pipeline.store import MINE, Change

_ADD: Final = """
INSERT INTO chunks (version_id, collection_id, origin, ordinal, start_offset, end_offset,
                    first_page, last_page, headings, text, text_sha256, tokens)
SELECT moved.version_id, collections.id, collections.origin, passage.ordinal, passage.start,
       passage."end", passage.first_page, passage.last_page, passage.headings, passage.text,
       sha256(convert_to(passage.text, 'UTF8')), passage.tokens
FROM moved JOIN collections ON collections.id = moved.collection_id,
     json_to_recordset(%(passages)s::json) AS passage (
         ordinal int, start int, "end" int, first_page int, last_page int, headings text[],
         text text, tokens int)
"""

_LACKING: Final = """
UPDATE versions v SET incomplete = %(incomplete)s::jsonb FROM moved WHERE v.id = moved.version_id
"""

# The same text in the same space has the same vector, whoever paid for it. What is given one here
# still looks as it did before to the rest of this statement.
_PENDING: Final = f"""
WITH {MINE}, lacking AS (
    SELECT c.id, c.text_sha256, c.text, c.tokens, c.ordinal
    FROM mine, versions v JOIN chunks c ON c.version_id = v.id
    WHERE v.id = %(version)s AND c.vector IS NULL
      AND NOT v.incomplete @> jsonb_build_array(jsonb_build_object('passage', c.ordinal + 1))
), known AS (
    SELECT DISTINCT ON (o.text_sha256) o.text_sha256, o.vector
    FROM lacking JOIN chunks o ON o.text_sha256 = lacking.text_sha256
    WHERE o.space_id = %(space)s AND o.vector IS NOT NULL
), reused AS (
    UPDATE chunks c SET vector = known.vector, space_id = %(space)s
    FROM lacking JOIN known USING (text_sha256) WHERE c.id = lacking.id
)
SELECT text_sha256, text, tokens
FROM lacking WHERE text_sha256 NOT IN (SELECT text_sha256 FROM known)
ORDER BY ordinal LIMIT %(limit)s
"""

_VECTORS: Final = """
UPDATE chunks c SET vector = v.vector, space_id = %(space)s
FROM moved, unnest(%(hashes)s::bytea[], %(vectors)b::halfvec[]) AS v (text_sha256, vector)
WHERE c.version_id = moved.version_id AND c.text_sha256 = v.text_sha256 AND c.vector IS NULL
"""

# Every passage with the text, wherever in the document it stands.
_REFUSED: Final = """
UPDATE versions v SET incomplete = v.incomplete || gaps.found
FROM moved, (
    SELECT jsonb_agg(jsonb_build_object(
        'page', c.first_page, 'problem', 'refused', 'detail', r.reason, 'passage', c.ordinal + 1
    ) ORDER BY c.ordinal) AS found
    FROM moved JOIN chunks c ON c.version_id = moved.version_id
    JOIN unnest(%(refused)s::bytea[], %(reasons)s::text[]) AS r (text_sha256, reason)
        ON r.text_sha256 = c.text_sha256
    WHERE c.vector IS NULL
) gaps
WHERE v.id = moved.version_id AND gaps.found IS NOT NULL
"""

_PUBLISHED: Final = """
UPDATE versions v SET published_at = clock_timestamp(), space_id = %(space)s,
    lacks_vectors = %(lacks_vectors)s, is_repair = false
FROM moved WHERE v.id = moved.version_id
"""
_REPLACED: Final = """
DELETE FROM versions v USING moved WHERE v.document_id = moved.id AND v.id <> moved.version_id
"""


@dataclass(frozen=True, slots=True)
class PendingText:
    """A text without a vector."""

    sha256: bytes
    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Pending:
    """The next texts without a vector; `is_all` if none are left behind them."""

    texts: list[PendingText]
    is_all: bool


def added(passages: Sequence[Chunk]) -> Change:
    """The passages of the version that is being built."""
    rows = [
        {
            "ordinal": passage.ordinal,
            "start": passage.start,
            "end": passage.end,
            "first_page": passage.first_page,
            "last_page": passage.last_page,
            "headings": passage.headings,
            "text": passage.text,
            "tokens": passage.tokens,
        }
        for passage in passages
    ]
    return Change("passages_added", _ADD, {"passages": orjson.dumps(rows).decode()})


def lacking(missing: Sequence[IncompletePage]) -> Change:
    """The gaps of the version that is being built."""
    return Change("gaps_told", _LACKING, {"incomplete": orjson.dumps(list(missing)).decode()})


def incomplete(result: Result, expected: int | None) -> list[IncompletePage]:
    """The pages that a published document will lack, with the reason for each."""
    errors = dict(result.failed)
    found = [_problem(page, errors) for page in result.pages]
    missing = [problem for problem in found if problem is not None]
    last = max((page.number for page in result.pages), default=0)
    if result.endpoint != LOCAL and expected is not None and last < expected:
        detail = f"pages {last + 1} to {expected} are over the limit of {result.max_pages} pages"
        missing.append(IncompletePage(last + 1, "cut", detail))
    if result.endpoint != LOCAL and expected is None and last >= result.max_pages:
        detail = f"what comes after the limit of {result.max_pages} pages, if anything does"
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
    await connection.execute(
        "INSERT INTO spaces (endpoint, model, dimensions, origin) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT DO NOTHING",
        _names(options),
    )
    space = await find_space(connection, options)
    if space is None:
        raise AssertionError("a space vanished")
    return space


async def find_space(connection: Connection, options: EmbeddingOptions) -> int | None:
    """The number of the embedding space; None if it was never used."""
    cursor = await connection.execute(
        "SELECT id FROM spaces WHERE (endpoint, model, dimensions, origin) = (%s, %s, %s, %s)",
        _names(options),
    )
    row = await cursor.fetchone()
    return None if row is None else int(row["id"])


def _names(options: EmbeddingOptions) -> tuple[str, str, int, str]:
    return options.endpoint, options.model, options.dimensions, options.origin


async def known(connection: Connection, space: int, texts: Sequence[bytes]) -> set[bytes]:
    """Those of these texts, named by their SHA-256, that have a vector in the space."""
    cursor = await connection.execute(
        "SELECT DISTINCT text_sha256 FROM chunks"
        " WHERE space_id = %s AND vector IS NOT NULL AND text_sha256 = ANY (%s)",
        (space, list(texts)),
    )
    return {row["text_sha256"] for row in await cursor.fetchall()}


async def pending(connection: Connection, work: Work, space: int, most: int) -> Pending:
    """At most `most` texts to be embedded next; known ones are given their vector on the way.

    Empty when there are none left, or the claim is lost, which the next step tells.
    """
    arguments = {
        "id": work.document_id,
        "claim": work.claim,
        "version": work.version.id,
        "space": space,
        "limit": most + 1,
    }
    rows = await (await connection.execute(_PENDING.encode(), arguments)).fetchall()
    texts = [PendingText(row["text_sha256"], row["text"], row["tokens"]) for row in rows[:most]]
    return Pending(texts, is_all=len(rows) <= most)


def embedded(space: int, texts: Sequence[PendingText], vectors: np.ndarray) -> Change:
    """The (n, dimensions) vectors of n texts."""
    arguments = {
        "space": space,
        "hashes": [text.sha256 for text in texts],
        "vectors": [HalfVector(vector) for vector in vectors],
    }
    return Change("vectors_kept", _VECTORS, arguments)


def refused(reasons: Sequence[tuple[PendingText, str]]) -> Change:
    """Texts that get no vector, each with the reason: passages that only their words can find.

    Not in the step that publishes: one statement changes a version once.
    """
    arguments = {
        "refused": [text.sha256 for text, _ in reasons],
        "reasons": [reason for _, reason in reasons],
    }
    return Change("refusals_told", _REFUSED, arguments)


def published(space: int, *, lacks_vectors: bool = False) -> tuple[Change, Change]:
    """The step that publishes: from it on searches find the new version, and no older one."""
    arguments = {"space": space, "lacks_vectors": lacks_vectors}
    return (
        Change("version_published", _PUBLISHED, arguments),
        Change("versions_replaced", _REPLACED),
    )
