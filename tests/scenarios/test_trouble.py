"""What each kind of trouble with a vendor means for a document, and that all goes on afterwards."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from simulator import SimulatorControl

from gristmill import DocumentStatus, DocumentSummary, Gristmill
from gristmill.settings import Settings

WritePdf = Callable[..., Path]

EMBED = "openai.embeddings.create"
SUBMIT = "llamacloud.parsing.create"
LIST = "llamacloud.parsing.list"
# One call of the road at each vendor.
ROUTES = (EMBED, "llamacloud.files.create", "supabase.object.create")

PASSING: dict[str, dict[str, Any]] = {
    "too fast": {"kind": "status", "status": 429, "headers": {"retry-after": "1"}},
    "an internal error": {"kind": "status", "status": 500},
    "a gateway's page": {"kind": "html", "status": 502},
    "dropped before": {"kind": "drop_before"},
    "dropped after": {"kind": "drop_after"},
    "nonsense": {"kind": "broken_json"},
    "slow": {"kind": "slow_body", "seconds": 0.5},
}


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await condition():
            await asyncio.sleep(0.02)


async def only(mill: Gristmill) -> DocumentSummary:
    (document,) = await mill.documents()
    return document


@pytest.mark.parametrize("trouble", PASSING.values(), ids=PASSING)
async def test_trouble_that_passes_is_not_noticed_by_a_document(
    mill: Gristmill, write_pdf: WritePdf, simulator: SimulatorControl, trouble: dict[str, Any]
) -> None:
    for route in ROUTES:
        simulator.fault(route, **trouble)
    report = await mill.ingest(write_pdf("a.pdf", "Barley is ground."))
    assert report.is_complete
    events = (await mill.show(report.documents[0].id)).events
    assert DocumentStatus.PARKED not in {event.status for event in events}
    assert simulator.calls(SUBMIT) == 1
    for route in ROUTES:
        expected = 1 if trouble["kind"] == "slow_body" else 2
        assert simulator.calls(route) == expected, route


LASTING: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "wrong key for embeddings": (EMBED, {"status": 401}, "Unauthorized", "Check"),
    "wrong key for parsing": ("llamacloud.files.create", {"status": 401}, "Unauthorized", "Check"),
    "wrong key for storage": ("supabase.bucket.get", {"status": 403}, "Unauthorized", "key"),
    "no credit for embeddings": (
        EMBED,
        {"status": 429, "code": "insufficient_quota"},
        "QuotaExhausted",
        "billing",
    ),
    "no credit for parsing": (SUBMIT, {"status": 402}, "QuotaExhausted", "billing"),
}


@pytest.mark.parametrize("case", LASTING.values(), ids=LASTING)
async def test_what_a_person_must_mend_is_asked_once_and_waits_for_that_person(
    mill: Gristmill,
    write_pdf: WritePdf,
    simulator: SimulatorControl,
    case: tuple[str, dict[str, Any], str, str],
) -> None:
    route, facts, kind, advice = case
    simulator.fault(route, "status", count=None, **facts)
    report = await mill.ingest(write_pdf("a.pdf", "Barley is ground."))
    (document,) = report.documents
    assert (document.status, document.error_kind) == (DocumentStatus.PARKED, kind)
    assert advice in (document.advice or "")
    assert document.attempts == 0
    assert simulator.calls(route) == 1
    simulator.clear_faults()
    assert (await mill.resume()).is_complete
    assert simulator.calls(SUBMIT) == (2 if route == SUBMIT else 1)


DOWN = {
    "openai": {"kind": "status", "status": 503},
    "llamacloud": {"kind": "drop_before"},
    "supabase": {"kind": "html", "status": 502},
}


@pytest.mark.parametrize("vendor", DOWN)
async def test_a_service_that_is_down_is_left_alone_and_its_documents_go_on_when_it_is_back(
    settings: Settings, write_pdf: WritePdf, simulator: SimulatorControl, vendor: str
) -> None:
    simulator.fault(f"{vendor}.*", count=None, **DOWN[vendor])
    corpus = [write_pdf(f"{n}.pdf", f"Sack number {n}.") for n in range(8)]
    async with Gristmill(settings.model_copy(update={"breaker_seconds": 1.0})) as mill:
        ingest = asyncio.create_task(mill.ingest(*corpus))
        refused: list[DocumentSummary] = []

        async def is_left_alone() -> bool:
            found = await mill.documents()
            refused[:] = [d for d in found if d.error_kind == "BreakerOpen"]
            return bool(refused)

        await until(is_left_alone)
        for document in refused:
            assert "left alone until" in (document.error or "")
            assert "by itself" in (document.advice or "")
        asked = simulator.calls_of(vendor)
        await asyncio.sleep(1.0)
        assert simulator.calls_of(vendor) - asked <= 2
        simulator.clear_faults()
        assert (await ingest).is_complete
    assert simulator.billed()["llamacloud"]["jobs"] == len(corpus)


async def test_a_parser_that_is_down_is_seldom_asked_about_the_jobs_that_are_out(
    mill: Gristmill, write_pdf: WritePdf, simulator: SimulatorControl
) -> None:
    simulator.configure(transition={"kind": "seconds", "value": 0.5})
    ingest = asyncio.create_task(mill.ingest(write_pdf("a.pdf", "Barley is ground.")))

    async def is_out() -> bool:
        found = await mill.documents()
        return [document.status for document in found] == [DocumentStatus.PARSING]

    await until(is_out)
    simulator.fault("llamacloud.*", "status", status=503, count=None)
    asked = simulator.calls(LIST)
    await asyncio.sleep(2.5)
    assert 1 <= simulator.calls(LIST) - asked <= 7  # at its pace there were 25
    simulator.clear_faults()
    assert (await ingest).is_complete
    assert simulator.calls(SUBMIT) == 1


async def test_a_question_is_answered_by_full_text_at_once_while_the_embedder_is_left_alone(
    impatient: Gristmill, tmp_path: Path, simulator: SimulatorControl
) -> None:
    (tmp_path / "owls.txt").write_text("Owls hunt at night.")
    await impatient.ingest(tmp_path / "owls.txt")
    simulator.fault(EMBED, "status", status=503, count=None)
    answers = [await impatient.search("when do owls hunt?") for _ in range(8)]
    assert simulator.calls(EMBED) == 1 + 4  # most of the last five failed
    for answer in answers:
        assert [hit.text for hit in answer.hits] == ["Owls hunt at night."]
        assert "full text only" in answer.notes[0]
    assert "left alone until" in answers[-1].notes[0]


async def test_a_question_waits_for_a_silent_embedder_no_longer_than_a_person_does(
    mill: Gristmill, tmp_path: Path, simulator: SimulatorControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gristmill.search.query.PATIENCE_SECONDS", 0.2)
    (tmp_path / "owls.txt").write_text("Owls hunt at night.")
    await mill.ingest(tmp_path / "owls.txt")
    simulator.fault(EMBED, "delay", seconds=30)
    answer = await mill.search("when do owls hunt?")
    assert [hit.text for hit in answer.hits] == ["Owls hunt at night."]
    assert "no answer within 0.2 seconds" in answer.notes[0]


async def test_a_vendor_that_asks_for_minutes_is_given_them_without_a_slot(
    mill: Gristmill, tmp_path: Path, simulator: SimulatorControl
) -> None:
    (tmp_path / "a.txt").write_text("Barley is ground.")
    simulator.fault(EMBED, "status", status=429, headers={"retry-after": "120"})
    report = await mill.ingest(tmp_path / "a.txt")
    (document,) = report.documents
    assert (document.status, document.error_kind) == (DocumentStatus.PARKED, "Throttled")
    assert document.next_try is not None
    assert 120 <= (document.next_try - document.updated_at).total_seconds() <= 151
    assert document.attempts == 0
    assert simulator.calls(EMBED) == 1
