"""Money around somebody's own calls, alone and beside a mill."""

from collections.abc import Callable
from pathlib import Path

import pytest
from simulator import SimulatorControl

from gristmill import CostTracker, DocumentStatus, Gristmill, Limit, Origin, Usage
from gristmill.errors import BudgetExceeded, InvalidArgument, Misconfigured
from gristmill.settings import InvalidSettings, Settings

WritePdf = Callable[..., Path]

MODEL = "text-embedding-3-small"
TOKEN = 20  # nano-dollars
PAGE = 3_750_000
DAY = Limit("global", "day", 100 * TOKEN)


def tokens(number: int) -> Usage:
    return Usage(MODEL, "tokens", number)


async def test_a_tracker_needs_no_more_than_the_address_of_a_database_and_money_is_real(
    conninfo_url: str,
) -> None:
    async with CostTracker.open(conninfo_url) as tracker:
        await tracker.set_limit(DAY)
        async with tracker.hold(
            service="openai", usage=tokens(80), operation="summarise", collection="letters"
        ) as call:
            (before,) = await tracker.budget()
            call.settle(tokens(50))
        (after,) = await tracker.budget()
        report = await tracker.costs("collection")

    assert (before.origin, before.held, before.spent) == (Origin.REAL, 80 * TOKEN, 0)
    assert (after.held, after.spent, after.left) == (0, 50 * TOKEN, 50 * TOKEN)
    (line,) = report.lines
    assert (line.name, line.origin, line.spent) == ("letters", Origin.REAL, 50 * TOKEN)


async def test_what_does_not_fit_is_not_made_in_whichever_process_the_rest_was_spent(
    conninfo_url: str,
) -> None:
    async with CostTracker.open(conninfo_url) as ours, CostTracker.open(conninfo_url) as theirs:
        await ours.set_limit(DAY)
        async with theirs.hold(service="openai", usage=tokens(60)) as call:
            with pytest.raises(BudgetExceeded, match="held for calls under way"):
                await ours.hold(service="openai", usage=tokens(60)).__aenter__()
            call.release()
        async with ours.hold(service="openai", usage=tokens(60)):
            pass


async def test_real_money_is_not_held_before_somebody_has_said_how_much_it_may_be(
    conninfo_url: str,
) -> None:
    async with CostTracker.open(conninfo_url) as tracker:
        with pytest.raises(Misconfigured, match="no limit is set") as caught:
            await tracker.hold(service="openai", usage=tokens(1)).__aenter__()
        assert "--origin real" in caught.value.advice
        async with tracker.hold(service="openai", usage=tokens(1), origin=Origin.SIMULATED):
            pass
        await tracker.set_limit(Limit("global", "total", None))
        async with tracker.hold(service="openai", usage=tokens(1)):
            pass
        assert [line.origin for line in (await tracker.costs()).lines] == ["real", "simulated"]


@pytest.mark.parametrize("quantity", [0, -1])
async def test_a_call_that_is_said_to_use_nothing_is_not_held(
    conninfo_url: str, quantity: int
) -> None:
    async with CostTracker.open(conninfo_url, origin=Origin.SIMULATED) as tracker:
        with pytest.raises(InvalidArgument):
            await tracker.hold(service="openai", usage=tokens(quantity)).__aenter__()


async def test_a_price_is_told_without_holding_anything(conninfo_url: str) -> None:
    async with CostTracker.open(conninfo_url) as tracker:
        assert tracker.price("llamaparse", Usage("agentic", "pages", 4)) == 50_000_000
        with pytest.raises(Misconfigured):
            tracker.price("openai", Usage("brand-new", "tokens", 1))
        assert (await tracker.costs()).lines == ()


async def test_a_bill_that_comes_later_finds_its_call_in_another_process(
    conninfo_url: str,
) -> None:
    async with CostTracker.open(conninfo_url, origin=Origin.SIMULATED) as tracker:
        async with tracker.hold(service="llamaparse", usage=Usage("fast", "pages", 9)) as call:
            call.open("job-1")
        assert (await tracker.costs()).lines[0].assumed == 9 * 1_250_000
    async with CostTracker.open(conninfo_url) as tracker:
        assert await tracker.settle("llamaparse", "job-1", Usage("fast", "pages", 7))
        assert not await tracker.settle("llamaparse", "job-2", Usage("fast", "pages", 7))
        (line,) = (await tracker.costs()).lines
    assert (line.spent, line.assumed) == (7 * 1_250_000, 0)


async def test_a_tracker_posts_what_dead_processes_have_left_held(conninfo_url: str) -> None:
    async with CostTracker.open(conninfo_url, origin=Origin.SIMULATED) as tracker:
        await tracker.set_limit(DAY)
        dead = tracker.hold(service="openai", usage=tokens(70))
        await dead.__aenter__()
        async with tracker._system.database.connection() as connection:
            await connection.execute("UPDATE holds SET at = at - interval '16 minutes'")
        async with CostTracker.open(conninfo_url) as other:
            (balance,) = await other.budget()
        assert (balance.held, balance.spent) == (0, 70 * TOKEN)
        await dead.__aexit__(None, None, None)


async def test_an_address_that_is_none_is_told_before_anything_is_opened() -> None:
    with pytest.raises(InvalidSettings, match="DATABASE_URL"):
        await CostTracker.open("sqlite:///costs.db").__aenter__()


async def test_a_mills_tracker_shares_its_limits_and_its_journal(
    mill: Gristmill, write_pdf: WritePdf
) -> None:
    await mill.tracker.set_limit(Limit("service", "total", 3 * PAGE, "llamaparse"))
    two_pages = Usage("cost_effective", "pages", 2)
    async with mill.tracker.hold(service="llamaparse", usage=two_pages) as call:
        call.settle(two_pages)
    (parked,) = (await mill.ingest(write_pdf("two.pdf", "Rye.", "Oats."))).documents
    assert parked.status is DocumentStatus.PARKED
    assert parked.error_kind == "BudgetExceeded"
    spent = {line.name: line.spent for line in (await mill.costs()).lines}
    assert spent == {"llamaparse": 2 * PAGE}


async def test_raising_a_limit_by_a_tracker_wakes_the_documents_that_wait_for_it(
    mill: Gristmill, write_pdf: WritePdf, settings: Settings, simulator: SimulatorControl
) -> None:
    await mill.set_budget(Limit("global", "total", 0))
    (parked,) = (await mill.ingest(write_pdf("one.pdf", "Spelt."))).documents
    assert parked.status is DocumentStatus.PARKED
    async with CostTracker.open(settings) as tracker:
        await tracker.set_limit(Limit("global", "total", 2 * PAGE))
    async with mill._system.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT FROM procrastinate_jobs"
            " WHERE lock = %s AND status = 'todo' AND scheduled_at <= clock_timestamp()",
            (parked.id,),
        )
        assert await cursor.fetchone() is not None
    assert simulator.paid_calls() == 0
