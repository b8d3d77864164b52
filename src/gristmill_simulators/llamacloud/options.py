"""The options of a parse, level by level, as the vendor's specification has them.

Unknown keys are refused on every level.
"""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from gristmill_simulators.llamacloud.pages import page_numbers
from gristmill_simulators.llamacloud.versions import LATEST, VERSIONS

Tier = Literal["fast", "cost_effective", "agentic", "agentic_plus"]
_Charts = Literal["efficient", "agentic", "agentic_plus"]
_Flag = bool | None
_Ratio = Annotated[float, Field(ge=0, le=1)] | None
_Count = int | str | None


class Strict(BaseModel):
    """Refuses what it does not know."""

    model_config = ConfigDict(extra="forbid")


def check_url(url: str) -> str:
    """Raises ValueError for what no host can be read from, such as `http://[`."""
    _ = urlsplit(url).hostname
    return url


def check_version(tier: str, version: str) -> None:
    """Raises ValueError for a version that the tier does not have."""
    if version != "latest" and version not in VERSIONS[tier]:
        raise ValueError(
            f"version {version!r} is not available for tier {tier!r};"
            f" use 'latest' (now {LATEST[tier]}) or one of GET /api/v2/parse/versions"
        )


def _target_pages(text: str) -> str:
    page_numbers(text)
    return text


class PageRanges(Strict):
    """Which pages; `target_pages` wins over `max_pages`."""

    max_pages: Annotated[int, Field(ge=1)] | None = None
    target_pages: Annotated[str, AfterValidator(_target_pages)] | None = None


class CropBox(Strict):
    top: _Ratio = None
    bottom: _Ratio = None
    left: _Ratio = None
    right: _Ratio = None


class AgenticOptions(Strict):
    custom_prompt: str | None = None


class FastOptions(Strict):
    pass


class OcrParameters(Strict):
    languages: list[str] | None = None


class Ignore(Strict):
    ignore_diagonal_text: _Flag = None
    ignore_hidden_text: _Flag = None
    ignore_text_in_image: _Flag = None


class CostOptimizer(Strict):
    enable: _Flag = None


class SpatialText(Strict):
    do_not_unroll_columns: _Flag = None
    preserve_layout_alignment_across_pages: _Flag = None
    preserve_very_small_text: _Flag = None


class AutoModeIgnore(Strict):
    ignore_diagonal_text: _Flag = None
    ignore_hidden_text: _Flag = None


class AutoModePresentation(Strict):
    out_of_bounds_content: _Flag = None
    skip_embedded_data: _Flag = None


class AutoModeParsing(Strict):
    """What is done with a page that a rule has met."""

    adaptive_long_table: _Flag = None
    aggressive_table_extraction: _Flag = None
    crop_box: CropBox | None = None
    custom_prompt: str | None = None
    extract_layout: _Flag = None
    high_res_ocr: _Flag = None
    ignore: AutoModeIgnore | None = None
    language: str | None = None
    outlined_table_extraction: _Flag = None
    presentation: AutoModePresentation | None = None
    spatial_text: SpatialText | None = None
    specialized_chart_parsing: _Charts | None = None
    tier: Tier | None = None
    version: str | None = None

    @model_validator(mode="after")
    def _version_of_the_tier(self) -> "AutoModeParsing":
        if (self.tier is None) != (self.version is None):
            raise ValueError("tier and version must be set together")
        if self.tier is not None and self.version is not None:
            check_version(self.tier, self.version)
        return self


class AutoMode(Strict):
    """One rule: when a page is to be parsed in another way."""

    parsing_conf: AutoModeParsing
    filename_match_glob: str | None = None
    filename_match_glob_list: list[str] | None = None
    filename_regexp: str | None = None
    filename_regexp_mode: str | None = None
    full_page_image_in_page: _Flag = None
    full_page_image_in_page_threshold: float | str | None = None
    image_in_page: _Flag = None
    layout_element_in_page: str | None = None
    layout_element_in_page_confidence_threshold: float | str | None = None
    page_contains_at_least_n_charts: _Count = None
    page_contains_at_least_n_images: _Count = None
    page_contains_at_least_n_layout_elements: _Count = None
    page_contains_at_least_n_lines: _Count = None
    page_contains_at_least_n_links: _Count = None
    page_contains_at_least_n_numbers: _Count = None
    page_contains_at_least_n_percent_numbers: _Count = None
    page_contains_at_least_n_tables: _Count = None
    page_contains_at_least_n_words: _Count = None
    page_contains_at_most_n_charts: _Count = None
    page_contains_at_most_n_images: _Count = None
    page_contains_at_most_n_layout_elements: _Count = None
    page_contains_at_most_n_lines: _Count = None
    page_contains_at_most_n_links: _Count = None
    page_contains_at_most_n_numbers: _Count = None
    page_contains_at_most_n_percent_numbers: _Count = None
    page_contains_at_most_n_tables: _Count = None
    page_contains_at_most_n_words: _Count = None
    page_longer_than_n_chars: _Count = None
    page_md_error: _Flag = None
    page_shorter_than_n_chars: _Count = None
    regexp_in_page: str | None = None
    regexp_in_page_mode: str | None = None
    table_in_page: _Flag = None
    text_in_page: str | None = None
    trigger_mode: str | None = None


class ProcessingOptions(Strict):
    aggressive_table_extraction: _Flag = None
    auto_mode_configuration: list[AutoMode] | None = None
    confidence_score_effort: Literal["high"] | None = None
    cost_optimizer: CostOptimizer | None = None
    disable_heuristics: _Flag = None
    forms: Literal["default", "enrich"] | None = None
    ignore: Ignore | None = None
    ocr_parameters: OcrParameters | None = None
    specialized_chart_parsing: _Charts | None = None


class MarkdownTables(Strict):
    compact_markdown_tables: _Flag = None
    markdown_table_multiline_separator: str | None = None
    merge_continued_tables: _Flag = None
    output_tables_as_markdown: _Flag = None


class Markdown(Strict):
    annotate_line_numbers: _Flag = None
    annotate_links: _Flag = None
    annotate_revisions: _Flag = None
    inline_images: _Flag = None
    tables: MarkdownTables | None = None


class TablesAsSpreadsheet(Strict):
    enable: _Flag = None
    guess_sheet_name: bool = True


class OutputOptions(Strict):
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


class HtmlInput(Strict):
    make_all_elements_visible: _Flag = None
    remove_fixed_elements: _Flag = None
    remove_navigation_elements: _Flag = None


class ImageInput(Strict):
    camera_photo_correction: _Flag = None


class PdfInput(Strict):
    pass


class PresentationInput(Strict):
    include_hidden_slides: _Flag = None
    out_of_bounds_content: _Flag = None
    skip_embedded_data: _Flag = None


class SpreadsheetInput(Strict):
    detect_sub_tables_in_sheets: _Flag = None
    force_formula_computation_in_sheets: _Flag = None
    include_hidden_sheets: _Flag = None


class InputOptions(Strict):
    html: HtmlInput | None = None
    image: ImageInput | None = None
    pdf: PdfInput | None = None
    presentation: PresentationInput | None = None
    spreadsheet: SpreadsheetInput | None = None


class FailureConditions(Strict):
    allowed_page_failure_ratio: _Ratio = None
    fail_on_buggy_font: _Flag = None
    fail_on_image_extraction_error: _Flag = None
    fail_on_image_ocr_error: _Flag = None
    fail_on_markdown_reconstruction_error: _Flag = None


class Timeouts(Strict):
    base_in_seconds: Annotated[int, Field(ge=1, le=7200)] | None = None
    extra_time_per_page_in_seconds: Annotated[int, Field(ge=0, le=300)] | None = None


class ProcessingControl(Strict):
    job_failure_conditions: FailureConditions | None = None
    timeouts: Timeouts | None = None
