"""Files whose pages nobody can count beforehand are read part by part, each with a bound."""

import asyncio
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from simulator import SimulatorControl

from gristmill import DocumentStatus, Gristmill
from gristmill.costs.budgets import Limit
from gristmill.pipeline.context import Context
from gristmill.pipeline.parsing import FIRST_PART
from gristmill.pipeline.poller import Poller
from gristmill.pipeline.presence import Presence

PAGE = 3_750_000  # nano-dollars for a page of the default tier
WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
BREAK = '<w:p><w:r><w:br w:type="page"/></w:r></w:p>'

WriteDocx = Callable[[str, int], Path]


@pytest.fixture
def write_docx(tmp_path: Path) -> WriteDocx:
    """Writes a Word file with a sentence of its own on each of so many pages."""

    def write(name: str, pages: int) -> Path:
        told = [
            f"<w:p><w:r><w:t>Sack number {n} holds rye.</w:t></w:r></w:p>"
            for n in range(1, pages + 1)
        ]
        body = f'<w:document xmlns:w="{WORD}"><w:body>{BREAK.join(told)}</w:body></w:document>'
        path = tmp_path / name
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("[Content_Types].xml", "<Types/>")
            archive.writestr("word/document.xml", body)
        return path

    return write


def jobs(simulator: SimulatorControl) -> int:
    return simulator.calls("llamacloud.parsing.create")


async def ended(context: Context) -> int:
    """How many jobs there is something left to do about."""
    async with context.database.connection() as connection:
        cursor = await connection.execute("SELECT count(*) AS jobs FROM ended_jobs")
        return int((await cursor.fetchall())[0]["jobs"])


async def settle_all(mill: Gristmill, context: Context | None = None) -> None:
    """Lets the poller look until nothing of any job is left to do."""
    context = context or await mill._system.context()
    presence = await Presence.open(context.database)
    poller = Poller(context, presence, "simulator", seconds=0.001)
    while await ended(context):
        await poller.look()
    await presence.close()


async def test_a_long_file_is_read_in_parts_each_page_once_and_nothing_stays_held_or_at_the_vendor(
    mill: Gristmill, write_docx: WriteDocx, simulator: SimulatorControl
) -> None:
    report = await mill.ingest(write_docx("sacks.docx", 60))

    assert report.is_complete
    assert jobs(simulator) == 3, "pages 1 to 25, 26 to 50, 51 to 100"
    assert simulator.billed()["llamacloud"]["credits"] == 60 * 3
    async with mill._system.database.connection() as connection:
        cursor = await connection.execute("SELECT number, markdown FROM pages ORDER BY number")
        pages = {row["number"]: row["markdown"].strip() for row in await cursor.fetchall()}
    assert pages == {n: f"Sack number {n} holds rye." for n in range(1, 61)}
    await settle_all(mill)
    (cost,) = [line for line in (await mill.costs()).lines if line.name == "llamaparse"]
    assert (cost.spent, cost.assumed) == (60 * PAGE, 0)
    assert simulator.calls("llamacloud.files.delete") == 1
    assert simulator.calls("llamacloud.parsing.delete") == 3


async def test_a_file_that_ends_where_a_part_ends_is_complete(
    mill: Gristmill, write_docx: WriteDocx, simulator: SimulatorControl
) -> None:
    report = await mill.ingest(write_docx("sacks.docx", FIRST_PART))
    assert report.is_complete
    assert jobs(simulator) == 2, "the second job found no page"
    assert simulator.billed()["llamacloud"]["credits"] == FIRST_PART * 3


async def test_a_short_file_is_held_for_one_part_only(
    mill: Gristmill, write_docx: WriteDocx, simulator: SimulatorControl
) -> None:
    await mill.set_budget(Limit("global", "total", (FIRST_PART + 1) * PAGE))
    assert (await mill.ingest(write_docx("short.docx", 2))).is_complete
    assert jobs(simulator) == 1


async def test_a_budget_that_ends_between_two_parts_keeps_the_first_and_never_pays_it_again(
    mill: Gristmill, write_docx: WriteDocx, simulator: SimulatorControl
) -> None:
    await mill.set_budget(Limit("global", "total", (FIRST_PART + 5) * PAGE))
    path = write_docx("sacks.docx", 30)
    (parked,) = (await mill.ingest(path)).documents
    assert parked.status is DocumentStatus.PARKED
    assert parked.spent + parked.assumed == FIRST_PART * PAGE

    await mill.set_budget(Limit("global", "total", 100 * PAGE))
    assert (await mill.resume()).is_complete
    assert simulator.billed()["llamacloud"]["credits"] == 30 * 3


async def test_two_documents_with_the_same_bytes_share_every_part(
    mill: Gristmill, write_docx: WriteDocx, simulator: SimulatorControl
) -> None:
    paths = [write_docx("one.docx", 40), write_docx("two.docx", 40)]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert (await mill.ingest(*paths)).is_complete
    assert simulator.billed()["llamacloud"]["credits"] == 40 * 3


async def test_a_part_that_fails_for_good_is_told_as_a_gap_and_what_came_before_is_found(
    mill: Gristmill, write_docx: WriteDocx, simulator: SimulatorControl
) -> None:
    await mill.set_budget(Limit("global", "total", (FIRST_PART + 5) * PAGE))
    await mill.ingest(write_docx("sacks.docx", 30))
    simulator.configure(llamacloud={"scripts": [{"files": "*.docx", "fail": "PDF_IS_BROKEN"}]})
    await mill.set_budget(Limit("global", "total", 100 * PAGE))

    (document,) = (await mill.resume()).documents

    assert document.status is DocumentStatus.READY_INCOMPLETE
    (gap,) = (await mill.show(document.id)).incomplete
    assert (gap.page, gap.problem) == (FIRST_PART + 1, "failed")
    assert gap.detail.startswith("PDF_IS_BROKEN")
    assert (await mill.search("sack number 25", limit=1)).hits


async def test_a_deleted_document_that_comes_back_begins_at_its_first_page(
    mill: Gristmill, write_docx: WriteDocx, simulator: SimulatorControl
) -> None:
    await mill.set_budget(Limit("global", "total", (FIRST_PART + 5) * PAGE))
    path = write_docx("sacks.docx", 30)
    (parked,) = (await mill.ingest(path)).documents
    await mill.delete(parked.id)
    await mill.set_budget(Limit("global", "total", 1000 * PAGE))
    assert (await mill.ingest(path)).is_complete
    assert (await mill.search("sack number 1", limit=1)).hits[0].first_page == 1
    await settle_all(mill)
    assert simulator.calls("llamacloud.files.delete") == 2


async def test_a_failed_job_that_the_vendor_never_bills_counts_as_its_worst_case_after_a_day(
    mill: Gristmill, write_docx: WriteDocx, simulator: SimulatorControl
) -> None:
    simulator.configure(llamacloud={"scripts": [{"files": "*.docx", "fail": "PDF_IS_BROKEN"}]})
    await mill.ingest(write_docx("broken.docx", 1))
    context = await mill._system.context()
    (cost,) = (await mill.costs()).lines
    assert (cost.spent, cost.assumed) == (0, FIRST_PART * PAGE)
    assert await ended(context) == 1

    await settle_all(mill, replace(context, now=lambda: datetime.now(UTC) + timedelta(days=1)))

    async with context.database.connection() as connection:
        cursor = await connection.execute("SELECT state, nano_dollars FROM calls")
        assert await cursor.fetchall() == [{"state": "assumed", "nano_dollars": FIRST_PART * PAGE}]
    assert simulator.calls("llamacloud.parsing.delete") == 1


async def test_the_bill_of_a_failed_job_is_read_although_a_new_job_follows_it(
    mill: Gristmill, write_docx: WriteDocx, simulator: SimulatorControl
) -> None:
    scripts = [{"files": "*.docx", "fail": "TIMEOUT"}]
    simulator.configure(llamacloud={"scripts": scripts, "bill_failed_jobs": True})
    ingest = asyncio.create_task(mill.ingest(write_docx("slow.docx", 2)))
    while not jobs(simulator):
        await asyncio.sleep(0.02)
    while not any(d.status is DocumentStatus.PARKED for d in await mill.documents()):
        await asyncio.sleep(0.02)
    simulator.configure(llamacloud={"scripts": [], "bill_failed_jobs": True})
    assert (await ingest).is_complete
    await settle_all(mill)
    assert jobs(simulator) == 2
    (cost,) = [line for line in (await mill.costs()).lines if line.name == "llamaparse"]
    billed = simulator.billed()["llamacloud"]["credits"]
    assert (cost.spent, cost.assumed) == (int(billed * 1_250_000), 0)
