"""The sample documents, asked what they say: parsed, embedded and searched from end to end."""

import json
from pathlib import Path

from gristmill import Gristmill
from gristmill.search.query import Hit

FOUND_IN_FIVE = 0.8  # the bar of benchmarks/embedding_quality.py, here for the fused search


def plain(text: str) -> str:
    return " ".join(text.replace("*", "").split())


def is_answer(hit: Hit, question: dict[str, str]) -> bool:
    return hit.name == question["document"] and plain(question["phrase"]) in plain(hit.text)


async def test_most_questions_about_the_samples_are_answered_within_five_passages(
    mill: Gristmill, samples: Path
) -> None:
    questions = json.loads((samples / "questions.json").read_text(encoding="utf-8"))
    report = await mill.ingest(samples / "documents", collection="samples")
    assert {document.status for document in report.documents} <= {"ready", "ready_incomplete"}
    answered = 0
    for question in questions:
        answer = await mill.search(question["question"], collection="samples", limit=1000)
        hits = [is_answer(hit, question) for hit in answer.hits]
        assert any(hits), f"nothing holds {question['phrase']!r}"
        answered += any(hits[:5])
    assert answered / len(questions) >= FOUND_IN_FIVE
