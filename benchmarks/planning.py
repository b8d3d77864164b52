"""From text to planned requests: planning, counting tokens, cutting into passages.

Planning a million passages is set against a loop that only adds their tokens up, which whoever
fills requests must do at least. Counting and cutting are told in megabytes of UTF-8 a second, one
core, over the texts that come with the project and over harder ones made from them.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np

from benchmarks.report import is_quick, machine, table
from gristmill.pipeline.chunking import ChunkingOptions, Page, split
from gristmill.pipeline.tokens import count_all
from gristmill.services.openai.batching import Caps, plan

TEXTS: Final = Path(__file__).parent.parent / "samples" / "texts"
PASSAGES: Final = 1_000_000
PASSAGE: Final = 2000  # characters that are counted in one call, about one passage


def median_seconds(work: Callable[[], object], rounds: int) -> float:
    """The median of the rounds, after one that does not count."""
    work()
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return median(times)


def added_up(tokens: Sequence[int]) -> int:
    """What `sum` does, in the loop of a plan."""
    total = 0
    for size in tokens:
        total += size
    return total


def planning(passages: int, rounds: int) -> None:
    """Seconds to plan; a tenth of the passages repeat an earlier one."""
    tokens = np.random.default_rng(7).integers(40, 513, passages).tolist()
    texts = [f"passage {i // 10 if i % 10 == 9 else i}" for i in range(passages)]
    base = median_seconds(partial(added_up, tokens), rounds)
    rows: list[Sequence[object]] = [("only adding up", "", f"{base:.3f}", "1.0")]
    for name, caps in (("the vendor's limits", Caps()), ("our caps", Caps(256, 100_000))):
        batches = len(plan(texts, tokens, caps).batches)
        seconds = median_seconds(partial(plan, texts, tokens, caps), rounds)
        rows.append((f"plan, {name}", batches, f"{seconds:.3f}", f"{seconds / base:.1f}"))
    table((f"{passages:,} passages", "requests", "seconds", "to adding up"), rows)


def corpora(size: int) -> Mapping[str, str]:
    """Texts of about `size` characters each."""
    prose = "\n\n".join(path.read_text("utf-8") for path in sorted(TEXTS.glob("*")))
    signs = np.random.default_rng(7).integers(0x4E00, 0x9FA6, size // 4)
    lines = [json.dumps({"id": n, "name": f"mill {n}", "load": n * 3 / 7}) for n in range(size)]
    return {
        "the samples' Markdown": (prose * (size // len(prose) + 1))[:size],
        "JSON in lines": "\n".join(lines[: size // 50]),
        "Chinese signs at random": "".join(map(chr, signs)),
    }


def speeds(size: int, rounds: int) -> None:
    """Megabytes a second of counting, passage by passage, and of cutting whole documents."""
    rows = []
    for name, text in corpora(size).items():
        pieces = [text[start : start + PASSAGE] for start in range(0, len(text), PASSAGE)]
        counting = median_seconds(partial(count_all, pieces), rounds)
        cutting = median_seconds(partial(split, [Page(1, text)], ChunkingOptions()), rounds)
        megabytes = len(text.encode()) / 1e6
        rows.append((name, f"{megabytes / counting:.1f}", f"{megabytes / cutting:.1f}"))
    table((f"{size:,} characters", "counting MB/s", "cutting MB/s"), rows)


def main() -> None:
    quick = is_quick(__doc__)
    machine()
    planning(PASSAGES // 10 if quick else PASSAGES, 1 if quick else 5)
    speeds(50_000 if quick else 1_000_000, 1 if quick else 3)


if __name__ == "__main__":
    main()
