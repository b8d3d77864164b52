"""The two stages in which a document is with the parser: handing it over, taking it back.

Between them nothing waits. A parse is paid once: the intent to submit is committed before the
request leaves, the job id before anything else happens with it, and after a crash in between the
job is found by its tag at the vendor.
"""

from dataclasses import replace
from math import ceil
from typing import Final

from gristmill.contract import Operation, R
from gristmill.errors import (
    DocumentFailed,
    GristmillError,
    NotFound,
    NotYet,
    QuotaExhausted,
)
from gristmill.pipeline import parses
from gristmill.pipeline.bills import settle_bill
from gristmill.pipeline.context import Context
from gristmill.pipeline.document import DocumentStatus as Status
from gristmill.pipeline.document import ParseOptions, Work
from gristmill.pipeline.parse_failures import (
    Fault,
    fault_of,
    is_past_the_end,
    is_worth_another,
)
from gristmill.pipeline.parses import Parse
from gristmill.pipeline.sides import refuse_other_origin
from gristmill.pipeline.store import backoff, saved, step
from gristmill.pipeline.tokens import clean
from gristmill.policies.deadline import within
from gristmill.services.failures import failure
from gristmill.services.llamaparse import (
    LONGEST_DEADLINE,
    FindParseJob,
    GetParseResult,
    ParseJob,
    ParseResult,
    SubmitParse,
    UploadFile,
    job_advice,
)
from gristmill.telemetry.logging import get_logger

log = get_logger(__name__)

FIRST_PART: Final = 25  # pages


def part_of(work: Work, parse: Parse) -> range:
    """The pages of the next job: all of them, where they can be counted beforehand."""
    if work.version.pages is not None:
        return range(1, min(work.version.pages, parse.max_pages) + 1)
    return part_after(parse.read_to, parse.max_pages)


def part_after(read_to: int, max_pages: int) -> range:
    """The pages of the next job of a file whose pages only the parser counts.

    Each job reads at most as many as are ours already, so that what is held for them stays near
    what they cost.
    """
    size = max(FIRST_PART, read_to)
    return range(read_to + 1, min(read_to + size, max_pages) + 1)


async def submit_parse(context: Context, work: Work) -> Work | None:
    """parse_queued -> parsing: uploads, submits, and keeps the job id before anything else."""
    parse = await _take_wheel(context, work)
    if parse is None:
        async with context.database.connection() as connection:
            return await step(connection, work, Status.PARSING, "another document has it parsed")
    job = await _lost_job(context, parse) if parse.status == "submitting" else None
    if job is not None:
        await _adopt(context, work, job)
    elif _is_elsewhere(context, parse):
        return await _choose_anew(context, work)
    else:
        refuse_other_origin(context, work)
        try:
            job = await _submit(context, work, parse)
        except GristmillError as error:
            if (stand_in := _stand_in(context, work, parse, error)) is not None:
                return await _fall_back(context, work, stand_in, error)
            raise
    async with context.database.connection() as connection:
        submitted = parses.submitted_as(parse, job.id)
        await step(connection, work, Status.PARSING, f"job {job.id}", submitted)
    context.poke.set()
    return None


async def _take_wheel(context: Context, work: Work) -> Parse | None:
    """The parse, if this document is to hand it over; not if others have, or tried in vain."""
    async with context.database.connection() as connection:
        parse = await parses.drive(connection, work)
        if parse is None or parse.status != "failed":
            return parse
        if not is_worth_another(parse.error or "", parse.attempts):
            return None
        return await parses.restart(connection, work, parse)


async def _asked(context: Context, parse: Parse, operation: Operation[R]) -> R:
    """The answer of whoever has this parse, whatever the mode is now."""
    service = context.services.at(operation.service, parse.endpoint)
    return (await service.execute(operation)).value


def _is_elsewhere(context: Context, parse: Parse) -> bool:
    """Whether it was to be parsed where the present mode sends nothing."""
    options = context.options
    allowed = [each.endpoint for each in (options.parse, options.stand_in) if each is not None]
    return parse.endpoint not in allowed


async def _choose_anew(context: Context, work: Work) -> Work:
    version = replace(work.version, parse_id=None, is_fallback=False)
    async with context.database.connection() as connection:
        work = replace(work, version=version)
        told = "the mode has changed before it was parsed"
        return await step(connection, work, Status.STORED, told, saved(version))


def _stand_in(
    context: Context, work: Work, parse: Parse, error: GristmillError
) -> ParseOptions | None:
    """What reads the document in place of the parser; None where it must wait for the parser."""
    stand_in = context.options.stand_in
    if stand_in is None or not error.is_outage or work.version.is_repair or parse.read_to:
        return None
    return stand_in if parse.endpoint != stand_in.endpoint else None


async def _fall_back(
    context: Context, work: Work, stand_in: ParseOptions, error: GristmillError
) -> Work:
    """The document leaves the parser's hands, which have not taken it, for the simulator's."""
    log.warning("parse.fell_back", to=stand_in.endpoint, error=error.kind, reason=str(error))
    fingerprint = stand_in.fingerprint(work.version.sha256)
    async with context.database.transaction() as connection:
        parse = await parses.find_or_add(connection, work, fingerprint, stand_in)
        version = replace(work.version, parse_id=parse.id, is_fallback=True)
        work = replace(work, version=version)
        reached = Status.PARSED if parse.status == "stored" else Status.PARSE_QUEUED
        told = f"falls back to the simulator: {error}"
        return await step(connection, work, reached, told, saved(version))


async def _adopt(context: Context, work: Work, job: ParseJob) -> None:
    service, operation = SubmitParse.service, SubmitParse.__name__
    await context.ledger.adopt(service, operation, work.document_id, job.id)


async def _upload(context: Context, work: Work, parse: Parse) -> str:
    async with context.material(work.version) as path:
        upload = UploadFile(path=path, file_name=_vendor_name(work), external_id=parse.tag)
        return (await _asked(context, parse, upload)).id


def _vendor_name(work: Work) -> str:
    """A neutral name: the parser needs the type, and nobody else's file names."""
    return f"{work.version.sha256[:16]}.{work.version.kind}"


async def _lost_job(context: Context, parse: Parse) -> ParseJob | None:
    """The job of a submit whose answer was lost, if the vendor has it."""
    if parse.submitting_since is None:
        return None
    age = (context.now() - parse.submitting_since).total_seconds()
    wait = context.limits.submit_wait + context.limits.recording_wait - age
    if wait > 0:
        raise NotYet("The parser may still be recording a submitted job.", retry_after=wait)
    find = FindParseJob(tag=parse.tag, since=parse.submitting_since)
    found = await _asked(context, parse, find)
    return found[0] if found else None


async def _submit(context: Context, work: Work, parse: Parse) -> ParseJob:
    file_id = parse.file_id or await _upload(context, work, parse)
    part = part_of(work, parse)
    operation = SubmitParse(
        file_id=file_id,
        tier=parse.tier,
        version=parse.tier_version,
        max_pages=len(part),
        target_pages=f"{part[0]}-{part[-1]}" if part[0] > 1 else None,
        tag=parse.tag,
        languages=parse.languages,
        deadline=min(ceil(context.limits.parse_deadline), LONGEST_DEADLINE),
    )
    async with context.database.connection() as connection:
        await parses.mark_submitting(connection, work, parse, file_id)
    try:
        with within(context.limits.submit_wait):
            return await _asked(context, parse, operation)
    except GristmillError as error:
        if error.no_effect:  # nothing to look for: the next try may submit at once
            async with context.database.connection() as connection:
                await parses.mark_uploaded(connection, work, parse)
        raise


async def collect(context: Context, work: Work) -> Work | None:
    """parsing -> parsed: fetches the result once the vendor is done, and keeps it at once."""
    if work.version.parse_id is None:
        raise AssertionError("a document waits for a parse that it never asked for")
    async with context.database.connection() as connection:
        parse = await parses.read(connection, work.version.parse_id)
    match parse.status:
        case "stored":
            async with context.database.connection() as connection:
                return await step(connection, work, Status.PARSED, "parsed")
        case "completed":
            return await _fetch(context, work, parse)
        case "failed" if parse.read_to and fault_of(parse.error or "") is Fault.DOCUMENT:
            return await _keep_what_there_is(context, work, parse)
        case "failed":
            await _try_again(context, work, parse)
            return None
        case "submitted":
            return None
        case _:
            return await _take_over(context, work)


async def _keep_what_there_is(context: Context, work: Work, parse: Parse) -> Work:
    """The pages before the part that failed; where it failed for want of pages, that is all."""
    reason = parse.error or "no reason given"
    gap = [] if is_past_the_end(reason) else [(parse.read_to + 1, "", reason)]
    kept = parses.kept(parse, gap, is_billed=True)  # or the poller knows better
    async with context.database.connection() as connection:
        return await step(connection, work, Status.PARSED, f"{parse.read_to} pages", *kept)


async def _take_over(context: Context, work: Work) -> Work | None:
    """Goes back to hand the file over itself, if the document that meant to has ended."""
    async with context.database.connection() as connection:
        if await parses.drive(connection, work) is None:
            return None
        return await step(connection, work, Status.PARSE_QUEUED, "has it parsed itself")


async def _try_again(context: Context, work: Work, parse: Parse) -> None:
    """Goes back for a new job where that can help; the other documents wait for the driver's.

    Raises:
        DocumentFailed: the document is at fault, or enough jobs were tried.
        NotYet: the vendor is at fault; the new job follows a little later.
        QuotaExhausted: the account is; the new job follows once somebody has acted.
    """
    reason = parse.error or ""
    if not is_worth_another(reason, parse.attempts):
        raise _failure(reason, parse.attempts)
    async with context.database.connection() as connection:
        if await parses.drive(connection, work) is None:
            return
        await step(connection, work, Status.PARSE_QUEUED, f"needs a new job: {reason}")
    if fault_of(reason) is Fault.ACCOUNT:
        raise failure(QuotaExhausted, SubmitParse.service, reason)
    raise NotYet(
        f"The parser failed, and gets the document again as a new job: {reason}.",
        retry_after=backoff(parse.attempts, context.draw),
    )


async def _fetch(context: Context, work: Work, parse: Parse) -> Work:
    if parse.job_id is None:
        raise AssertionError("a completed parse has a job")
    try:
        result = await _asked(context, parse, GetParseResult(parse.job_id, parse.tier))
    except NotFound as error:
        async with context.database.connection() as connection:
            await parses.mark_failed(connection, work, parse, "the result expired at the vendor")
        raise _failure("the result expired at the vendor") from error
    is_billed = await settle_bill(context, parse.job_id, result.credits)
    work = await _keep(context, work, parse, result, is_billed=is_billed)
    context.poke.set()
    return work


async def _keep(
    context: Context, work: Work, parse: Parse, result: ParseResult, *, is_billed: bool
) -> Work:
    rows = [(page.number, clean(page.markdown), page.error) for page in result.pages]
    read_to = max((number for number, _, _ in rows), default=0)
    last = part_of(work, parse)[-1]
    async with context.database.connection() as connection:
        if work.version.pages is None and last <= read_to < parse.max_pages:
            told = f"{read_to} pages so far, and maybe more"
            part = parses.continued(parse, rows, read_to, is_billed=is_billed)
            return await step(connection, work, Status.PARSE_QUEUED, told, *part)
        kept = parses.kept(parse, rows, is_billed=is_billed)
        told = f"{max(read_to, parse.read_to)} pages"
        return await step(connection, work, Status.PARSED, told, *kept)


def _failure(reason: str, jobs: int = 1) -> DocumentFailed:
    tried = f", in {jobs} jobs" if jobs > 1 else ""
    return DocumentFailed(
        f"The parser could not read it{tried}: {reason or 'no reason given'}.",
        advice=job_advice(reason),
    )
