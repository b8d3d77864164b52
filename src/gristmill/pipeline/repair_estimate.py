"""What repairs would cost, by what is known of the documents: no file is looked at, none needed."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, cast

from gristmill.database.engine import Database, Row
from gristmill.pipeline import chunks, parses
from gristmill.pipeline.appraisal import Appraisal, Length
from gristmill.pipeline.document import PipelineOptions
from gristmill.pipeline.estimate import (
    Bounds,
    FileEstimate,
    Price,
    embed_cost,
    pages_to_parse,
    parse_cost,
    reading_of,
    tokens_of_pages,
)
from gristmill.pipeline.formats import Kind
from gristmill.pipeline.inspection import Inspection
from gristmill.pipeline.parses import Parse
from gristmill.pipeline.repair import Degraded

# Each text once; what the space has a vector of is not bought again. Vectors of the other origin go
# when a collection is made real.
_MEASURED: Final = """
SELECT v.id, greatest(1, v.pages, (SELECT max(number) FROM pages WHERE parse_id = v.parse_id))
           AS pages,
       coalesce(t.tokens, 0)::bigint AS tokens, coalesce(t.lacking, 0)::bigint AS lacking
FROM versions v
LEFT JOIN LATERAL (
    SELECT sum(tokens) AS tokens,
           sum(tokens) FILTER (WHERE lacks AND NOT EXISTS (
               SELECT FROM chunks o
               WHERE o.text_sha256 = texts.text_sha256 AND o.space_id = %(space)s)) AS lacking
    FROM (
        SELECT c.text_sha256, min(c.tokens) AS tokens,
               bool_or(c.origin <> %(origin)s OR c.vector IS NULL AND NOT v.incomplete
                   @> jsonb_build_array(jsonb_build_object('passage', c.ordinal + 1))) AS lacks
        FROM chunks c WHERE c.version_id = v.id GROUP BY c.text_sha256) texts
) t ON true
WHERE v.id = ANY (%(versions)s)
"""


async def estimate_repairs(
    database: Database, options: PipelineOptions, price: Price, found: Sequence[Degraded]
) -> list[FileEstimate]:
    """An estimate for each, in their order: of its parse and vectors, or of its vectors alone.

    Raises:
        Misconfigured: the model or the tier has no price.
    """
    fingerprints = [options.parse.fingerprint(each.sha256) for each in found]
    known = await parses.known(database, fingerprints)
    measured = await _measured(database, options, found)
    pen = _Pen(options, price)
    return [
        pen.read_anew(each, measured[each.version_id], known.get(fingerprint), fingerprint)
        if each.remedy == "parse"
        else pen.embedded(each, measured[each.version_id])
        for each, fingerprint in zip(found, fingerprints, strict=True)
    ]


async def _measured(
    database: Database, options: PipelineOptions, found: Sequence[Degraded]
) -> dict[int, Row]:
    async with database.connection() as connection:
        space = await chunks.find_space(connection, options.embedding)
        arguments = {
            "space": space,
            "origin": options.embedding.origin,
            "versions": [each.version_id for each in found],
        }
        rows = await (await connection.execute(_MEASURED, arguments)).fetchall()
    return {row["id"]: row for row in rows}


@dataclass(slots=True)
class _Pen:
    """Writes the estimates; what several documents share is paid once, by the first."""

    options: PipelineOptions
    price: Price
    _seen: set[str] = field(default_factory=set)

    def read_anew(
        self, each: Degraded, sizes: Row, parse: Parse | None, fingerprint: str
    ) -> FileEstimate:
        """The parser reads as much as the simulator did, for all that is known."""
        inspection = Inspection(cast("Kind", each.kind), each.mime, each.pages, size=0)
        appraisal = Appraisal(inspection, Length(sizes["pages"], sizes["tokens"]))
        reading = reading_of(parse, fingerprint, self._seen)
        most = self.options.parse.max_pages
        pages, tokens = Bounds(), Bounds()
        if reading in ("parsed", "under way"):
            pages = pages_to_parse(appraisal, parse, most)
        if reading != "shared":
            tokens = tokens_of_pages(appraisal, most, self.options.chunking)
        cost = parse_cost(each.kind, self.options.parse, pages, self.price)
        priced = self.embedded(each, sizes, tokens)
        return replace(priced, reading=reading, to_parse=pages, parse_cost=cost)

    def embedded(self, each: Degraded, sizes: Row, tokens: Bounds | None = None) -> FileEstimate:
        """So many tokens, or what the published version lacks."""
        tokens = tokens or Bounds(*[sizes["lacking"]] * 3)
        return FileEstimate(
            each.source,
            "changed",
            each.document_id,
            kind=each.kind,
            pages=each.pages,
            to_embed=tokens,
            embed_cost=embed_cost(self.options.embedding, tokens, self.price),
        )
