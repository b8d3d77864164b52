"""Does the simulator's search find the right passage? Its vectors against full text (BM25).

Questions about the samples, each with a phrase that a right passage contains. Passages are cut as
the pipeline cuts them, at two sizes; the smaller makes more of them, and a harder choice.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.report import bar, is_quick, machine, table
from gristmill.pipeline.chunking import ChunkingOptions, Page, split
from gristmill_simulators.llamacloud.pages import Wanted
from gristmill_simulators.llamacloud.readers import select
from gristmill_simulators.openai.vectors import embed

SAMPLES: Final = Path(__file__).parent.parent / "samples"
WIDTHS: Final = (1536, 512, 256)
NATIVE: Final = 1536
FOUND: Final = 0.8
PER_SECOND: Final = 1000
# Scores of all passages, (questions, passages), higher is nearer.
Scores = Callable[[Sequence[str], Sequence[str]], np.ndarray]


@dataclass(frozen=True, slots=True)
class Question:
    text: str
    document: str
    phrase: str

    def is_answered_by(self, passage: "Passage") -> bool:
        return passage.document == self.document and plain(self.phrase) in plain(passage.text)


@dataclass(frozen=True, slots=True)
class Passage:
    document: str
    text: str


def plain(text: str) -> str:
    """Words and signs without line breaks, and without the stars of bold and slanted words."""
    return " ".join(text.replace("*", "").split())


def questions() -> list[Question]:
    rows = json.loads((SAMPLES / "questions.json").read_text(encoding="utf-8"))
    return [Question(row["question"], row["document"], row["phrase"]) for row in rows]


def pages(path: Path) -> list[Page]:
    """A sample's pages as the simulator parses them, or its own text."""
    if path.suffix in {".md", ".txt"}:
        return [Page(1, path.read_text(encoding="utf-8"))]
    return [Page(page.number, page.markdown) for page in select.read(path, path.name, Wanted())]


def passages(documents: dict[str, list[Page]], tokens: int) -> list[Passage]:
    options = ChunkingOptions(max_tokens=tokens, overlap=tokens // 8)
    return [
        Passage(name, chunk.text)
        for name, parsed in documents.items()
        for chunk in split(parsed, options)
    ]


def by_vectors(width: int) -> Scores:
    def scores(asked: Sequence[str], texts: Sequence[str]) -> np.ndarray:
        left, right = (embed(side, native_dimensions=NATIVE)[:, :width] for side in (asked, texts))
        return (left @ right.T) / np.linalg.norm(right, axis=1)

    return scores


def by_bm25(asked: Sequence[str], texts: Sequence[str]) -> np.ndarray:
    """Okapi BM25 with its usual constants; words are cut after six letters to join their forms."""
    counts = [Counter(_words(text)) for text in texts]
    lengths = np.array([sum(count.values()) for count in counts], dtype=float)
    penalty = 1.2 * (0.25 + 0.75 * lengths / lengths.mean())
    found_in = Counter(word for count in counts for word in count)
    rows = np.zeros((len(asked), len(texts)))
    for row, question in zip(rows, asked, strict=True):
        for word in set(_words(question)) & found_in.keys():
            times = np.array([count[word] for count in counts], dtype=float)
            rarity = log(1 + (len(texts) - found_in[word] + 0.5) / (found_in[word] + 0.5))
            row[:] += rarity * times * 2.2 / (times + penalty)
    return rows


def _words(text: str) -> Iterable[str]:
    return (word[:6] for word in re.findall(r"\w+", text.lower()))


def ranks(scores: Scores, asked: Sequence[Question], among: Sequence[Passage]) -> list[int]:
    """For each question the rank of its first right passage, from 1."""
    rows = scores([question.text for question in asked], [passage.text for passage in among])
    return [
        next(
            rank
            for rank, place in enumerate(np.argsort(-row, kind="stable"), 1)
            if question.is_answered_by(among[place])
        )
        for question, row in zip(asked, rows, strict=True)
    ]


def speed(texts: Sequence[str]) -> float:
    """Texts a second on one core, once the words are known."""
    embed(texts, native_dimensions=NATIVE)
    rounds, start = 5, time.process_time()
    for _ in range(rounds):
        embed(texts, native_dimensions=NATIVE)
    return rounds * len(texts) / (time.process_time() - start)


def main() -> None:
    is_quick(__doc__)
    machine()
    asked = questions()
    documents = {path.name: pages(path) for path in sorted((SAMPLES / "documents").iterdir())}
    ways: dict[str, Scores] = {f"vectors, {width} wide": by_vectors(width) for width in WIDTHS}
    ways["full text (BM25)"] = by_bm25
    shares: dict[tuple[int, str], float] = {}
    rows = []
    for tokens in (512, 128):
        among = passages(documents, tokens)
        for name, scores in ways.items():
            found = np.array(ranks(scores, asked, among))
            shares[tokens, name] = float(np.mean(found <= 5))
            firsts = (f"{np.mean(found <= depth):.2f}" for depth in (1, 3, 5))
            rows.append((f"{tokens} tokens, {name}", len(among), *firsts))
    print(f"{len(asked)} questions, {len(documents)} documents\n")
    table(("passages", "number", "recall@1", "recall@3", "recall@5"), rows)
    whole = shares[512, "vectors, 1536 wide"]
    bar("recall@5 of the vectors", met=whole >= FOUND, figure=f"{whole:.2f}", wanted=f">= {FOUND}")
    rate = speed([passage.text for passage in passages(documents, 512)])
    bar("speed", met=rate >= PER_SECOND, figure=f"{rate:,.0f}/s", wanted=f">= {PER_SECOND}/s")


if __name__ == "__main__":
    main()
