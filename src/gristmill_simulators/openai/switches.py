"""What is not published, or differs between accounts of OpenAI: chosen at run time."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Switches(BaseModel):
    """Each with the likelier value as its default, and below it the reason for the doubt."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    api_keys: tuple[str, ...] = ()
    """The keys of the project instead of the fixed one, for a rotation: a project may have several,
    and one that is deleted is refused from the next request on."""

    check_order: Literal["limit_first", "validation_first"] = "limit_first"
    """Only that failed requests consume the limit is documented, not which check comes first.
    With `validation_first` a bad request is told so even when the limit is used up."""

    unknown_fields: Literal["refuse", "ignore"] = "refuse"
    """The schema allows no other fields of a request; the real reaction is not recorded."""

    refuse_containing: str | None = Field(default=None, min_length=1)
    """Refuses a whole request for one text that holds this, without naming it: that some texts
    are refused for reasons of their own is reported, which ones is not published."""

    special_tokens: Literal["ordinary", "special"] = "ordinary"
    """Whether the text `<|endoftext|>` counts as seven ordinary tokens or as the special one."""

    repeat_noise: float = Field(default=0.0, ge=0, le=0.01)
    """Largest difference between two vectors of the same text. One tester saw identical ones,
    recordings of separate calls differ by 2.3e-4."""

    compress: bool = True
    """gzip for clients that offer it, as recorded; costs 15 ms for 256 vectors of 1,536."""

    edge_headers: bool = True
    """The decoration of the vendor's edge (`server`, `cf-ray`, `set-cookie`, ...), as recorded."""

    limit_headers_on_429: bool = True
    """Whether a refusal by the limiter shows the `x-ratelimit-*` headers: not recorded."""

    refused_consume: bool = False
    """Whether a request that the limiter refuses is charged: `Used` unchanged speaks against."""

    settle_to_usage: bool = False
    """Whether the estimate is corrected to the true tokens afterwards: no sign of it."""

    bill_bad_requests: bool = False
    """Whether a request refused with 400 is billed (its estimate): assumed not."""

    retry_after_ms: bool = False
    """Whether a 429 carries `retry-after-ms`: the SDK reads it, no recording shows it."""

    should_retry: bool = False
    """Whether a 429 carries `x-should-retry`: the SDK obeys it, no recording shows it."""

    server_error_type: str = "server_error"
    """`type` of a 500 without a code: the documentation names only its text."""

    no_credit_code: Literal["credit_balance_exhausted", "insufficient_quota"] = (
        "credit_balance_exhausted"
    )
    """The older code is still seen on some accounts."""

    missing_scope_status: Literal[401, 403] = 403
    """A key without the right for a route: both were reported in 2026, 403 more often."""

    ramp: bool = False
    """The traffic ramp (`slow_down`): above 1,000,000 tokens a minute, at most half as much
    again within 15 minutes. Off, because no client under test should meet it by surprise."""

    project_requests_per_minute: float | None = Field(default=None, gt=0)
    project_tokens_per_minute: float | None = Field(default=None, gt=0)
    """Limits of the project below the organisation's; they bring the `-project-*` headers."""

    organization_spend_limit: float | None = Field(default=None, ge=0)
    project_spend_limit: float | None = Field(default=None, ge=0)
    """Dollars in a month of UTC; a person sets them, so there is none by default."""

    enforce_usage_limit: bool = False
    """Whether the tier's own monthly cap refuses (`organization_usage_limit_exceeded`)."""

    credit: float | None = Field(default=None, ge=0)
    """Dollars paid in advance, since the last reset; None never ends."""

    spend_lag_seconds: float = Field(default=0.0, ge=0)
    """How late spending is noticed: the enforcement "lags slightly", by how much is not said."""

    shutdown_dates: dict[str, str] = Field(default_factory=dict)
    """Model to ISO date: shown as `shutdown_date`, and 404 from that day (UTC) on."""

    file_looks: int = Field(default=0, ge=0)
    """Looks at a new file until `uploaded` becomes `processed`; how long it takes is not said."""

    file_bytes: int = Field(default=512_000_000, gt=0)
    batch_file_bytes: int = Field(default=200_000_000, gt=0)
    project_bytes: int = Field(default=2_500_000_000_000, gt=0)
    """Published sizes; whether a megabyte has 10^6 or 2^20 bytes is not."""

    uploads_per_minute: float = Field(default=1_000, gt=0)
    batches_per_hour: float = Field(default=2_000, gt=0)
    """Published; that they are continuous buckets like the others is assumed."""

    batch_lines: int = Field(default=50_000, gt=0)
    batch_inputs: int = Field(default=50_000, gt=0)
    """Published; smaller values make them cheap to reach."""

    batch_queue_tokens: int | None = Field(default=None, ge=0)
    """Tokens of one model that may be queued; None is the tier's."""
