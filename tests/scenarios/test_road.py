"""The road of a document, from end to end, on real parts."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from simulator import SimulatorControl

from gristmill import DocumentStatus, Gristmill, Origin
from gristmill.errors import CollectionError, NotFound

WritePdf = Callable[..., Path]


async def test_a_pdf_goes_in_and_its_passage_is_found(mill: Gristmill, write_pdf: WritePdf) -> None:
    path = write_pdf("tides.pdf", "The moon pulls the oceans.", "Spring tides follow a new moon.")
    report = await mill.ingest(path)
    assert report.is_complete
    answer = await mill.search("when are spring tides?", limit=1)
    assert "Spring tides" in answer.hits[0].text
    assert answer.hits[0].origin is Origin.SIMULATED


async def test_a_hit_says_where_it_stands(mill: Gristmill, tmp_path: Path) -> None:
    path = tmp_path / "guide.md"
    path.write_text("# Guide\n\nWelcome.\n\n## Cleaning\n\nRinse the filter every month.\n")
    await mill.ingest(path)
    hit = (await mill.search("how often to rinse the filter", limit=1)).hits[0]
    assert hit.name == "guide.md"
    assert hit.first_page == 1
    assert hit.headings[0] == "Guide"


async def test_text_is_read_here_and_no_parser_is_paid(
    mill: Gristmill, tmp_path: Path, simulator: SimulatorControl
) -> None:
    path = tmp_path / "plain.txt"
    path.write_text("Water boils at a hundred degrees.")
    await mill.ingest(path)
    assert simulator.calls("llamacloud.parsing.create") == 0


async def test_an_unchanged_corpus_makes_no_paid_call(
    mill: Gristmill, write_pdf: WritePdf, simulator: SimulatorControl
) -> None:
    paths = [write_pdf(f"{n}.pdf", f"Document number {n} speaks of rivers.") for n in range(3)]
    await mill.ingest(*paths)
    before = simulator.paid_calls()
    report = await mill.ingest(*paths)
    assert [entry.outcome for entry in report.entries] == ["unchanged"] * 3
    assert simulator.paid_calls() == before


async def test_the_same_bytes_under_two_names_are_parsed_and_embedded_once(
    mill: Gristmill, write_pdf: WritePdf, simulator: SimulatorControl
) -> None:
    first = write_pdf("first.pdf", "One content, two names.")
    second = first.with_name("second.pdf")
    second.write_bytes(first.read_bytes())
    report = await mill.ingest(first, second)
    assert report.is_complete
    assert simulator.calls("llamacloud.parsing.create") == 1
    assert len(report.documents) == 2


async def test_new_bytes_make_a_new_version_and_the_old_text_is_no_longer_found(
    mill: Gristmill, write_pdf: WritePdf
) -> None:
    path = write_pdf("policy.pdf", "The deductible is fifty dollars.")
    first = await mill.ingest(path)
    write_pdf("policy.pdf", "The excess is ninety euros.")
    second = await mill.ingest(path)
    assert second.documents[0].id == first.documents[0].id
    texts = [hit.text for hit in (await mill.search("deductible or excess")).hits]
    assert len(texts) == 1
    assert "ninety" in texts[0]


async def test_collections_are_searched_apart(mill: Gristmill, tmp_path: Path) -> None:
    for name in ("red", "blue"):
        path = tmp_path / f"{name}.txt"
        path.write_text(f"The {name} team keeps bees.")
        await mill.ingest(path, collection=name)
    hits = (await mill.search("who keeps bees?", collection="blue")).hits
    assert [hit.collection for hit in hits] == ["blue"]


async def test_a_deleted_document_is_found_no_more_and_its_file_is_gone(
    mill: Gristmill, write_pdf: WritePdf, simulator: SimulatorControl
) -> None:
    report = await mill.ingest(write_pdf("gone.pdf", "Soon forgotten words."))
    await mill.delete(report.documents[0].id)
    assert (await mill.search("forgotten words")).hits == ()
    assert simulator.calls("supabase.object.delete_many") == 1


async def test_a_page_without_text_makes_the_document_incomplete_and_says_which(
    mill: Gristmill, write_pdf: WritePdf
) -> None:
    report = await mill.ingest(write_pdf("scan.pdf", "Only the first page speaks.", ""))
    document = report.documents[0]
    assert document.status is DocumentStatus.READY_INCOMPLETE
    detail = await mill.show(document.id)
    assert [(page.page, page.problem) for page in detail.incomplete] == [(2, "empty")]
    assert (await mill.search("which page speaks?")).hits


async def test_every_call_is_in_the_journal_at_its_price(
    mill: Gristmill, write_pdf: WritePdf, simulator: SimulatorControl
) -> None:
    await mill.ingest(write_pdf("paid.pdf", "One.", "Two."))
    report = await mill.costs("service")
    spent = {line.name: line.spent for line in report.lines}
    tokens = sum(model["tokens"] for model in simulator.billed()["openai"].values())
    assert spent["openai"] == 20 * tokens
    assert spent["llamaparse"] == 2 * 3_750_000


async def test_the_vendor_keeps_nothing_once_the_result_is_here(
    mill: Gristmill, write_pdf: WritePdf, simulator: SimulatorControl
) -> None:
    await mill.ingest(write_pdf("tidy.pdf", "Clean up after yourself."))
    assert simulator.calls("llamacloud.files.delete") == 1
    assert simulator.calls("llamacloud.parsing.delete") == 1


@pytest.mark.parametrize("question", ["", "   ", "\x00"])
async def test_an_empty_question_is_refused(mill: Gristmill, question: str) -> None:
    with pytest.raises(ValueError, match="at least one word"):
        await mill.search(question)


async def test_a_question_that_cannot_be_embedded_is_answered_by_full_text_and_says_so(
    impatient: Gristmill, tmp_path: Path, simulator: SimulatorControl
) -> None:
    path = tmp_path / "owls.txt"
    path.write_text("Owls hunt at night.")
    await impatient.ingest(path)
    simulator.fault("openai.embeddings.create", "status", status=503)
    answer = await impatient.search("when do owls hunt?")
    assert answer.hits[0].text == "Owls hunt at night."
    assert "full text only" in answer.notes[0]


async def test_nothing_is_paid_for_a_search_that_can_find_nothing_near(
    mill: Gristmill, tmp_path: Path, simulator: SimulatorControl
) -> None:
    assert (await mill.search("what is there?")).hits == ()
    (tmp_path / "one.txt").write_text("Water boils at a hundred degrees.")
    await mill.ingest(tmp_path / "one.txt")
    paid = simulator.paid_calls()
    with pytest.raises(CollectionError, match="no collection 'nope'"):
        await mill.search("what is there?", collection="nope")
    assert simulator.paid_calls() == paid


async def test_what_a_bill_says_and_what_is_only_bounded_are_told_apart(
    mill: Gristmill, write_pdf: WritePdf, simulator: SimulatorControl
) -> None:
    simulator.configure(transition={"kind": "seconds", "value": 1.0})
    await mill.register(write_pdf("a.pdf", "A page."))
    worker = await mill._system.worker()
    async with worker.running():
        while (found := (await mill.documents())[0]).status is not DocumentStatus.PARSING:
            await asyncio.sleep(0.02)
        assert (found.spent, found.assumed) == (0, 3_750_000)  # 3 credits for a page
        while not (found := (await mill.documents())[0]).has_ended:
            await asyncio.sleep(0.02)
    assert found.assumed == 0
    assert found.spent > 0


@pytest.mark.parametrize("name", ["%", "_", "doc-%", "doc-__________"])
async def test_signs_in_an_id_stand_for_themselves(
    mill: Gristmill, tmp_path: Path, name: str
) -> None:
    (tmp_path / "one.txt").write_text("Water boils at a hundred degrees.")
    await mill.ingest(tmp_path / "one.txt")
    with pytest.raises(NotFound):
        await mill.delete(name)
    assert len(await mill.documents()) == 1
