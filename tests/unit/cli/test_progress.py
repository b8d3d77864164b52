"""What `ingest` and `resume` show while they work, and at the end."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gristmill.cli import ingest as view
from gristmill.contract import Origin
from gristmill.library import IngestReport, Progress
from gristmill.pipeline.document import DocumentStatus, DocumentSummary, IngestEntry

NOW = datetime(2026, 1, 1, tzinfo=UTC)
READY = DocumentSummary(
    id="doc-ready",
    collection="default",
    origin=Origin.SIMULATED,
    source="/papers/ready.pdf",
    status=DocumentStatus.READY,
    stage=DocumentStatus.READY,
    pages=3,
    chunks=7,
    embedded=7,
    spent=11_250_000,
    assumed=0,
    attempts=0,
    next_try=None,
    error_kind=None,
    error=None,
    advice=None,
    created_at=NOW,
    updated_at=NOW,
)
PARSING = replace(
    READY,
    id="doc-parsing",
    source="/papers/parsing.docx",
    status=DocumentStatus.PARSING,
    stage=DocumentStatus.PARSING,
    pages=None,
    chunks=0,
    spent=0,
    assumed=7_500_000_000,
)
LACKING = replace(READY, id="doc-lacking", status=DocumentStatus.READY_INCOMPLETE)
FAILED = replace(READY, id="doc-failed", status=DocumentStatus.FAILED, pages=None, chunks=0)


def entries(*documents: DocumentSummary, outcome="accepted") -> tuple[IngestEntry, ...]:
    return tuple(IngestEntry(each.source, outcome, each.id) for each in documents)


def progress(*documents: DocumentSummary, elapsed: float = 10.0) -> Progress:
    return Progress(entries(*documents), documents, len(documents), elapsed)


def test_a_bound_of_a_call_under_way_is_not_told_as_spent():
    told = view.totals(progress(READY, PARSING))
    assert "$0.011250 so far (at most $7.511250 with what is under way)" in told


def test_totals_tell_pages_passages_and_time_left():
    told = view.totals(progress(READY, PARSING))
    assert told.startswith("3 pages, 7 passages, ")
    assert told.endswith("10 s, about 5 s left")  # 13 of 20 tenths are done


def test_an_unchanged_run_has_cost_nothing():
    report = IngestReport(entries(READY, outcome="unchanged"), (READY,), 0.2)
    assert "1 unchanged, 7 passages, $0.000000 so far" in view._sum(report)


def test_the_summary_does_not_count_a_document_with_missing_pages_as_ready():
    refused = IngestEntry("/papers/gone.pdf", "refused", error="It does not exist.")
    documents = (READY, LACKING, FAILED)
    told = view._sum(IngestReport((*entries(*documents), refused), documents, 1.0))
    assert "1 of 4 ready" in told
    assert "1 with gaps, 1 failed, 1 refused" in told


def test_in_a_pipe_each_document_is_told_once_and_totals_every_ten_seconds(capsys):
    lines = view.Lines()
    for elapsed in (1.0, 9.0, 11.0, 12.0):
        lines(progress(READY, PARSING, elapsed=elapsed))
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "ready  doc-ready  /papers/ready.pdf  3 pages, 7 passages, $0.011250"
    assert [line.split(", ")[0] for line in told[1:]] == ["1 of 2 documents"]


def test_a_failed_document_is_not_said_to_have_pages(capsys):
    view.Lines()(progress(FAILED, elapsed=1.0))
    assert capsys.readouterr().out == "failed  doc-failed  /papers/ready.pdf\n"


def test_skipped_files_do_not_hold_the_progress_back():
    skipped = IngestEntry("/papers/photo.raw", "skipped")
    told = Progress((*entries(READY), skipped), (READY,), 2, 3.0)
    assert view._share(told) == 1.0
    assert view._share_text(told) == "1 of 1 document"


@pytest.mark.parametrize("width", [50, 80, 120])
def test_the_live_view_fits_its_terminal(width, monkeypatch, capsys):
    """No line is wider than the terminal, and a document's name, stage and passages are there."""
    monkeypatch.setattr(view.console, "width", width)
    at_work = replace(PARSING, status=DocumentStatus.EMBEDDING, pages=397, chunks=773, embedded=256)
    view.console.print(view._screen(progress(at_work)))
    told = capsys.readouterr().out
    assert max(map(len, told.splitlines())) <= width
    assert "parsing.docx" in told
    assert "397 p. 256/773" in told
    assert ("$7.500000" in told.splitlines()[0]) is (width >= view.NARROW)
