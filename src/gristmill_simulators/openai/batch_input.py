"""The input of a batch: one request a line, checked before anything runs.

Codes and texts: batches of 2025 that the live service refused, quoted in public test suites;
those for the number of lines and inputs, and for a method other than POST, are assumptions.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from gristmill_simulators.openai.request import NATIVE_DIMENSIONS, charge

_REQUIRED = ("custom_id", "method", "url", "body")
_REPORTED = 1000  # errors of one batch at most; each look at it shows them all
_KINDS = {"custom_id": (str, "a string"), "body": (dict, "an object")}


@dataclass(frozen=True, slots=True)
class Limits:
    """Lines in a file, and inputs in all lines together."""

    lines: int
    inputs: int


@dataclass(frozen=True, slots=True)
class Span:
    """Where a line is in its file, in bytes."""

    offset: int
    length: int


@dataclass(slots=True)
class Checked:
    """What a file holds: its lines, their one model and queued tokens, or why it is refused."""

    spans: list[Span] = field(default_factory=list)
    model: str | None = None
    tokens: int = 0
    inputs: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)


class _LineError(Exception):
    def __init__(self, code: str, message: str, param: str | None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


def error(code: str, message: str, param: str | None, line: int | None) -> dict[str, Any]:
    """One entry of a batch's `errors.data`."""
    return {"code": code, "message": message, "param": param, "line": line}


def check_file(path: Path, endpoint: str, limits: Limits) -> Checked:
    """Read and check a whole file; seconds of work for the largest."""
    with path.open("rb") as file:
        return check(file, endpoint, limits)


def check(lines: Iterable[bytes], endpoint: str, limits: Limits) -> Checked:
    """Check lines, their ends included. Empty ones do not count."""
    checked = Checked()
    seen: set[str] = set()
    for number, (span, line) in enumerate(_located(lines), start=1):
        checked.spans.append(span)
        try:
            _check_line(line, endpoint, checked, seen)
        except _LineError as problem:
            if len(checked.errors) < _REPORTED:
                found = error(problem.code, str(problem), problem.param, number)
                checked.errors.append(found)
    if (whole := _check_whole(checked, limits)) is not None:
        checked.errors = [whole]
    return checked


def _located(lines: Iterable[bytes]) -> Iterator[tuple[Span, bytes]]:
    offset = 0
    for line in lines:
        if line.strip():
            yield Span(offset, len(line)), line
        offset += len(line)


def _check_whole(checked: Checked, limits: Limits) -> dict[str, Any] | None:
    if not checked.spans:
        text = "The input file is empty. Please ensure that the batch contains at least one"
        return error("empty_file", f"{text} request.", None, None)
    if len(checked.spans) > limits.lines:
        text = f"The number of requests in the batch exceeds the limit of {limits.lines}."
        return error("too_many_tasks", text, None, None)
    if checked.inputs > limits.inputs:
        text = f"The number of embedding inputs in the batch exceeds the limit of {limits.inputs}."
        return error("too_many_inputs", text, None, None)
    return None


def _check_line(line: bytes, endpoint: str, checked: Checked, seen: set[str]) -> None:
    fields = _parsed(line)
    for name in _REQUIRED:
        _check_field(fields, name)
    custom_id, body = fields["custom_id"], fields["body"]
    if custom_id in seen:
        raise _LineError(
            "duplicate_custom_id",
            f"The custom_id '{custom_id}' for this request is a duplicate of another request."
            " The custom_id parameter must be unique for each request in a batch.",
            "custom_id",
        )
    seen.add(custom_id)
    if fields["method"] != "POST":
        raise _LineError("invalid_method", "Only POST requests are supported.", "method")
    if fields["url"] != endpoint:
        text = "The URL provided for this request does not match the batch endpoint."
        raise _LineError("invalid_url", text, "url")
    _check_body(body, checked)
    checked.tokens += charge(body)
    given = body["input"]
    texts = isinstance(given, list) and not (given and isinstance(given[0], int))
    checked.inputs += len(given) if texts else 1


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        fields = None
    if not isinstance(fields, dict):
        text = "This line is not parseable as valid JSON."
        raise _LineError("invalid_json_line", text, None)
    return fields


def _check_field(fields: dict[str, Any], name: str) -> None:
    if fields.get(name) is None:
        text = f"Missing required parameter: '{name}'."
        raise _LineError("missing_required_parameter", text, name)
    kind, expected = _KINDS.get(name, (object, ""))
    if not isinstance(fields[name], kind):
        raise _LineError("invalid_type", f"Invalid type for '{name}': expected {expected}.", name)


def _check_body(body: dict[str, Any], checked: Checked) -> None:
    model = body.get("model")
    for name in ("model", "input"):
        if body.get(name) is None:
            text = f"{name.capitalize()} parameter is required."
            raise _LineError("invalid_request", text, f"body.{name}")
    if not isinstance(model, str) or model not in NATIVE_DIMENSIONS:
        text = f"The provided model '{model}' is not supported by the Batch API."
        raise _LineError("model_not_found", text, "body.model")
    checked.model = checked.model or model
    if model != checked.model:
        raise _LineError(
            "mismatched_model",
            f"The model '{model}' for this request does not match the rest of the batch. Each"
            " batch must contain requests for a single model.",
            "body.model",
        )
