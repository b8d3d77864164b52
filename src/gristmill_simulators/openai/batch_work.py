"""Running the lines of a batch, a chunk at a time, into its output and error files.

A chunk writes behind what the database knows to be written; a chunk that a crash has cut is
overwritten by the next attempt, so that no line is answered or billed twice.
"""

import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import orjson

from gristmill_simulators.openai import request
from gristmill_simulators.openai.batch_input import Span
from gristmill_simulators.openai.errors import OpenAIError
from gristmill_simulators.openai.switches import Switches

_CHUNK_LINES = 64
_CHUNK_BYTES = 256 * 1024
_EXPIRED = "This request could not be executed before the completion window expired."


@dataclass(frozen=True, slots=True)
class Drafts:
    """The two files a batch writes, and how many bytes of each are valid."""

    output: Path
    errors: Path
    output_bytes: int
    error_bytes: int


@dataclass(slots=True)
class Done:
    """What a chunk adds: lines by outcome, tokens, and bytes of both files."""

    completed: int = 0
    failed: int = 0
    tokens: int = 0
    output_bytes: int = 0
    error_bytes: int = 0


def shuffled(spans: Sequence[Span], batch_id: str) -> list[Span]:
    """The order in which lines are run: not theirs, and the same after a restart."""
    return Random(batch_id).sample(spans, len(spans))  # noqa: S311 — no secret


def chunk(spans: Sequence[Span], first: int, end: int) -> Sequence[Span]:
    """The next lines from `first`, at most up to `end`: never too much work for one look."""
    size, last = 0, first
    while last < min(end, first + _CHUNK_LINES) and size < _CHUNK_BYTES:
        size += spans[last].length
        last += 1
    return spans[first:last]


def run(source: Path, spans: Sequence[Span], drafts: Drafts, switches: Switches) -> Done:
    """Answer lines; CPU work, some ms for each input."""
    done = Done()
    outputs: list[bytes] = []
    failures: list[bytes] = []
    for fields in _read(source, spans):
        line, tokens = _answered(fields, switches)
        (failures if tokens is None else outputs).append(line)
        done.tokens += tokens or 0
    done.completed, done.failed = len(outputs), len(failures)
    done.output_bytes = _write(drafts.output, drafts.output_bytes, outputs)
    done.error_bytes = _write(drafts.errors, drafts.error_bytes, failures)
    return done


def expire(source: Path, spans: Sequence[Span], drafts: Drafts) -> Done:
    """Tell of lines that were not run in time."""
    lines = [
        _line(fields, None, {"code": "batch_expired", "message": _EXPIRED})
        for fields in _read(source, spans)
    ]
    return Done(failed=len(lines), error_bytes=_write(drafts.errors, drafts.error_bytes, lines))


def _answered(fields: dict[str, Any], switches: Switches) -> tuple[bytes, int | None]:
    """The line of the output, and its tokens; None for one of the error file."""
    from gristmill_simulators.openai import answer  # noqa: PLC0415 — numpy, not at start-up

    try:
        embedding = request.checked(fields["body"], switches)
    except OpenAIError as error:
        return _line(fields, _response(error.status, error.body()), None), None
    content = answer.content(embedding, switches.repeat_noise)
    return _line(fields, _response(200, content), None), embedding.tokens


def _response(status: int, body: dict[str, Any]) -> dict[str, Any]:
    return {"status_code": status, "request_id": uuid.uuid4().hex, "body": body}


def _line(
    fields: dict[str, Any], response: dict[str, Any] | None, error: dict[str, str] | None
) -> bytes:
    from gristmill_simulators.openai import answer  # noqa: PLC0415 — numpy, not at start-up

    return answer.line(
        {
            "id": f"batch_req_{secrets.token_hex(16)}",
            "custom_id": fields["custom_id"],
            "response": response,
            "error": error,
        }
    )


def _read(source: Path, spans: Sequence[Span]) -> list[dict[str, Any]]:
    lines = []
    with source.open("rb") as file:
        for span in spans:
            file.seek(span.offset)
            lines.append(orjson.loads(file.read(span.length)))
    return lines


def _write(path: Path, start: int, lines: Sequence[bytes]) -> int:
    if not lines:
        return 0
    path.touch()
    with path.open("r+b") as file:
        file.truncate(start)
        file.seek(start)
        return file.write(b"".join(lines))
