"""A parse that fails: whose fault it is decides what a person reads, and what is paid again."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import psycopg
import pytest
from simulator import SimulatorControl

from gristmill import DocumentStatus, Gristmill
from gristmill.pipeline.parse_failures import MOST_JOBS
from gristmill.pipeline.runner import advance

pytestmark = pytest.mark.usefixtures("short_waits")

WritePdf = Callable[..., Path]
BY_THE_DOCUMENT = {
    "PDF_IS_PROTECTED": "Remove the password",
    "PDF_IS_BROKEN": "Open and save it with a PDF program",
    "NO_DATA_FOUND_IN_FILE": "try another tier",
    "UNSUPPORTED_FILE_TYPE": "Convert it to PDF",
    "DOCUMENT_TOO_LARGE": "Split it",
    "TOO_MANY_PAGES": "Split it",
    "A_CODE_OF_NEXT_YEAR": "resume --failed",
}


def every_pdf_fails(simulator: SimulatorControl, code: str | None) -> None:
    scripts = [{"files": "*.pdf", "fail": code}] if code else []
    simulator.configure(llamacloud={"scripts": scripts})


def jobs(simulator: SimulatorControl) -> int:
    return simulator.calls("llamacloud.parsing.create")


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0.02)


def waits_as(mill: Gristmill, kind: str) -> Callable[[], Awaitable[bool]]:
    async def waits() -> bool:
        found = await mill.documents()
        return [d.error_kind for d in found if d.status is DocumentStatus.PARKED] == [kind]

    return waits


@pytest.mark.parametrize("code", BY_THE_DOCUMENT)
async def test_a_document_at_fault_fails_with_what_to_do_and_is_paid_once(
    mill: Gristmill, write_pdf: WritePdf, simulator: SimulatorControl, code: str
) -> None:
    every_pdf_fails(simulator, code)
    (document,) = (await mill.ingest(write_pdf("bad.pdf", "Lost words."))).documents
    assert (document.status, document.error_kind) == (DocumentStatus.FAILED, "DocumentFailed")
    assert f"The parser could not read it: {code}" in (document.error or "")
    assert BY_THE_DOCUMENT[code] in (document.advice or "")
    assert jobs(simulator) == 1


async def test_a_timeout_of_the_vendor_is_tried_again_as_a_new_job(
    mill: Gristmill, write_pdf: WritePdf, simulator: SimulatorControl
) -> None:
    every_pdf_fails(simulator, "TIMEOUT")
    ingest = asyncio.create_task(mill.ingest(write_pdf("slow.pdf", "Snails carry their house.")))
    await until(waits_as(mill, "NotYet"))
    (document,) = await mill.documents()
    assert "gets the document again as a new job: TIMEOUT" in (document.error or "")
    every_pdf_fails(simulator, None)
    assert (await ingest).is_complete
    assert jobs(simulator) == 2
    assert (await mill.search("snail house")).hits


async def test_new_jobs_are_capped_and_the_end_tells_how_many_there_were(
    mill: Gristmill, write_pdf: WritePdf, simulator: SimulatorControl
) -> None:
    every_pdf_fails(simulator, "INTERNAL_ERROR")
    twins = [write_pdf("slow.pdf", "Snails."), write_pdf("copy.pdf", "Snails.")]
    report = await mill.ingest(*twins)
    assert [document.status for document in report.documents] == [DocumentStatus.FAILED] * 2
    for document in report.documents:
        assert f"in {MOST_JOBS} jobs: INTERNAL_ERROR" in (document.error or "")
    assert jobs(simulator) == MOST_JOBS, "documents with the same bytes share them"


async def test_who_queued_for_a_new_job_gets_none_after_others_tried_in_vain(
    mill: Gristmill, write_pdf: WritePdf, simulator: SimulatorControl, conninfo: str
) -> None:
    every_pdf_fails(simulator, "INTERNAL_ERROR")
    report = await mill.ingest(write_pdf("slow.pdf", "Snails."), write_pdf("copy.pdf", "Snails."))
    queued = report.documents[0].id
    with psycopg.connect(conninfo) as connection:
        connection.execute(
            "UPDATE gristmill.documents SET status = 'parked', stage = 'parse_queued'"
            " WHERE id = %s",
            (queued,),
        )
    await advance(await mill._system.context(), queued)
    document = (await mill.show(queued)).summary
    assert f"in {MOST_JOBS} jobs: INTERNAL_ERROR" in (document.error or "")
    assert jobs(simulator) == MOST_JOBS


@pytest.mark.parametrize("is_new", [False, True], ids=["resumed", "added-again"])
async def test_a_parse_that_was_given_up_gets_as_many_jobs_once_somebody_asks_again(
    mill: Gristmill, write_pdf: WritePdf, simulator: SimulatorControl, is_new: bool
) -> None:
    every_pdf_fails(simulator, "INTERNAL_ERROR")
    await mill.ingest(write_pdf("slow.pdf", "Snails."))
    if is_new:
        report = await mill.ingest(write_pdf("copy.pdf", "Snails."))
    else:
        report = await mill.resume(failed=True)
    (document,) = report.documents
    assert f"in {MOST_JOBS} jobs: INTERNAL_ERROR" in (document.error or "")
    assert jobs(simulator) == 2 * MOST_JOBS


async def test_an_account_without_credit_parks_the_document_until_somebody_acts(
    mill: Gristmill, write_pdf: WritePdf, simulator: SimulatorControl
) -> None:
    every_pdf_fails(simulator, "CREDITS_EXHAUSTED")
    report = await mill.ingest(write_pdf("poor.pdf", "Church mice."))
    (document,) = report.documents
    assert (document.status, document.error_kind) == (DocumentStatus.PARKED, "QuotaExhausted")
    assert "billing" in (document.advice or "")
    assert jobs(simulator) == 1
    every_pdf_fails(simulator, None)
    assert (await mill.resume()).is_complete
    assert jobs(simulator) == 2


async def test_a_submit_that_was_refused_is_no_job_and_takes_none_of_the_tries(
    mill: Gristmill, write_pdf: WritePdf, simulator: SimulatorControl, conninfo: str
) -> None:
    simulator.fault("llamacloud.parsing.create", "status", status=429, count=2)
    assert (await mill.ingest(write_pdf("busy.pdf", "Ants queue."))).is_complete
    with psycopg.connect(conninfo) as connection:
        found = connection.execute("SELECT attempts, status FROM gristmill.parses").fetchall()
    assert found == [(1, "stored")]
