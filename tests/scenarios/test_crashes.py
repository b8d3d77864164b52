"""Promise 2: the road ends at every single await, goes on, and nothing is paid for twice."""

import asyncio
import gc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from crash import Crash, CrashingAt
from simulator import SimulatorControl

from gristmill import DocumentStatus, Gristmill, GristmillError
from gristmill.pipeline import store
from gristmill.pipeline.context import Context
from gristmill.pipeline.poller import Poller
from gristmill.pipeline.presence import Presence
from gristmill.pipeline.runner import advance
from gristmill.settings import Settings

WritePdf = Callable[..., Path]
MOST_AWAITS = 400


async def road(context: Context, document_id: str) -> None:
    """All that happens to one document, in one coroutine: its runner and the poller by turns."""
    presence = await Presence.open(context.database)
    try:
        poller = Poller(context, presence, "simulator", seconds=0.01)
        while await poller.look() or await store.claim(context.database, document_id):
            await advance(context, document_id)
            await asyncio.sleep(0.005)  # the simulator parses in a process of its own
    finally:
        await presence.close()


async def crash_everywhere(
    settings: Settings, make: Callable[[int], Path], simulator: SimulatorControl
) -> list[tuple[int, int]]:
    """(parses, embeddings) paid for each document, the n-th having been cut off at await n."""
    paid = []
    async with Gristmill(settings) as mill:
        context = await mill._system.context()
        context = replace(
            context, limits=replace(context.limits, submit_wait=0.0, recording_wait=0.0)
        )
        for number in range(1, MOST_AWAITS):
            before = _paid(simulator)
            (entry,) = await mill.register(make(number))
            identity = entry.document_id or ""
            run = CrashingAt(road(context, identity), number)
            try:
                await run
            except (Crash, GristmillError):  # the driver may turn a broken exchange into its own
                assert run.crashed
                await road(context, identity)
            summary = (await mill.show(identity)).summary
            assert summary.status is DocumentStatus.READY, (number, summary)
            paid.append(tuple(a - b for a, b in zip(_paid(simulator), before, strict=True)))
            if not run.crashed:
                return paid
    raise AssertionError("the road has no end")


def _paid(simulator: SimulatorControl) -> tuple[int, int]:
    return (
        simulator.calls("llamacloud.parsing.create"),
        simulator.calls("openai.embeddings.create"),
    )


# What a crash leaves open, the end of a real process would close.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.timeout(240)
async def test_a_pdf_cut_off_at_any_await_is_parsed_once_and_embedded_at_most_twice(
    settings: Settings, write_pdf: WritePdf, simulator: SimulatorControl
) -> None:
    paid = await crash_everywhere(
        settings, lambda n: write_pdf(f"{n}.pdf", f"Crash number {n} in the mill."), simulator
    )
    gc.collect()  # the garbage of the crashes is this test's own, not its neighbour's
    assert len(paid) > 50
    assert {parses for parses, _ in paid} == {1}
    assert max(embeddings for _, embeddings in paid) <= 2
    assert paid[-1] == (1, 1)
