"""The stages of the road, one short function each, and their order.

A stage does its work, then commits its rows and the document's new status in one step, fenced by
the claim. It answers the document as it stands then, or None where somebody else (the poller, the
driver of a shared parse) will wake it. Stages never call each other, and each can run
again at any point: what is done is found done.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from gristmill.contract import Origin
from gristmill.database.engine import Connection
from gristmill.errors import NotFound
from gristmill.pipeline import chunks, parses
from gristmill.pipeline.chunking import split
from gristmill.pipeline.context import Context
from gristmill.pipeline.document import DocumentStatus as Status
from gristmill.pipeline.document import ParseOptions, Work
from gristmill.pipeline.embedding import embed
from gristmill.pipeline.formats import TEXT_KINDS
from gristmill.pipeline.inspection import Inspection, inspect, read_text
from gristmill.pipeline.objects import find_object, hold_object, keep_object, key_of
from gristmill.pipeline.parses import LOCAL, Parse, kept
from gristmill.pipeline.parsing import collect, submit_parse
from gristmill.pipeline.sides import refuse_other_origin, refuse_simulated_repair
from gristmill.pipeline.store import saved, step
from gristmill.services.supabase import EnsureBucket, UploadObject

Stage = Callable[[Context, Work], Awaitable[Work | None]]

LOCAL_READING: Final = "read-1"  # our own reading of text; raise it when that changes


async def keep_file(context: Context, work: Work) -> Work:
    """uploaded -> stored: looks at the file, then puts it into object storage, once."""
    async with context.material(work.version) as path:
        found = await context.children.run(inspect, path)
        stored = await find_object(context.database, context.options.storage, work.version.sha256)
        if stored is None:
            stored = await _upload(context, work, found, path)
    version = replace(
        work.version, kind=found.kind, mime=found.mime, pages=found.pages, object_id=stored
    )
    work = replace(work, version=version)
    async with context.database.transaction() as connection:
        await hold_object(connection, work, stored)
        note = found.note or found.kind
        return await step(connection, work, Status.STORED, note, saved(work.version))


async def _upload(context: Context, work: Work, found: Inspection, path: Path) -> int:
    storage = context.options.storage
    key = key_of(work.version.sha256, found.kind)
    upload = UploadObject(bucket=storage.bucket, key=key, path=path, content_type=found.mime)
    await _ensure_bucket(context)
    service = context.services.at(upload.service, storage.endpoint)
    try:
        result = await service.execute(upload)
    except NotFound:  # somebody has removed the bucket since
        context.buckets.discard(storage)
        await _ensure_bucket(context)
        result = await service.execute(upload)
    return await keep_object(context.database, storage, work.version, key, result.origin)


async def _ensure_bucket(context: Context) -> None:
    storage = context.options.storage
    if storage not in context.buckets:
        ensure = EnsureBucket(bucket=storage.bucket)
        await context.services.at(ensure.service, storage.endpoint).execute(ensure)
        context.buckets.add(storage)


async def choose_parser(context: Context, work: Work) -> Work:
    """stored -> parsed or parse_queued: reads text here, leaves the rest to the vendor."""
    refuse_other_origin(context, work)
    if work.version.kind in TEXT_KINDS:
        return await _read_here(context, work)
    refuse_simulated_repair(context, work)
    options = context.options.parse
    async with context.database.transaction() as connection:
        work, parse = await _with_parse(connection, work, options)
        known = saved(work.version)
        if parse.status == "stored":
            told = "parsed before, nothing to pay"
            return await step(connection, work, Status.PARSED, told, known)
        return await step(connection, work, Status.PARSE_QUEUED, "", known)


async def _with_parse(
    connection: Connection, work: Work, options: ParseOptions
) -> tuple[Work, Parse]:
    fingerprint = options.fingerprint(work.version.sha256)
    parse = await parses.find_or_add(connection, work, fingerprint, options)
    return replace(work, version=replace(work.version, parse_id=parse.id)), parse


async def _read_here(context: Context, work: Work) -> Work:
    async with context.material(work.version) as path:
        pages = await context.children.run(read_text, path)
    kind = work.version.kind
    options = ParseOptions(LOCAL, Origin.LOCAL, LOCAL_READING, kind, max_pages=len(pages) or 1)
    async with context.database.transaction() as connection:
        work, parse = await _with_parse(connection, work, options)
        changes = [saved(work.version)]
        if parse.status != "stored":
            changes += kept(parse, [(page.number, page.markdown, None) for page in pages])
        return await step(connection, work, Status.PARSED, "read here, lossless", *changes)


async def cut(context: Context, work: Work) -> Work:
    """parsed -> chunked: cuts the pages into passages, in a child process."""
    if work.version.parse_id is None:
        raise AssertionError("a parsed document has a parse")
    async with context.database.connection() as connection:
        result = await parses.load(connection, work.version.parse_id)
    passages = await context.children.run(split, result.pages, context.options.chunking)
    missing = chunks.incomplete(result, work.version.pages)
    changes = [chunks.added(passages)] + ([chunks.lacking(missing)] if missing else [])
    work = replace(work, version=replace(work.version, lacks=len(missing)))
    async with context.database.connection() as connection:
        return await step(connection, work, Status.CHUNKED, f"{len(passages)} passages", *changes)


STAGES: Final[Mapping[Status, Stage]] = {
    Status.UPLOADED: keep_file,
    Status.STORED: choose_parser,
    Status.PARSE_QUEUED: submit_parse,
    Status.PARSING: collect,
    Status.PARSED: cut,
    Status.CHUNKED: embed,
    Status.EMBEDDING: embed,
}
