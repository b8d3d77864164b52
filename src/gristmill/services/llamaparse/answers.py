"""How operations and answers of LlamaParse look on the wire. Pure.

An answer is not believed to be about what was asked: the job, the tag and the pages are compared.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from gristmill.services import failures
from gristmill.services.llamaparse.operations import (
    PageItems,
    PageMetadata,
    ParsedPage,
    ParseJob,
    ParseResult,
    ParseStatus,
    ParseVersions,
    Project,
    SubmitParse,
    UsagePage,
    UsageRow,
    Webhook,
)

TIERS: Final = ("fast", "cost_effective", "agentic", "agentic_plus")

_TAG: Final = "gristmill"  # our key in a job's user_metadata
_NAME: Final = re.compile(r"[A-Za-z0-9][\w.:-]{0,199}", re.ASCII)  # goes into addresses and rows
_LONGEST_REASON: Final = 2_000  # characters
_LAST_NUMBER: Final = (1 << 31) - 1  # of a page, in the database
_EVENTS: Final = ("parse.success", "parse.error", "parse.partial_success", "parse.cancelled")


def submit_arguments(operation: SubmitParse) -> dict[str, Any]:
    """The arguments of the SDK's `parsing.create`."""
    pages: dict[str, Any] = {"max_pages": operation.max_pages}
    if operation.target_pages is not None:
        pages["target_pages"] = operation.target_pages
    arguments: dict[str, Any] = {
        "file_id": operation.file_id,
        "tier": operation.tier,
        "version": operation.version,
        "client_name": _TAG,
        "user_metadata": {_TAG: operation.tag},
        "page_ranges": pages,
        "disable_cache": operation.disable_cache,
    }
    if operation.languages:
        ocr = {"languages": list(operation.languages)}
        arguments["processing_options"] = {"ocr_parameters": ocr}
    if operation.deadline is not None:
        timeouts = {"base_in_seconds": operation.deadline}
        arguments["processing_control"] = {"timeouts": timeouts}
    if operation.webhook is not None:
        arguments["webhook_configurations"] = [_webhook(operation.webhook)]
    return arguments


def _webhook(webhook: Webhook) -> dict[str, Any]:
    return {
        "webhook_url": webhook.url,
        "webhook_events": list(_EVENTS),
        "webhook_output_format": "json",
        "webhook_signing_secret": webhook.secret,
    }


def read_job(item: Mapping[str, Any]) -> ParseJob:
    """A job as get, list, create and cancel show it."""
    metadata = item.get("user_metadata") or {}
    error = item.get("error_message")
    return ParseJob(
        id=name_of(item["id"]),
        status=ParseStatus(item["status"]),
        tag=metadata.get(_TAG),
        error=None if error is None else failures.masked(str(error))[:_LONGEST_REASON],
    )


def read_submitted(item: Mapping[str, Any], tag: str) -> ParseJob:
    """The job that a submit with our tag was answered with; the answer may leave the tag out."""
    job = read_job(item)
    if job.tag not in (None, tag):
        raise ValueError("a job under the tag of another submit")
    return job


def read_own_job(item: Mapping[str, Any], job_id: str) -> ParseJob:
    """The job that was asked about."""
    job = read_job(item)
    if job.id != job_id:
        raise ValueError("it is about another job")
    return job


def newest(jobs: Iterable[ParseJob], job_ids: Collection[str]) -> tuple[ParseJob, ...]:
    """Each job asked for once, as it was told last; what is over does not run again."""
    found: dict[str, ParseJob] = {}
    for job in jobs:
        known = found.get(job.id)
        if job.id in job_ids and (known is None or job.status.is_final >= known.status.is_final):
            found[job.id] = job
    return tuple(found.values())


def read_result(body: Mapping[str, Any], content: str) -> ParseResult:
    """The answer of get, where `content` is the expanded key, markdown or text."""
    job = read_job(body["job"])
    is_there = job.status is ParseStatus.COMPLETED
    if is_there and not isinstance((body.get(content) or {}).get("pages"), list):
        raise ValueError("a completed job without its pages")
    pages = read_pages(body, content) if is_there else ()
    return ParseResult(job, pages, credits=read_credits(body["job"]))


def read_pages(body: Mapping[str, Any], content: str) -> tuple[ParsedPage, ...]:
    """The pages by number; a failed one has its reason and no text."""
    pages = (ParsedPage(number, *_said(page, content)) for number, page in _pages(body, content))
    return tuple(sorted(pages, key=lambda page: page.number))


def read_items(body: Mapping[str, Any]) -> tuple[PageItems, ...]:
    """The items of each page, by its number."""
    found = (_items(number, page) for number, page in _pages(body, "items"))
    return tuple(sorted(found, key=lambda page: page.number))


def read_metadata(body: Mapping[str, Any]) -> tuple[PageMetadata, ...]:
    """How each page was read, by its number."""
    found = (
        PageMetadata(
            number,
            confidence=_optional(page.get("confidence"), int, float),
            cost_optimized=_optional(page.get("cost_optimized"), bool),
            printed=_optional(page.get("printed_page_number"), str),
        )
        for number, page in _pages(body, "metadata")
    )
    return tuple(sorted(found, key=lambda page: page.number))


def read_versions(body: Mapping[str, Any]) -> ParseVersions:
    """The versions of each tier that we know of."""
    latest = body["latest"]
    return ParseVersions(
        of_tier={tier: tuple(map(text_of, body[tier])) for tier in TIERS},
        latest={tier: text_of(latest[tier]) for tier in TIERS},
    )


def read_usage(body: Mapping[str, Any]) -> UsagePage:
    """A page of the vendor's books."""
    following = body.get("next_page_token")
    return UsagePage(
        tuple(map(_usage_row, body["items"])), None if not following else text_of(following)
    )


def read_projects(body: Sequence[Mapping[str, Any]]) -> tuple[Project, ...]:
    """The projects that a key opens."""
    return tuple(
        Project(name_of(each["id"]), text_of(each["name"]), name_of(each["organization_id"]))
        for each in body
    )


def _usage_row(item: Mapping[str, Any]) -> UsageRow:
    return UsageRow(
        job_id=text_of(item["event_aggregation_key"]),
        event=text_of(item["event_type"]),
        value=_amount(item["value"]),
        credits=_amount(item["credits"]),
        day=text_of(item["day"]),
    )


def _pages(body: Mapping[str, Any], content: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    seen: set[int] = set()
    for page in (body.get(content) or {}).get("pages") or ():
        number = page["page_number"]
        if type(number) is not int:
            raise TypeError("a page without a number")
        if not 1 <= number <= _LAST_NUMBER or number in seen:
            raise ValueError(f"page {number} cannot be, or is there twice")
        seen.add(number)
        yield number, page


def _said(page: Mapping[str, Any], content: str) -> tuple[str, str | None]:
    if page.get("success") is False:
        return "", _reason(page)
    return text_of(page[content]), None


def _items(number: int, page: Mapping[str, Any]) -> PageItems:
    if page.get("success") is False:
        return PageItems(number, error=_reason(page))
    items = page["items"]
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise TypeError("items that are no objects")
    width, height = (
        _optional(page.get(f"page_{side}"), int, float) for side in ("width", "height")
    )
    return PageItems(number, tuple(items), width, height)


def _optional(value: Any, *kinds: type) -> Any:  # noqa: ANN401 — one of the kinds, or None
    if value is not None and type(value) not in kinds:
        raise TypeError(f"{type(value).__name__} in the wrong place")
    return value


def _reason(page: Mapping[str, Any]) -> str:
    return str(page.get("error") or "no reason given")


def read_credits(job: Mapping[str, Any]) -> Decimal | None:
    """The credits billed, exactly as written; None while there is no bill."""
    billed = (job.get("usage") or {}).get("credits")
    if billed is None:
        return None
    return _amount(billed)


def _amount(billed: Any) -> Decimal:  # noqa: ANN401 — whatever JSON holds
    is_number = isinstance(billed, int | float) and not isinstance(billed, bool)
    if not is_number or billed < 0:
        raise ValueError(f"{billed!r} is no amount")
    return Decimal(repr(billed))


def name_of(value: object) -> str:
    """What the vendor calls a job or a file, if it can be asked for and kept by that."""
    name = text_of(value)
    if _NAME.fullmatch(name) is None:
        raise ValueError("an id that cannot be one")
    return name


def text_of(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} instead of text")
    return value
