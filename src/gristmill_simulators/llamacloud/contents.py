"""What a finished job has made: the shapes that `expand` asks for, from the stored pages. Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gristmill_simulators.llamacloud import forms
from gristmill_simulators.llamacloud.items import items

StoredPages = list[dict[str, Any]]

_PRINTED = re.compile(r"(?:page\s+)?(\d{1,5}|[ivxlc]{1,8})(?:\s+of\s+\d+)?", re.IGNORECASE)
_FAILED = "The simulator was told to fail this page"


@dataclass(frozen=True, slots=True)
class Result:
    """The pages of a job, and what the job asked of them; `failed` and `easy` are page numbers."""

    pages: StoredPages
    options: dict[str, Any]
    failed: frozenset[int] = frozenset()
    empty: frozenset[int] = frozenset()
    easy: frozenset[int] = frozenset()
    processing: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "processing", self.options.get("processing_options", {}))
        for page in self.pages:
            if page["number"] in self.empty:
                page["markdown"] = page["text"] = ""

    def output(self, name: str) -> Any:  # noqa: ANN401 — an option may be any JSON value
        return self.options.get("output_options", {}).get(name)

    def good(self) -> StoredPages:
        return [page for page in self.pages if page["number"] not in self.failed]

    def each(self, shape: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
        """`{pages: […]}` with an entry for each page, also for those that failed."""
        return {"pages": [self._entry(page, shape) for page in self.pages]}

    def _entry(
        self, page: dict[str, Any], shape: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> dict[str, Any]:
        number = page["number"]
        if number in self.failed:
            return {"page_number": number, "success": False, "error": _FAILED}
        return {"page_number": number, "success": True, **shape(page)}


def markdown(result: Result) -> dict[str, Any]:
    return result.each(lambda page: {"markdown": page["markdown"]})


def text(result: Result) -> dict[str, Any]:
    pages = [{"page_number": page["number"], "text": page["text"]} for page in result.good()]
    return {"pages": pages}


def structured(result: Result) -> dict[str, Any]:
    return result.each(
        lambda page: {
            "page_width": page["width"],
            "page_height": page["height"],
            "items": items(page["markdown"]),
        }
    )


def form_pages(result: Result) -> dict[str, Any] | None:
    """Null unless the job asked for `forms: enrich`."""
    if result.processing.get("forms") != "enrich":
        return None
    return result.each(_form_page)


def metadata(result: Result) -> dict[str, Any]:
    """Page entries; with `confidence_score_effort` also the score of the document."""
    answer: dict[str, Any] = {"pages": [_page_metadata(result, page) for page in result.good()]}
    scores = [page["confidence"] for page in answer["pages"] if "confidence" in page]
    if scores:
        answer["document"] = {
            "confidence": round(sum(scores) / len(scores), 4),
            "confidence_breakdown": {
                "min_page_score": min(scores),
                "scored_pages": len(scores),
                "total_pages": len(result.pages),
            },
        }
    return answer


def markdown_full(result: Result) -> str:
    return "\n\n".join(page["markdown"] for page in result.good())


def text_full(result: Result) -> str:
    return "\n\n".join(page["text"] for page in result.good())


SHAPES: dict[str, Callable[[Result], Any]] = {
    "forms": form_pages,
    "items": structured,
    "markdown": markdown,
    "markdown_full": markdown_full,
    "metadata": metadata,
    "text": text,
    "text_full": text_full,
}


def _form_page(page: dict[str, Any]) -> dict[str, Any]:
    found = forms.form(page["text"])
    return {
        "page_width": page["width"],
        "page_height": page["height"],
        "detected_form_types": ["other"] if found else None,
        "forms": [found] if found else [],
    }


def _page_metadata(result: Result, page: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = {"page_number": page["number"]}
    if result.processing.get("confidence_score_effort"):
        entry["confidence"] = 0.97 if page["markdown"] else 0.5
    if (result.processing.get("cost_optimizer") or {}).get("enable"):
        entry["cost_optimized"] = page["number"] in result.easy
    if result.processing.get("auto_mode_configuration"):
        entry["triggered_auto_mode"] = False
    if result.output("extract_printed_page_number"):
        entry["printed_page_number"] = _printed_number(page["text"])
    return entry


def _printed_number(text: str) -> str | None:
    """The first or last line, where that is nothing but a page number."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    for line in (lines[-1], lines[0]) if lines else ():
        if _PRINTED.fullmatch(line):
            return line
    return None
