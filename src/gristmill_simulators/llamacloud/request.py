"""The body of `POST /api/v2/parse`, checked as the vendor's specification demands.

pydantic here is fidelity, not convenience: the vendor answers 422 with pydantic's own list.
Unknown keys are refused on every level; only `auto_mode_configuration` is not looked into.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from gristmill_simulators.llamacloud.errors import LlamaCloudError, invalid
from gristmill_simulators.llamacloud.pages import page_numbers
from gristmill_simulators.llamacloud.versions import LATEST, VERSIONS

Tier = Literal["fast", "cost_effective", "agentic", "agentic_plus"]
_Flag = bool | None
_Ratio = Annotated[float, Field(ge=0, le=1)] | None
_Url = Annotated[str, StringConstraints(pattern=r"^https?:")]
_Event = Literal[
    "parse.pending",
    "parse.running",
    "parse.success",
    "parse.error",
    "parse.partial_success",
    "parse.cancelled",
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


def _target_pages(text: str) -> str:
    page_numbers(text)
    return text


class PageRanges(_Strict):
    """Which pages; `target_pages` wins over `max_pages`."""

    max_pages: Annotated[int, Field(ge=1)] | None = None
    target_pages: Annotated[str, AfterValidator(_target_pages)] | None = None


class CropBox(_Strict):
    top: _Ratio = None
    bottom: _Ratio = None
    left: _Ratio = None
    right: _Ratio = None


class AgenticOptions(_Strict):
    custom_prompt: str | None = None


class FastOptions(_Strict):
    pass


class OcrParameters(_Strict):
    languages: list[str] | None = None


class Ignore(_Strict):
    ignore_diagonal_text: _Flag = None
    ignore_hidden_text: _Flag = None
    ignore_text_in_image: _Flag = None


class CostOptimizer(_Strict):
    enable: _Flag = None


class ProcessingOptions(_Strict):
    aggressive_table_extraction: _Flag = None
    auto_mode_configuration: list[dict[str, Any]] | None = None
    confidence_score_effort: Literal["high"] | None = None
    cost_optimizer: CostOptimizer | None = None
    disable_heuristics: _Flag = None
    forms: Literal["default", "enrich"] | None = None
    ignore: Ignore | None = None
    ocr_parameters: OcrParameters | None = None
    specialized_chart_parsing: Literal["efficient", "agentic", "agentic_plus"] | None = None


class MarkdownTables(_Strict):
    compact_markdown_tables: _Flag = None
    markdown_table_multiline_separator: str | None = None
    merge_continued_tables: _Flag = None
    output_tables_as_markdown: _Flag = None


class Markdown(_Strict):
    annotate_line_numbers: _Flag = None
    annotate_links: _Flag = None
    annotate_revisions: _Flag = None
    inline_images: _Flag = None
    tables: MarkdownTables | None = None


class SpatialText(_Strict):
    do_not_unroll_columns: _Flag = None
    preserve_layout_alignment_across_pages: _Flag = None
    preserve_very_small_text: _Flag = None


class TablesAsSpreadsheet(_Strict):
    enable: _Flag = None
    guess_sheet_name: bool = True


class OutputOptions(_Strict):
    additional_outputs: (
        list[Literal["stripped_md", "concatenated_stripped_txt", "word_bbox"]] | None
    ) = None
    extract_printed_page_number: _Flag = None
    granular_bboxes: list[Literal["cell", "line", "word"]] | None = None
    images_to_save: list[Literal["screenshot", "embedded", "layout"]] | None = None
    markdown: Markdown | None = None
    save_output_pdf: _Flag = None
    spatial_text: SpatialText | None = None
    tables_as_spreadsheet: TablesAsSpreadsheet | None = None
    watermark_handling: Literal["move_to_end", "move_to_start", "remove"] | None = None


class HtmlInput(_Strict):
    make_all_elements_visible: _Flag = None
    remove_fixed_elements: _Flag = None
    remove_navigation_elements: _Flag = None


class ImageInput(_Strict):
    camera_photo_correction: _Flag = None


class PdfInput(_Strict):
    pass


class PresentationInput(_Strict):
    include_hidden_slides: _Flag = None
    out_of_bounds_content: _Flag = None
    skip_embedded_data: _Flag = None


class SpreadsheetInput(_Strict):
    detect_sub_tables_in_sheets: _Flag = None
    force_formula_computation_in_sheets: _Flag = None
    include_hidden_sheets: _Flag = None


class InputOptions(_Strict):
    html: HtmlInput | None = None
    image: ImageInput | None = None
    pdf: PdfInput | None = None
    presentation: PresentationInput | None = None
    spreadsheet: SpreadsheetInput | None = None


class FailureConditions(_Strict):
    allowed_page_failure_ratio: _Ratio = None
    fail_on_buggy_font: _Flag = None
    fail_on_image_extraction_error: _Flag = None
    fail_on_image_ocr_error: _Flag = None
    fail_on_markdown_reconstruction_error: _Flag = None


class Timeouts(_Strict):
    base_in_seconds: Annotated[int, Field(ge=1, le=7200)] | None = None
    extra_time_per_page_in_seconds: Annotated[int, Field(ge=0, le=300)] | None = None


class ProcessingControl(_Strict):
    job_failure_conditions: FailureConditions | None = None
    timeouts: Timeouts | None = None


class WebhookConfiguration(_Strict):
    webhook_url: _Url | None = None
    webhook_events: list[_Event] | None = None
    webhook_headers: dict[str, Any] | None = None
    webhook_output_format: Literal["string", "json"] | None = None
    webhook_signing_secret: str | None = None


class ParseRequest(_Strict):
    """What a client asks for; `version` may be `latest` or a dated one of the tier."""

    tier: Tier
    version: str
    file_id: str | None = None
    source_url: _Url | None = None
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
    webhook_configurations: list[WebhookConfiguration] | None = None
    webhook_configuration_ids: Annotated[list[str], Field(max_length=4)] | None = None

    @field_validator("version")
    @classmethod
    def _version_of_the_tier(cls, version: str, info: ValidationInfo) -> str:
        tier = info.data.get("tier")
        if tier is not None and version != "latest" and version not in VERSIONS[tier]:
            raise ValueError(
                f"version {version!r} is not available for tier {tier!r};"
                f" use 'latest' (now {LATEST[tier]}) or one of GET /api/v2/parse/versions"
            )
        return version

    @model_validator(mode="after")
    def _one_source(self) -> "ParseRequest":
        if (self.file_id is None) == (self.source_url is None):
            raise ValueError("exactly one of file_id and source_url must be provided")
        if self.http_proxy is not None and self.source_url is None:
            raise ValueError("http_proxy can only be used with source_url")
        return self

    @model_validator(mode="after")
    def _options_of_the_tier(self) -> "ParseRequest":
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


def parse(body: bytes) -> ParseRequest:
    """Raises LlamaCloudError: 422 for a bad body, 400 for what the simulator cannot do."""
    try:
        request = ParseRequest.model_validate_json(body)
    except ValidationError as error:
        raise invalid(error) from None
    for name in ("source_url", "configuration_id", "webhook_configuration_ids"):
        if getattr(request, name):
            raise LlamaCloudError(400, f"The simulator does not support {name}")
    return request
