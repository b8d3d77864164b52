"""What is not published, differs between accounts, or is for a test to decide."""

from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Page = Annotated[int, Field(ge=1)]


class Script(BaseModel):
    """What becomes of the files whose name fits the pattern `files` (`*.pdf`, `stuck-*`).

    `fail` is a job failure code, such as PDF_IS_PROTECTED or TIMEOUT; `failed_pages` are entries
    with `success: false`, and fail the job above its `allowed_page_failure_ratio`; `empty_pages`
    come back without a word; a `stuck` job stays so until it is cancelled; `seconds` is how long
    the job takes, instead of the transition set for all. A scripted job neither reads nor fills
    the cache.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    files: str
    fail: str | None = None
    failed_pages: tuple[_Page, ...] = ()
    empty_pages: tuple[_Page, ...] = ()
    stuck: Literal["PENDING", "RUNNING"] | None = None
    seconds: _Seconds | None = None


class Switches(BaseModel):
    """Each with the likelier, or else the more useful, value as its default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scripts: tuple[Script, ...] = Field(
        default=(),
        description="What becomes of certain files: a list of objects with `files`, a pattern of"
        " names, and any of `fail` (a code), `failed_pages`, `empty_pages`, `stuck` (PENDING or"
        " RUNNING), `seconds`. The first that fits is used; such a job knows no cache.",
    )
    region: Literal["na", "eu"] = Field(
        default="na",
        description="Keys and data are per region: a simulator is one, and refuses others' keys;"
        " that of `eu` is `llx-simulated-eu-key-that-opens-nothing`.",
    )
    api_keys: tuple[str, ...] = Field(
        default=(),
        description="The keys of the project instead of the region's fixed one, for a rotation: one"
        " that is deleted is refused from the next request on.",
    )
    plan: Literal["unlimited", "free", "starter", "pro"] = Field(
        default="unlimited",
        description="The published limits of a plan: requests in a window, and credits, then 402."
        " Unlimited is no plan of the vendor; it lets a test or a benchmark go as fast as it can.",
    )
    credits: float | None = Field(
        default=None, ge=0, description="Credits of the account instead of the plan's; then 402."
    )
    bill_failed_jobs: bool = Field(
        default=False, description="No policy is published; users report having been charged."
    )
    bill_cancelled_jobs: bool = Field(default=False, description="As for failed jobs.")
    bill_failed_pages: bool = Field(
        default=True, description="Not published; the pages were worked on and the job completed."
    )
    cache_hit_credits: float | None = Field(
        default=0.0,
        description="What `usage.credits` shows for a hit, which is free: 0 or null; unknown.",
    )
    error_code_in_message: bool = Field(
        default=True, description="A v2 job has no `error_code`; how the message tells is unknown."
    )
    job_timeout_seconds: float | None = Field(
        default=1800.0,
        gt=0,
        description="Of a job that sets none: users report 30 minutes. None: no limit.",
    )
    result_lifetime_seconds: float | None = Field(
        default=None,
        gt=0,
        description="Then contents answer 404. It exists, but its length is not published.",
    )
    presigned_seconds: float = Field(
        default=900.0, gt=0, description="Life of a presigned URL; `short`, the vendor says."
    )
    content_names: Literal["observed", "documented"] = Field(
        default="observed",
        description="Keys of `result_content_metadata`: `markdown` as run-llama/llama-parse-py#47"
        " saw it, or `md`, `json`, `fullText`, `outputPDF` as the guide has it.",
    )
    refuse_local_webhooks: bool = Field(
        default=False,
        description="The vendor refuses private and loopback addresses. Here they are what a test"
        " has; turn it on to see the refusal.",
    )
    send_webhooks_anywhere: bool = Field(
        default=False,
        description="Off: only loopback addresses get events, so that no simulated event reaches a"
        " real server by mistake; others are recorded as withheld.",
    )
    webhooks_used: Literal["all", "first"] = Field(
        default="all", description="An older page says that only the first configuration counts."
    )
    webhook_waits: tuple[_Seconds, ...] = Field(
        default=(1.0, 2.0), description="Before the second and third attempt, as published."
    )
    webhook_timeout_seconds: float = Field(default=30.0, gt=0, description="As published.")
    webhook_retries_reuse_event: bool = Field(
        default=True, description="Whether an attempt repeats id, time and bytes is not known."
    )
    webhook_string_signed: Literal["outer", "inner"] = Field(
        default="outer",
        description="In `string` format: the bytes sent, quotes included, or the JSON inside.",
    )
    webhook_signature: Literal["valid", "wrong", "missing"] = Field(
        default="valid", description="For a receiver's tests of forgeries."
    )
    webhook_duplicates: int = Field(
        default=0, ge=0, le=5, description="How often each event is delivered once more."
    )
    webhook_reorder: bool = Field(
        default=False, description="The end of a job is told before its beginning."
    )
    webhook_early_seconds: _Seconds = Field(
        default=0.0, description="The end of a job is told so long before GET shows it."
    )

    def script_for(self, file_name: str) -> Script | None:
        """The first script whose pattern fits the name."""
        fitting = (one for one in self.scripts if fnmatchcase(file_name, one.files))
        return next(fitting, None)
