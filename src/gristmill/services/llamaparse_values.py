"""LlamaParse's operations and answers as values, and how they look on the wire. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

from gristmill.contract import Operation, Usage
from gristmill.services import failures

_TAG = "gristmill"  # our key in a job's user_metadata
_EVENTS = ("parse.success", "parse.error", "parse.partial_success", "parse.cancelled")


class ParseStatus(StrEnum):
    """Where a job is. A word we do not know is UNKNOWN: look again later."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"

    @classmethod
    def _missing_(cls, value: object) -> "ParseStatus":
        del value
        return cls.UNKNOWN

    @property
    def is_final(self) -> bool:
        return self in (ParseStatus.COMPLETED, ParseStatus.FAILED, ParseStatus.CANCELLED)


@dataclass(frozen=True, slots=True)
class VendorFile:
    """A file kept by the vendor."""

    id: str


@dataclass(frozen=True, slots=True)
class ParseJob:
    """A job; `tag` is ours, `error` the vendor's words if it failed."""

    id: str
    status: ParseStatus
    tag: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class ParsedPage:
    """One page, numbered from 1; `error` is the reason if it could not be parsed."""

    number: int
    markdown: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ParseResult:
    """What a job made. `credits` is None until the vendor has billed it; then it is exact."""

    job: ParseJob
    pages: tuple[ParsedPage, ...]
    credits: Decimal | None


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where the vendor tells the end of a job, and the secret that it signs with."""

    url: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class UploadFile(Operation[VendorFile]):
    """Uploads a file from disk, in pieces. `file_name` needs the right extension.

    A repeat leaves a second file, which the vendor deletes after two days.
    """

    service: ClassVar[str] = "llamaparse"

    path: Path
    file_name: str
    external_id: str


@dataclass(frozen=True, slots=True)
class SubmitParse(Operation[ParseJob]):
    """Starts a job of at most `max_pages` pages, found again by `tag`. A repeat is billed twice.

    `target_pages` as in "1,3,5-8"; then `max_pages` is their number.
    """

    service: ClassVar[str] = "llamaparse"
    idempotent: ClassVar[bool] = False

    file_id: str
    tier: str
    version: str
    max_pages: int
    tag: str
    disable_cache: bool = False
    target_pages: str | None = None
    webhook: Webhook | None = None

    def worst_case(self) -> Usage:
        return Usage(product=self.tier, unit="pages", quantity=self.max_pages)


@dataclass(frozen=True, slots=True)
class ListParseJobs(Operation[tuple[ParseJob, ...]]):
    """The jobs with these ids that the vendor still knows, in its order; one call a hundred."""

    service: ClassVar[str] = "llamaparse"

    job_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FindParseJob(Operation[tuple[ParseJob, ...]]):
    """The jobs with our tag among all made since then; one call for each hundred of those."""

    service: ClassVar[str] = "llamaparse"

    tag: str
    since: datetime


@dataclass(frozen=True, slots=True)
class GetParseResult(Operation[ParseResult]):
    """The pages of a job, and what it cost. No pages unless the job is COMPLETED."""

    service: ClassVar[str] = "llamaparse"

    job_id: str
    tier: str


@dataclass(frozen=True, slots=True)
class GetParseUsage(Operation[Decimal | None]):
    """The credits billed for a job; None until the vendor has billed it."""

    service: ClassVar[str] = "llamaparse"

    job_id: str


@dataclass(frozen=True, slots=True)
class CancelParse(Operation[ParseJob]):
    """Stops a job; `Rejected` if it has ended already."""

    service: ClassVar[str] = "llamaparse"

    job_id: str


@dataclass(frozen=True, slots=True)
class DeleteParse(Operation[None]):
    """Deletes an ended job and its result; `NotFound` if it is gone."""

    service: ClassVar[str] = "llamaparse"

    job_id: str


@dataclass(frozen=True, slots=True)
class DeleteFile(Operation[None]):
    """Deletes an uploaded file; `NotFound` if it is gone."""

    service: ClassVar[str] = "llamaparse"

    file_id: str


@dataclass(frozen=True, slots=True)
class CountFiles(Operation[int]):
    """How many files the first page of the list shows, at most one; the probe of the key."""

    service: ClassVar[str] = "llamaparse"


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
        id=text_of(item["id"]),
        status=ParseStatus(item["status"]),
        tag=metadata.get(_TAG),
        error=None if error is None else failures.masked(str(error)),
    )


def read_result(body: Mapping[str, Any], content: str) -> ParseResult:
    """The answer of get, where `content` is the expanded key, markdown or text."""
    pages = (body.get(content) or {}).get("pages") or ()
    return ParseResult(
        job=read_job(body["job"]),
        pages=tuple(sorted((_page(page, content) for page in pages), key=lambda page: page.number)),
        credits=read_credits(body["job"]),
    )


def _page(page: Mapping[str, Any], content: str) -> ParsedPage:
    number = page["page_number"]
    if type(number) is not int:
        raise TypeError("a page without a number")
    if page.get("success") is False:
        return ParsedPage(number, "", str(page.get("error") or "no reason given"))
    return ParsedPage(number, text_of(page[content]))


def read_credits(job: Mapping[str, Any]) -> Decimal | None:
    """The credits billed, exactly as written; None while there is no bill."""
    billed = (job.get("usage") or {}).get("credits")
    if billed is None:
        return None
    if type(billed) not in (int, float) or billed < 0:
        raise ValueError("credits that are no amount")
    return Decimal(repr(billed))


def text_of(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} instead of text")
    return value
