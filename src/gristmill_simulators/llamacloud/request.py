"""The body of a submission, checked as the vendor's specification demands.

pydantic here is fidelity, not convenience: the vendor answers 422 with pydantic's own list.
"""

from typing import Annotated, Any, Self

import orjson
from pydantic import AfterValidator, Field, StringConstraints, ValidationError, model_validator

from gristmill_simulators.llamacloud.errors import invalid, invalid_field, malformed
from gristmill_simulators.llamacloud.hooks import HookRequest
from gristmill_simulators.llamacloud.options import (
    AgenticOptions,
    CropBox,
    FastOptions,
    InputOptions,
    OutputOptions,
    PageRanges,
    ProcessingControl,
    ProcessingOptions,
    Strict,
    Tier,
    check_url,
    check_version,
)

_Url = Annotated[str, StringConstraints(pattern=r"^https?:"), AfterValidator(check_url)]


class Submission(Strict):
    """What both routes take; `version` may be `latest` or a dated one of the tier."""

    tier: Tier
    version: str
    http_proxy: str | None = None
    configuration_id: str | None = None
    client_name: str | None = None
    user_metadata: dict[str, str] | None = None
    disable_cache: bool | None = None
    page_ranges: PageRanges | None = None
    crop_box: CropBox | None = None
    agentic_options: AgenticOptions | None = None
    fast_options: FastOptions | None = None
    input_options: InputOptions | None = None
    processing_options: ProcessingOptions | None = None
    output_options: OutputOptions | None = None
    processing_control: ProcessingControl | None = None
    webhook_configurations: list[HookRequest] | None = None
    webhook_configuration_ids: Annotated[list[str], Field(max_length=4)] | None = None

    @model_validator(mode="after")
    def _options_of_the_tier(self) -> Self:
        options = self.processing_options or ProcessingOptions()
        if self.tier == "fast":
            if self.agentic_options is not None or options.forms == "enrich":
                raise ValueError("agentic_options and forms are not available on the fast tier")
        elif self.fast_options is not None:
            raise ValueError("fast_options is only available on the fast tier")
        optimizer = options.cost_optimizer
        if optimizer is not None and optimizer.enable and not self.tier.startswith("agentic"):
            raise ValueError("cost_optimizer is only available on the agentic tiers")
        return self


class ParseRequest(Submission):
    """The JSON route: a file of the project, or a document somewhere else."""

    file_id: str | None = None
    source_url: _Url | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.file_id is None) == (self.source_url is None):
            raise ValueError("exactly one of file_id and source_url must be provided")
        if self.http_proxy is not None and self.source_url is None:
            raise ValueError("http_proxy can only be used with source_url")
        return self


class UploadRequest(Submission):
    """The `configuration` of the multipart route, whose document is the form's file."""


def json_object(body: bytes) -> dict[str, Any]:
    """A body that is a JSON object. Raises LlamaCloudError (422)."""
    try:
        given = orjson.loads(body)
    except ValueError as error:
        raise malformed(str(error)) from None
    if not isinstance(given, dict):
        raise invalid_field(["body"], "Input should be a valid dictionary", given)
    return given


def parse(given: dict[str, Any], *, uploaded: bool) -> Submission:
    """Raises LlamaCloudError (422)."""
    try:
        request = (UploadRequest if uploaded else ParseRequest).model_validate(given)
    except ValidationError as error:
        raise invalid(error) from None
    try:
        check_version(request.tier, request.version)
    except ValueError as error:
        raise invalid_field(["version"], f"Value error, {error}", request.version) from None
    return request


def options_of(request: Submission) -> dict[str, Any]:
    """What shapes a result, beside tier and version: the options a cached one depends on."""
    return request.model_dump(include=_SHAPING, exclude_none=True)


_SHAPING = {
    "agentic_options",
    "crop_box",
    "fast_options",
    "input_options",
    "output_options",
    "page_ranges",
    "processing_options",
}
