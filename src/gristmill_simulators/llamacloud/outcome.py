"""What becomes of a job once its file was read: its script, its conditions, its time. Pure."""

from dataclasses import dataclass
from typing import Any

from gristmill_simulators.llamacloud.pool import Failed, Read
from gristmill_simulators.llamacloud.switches import Script

_ALLOWED_RATIO = 0.05  # of pages that may fail; default of allowed_page_failure_ratio in the SDK


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a job; `seconds` after its creation where it runs out of time before that."""

    failure: Failed | None = None
    failed_pages: tuple[int, ...] = ()
    seconds: float | None = None


def decide(
    read: Read | Failed,
    script: Script | None,
    control: dict[str, Any],
    *,
    takes: float,
    default_timeout: float | None,
) -> Outcome:
    """`control` is the job's `processing_control`, `takes` the seconds that it pretends to need."""
    if isinstance(read, Failed):
        return Outcome(read)
    limit = _limit(control.get("timeouts", {}), len(read.numbers), default_timeout)
    if limit is not None and takes > limit:
        return Outcome(Failed("TIMEOUT", f"the job took longer than {limit:g} s"), seconds=limit)
    if script is None:
        return Outcome()
    if script.fail is not None:
        return Outcome(Failed(script.fail, "the simulator was told to fail this file"))
    failed = tuple(sorted(set(script.failed_pages) & set(read.numbers)))
    return _judged(failed, len(read.numbers), control.get("job_failure_conditions", {}))


def _judged(failed: tuple[int, ...], pages: int, conditions: dict[str, Any]) -> Outcome:
    if failed and conditions.get("fail_on_markdown_reconstruction_error"):
        return Outcome(Failed(None, f"page {failed[0]} could not be reconstructed as Markdown"))
    allowed = conditions.get("allowed_page_failure_ratio", _ALLOWED_RATIO)
    if len(failed) > allowed * pages:
        text = f"{len(failed)} of {pages} pages failed, more than the allowed ratio of {allowed:g}"
        return Outcome(Failed(None, text))
    return Outcome(failed_pages=failed)


def _limit(timeouts: dict[str, Any], pages: int, default: float | None) -> float | None:
    base = timeouts.get("base_in_seconds", default)
    if base is None:
        return None
    return float(base + timeouts.get("extra_time_per_page_in_seconds", 0) * pages)
