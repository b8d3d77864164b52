"""The budget layer: what is billable is held before it leaves, and ended afterwards."""

import asyncio
from contextlib import AsyncExitStack
from decimal import Decimal

import pytest
from scripted import ENDPOINT, PRICES, Grind, Look, ScriptedService, Submit, answer

from gristmill import errors
from gristmill.contract import Open, Origin, Settled, Usage
from gristmill.costs.budgets import Limit, balances, set_limit
from gristmill.costs.ledger import End, EntryKind, Ledger
from gristmill.costs.prices import credit_usage
from gristmill.policies.budget import Budget
from gristmill.telemetry.correlation import bound

SMALL = 20  # nano-dollars for a token of the model of `Grind`
AGENTIC = 12_500_000  # for a page of `Submit`


def budget(service, ledger, **changes):
    facts = {"ledger": ledger, "prices": PRICES, "origin": Origin.REAL, "endpoint": ENDPOINT}
    return Budget(service, **{**facts, **changes})


async def entries(database, columns="entry, quantity, nano_dollars"):
    async with database.connection() as connection:
        cursor = await connection.execute(f"SELECT {columns} FROM journal ORDER BY id")
        return [tuple(row.values()) for row in await cursor.fetchall()]


class Witness(ScriptedService):
    """Looks into the journal while it is called."""

    def __init__(self, database, result):
        super().__init__([result])
        self.database = database
        self.seen = None

    async def execute(self, operation):
        self.seen = await entries(self.database)
        return await super().execute(operation)


async def test_the_bound_is_committed_before_the_call_leaves_and_the_usage_after_it(
    database, ledger
):
    service = Witness(database, answer(used=60))

    result = await budget(service, ledger).execute(Grind(tokens=100))

    assert result.value == "flour"
    assert service.seen == [("held", 100, 100 * SMALL)]
    assert await entries(database) == [("held", 100, 2000), ("posted", 60, 60 * SMALL)]


async def test_an_entry_says_whose_call_it_is_and_which_prices_held(database, ledger):
    service = ScriptedService([answer(used=1, notes={"usage": "guessed"})])
    with bound(document="d1", collection="papers"):
        await budget(service, ledger).execute(Grind())

    columns = "service, operation, product, unit, origin, endpoint, collection, document_id, note"
    model = ("openai", "Grind", "text-embedding-3-small", "tokens")
    same = ("real", ENDPOINT, "papers", "d1")
    assert await entries(database, columns) == [
        (*model, *same, ""),
        (*model, *same, "usage: guessed"),
    ]
    versions = await entries(database, "DISTINCT ON (price_version, id) price_version")
    assert versions == [(PRICES.version,)] * 2


async def test_what_a_simulator_answers_costs_no_real_money(database, ledger):
    service = ScriptedService([answer(used=60, origin=Origin.SIMULATED)])
    await budget(service, ledger).execute(Grind())
    columns = "entry, nano_dollars, posted, origin, note"
    assert (await entries(database, columns))[1:] == [
        ("released", 0, 0, "real", "answered as simulated")
    ]


async def test_what_a_vendor_answers_in_place_of_a_simulator_is_posted_and_says_so(
    database, ledger
):
    service = ScriptedService([answer(used=60)])
    await budget(service, ledger, origin=Origin.SIMULATED).execute(Grind())
    columns = "entry, nano_dollars, origin, note"
    assert (await entries(database, columns))[1:] == [
        ("posted", 60 * SMALL, "simulated", "answered as real")
    ]


async def test_a_free_operation_writes_nothing_and_needs_no_database(database, ledger):
    await database.close()
    service = ScriptedService([answer("models")])
    assert (await budget(service, ledger).execute(Look())).value == "models"


@pytest.mark.parametrize(
    "error",
    [
        errors.Rejected("no"),
        errors.Unauthorized("no"),
        errors.Throttled("slower"),
        errors.QuotaExhausted("empty"),
        errors.Unavailable("down"),
        errors.Misconfigured("no key"),
    ],
    ids=lambda error: error.kind,
)
async def test_an_error_that_promises_no_effect_releases_the_bound(database, ledger, error):
    with pytest.raises(type(error)):
        await budget(ScriptedService([error]), ledger).execute(Grind())
    columns = "entry, quantity, nano_dollars, note"
    assert (await entries(database, columns))[1:] == [("released", 0, 0, error.kind)]


@pytest.mark.parametrize(
    "error",
    [errors.OutcomeUnknown("?"), errors.InvalidResponse("?"), TypeError("a defect of ours")],
    ids=lambda error: type(error).__name__,
)
async def test_an_unknown_outcome_counts_as_the_bound(database, ledger, error):
    with pytest.raises(type(error)):
        await budget(ScriptedService([error]), ledger).execute(Grind(tokens=7))
    columns = "entry, quantity, nano_dollars, note"
    assert (await entries(database, columns))[1:] == [
        ("assumed", 7, 7 * SMALL, type(error).__name__)
    ]


async def test_a_cancelled_call_is_of_unknown_outcome_and_stays_cancelled(database, ledger):
    service = ScriptedService(hangs=True)
    call = asyncio.create_task(budget(service, ledger).execute(Grind(tokens=7)))
    await service.reached.wait()
    call.cancel()
    await asyncio.wait({call})
    assert call.cancelled()
    assert (await entries(database))[1:] == [("assumed", 7, 7 * SMALL)]


async def test_cancelling_again_and_again_does_not_lose_the_last_entry(database, ledger):
    service = ScriptedService(hangs=True)
    call = asyncio.create_task(budget(service, ledger).execute(Grind(tokens=7)))
    await service.reached.wait()
    while not call.done():
        call.cancel()
        await asyncio.sleep(0)
    assert call.cancelled()
    assert (await entries(database))[1:] == [("assumed", 7, 7 * SMALL)]


async def test_a_timeout_around_the_call_is_reported_as_one(database, ledger):
    service = ScriptedService(hangs=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await budget(service, ledger).execute(Grind())
    assert [entry for entry, *_ in await entries(database)] == ["held", "assumed"]


async def test_a_call_cancelled_while_its_hold_is_written_never_leaves_and_is_released(
    database, ledger
):
    service = ScriptedService([answer(used=1)])
    async with database.transaction() as connection:
        await connection.execute("LOCK TABLE journal IN EXCLUSIVE MODE")
        call = asyncio.create_task(budget(service, ledger).execute(Grind()))
        await asyncio.sleep(0.05)
        call.cancel()
        await asyncio.wait({call})
    assert call.cancelled()
    await ledger.close()
    assert service.calls == []
    assert [entry for entry, *_ in await entries(database)] == ["held", "released"]


async def test_without_the_database_the_call_does_not_leave(database, ledger):
    await database.close()
    service = ScriptedService([answer(used=1)])
    with pytest.raises(errors.DatabaseUnavailable):
        await budget(service, ledger).execute(Grind())
    assert service.calls == []


async def test_a_database_that_hangs_stops_the_call_in_bounded_time_and_nothing_stays_held(
    database,
):
    service = ScriptedService([answer(used=1)])
    ledger = Ledger(database, write_seconds=0.05)
    async with database.transaction() as connection:
        await connection.execute("LOCK TABLE journal IN EXCLUSIVE MODE")
        with pytest.raises(errors.DatabaseUnavailable, match="no entry within"):
            await budget(service, ledger).execute(Grind())
    await ledger.close()
    assert service.calls == []
    assert [entry for entry, *_ in await entries(database)] == ["held", "released"]


async def test_a_paid_answer_is_handed_on_when_its_end_cannot_be_written_yet(database, caplog):
    ledger = Ledger(database, write_seconds=0.05)

    async with AsyncExitStack() as locked:

        class Locking(ScriptedService):
            async def execute(self, operation):
                connection = await locked.enter_async_context(database.transaction())
                await connection.execute("LOCK TABLE journal IN EXCLUSIVE MODE")
                return await super().execute(operation)

        result = await budget(Locking([answer(used=1)]), ledger).execute(Grind())
        assert result.value == "flour"
        assert "call.not_written" in caplog.text
    await ledger.close()
    assert [entry for entry, *_ in await entries(database)] == ["held", "posted"]


async def test_what_does_not_fit_a_limit_does_not_leave_and_says_by_how_much(database, ledger):
    await set_limit(database, Origin.REAL, Limit("service", "day", 3000, "openai"))
    service = ScriptedService([answer(used=60)])
    layer = budget(service, ledger)
    await layer.execute(Grind(tokens=100))

    with pytest.raises(errors.BudgetExceeded, match="daily limit of the service openai") as caught:
        await layer.execute(Grind(tokens=100))

    refusal = caught.value
    assert (refusal.limit, refusal.spent, refusal.held, refusal.asked) == (3000, 1200, 0, 2000)
    assert 0 < refusal.retry_after <= 86_400
    assert refusal.window_end is not None
    assert len(service.calls) == 1
    assert len(await entries(database)) == 2


async def test_what_only_calls_under_way_leave_no_room_for_may_come_again_soon(database, ledger):
    await set_limit(database, Origin.REAL, Limit("global", "total", 3000))
    service = ScriptedService(hangs=True)
    first = asyncio.create_task(budget(service, ledger).execute(Grind(tokens=100)))
    await service.reached.wait()
    with pytest.raises(errors.BudgetExceeded) as caught:
        await budget(ScriptedService(), ledger).execute(Grind(tokens=100))
    assert caught.value.retry_after == 5
    first.cancel()
    await asyncio.wait({first})


async def test_what_no_window_has_room_for_waits_for_a_person(database, ledger):
    await set_limit(database, Origin.REAL, Limit("global", "day", 1999))
    with pytest.raises(errors.BudgetExceeded) as caught:
        await budget(ScriptedService(), ledger).execute(Grind(tokens=100))
    assert caught.value.retry_after is None
    assert "$0.000002" in caught.value.advice


async def test_money_of_another_origin_does_not_touch_a_limit(database, ledger):
    await set_limit(database, Origin.REAL, Limit("global", "day", 0))
    service = ScriptedService([answer(used=60, origin=Origin.SIMULATED)])
    await budget(service, ledger, origin=Origin.SIMULATED).execute(Grind())
    assert [(b.spent, b.held) for b in await balances(database)] == [(0, 0)]


async def test_an_operation_without_a_price_is_refused_before_it_leaves(database, ledger):
    service = ScriptedService([answer(used=1)])
    with pytest.raises(errors.Misconfigured, match="no known price per tokens"):
        await budget(service, ledger).execute(Grind(model="brand-new"))
    assert service.calls == []
    assert await entries(database) == []


async def test_a_bill_for_something_without_a_price_counts_as_the_bound(database, ledger):
    service = ScriptedService([answer(settlement=Settled(Usage("other", "tokens", 3)))])
    assert (await budget(service, ledger).execute(Grind(tokens=7))).value == "flour"
    columns = "entry, quantity, nano_dollars"
    assert (await entries(database, columns))[1:] == [("assumed", 7, 7 * SMALL)]


async def test_work_billed_later_stays_open_at_the_bound_until_its_bill_settles_it(
    database, ledger
):
    service = ScriptedService([answer("job", settlement=Open("pjb-1"))])
    with bound(document="d1"):
        await budget(service, ledger).execute(Submit(pages=4))
    columns = "entry, quantity, unit, nano_dollars, vendor_ref, document_id"
    bound_entry = ("open", 4, "pages", 4 * AGENTIC, "pjb-1", "d1")
    assert (await entries(database, columns))[1:] == [bound_entry]

    usage = credit_usage(Decimal("13.0"))
    bill = End(EntryKind.POSTED, usage, PRICES.cost("llamaparse", usage), PRICES.version)
    assert await ledger.settle("llamaparse", "pjb-1", bill)
    assert not await ledger.settle("llamaparse", "pjb-2", bill)
    await ledger.settle("llamaparse", "pjb-1", bill)
    assert (await entries(database, columns))[2:] == [
        ("posted", 13_000, "millicredits", 16_250_000, "pjb-1", "d1")
    ]


async def test_each_attempt_is_a_call_of_its_own(database, ledger):
    service = ScriptedService([errors.Unavailable("down"), answer(used=1)])
    layer = budget(service, ledger)
    with pytest.raises(errors.Unavailable):
        await layer.execute(Grind())
    await layer.execute(Grind())
    assert len(await entries(database, "DISTINCT call_id, entry, id")) == 4
    async with database.connection() as connection:
        cursor = await connection.execute("SELECT state FROM calls ORDER BY at")
        assert [row["state"] for row in await cursor.fetchall()] == ["released", "posted"]
