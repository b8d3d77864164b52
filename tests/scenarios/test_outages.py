"""What stops in the middle comes back: nothing is lost, and no parse is paid for twice."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from simulator import SimulatorControl
from waits import shorten

from gristmill import DocumentStatus, DocumentSummary, Gristmill
from gristmill.settings import Settings, load_settings
from gristmill_simulators import background

WritePdf = Callable[..., Path]
DOCUMENTS = 3
OPENED: list[SimulatorControl] = []  # closed with the home, also after a failure
PARSE_SECONDS = 0.5  # long enough to be stopped in


@pytest.fixture
async def own(home: Path) -> AsyncIterator[Settings]:
    """A home with a database and simulators of its own."""
    yield load_settings({"GRISTMILL_HOME": str(home)}, home)
    await background.stop(home / "simulator")
    while OPENED:
        OPENED.pop().close()


@pytest.fixture
def corpus(write_pdf: WritePdf) -> list[Path]:
    words = ("Barley", "Millet", "Quinoa")
    return [write_pdf(f"{n}.pdf", f"{words[n]} is number {n}.") for n in range(DOCUMENTS)]


async def control_of(mill: Gristmill) -> SimulatorControl:
    """The simulators of this home, slow enough to be stopped in the middle."""
    await shorten(mill)
    control = SimulatorControl(await mill._system.simulator_url())
    OPENED.append(control)
    control.configure(transition={"kind": "seconds", "value": PARSE_SECONDS})
    return control


def simulator_pid(control: SimulatorControl) -> int:
    return int(control._get("/health")["pid"])


def database_pid(settings: Settings) -> int:
    return int((settings.home / "postgres/data/postmaster.pid").read_text().split()[0])


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.02)


async def statuses(mill: Gristmill) -> list[DocumentStatus]:
    return [document.status for document in await mill.documents()]


async def a_parse_is_out(mill: Gristmill) -> bool:
    return DocumentStatus.PARSING in await statuses(mill)


def billed_parses(control: SimulatorControl) -> int:
    """By the vendor's own books; an attempt that never reached it is in nobody's."""
    return int(control.billed()["llamacloud"]["jobs"])


async def test_simulators_killed_in_the_middle_come_back_where_they_were_and_the_work_goes_on(
    own: Settings, corpus: list[Path]
) -> None:
    async with Gristmill(own) as mill:
        control = await control_of(mill)
        ingest = asyncio.create_task(mill.ingest(*corpus))
        await until(lambda: a_parse_is_out(mill))
        os.kill(simulator_pid(control), signal.SIGKILL)
        await mill._system.revive()  # what the worker does every few seconds
        report = await ingest
        assert report.is_complete
        assert billed_parses(control) == DOCUMENTS


async def test_silent_simulators_hold_the_work_up_and_lose_nothing(
    own: Settings, corpus: list[Path]
) -> None:
    async with Gristmill(own) as mill:
        control = await control_of(mill)
        pid = simulator_pid(control)
        ingest = asyncio.create_task(mill.ingest(*corpus))
        await until(lambda: a_parse_is_out(mill))
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(2 * PARSE_SECONDS)
        assert await a_parse_is_out(mill)
        os.kill(pid, signal.SIGCONT)
        assert (await ingest).is_complete
        assert control.calls("llamacloud.parsing.create") == DOCUMENTS


@pytest.mark.usefixtures("short_waits")
async def test_documents_wait_parked_with_the_reason_while_a_service_cannot_serve(
    mill: Gristmill, corpus: list[Path], simulator: SimulatorControl
) -> None:
    simulator.fault("supabase.*", "status", status=503, count=None)
    ingest = asyncio.create_task(mill.ingest(*corpus))
    parked: list[DocumentSummary] = []

    async def all_were_set_back() -> bool:
        parked[:] = await mill.documents()
        return [d.status for d in parked] == [DocumentStatus.PARKED] * DOCUMENTS

    await until(all_were_set_back)
    for document in parked:
        assert document.error_kind in {"BreakerOpen", "Unavailable"}
        assert "503" in (document.error or "")
        assert document.next_try is not None
    assert simulator.paid_calls() == 0
    simulator.clear_faults()
    assert (await ingest).is_complete
    assert simulator.calls("llamacloud.parsing.create") == DOCUMENTS


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGQUIT], ids=lambda kill: kill.name)
async def test_a_database_killed_under_an_ingest_is_started_again_and_the_work_goes_on(
    own: Settings, corpus: list[Path], kill: signal.Signals
) -> None:
    problems: set[str] = set()
    async with Gristmill(own) as mill:
        control = await control_of(mill)
        told = lambda progress: problems.add(progress.problem or "")  # noqa: E731
        ingest = asyncio.create_task(mill.ingest(*corpus, on_progress=told))
        await until(lambda: a_parse_is_out(mill))
        os.kill(database_pid(own), kill)
        report = await ingest
        assert report.is_complete
        assert billed_parses(control) == DOCUMENTS
        assert control.calls("llamacloud.parsing.create") == DOCUMENTS
    assert any("went away" in problem for problem in problems)


async def test_a_worker_that_is_told_to_stop_stops_whatever_it_is_doing(mill: Gristmill) -> None:
    worker = await mill._system.worker()
    for number in range(30):
        running = asyncio.create_task(worker.run())
        await asyncio.sleep(number * 0.001)
        running.cancel()
        await asyncio.wait([running], timeout=60)
        assert running.cancelled()
