"""Looks at sources without a change to anything, and says what each would cost.

The same children that inspect files for the pipeline count pages here; what is paid for already is
read from the database. No service is asked, not even for what is free.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from gristmill.database.engine import Database, Row
from gristmill.errors import DocumentError
from gristmill.pipeline import chunks, intake, parses
from gristmill.pipeline.appraisal import Appraisal, Passage, appraise, weigh
from gristmill.pipeline.children import ChildPool
from gristmill.pipeline.document import PipelineOptions
from gristmill.pipeline.estimate import (
    Bounds,
    FileEstimate,
    Price,
    Reading,
    embed_cost,
    pages_to_parse,
    parse_cost,
    reading_of,
    tokens_of_pages,
)
from gristmill.pipeline.formats import TEXT_KINDS
from gristmill.pipeline.intake import Source, Standing
from gristmill.pipeline.parses import Parse

UNASKED: Final[frozenset[Reading]] = frozenset({"here", "paid", "shared"})


@dataclass(frozen=True, slots=True)
class _Found:
    """A file that would be taken in, and what is known under its identity."""

    source: Source
    standing: Standing
    document_id: str | None
    appraisal: Appraisal


@dataclass(slots=True)
class Estimator:
    """Estimates sources for one collection, which may not exist yet (None).

    What several of them share is paid once, by the first: it remembers what it has seen.
    """

    database: Database
    children: ChildPool
    options: PipelineOptions
    price: Price
    collection: int | None
    _seen_parses: set[str] = field(default_factory=set)
    _seen_texts: set[bytes] = field(default_factory=set)

    async def look(self, sources: Sequence[Source]) -> list[FileEstimate]:
        """An estimate of each, in their order.

        Raises:
            Misconfigured: a model or tier has no price, or children do not start.
            DatabaseUnavailable: what is known cannot be read.
        """
        known: Mapping[str, Row] = {}
        if self.collection is not None:
            known = await intake.known(self.database, self.collection, sources)
        looked = [self._looked_at(source, known.get(source.identity)) for source in sources]
        prints = [self.options.parse.fingerprint(source.sha256) for source in sources]
        asked = await parses.known(self.database, prints)
        found = zip(await asyncio.gather(*looked), prints, strict=True)
        return [await self._estimated(each, name, asked.get(name)) for each, name in found]

    async def _looked_at(self, source: Source, known: Row | None) -> _Found | FileEstimate:
        fingerprint = self.options.fingerprint(source.sha256)
        standing = intake.standing(source, known, fingerprint)
        document_id = None if known is None else str(known["id"])
        if standing == "unchanged":
            return FileEstimate(source.identity, standing, document_id)
        try:
            appraisal = await self.children.run(appraise, source.path, self.options.chunking)
        except DocumentError as error:
            return _refused(source, error)
        return _Found(source, standing, document_id, appraisal)

    async def _estimated(
        self, found: _Found | FileEstimate, fingerprint: str, parse: Parse | None
    ) -> FileEstimate:
        if isinstance(found, FileEstimate):
            return found
        is_text = found.appraisal.found.kind in TEXT_KINDS
        reading = "here" if is_text else reading_of(parse, fingerprint, self._seen_parses)
        try:
            to_embed, known = await self._to_embed(found.appraisal, reading, parse)
        except DocumentError as error:
            return _refused(found.source, error)
        max_pages, inspection = self.options.parse.max_pages, found.appraisal.found
        to_parse = Bounds()
        if reading not in UNASKED:
            to_parse = pages_to_parse(found.appraisal, parse, max_pages)
        return FileEstimate(
            source=found.source.identity,
            outcome=found.standing,
            document_id=found.document_id,
            kind=inspection.kind,
            pages=inspection.pages,
            reading=reading,
            to_parse=to_parse,
            to_embed=to_embed,
            known_passages=known,
            parse_cost=parse_cost(inspection.kind, self.options.parse, to_parse, self.price),
            embed_cost=embed_cost(self.options.embedding, to_embed, self.price),
            note=inspection.note,
        )

    async def _to_embed(
        self, appraisal: Appraisal, reading: Reading, parse: Parse | None
    ) -> tuple[Bounds, int]:
        """The tokens to embed, and how many passages have a vector already."""
        passages = appraisal.passages
        if parse is not None and reading == "paid":
            async with self.database.connection() as connection:
                result = await parses.load(connection, parse.id)
            passages = await self.children.run(weigh, result.pages, self.options.chunking)
        if passages is not None:
            return await self._lacking(passages)
        options = self.options
        tokens = tokens_of_pages(appraisal, options.parse.max_pages, options.chunking)
        return replace(tokens, expected=0) if reading == "shared" else tokens, 0

    async def _lacking(self, passages: Sequence[Passage]) -> tuple[Bounds, int]:
        """Exact, but that texts of several files are bought twice if the files come at once."""
        known = await self._known_texts([passage.sha256 for passage in passages])
        lacking = [passage for passage in passages if passage.sha256 not in known]
        fresh = [each for each in lacking if each.sha256 not in self._seen_texts]
        self._seen_texts.update(passage.sha256 for passage in fresh)
        at_most = sum(passage.tokens for passage in lacking)
        expected = sum(passage.tokens for passage in fresh)
        return Bounds(expected, at_most, at_most), len(known)

    async def _known_texts(self, texts: Sequence[bytes]) -> set[bytes]:
        async with self.database.connection() as connection:
            space = await chunks.find_space(connection, self.options.embedding)
            return set() if space is None else await chunks.known(connection, space, texts)


def _refused(source: Source, error: DocumentError) -> FileEstimate:
    return FileEstimate(source.identity, "refused", error=str(error), advice=error.advice)
