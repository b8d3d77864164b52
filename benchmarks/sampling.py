"""A sampling profiler for one process: which part of the program its CPU time goes to.

A signal comes after every two milliseconds of CPU time, and the Python stack at that moment is
looked at: the innermost frame that belongs to a known part names the part. That costs a few per
cent, and needs no hook in what is measured. Time in other threads counts for whatever the main
thread does at that moment.
"""

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Final

SECONDS: Final = 0.002

# By a piece of the path of the source file; the first that fits.
PARTS: Final = (
    ("/gristmill/services/", "vendor client"),
    ("/site-packages/openai/", "vendor client"),
    ("/site-packages/llama_cloud/", "vendor client"),
    ("/site-packages/storage3/", "vendor client"),
    ("/site-packages/httpx", "vendor client"),
    ("/site-packages/aiohttp/", "vendor client"),
    ("/site-packages/pydantic/", "vendor client"),
    ("/site-packages/procrastinate/", "task engine"),
    ("/site-packages/psycopg", "database client"),
    ("/site-packages/pgvector/", "database client"),
    ("/gristmill/database/", "database client"),
    ("/gristmill/pipeline/child", "hand-over to children"),
    ("/gristmill/policies/", "policies and ledger"),
    ("/gristmill/costs/", "policies and ledger"),
    ("/site-packages/structlog/", "logging"),
    ("/gristmill/telemetry/", "logging"),
    ("/gristmill/pipeline/", "stages"),
    ("/gristmill/library", "intake and progress"),
    ("importlib", "imports"),
)
LOOP: Final = "event loop"


@dataclass(slots=True)
class Samples:
    """Samples by part; by function inside the part; and by the line of ours that led there."""

    parts: Counter[str] = field(default_factory=Counter)
    functions: Counter[str] = field(default_factory=Counter)
    callers: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return self.parts.total()

    def take(self, _number: int, frame: FrameType | None) -> None:
        if frame is None:
            return
        self.functions[_name(frame)] += 1
        part, caller = LOOP, None
        here: FrameType | None = frame
        while here is not None:
            path = here.f_code.co_filename
            if part == LOOP:
                part = _part(path) or LOOP
            if caller is None and "/src/gristmill/" in path:
                caller = _name(here)
            here = here.f_back
        self.parts[part] += 1
        self.callers[caller or "(none of ours)"] += 1


def _part(path: str) -> str | None:
    return next((name for sign, name in PARTS if sign in path), None)


def _name(frame: FrameType) -> str:
    folders = frame.f_code.co_filename.split("/")[-2:]
    return f"{'/'.join(folders)}:{frame.f_code.co_qualname}"


@contextmanager
def sampled() -> Iterator[Samples]:
    """Samples this process until the block ends."""
    samples = Samples()
    before = signal.signal(signal.SIGPROF, samples.take)
    signal.setitimer(signal.ITIMER_PROF, SECONDS, SECONDS)
    try:
        yield samples
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
