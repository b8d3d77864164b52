"""A question in, passages out: nearest vectors and full text, fused by reciprocal rank."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from pgvector import HalfVector

from gristmill.contract import Origin, Services
from gristmill.database.engine import Connection, Database, Row
from gristmill.errors import CollectionError, DatabaseUnavailable, GristmillError, InvalidArgument
from gristmill.pipeline.document import EmbeddingOptions
from gristmill.pipeline.tokens import clean, count
from gristmill.policies.deadline import within
from gristmill.search.index import EXACT_BELOW
from gristmill.services.openai import Embed

CANDIDATES: Final = 50  # from each of the two rankings
PATIENCE_SECONDS: Final = 10.0  # with the service that embeds the question; a person waits
RANK_CONSTANT: Final = 60  # of reciprocal rank fusion, as in the paper that introduced it

_TEXT_ONLY: Final = "Found by full text only, as the question could not be embedded: {}"

_OTHER_ORIGIN: Final = (
    "Found by full text only: the collection {name!r} holds {holds} vectors, and the mode of openai"
    " makes {mode} ones."
)
_PENDING: Final = (
    "Some documents have no vectors yet, and are found by their words only: gristmill repair."
)

# One row with nulls where all are searched; none where the one that is named is not there.
_CHOSEN: Final = """
WITH chosen AS (SELECT id, origin FROM collections WHERE name = %(name)s)
SELECT chosen.id, chosen.origin, EXISTS (
    SELECT FROM versions v JOIN documents d ON d.published_id = v.id
    WHERE v.lacks_vectors AND (chosen.id IS NULL OR d.collection_id = chosen.id)
) AS lacks_vectors
FROM (SELECT) one LEFT JOIN chosen ON true
WHERE %(name)s::text IS NULL OR chosen.id IS NOT NULL
"""

_VISIBLE: Final = """
FROM chunks c
JOIN documents d ON d.published_id = c.version_id
WHERE (%(collection)s::bigint IS NULL OR c.collection_id = %(collection)s)
"""

# Adding nothing to the distance keeps the planner from the approximate index.
_NEAR: Final = """
SELECT c.id {visible} AND c.space_id = %(space)s
ORDER BY (c.vector::halfvec({dimensions}) <=> %(vector)s::halfvec({dimensions})){exact}
LIMIT %(candidates)s
"""

# Any word may match; how many do, and how close together, is what the rank says.
_TEXT: Final = """
WITH asked AS (
    SELECT replace(plainto_tsquery('english', %(question)s)::text, '&', '|')::tsquery AS words
)
SELECT c.id FROM asked, chunks c
JOIN documents d ON d.published_id = c.version_id
WHERE (%(collection)s::bigint IS NULL OR c.collection_id = %(collection)s)
  AND c.search @@ asked.words
ORDER BY ts_rank_cd(c.search, asked.words, 1) DESC, c.id
LIMIT %(candidates)s
"""

_SPACE: Final = """
SELECT s.id FROM spaces s
WHERE (s.endpoint, s.model, s.dimensions, s.origin)
      = (%(endpoint)s, %(model)s, %(dimensions)s, %(origin)s)
  AND EXISTS (SELECT FROM chunks c WHERE c.space_id = s.id
              AND (%(collection)s::bigint IS NULL OR c.collection_id = %(collection)s))
"""

_HITS: Final = """
SELECT c.id, c.document_id, c.source, c.collection, c.origin, c.first_page, c.last_page,
       c.headings, c.text, c.name, c.start_offset, c.end_offset, c.parse_origin, c.is_fallback
FROM unnest(%(ids)s::bigint[]) WITH ORDINALITY AS wanted (id, place)
JOIN LATERAL (
    SELECT c.*, d.id AS document_id, d.source, o.name AS collection, v.name,
           v.is_fallback, p.origin AS parse_origin
    FROM chunks c
    JOIN documents d ON d.published_id = c.version_id
    JOIN versions v ON v.id = c.version_id
    JOIN collections o ON o.id = c.collection_id
    LEFT JOIN parses p ON p.id = v.parse_id
    WHERE c.id = wanted.id
) c ON true
ORDER BY wanted.place
"""


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage. `score` is the fused rank score, higher is better; offsets are characters.

    `is_fallback` if the simulator read it because the parser was down; it may say what the file
    does not.
    """

    score: float
    document_id: str
    source: str
    name: str
    collection: str
    first_page: int
    last_page: int
    headings: tuple[str, ...]
    text: str
    start: int
    end: int
    origin: Origin
    parse_origin: Origin | None
    is_fallback: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """The passages found, best first, and what the asker should know about how."""

    question: str
    hits: tuple[Hit, ...]
    notes: tuple[str, ...] = ()


class Search:
    """Answers questions from what is published."""

    def __init__(
        self,
        database: Database,
        services: Services,
        options: Callable[[], Awaitable[EmbeddingOptions]],
    ) -> None:
        self._database = database
        self._services = services
        self._options = options

    async def ask(self, question: str, *, collection: str | None = None, limit: int = 10) -> Answer:
        """The `limit` best passages of one collection, or of all.

        Raises:
            CollectionError: there is no such collection.
            ValueError: the question is empty.
        """
        question = clean(question).strip()
        if not any(character.isalnum() for character in question):
            raise InvalidArgument("A question needs at least one word.")
        options = await self._options()
        async with self._database.connection() as connection:
            chosen = await _collection(connection, collection, options.origin)
            space = await _space(connection, options, chosen.id)
        # Where no vector could be near, none is paid for.
        vector, notes = (None, ()) if space is None else await self._embedded(question, options)
        async with self._database.transaction() as connection:
            near = await _near(connection, chosen.id, space, vector)
            text = await _text(connection, chosen.id, question)
            ranked = fuse(near, text)[:limit]
            hits = await _hits(connection, ranked)
        return Answer(question, hits, (*notes, *chosen.notes))

    async def _embedded(
        self, question: str, options: EmbeddingOptions
    ) -> tuple[HalfVector | None, tuple[str, ...]]:
        operation = Embed((question,), options.model, options.dimensions, (count(question),))
        service = self._services.at(operation.service, options.endpoint)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                with within(PATIENCE_SECONDS):
                    answer = await service.execute(operation)
        except TimeoutError:
            return None, (_TEXT_ONLY.format(f"no answer within {PATIENCE_SECONDS:g} seconds."),)
        except DatabaseUnavailable:
            raise
        except GristmillError as error:
            return None, (_TEXT_ONLY.format(error),)
        return HalfVector(answer.value.vectors[0]), ()


def fuse(*rankings: Sequence[int]) -> list[tuple[int, float]]:
    """Reciprocal rank fusion: (id, score), best first, ties in the order of the ids."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for place, identity in enumerate(ranking, start=1):
            scores[identity] = scores.get(identity, 0.0) + 1.0 / (RANK_CONSTANT + place)
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))


async def _near(
    connection: Connection, collection: int | None, space: int | None, vector: HalfVector | None
) -> list[int]:
    if space is None or vector is None:
        return []
    exact = await _is_small(connection, collection)
    await connection.execute("SET LOCAL hnsw.iterative_scan = 'relaxed_order'")
    statement = _NEAR.format(
        visible=_VISIBLE, dimensions=vector.dimensions(), exact=" + 0" if exact else ""
    )
    arguments = {
        "collection": collection,
        "space": space,
        "vector": vector,
        "candidates": CANDIDATES,
    }
    cursor = await connection.execute(statement.encode(), arguments)
    return [row["id"] for row in await cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Where is searched: one collection, or all (None); and what the asker should know of it."""

    id: int | None
    notes: tuple[str, ...]


async def _collection(connection: Connection, name: str | None, origin: Origin) -> _Chosen:
    row = await (await connection.execute(_CHOSEN, {"name": name})).fetchone()
    if row is None:
        raise CollectionError(
            f"There is no collection {name!r}.",
            advice="gristmill documents shows what there is; ingest makes a new one.",
        )
    notes = []
    if row["origin"] not in (None, origin):
        notes.append(_OTHER_ORIGIN.format(name=name, holds=row["origin"], mode=origin))
    if row["lacks_vectors"]:
        notes.append(_PENDING)
    return _Chosen(row["id"], tuple(notes))


async def _space(
    connection: Connection, options: EmbeddingOptions, collection: int | None
) -> int | None:
    """The embedding space of the question, if any passage there has a vector of it."""
    arguments = {
        "endpoint": options.endpoint,
        "model": options.model,
        "dimensions": options.dimensions,
        "origin": options.origin,
        "collection": collection,
    }
    cursor = await connection.execute(_SPACE, arguments)
    row = await cursor.fetchone()
    return None if row is None else int(row["id"])


async def _is_small(connection: Connection, collection: int | None) -> bool:
    """Whether an exact scan is the better choice: cheap enough, and it finds everything."""
    cursor = await connection.execute(
        "SELECT count(*) AS rows FROM (SELECT FROM chunks"
        " WHERE %(c)s::bigint IS NULL OR collection_id = %(c)s LIMIT %(most)s) sample",
        {"c": collection, "most": EXACT_BELOW},
    )
    row = await cursor.fetchone()
    return row is None or int(row["rows"]) < EXACT_BELOW


async def _text(connection: Connection, collection: int | None, question: str) -> list[int]:
    arguments = {"question": question, "collection": collection, "candidates": CANDIDATES}
    cursor = await connection.execute(_TEXT, arguments)
    return [row["id"] for row in await cursor.fetchall()]


async def _hits(connection: Connection, ranked: Sequence[tuple[int, float]]) -> tuple[Hit, ...]:
    scores = dict(ranked)
    cursor = await connection.execute(_HITS, {"ids": list(scores)})
    return tuple(_hit(row, scores[row["id"]]) for row in await cursor.fetchall())


def _hit(row: Row, score: float) -> Hit:
    return Hit(
        score=score,
        document_id=row["document_id"],
        source=row["source"],
        name=row["name"],
        collection=row["collection"],
        first_page=row["first_page"],
        last_page=row["last_page"],
        headings=tuple(row["headings"]),
        text=row["text"],
        start=row["start_offset"],
        end=row["end_offset"],
        origin=Origin(row["origin"]),
        parse_origin=None if row["parse_origin"] is None else Origin(row["parse_origin"]),
        is_fallback=row["is_fallback"],
    )
