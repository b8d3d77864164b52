"""LlamaParse's operations, and what they answer, as values. Nothing here does anything."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Final

from gristmill.contract import Demand, Operation, Usage

LONGEST_DEADLINE: Final = 7200  # seconds that the vendor works on a job, at most


JOBS_PER_REQUEST: Final = 100


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
class PageItems:
    """What stands on one page, in reading order; sizes are in points, None where not told.

    An item is the vendor's JSON object: `type` (text, heading, table, code, image, link, list,
    header, footer, or a word of the future) and `md`; a heading has `level` and `value`, a table
    `rows`. `error` is the reason if the page could not be parsed.
    """

    number: int
    items: tuple[Mapping[str, Any], ...] = ()
    width: float | None = None
    height: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class PageMetadata:
    """What the vendor says of how one page was read; None where it says nothing.

    `confidence` is from 0 to 1. A cost-optimized page is billed at a cheaper tier. `printed` is
    the page number as printed on it.
    """

    number: int
    confidence: float | None = None
    cost_optimized: bool | None = None
    printed: str | None = None


@dataclass(frozen=True, slots=True)
class ParseVersions:
    """The dated versions of each tier, and which of them `latest` stands for today."""

    of_tier: Mapping[str, tuple[str, ...]]
    latest: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Project:
    """What a key opens: jobs, files and bills belong to a project of an organization."""

    id: str
    name: str
    organization: str


@dataclass(frozen=True, slots=True)
class UsageRow:
    """A line of the vendor's books: so many `value` (pages, seconds) for so many credits.

    `day` is ISO 8601, in UTC.
    """

    job_id: str
    event: str
    value: Decimal
    credits: Decimal
    day: str


@dataclass(frozen=True, slots=True)
class UsagePage:
    """Some lines of the vendor's books; `following` asks for the next ones, None after the last."""

    rows: tuple[UsageRow, ...]
    following: str | None = None


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
    falls_back: ClassVar[bool] = True  # its job is then for whoever took the file

    path: Path
    file_name: str
    external_id: str


@dataclass(frozen=True, slots=True)
class SubmitParse(Operation[ParseJob]):
    """Starts a job of at most `max_pages` pages, found again by `tag`. A repeat is billed twice.

    `target_pages` as in "1,3,5-8"; then `max_pages` is their number. `languages` are the vendor's
    codes for reading images of text, such as "de". `deadline` is in seconds, at most 7200: the
    vendor gives up then. No option is sent whose price is not known.
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
    languages: tuple[str, ...] = ()
    deadline: int | None = None
    webhook: Webhook | None = None

    def worst_case(self) -> Usage:
        return Usage(product=self.tier, unit="pages", quantity=self.max_pages)


@dataclass(frozen=True, slots=True)
class GetParseJob(Operation[ParseJob]):
    """One job, as it stands; `NotFound` if the vendor does not know it any more."""

    service: ClassVar[str] = "llamaparse"

    job_id: str


@dataclass(frozen=True, slots=True)
class ListParseJobs(Operation[tuple[ParseJob, ...]]):
    """The jobs with these ids that the vendor still knows, in its order; one call a hundred."""

    service: ClassVar[str] = "llamaparse"

    job_ids: tuple[str, ...]

    def demand(self) -> Demand:
        return Demand(requests=max(1, -(-len(self.job_ids) // JOBS_PER_REQUEST)))


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
class GetParseText(Operation[tuple[ParsedPage, ...]]):
    """The pages of a job as plain text, laid out as on the page; every tier has them."""

    service: ClassVar[str] = "llamaparse"

    job_id: str


@dataclass(frozen=True, slots=True)
class GetParseItems(Operation[tuple[PageItems, ...]]):
    """The pages of a job as headings, paragraphs, tables; `Rejected` for the fast tier."""

    service: ClassVar[str] = "llamaparse"

    job_id: str


@dataclass(frozen=True, slots=True)
class GetParseMetadata(Operation[tuple[PageMetadata, ...]]):
    """How the pages of a job were read."""

    service: ClassVar[str] = "llamaparse"

    job_id: str


@dataclass(frozen=True, slots=True)
class GetParseUsage(Operation[Decimal | None]):
    """The credits billed for a job; None until the vendor has billed it."""

    service: ClassVar[str] = "llamaparse"

    job_id: str


@dataclass(frozen=True, slots=True)
class ListParseUsage(Operation[tuple[UsageRow, ...]]):
    """What the vendor's books hold of a job; nothing until it is billed, and for a cache hit."""

    service: ClassVar[str] = "llamaparse"

    job_id: str


@dataclass(frozen=True, slots=True)
class ListUsage(Operation[UsagePage]):
    """What the vendor's books hold of everybody in the organization, from a day on (UTC).

    A page of a thousand lines; `page` is what the one before said is `following`.
    """

    service: ClassVar[str] = "llamaparse"

    since: date
    page: str | None = None


@dataclass(frozen=True, slots=True)
class ListParseVersions(Operation[ParseVersions]):
    """The versions there are; they show nothing of the key."""

    service: ClassVar[str] = "llamaparse"


@dataclass(frozen=True, slots=True)
class CancelParse(Operation[ParseJob]):
    """Stops a job; `Rejected` if it has ended already, as a repeat finds."""

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


@dataclass(frozen=True, slots=True)
class ListProjects(Operation[tuple[Project, ...]]):
    """The projects that the key opens; free."""

    service: ClassVar[str] = "llamaparse"
