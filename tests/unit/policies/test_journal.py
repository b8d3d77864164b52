"""The journal layer: every billable call leaves a trace before it leaves."""

import asyncio
from decimal import Decimal

import pytest
from scripted import ENDPOINT, Grind, Look, ScriptedService, Submit, answer

from gristmill import errors
from gristmill.contract import Open, Origin, Settled, Usage
from gristmill.costs.journal import settle
from gristmill.costs.prices import credit_usage
from gristmill.policies.journal import Journal
from gristmill.telemetry.correlation import bound

SMALL = 20  # nano-dollars for a token of the model of `Grind`
AGENTIC = 12_500_000  # for a page of `Submit`


def journal(service, database, **changes):
    facts = {"database": database, "origin": Origin.REAL, "endpoint": ENDPOINT}
    return Journal(service, **{**facts, **changes})


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


async def test_the_bound_is_committed_before_the_call_leaves_and_the_usage_after_it(database):
    service = Witness(database, answer(used=60))

    result = await journal(service, database).execute(Grind(tokens=100))

    assert result.value == "flour"
    assert service.seen == [("expected", 100, 100 * SMALL)]
    assert await entries(database) == [("expected", 100, 2000), ("actual", 60, 60 * SMALL)]


async def test_an_entry_says_whose_call_it_is_what_answered_and_which_prices_held(database):
    service = ScriptedService([answer(used=1, origin=Origin.SIMULATED, notes={"usage": "guessed"})])
    with bound(document="d1", collection="papers"):
        await journal(service, database).execute(Grind())

    columns = "service, operation, product, unit, origin, endpoint, collection, document_id, note"
    same = (ENDPOINT, "papers", "d1")
    model = ("openai", "Grind", "text-embedding-3-small", "tokens")
    assert await entries(database, columns) == [
        (*model, "real", *same, ""),
        (*model, "simulated", *same, "usage: guessed"),
    ]
    assert await entries(database, "DISTINCT ON (price_version, id) price_version") == [
        ("2026-10-07",),
        ("2026-10-07",),
    ]


async def test_a_free_operation_writes_nothing_and_needs_no_database(database):
    await database.close()
    service = ScriptedService([answer("models")])
    assert (await journal(service, database).execute(Look())).value == "models"


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
async def test_an_error_that_promises_no_effect_releases_the_bound(database, error):
    with pytest.raises(type(error)):
        await journal(ScriptedService([error]), database).execute(Grind())
    columns = "entry, quantity, nano_dollars, note"
    assert (await entries(database, columns))[1:] == [("released", 0, 0, error.kind)]


@pytest.mark.parametrize(
    "error",
    [errors.OutcomeUnknown("?"), errors.InvalidResponse("?"), TypeError("a defect of ours")],
    ids=lambda error: type(error).__name__,
)
async def test_an_unknown_outcome_counts_as_the_bound(database, error):
    with pytest.raises(type(error)):
        await journal(ScriptedService([error]), database).execute(Grind(tokens=7))
    columns = "entry, quantity, nano_dollars, note"
    assert (await entries(database, columns))[1:] == [
        ("unknown", 7, 7 * SMALL, type(error).__name__)
    ]


async def test_a_cancelled_call_is_of_unknown_outcome_and_stays_cancelled(database):
    service = ScriptedService(hangs=True)
    call = asyncio.create_task(journal(service, database).execute(Grind(tokens=7)))
    await service.reached.wait()
    call.cancel()
    await asyncio.wait({call})
    assert call.cancelled()
    assert (await entries(database))[1:] == [("unknown", 7, 7 * SMALL)]


async def test_cancelling_again_and_again_does_not_lose_the_last_entry(database):
    service = ScriptedService(hangs=True)
    call = asyncio.create_task(journal(service, database).execute(Grind(tokens=7)))
    await service.reached.wait()
    while not call.done():
        call.cancel()
        await asyncio.sleep(0)
    assert call.cancelled()
    assert (await entries(database))[1:] == [("unknown", 7, 7 * SMALL)]


async def test_a_timeout_around_the_call_is_reported_as_one(database):
    service = ScriptedService(hangs=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await journal(service, database).execute(Grind())
    assert [entry for entry, *_ in await entries(database)] == ["expected", "unknown"]


async def test_a_call_cancelled_while_its_bound_is_written_never_leaves_and_is_released(database):
    service = ScriptedService([answer(used=1)])
    async with database.transaction() as connection:
        await connection.execute("LOCK TABLE journal IN EXCLUSIVE MODE")
        call = asyncio.create_task(journal(service, database).execute(Grind()))
        await asyncio.sleep(0.05)
        call.cancel()
        await asyncio.sleep(0)
    await asyncio.wait({call})
    assert call.cancelled()
    assert service.calls == []
    assert [entry for entry, *_ in await entries(database)] == ["expected", "released"]


async def test_without_the_database_the_call_does_not_leave(database):
    await database.close()
    service = ScriptedService([answer(used=1)])
    with pytest.raises(errors.DatabaseUnavailable):
        await journal(service, database).execute(Grind())
    assert service.calls == []


async def test_a_database_that_hangs_stops_the_call_in_bounded_time(database):
    service = ScriptedService([answer(used=1)])
    async with database.transaction() as connection:
        await connection.execute("LOCK TABLE journal IN EXCLUSIVE MODE")
        with pytest.raises(errors.DatabaseUnavailable, match="no entry within"):
            await journal(service, database, write_seconds=0.05).execute(Grind())
    assert service.calls == []
    assert await entries(database) == []


async def test_a_cancelled_call_waits_for_a_hanging_database_no_longer_than_the_bound(database):
    service = ScriptedService([answer(used=1)])
    async with database.transaction() as connection:
        await connection.execute("LOCK TABLE journal IN EXCLUSIVE MODE")
        layer = journal(service, database, write_seconds=0.05)
        call = asyncio.create_task(layer.execute(Grind()))
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait({call}, timeout=5)
        assert call.cancelled()
    assert service.calls == []
    assert await entries(database) == []


async def test_a_paid_answer_is_handed_on_when_its_entry_cannot_be_written(database, caplog):
    class Closing(ScriptedService):
        async def execute(self, operation):
            await database.close()
            return await super().execute(operation)

    result = await journal(Closing([answer(used=1)]), database).execute(Grind())
    assert result.value == "flour"
    assert "journal.not_written" in caplog.text


async def test_an_operation_without_a_price_is_refused_before_it_leaves(database):
    service = ScriptedService([answer(used=1)])
    with pytest.raises(errors.Misconfigured, match="no known price per tokens"):
        await journal(service, database).execute(Grind(model="brand-new"))
    assert service.calls == []
    assert await entries(database) == []


async def test_a_bill_for_something_without_a_price_counts_as_the_bound(database):
    service = ScriptedService([answer(settlement=Settled(Usage("other", "tokens", 3)))])
    assert (await journal(service, database).execute(Grind(tokens=7))).value == "flour"
    columns = "entry, quantity, nano_dollars"
    assert (await entries(database, columns))[1:] == [("unknown", 7, 7 * SMALL)]


async def test_work_billed_later_stays_open_at_the_bound_until_its_bill_settles_it(database):
    service = ScriptedService([answer("job", settlement=Open("pjb-1"))])
    with bound(document="d1"):
        await journal(service, database).execute(Submit(pages=4))
    columns = "entry, quantity, unit, nano_dollars, vendor_ref, document_id"
    bound_entry = ("open", 4, "pages", 4 * AGENTIC, "pjb-1", "d1")
    assert (await entries(database, columns))[1:] == [bound_entry]

    assert await settle(
        database, service="llamaparse", vendor_ref="pjb-1", usage=credit_usage(Decimal("13.0"))
    )
    assert (await entries(database, columns))[2:] == [
        ("settled", 13_000, "millicredits", 16_250_000, "pjb-1", "d1")
    ]


async def test_each_attempt_is_a_call_of_its_own(database):
    service = ScriptedService([errors.Unavailable("down"), answer(used=1)])
    layer = journal(service, database)
    with pytest.raises(errors.Unavailable):
        await layer.execute(Grind())
    await layer.execute(Grind())
    assert len(await entries(database, "DISTINCT call_id, entry, id")) == 4
    async with database.connection() as connection:
        cursor = await connection.execute("SELECT state FROM calls ORDER BY at")
        assert [row["state"] for row in await cursor.fetchall()] == ["released", "actual"]
