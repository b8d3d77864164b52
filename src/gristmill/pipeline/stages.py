"""The stages of the road, one short function each, and their order.

A stage does its work, then commits its rows and the document's new status in one transaction,
fenced by the claim. It answers the next stage, or None where somebody else (the poller, the
driver of a shared parse) will wake the document. Stages never call each other, and each can run
again at any point: what is done is found done.
"""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from gristmill.contract import Origin
from gristmill.database.engine import Connection
from gristmill.pipeline import chunks, parses
from gristmill.pipeline.chunking import split
from gristmill.pipeline.context import Context
from gristmill.pipeline.document import DocumentStatus as Status
from gristmill.pipeline.document import ParseOptions, Work
from gristmill.pipeline.inspection import Inspection, inspect, read_text
from gristmill.pipeline.objects import find_object, keep_object, key_of, object_key
from gristmill.pipeline.parses import LOCAL
from gristmill.pipeline.parsing import collect, submit_parse
from gristmill.pipeline.store import fence, step
from gristmill.services.openai import Embed
from gristmill.services.supabase import EnsureBucket, UploadObject

Stage = Callable[[Context, Work], Awaitable[Status | None]]

TEXT_KINDS: Final = frozenset({"markdown", "text"})
LOCAL_READING: Final = "read-1"  # our own reading of text; raise it when that changes


async def keep_file(context: Context, work: Work) -> Status:
    """uploaded -> stored: looks at the file, then puts it into object storage, once."""
    async with context.material(work.version, None) as path:
        found = await context.children.run(inspect, path)
        stored = await find_object(context.database, context.options.storage, work.version.sha256)
        if stored is None:
            stored = await _upload(context, work, found, path)
    async with context.database.transaction() as connection:
        await connection.execute(
            "UPDATE versions SET kind = %s, mime = %s, pages = %s, object_id = %s WHERE id = %s",
            (found.kind, found.mime, found.pages, stored, work.version.id),
        )
        return await step(connection, work, Status.STORED, found.note or found.kind)


async def _upload(context: Context, work: Work, found: Inspection, path: Path) -> int:
    storage = context.options.storage
    key = key_of(work.version.sha256, found.kind)
    if storage not in context.buckets:
        await context.services.execute(EnsureBucket(bucket=storage.bucket))
        context.buckets.add(storage)
    upload = UploadObject(bucket=storage.bucket, key=key, path=path, content_type=found.mime)
    result = await context.services.execute(upload)
    return await keep_object(context.database, storage, work.version, key, result.origin)


async def choose_parser(context: Context, work: Work) -> Status:
    """stored -> parsed or parse_queued: reads text here, leaves the rest to the vendor."""
    if work.version.kind in TEXT_KINDS:
        return await _read_here(context, work)
    options = context.options.parse
    fingerprint = options.fingerprint(work.version.sha256)
    async with context.database.transaction() as connection:
        parse = await parses.find_or_add(connection, work, fingerprint, options)
        await parses.link(connection, work, parse)
        if parse.status == "stored":
            return await step(connection, work, Status.PARSED, "parsed before, nothing to pay")
        return await step(connection, work, Status.PARSE_QUEUED)


async def _read_here(context: Context, work: Work) -> Status:
    key = await object_key(context.database, work.version)
    async with context.material(work.version, key) as path:
        pages = await context.children.run(read_text, path)
    kind = work.version.kind
    options = ParseOptions(LOCAL, Origin.LOCAL, LOCAL_READING, kind, max_pages=len(pages) or 1)
    async with context.database.transaction() as connection:
        fingerprint = options.fingerprint(work.version.sha256)
        parse = await parses.find_or_add(connection, work, fingerprint, options)
        await parses.link(connection, work, parse)
        if parse.status != "stored":
            rows = [(page.number, page.markdown, None) for page in pages]
            await parses.save_pages(connection, parse, rows)
        return await step(connection, work, Status.PARSED, "read here, lossless")


async def cut(context: Context, work: Work) -> Status:
    """parsed -> chunked: cuts the pages into passages, in a child process."""
    if work.version.parse_id is None:
        raise AssertionError("a parsed document has a parse")
    async with context.database.connection() as connection:
        pages, failed = await parses.load_pages(connection, work.version.parse_id)
        parse = await parses.read(connection, work.version.parse_id)
    passages = await context.children.run(split, pages, context.options.chunking)
    missing = chunks.incomplete(pages, failed, work.version.pages, parse)
    async with context.database.transaction() as connection:
        await fence(connection, work)
        await chunks.replace(connection, work, passages)
        await chunks.save_incomplete(connection, work, missing)
        return await step(connection, work, Status.CHUNKED, f"{len(passages)} passages")


async def embed(context: Context, work: Work) -> Status:
    """chunked, embedding -> embedding, ready: buys one batch of vectors and keeps it.

    The commit that keeps the last batch also publishes the version.
    """
    options = context.options.embedding
    async with context.database.transaction() as connection:
        await fence(connection, work)
        space = await chunks.space_of(connection, options)
        await chunks.reuse_vectors(connection, work, space)
        batch = await chunks.pending(connection, work, options)
        if not batch:
            return await _publish(connection, work, space)
    operation = Embed(
        texts=tuple(text.text for text in batch),
        model=options.model,
        dimensions=options.dimensions,
        tokens=sum(text.tokens for text in batch),
    )
    answer = await context.services.execute(operation)
    async with context.database.transaction() as connection:
        await fence(connection, work)
        await chunks.save_vectors(connection, work, space, batch, answer.value.vectors)
        if await chunks.pending(connection, work, options):
            return await step(connection, work, Status.EMBEDDING, f"{len(batch)} more vectors")
        return await _publish(connection, work, space)


async def _publish(connection: Connection, work: Work, space: int) -> Status:
    missing = await chunks.publish(connection, work, space)
    if missing:
        return await step(connection, work, Status.READY_INCOMPLETE, f"lacks {missing} pages")
    return await step(connection, work, Status.READY)


STAGES: Final[Mapping[Status, Stage]] = {
    Status.UPLOADED: keep_file,
    Status.STORED: choose_parser,
    Status.PARSE_QUEUED: submit_parse,
    Status.PARSING: collect,
    Status.PARSED: cut,
    Status.CHUNKED: embed,
    Status.EMBEDDING: embed,
}
