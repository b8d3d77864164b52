"""A call around anybody's own code: held before the block, ended by what the block has told."""

import asyncio
from itertools import count

import pytest
from cancel import cancelled_at
from money import MODEL, balance
from scripted import ENDPOINT, PRICES

from gristmill import errors
from gristmill.contract import Origin, Usage
from gristmill.costs.audit import audit
from gristmill.costs.budgets import Limit, set_limit
from gristmill.costs.calls import Calls
from gristmill.costs.ledger import Ledger
from gristmill.costs.prices import Price, Prices
from gristmill.costs.report import report
from gristmill.telemetry.correlation import bound

TOKEN = 20  # nano-dollars, for one of the model
REAL = {"origin": Origin.REAL, "endpoint": ENDPOINT}


def tokens(number):
    return Usage(MODEL, "tokens", number)


def held(ledger, number=100, **facts):
    return Calls(ledger, PRICES).hold("openai", "summarise", tokens(number), **REAL, **facts)


async def failing(hold, error, told=lambda _: None):
    async with hold as call:
        told(call)
        raise error


async def entries(database, columns="entry, quantity, nano_dollars"):
    async with database.connection() as connection:
        cursor = await connection.execute(f"SELECT {columns} FROM journal ORDER BY id")
        return [tuple(row.values()) for row in await cursor.fetchall()]


async def test_the_worst_case_is_committed_before_the_block_and_the_usage_after_it(
    database, ledger
):
    async with held(ledger) as call:
        assert await entries(database) == [("held", 100, 100 * TOKEN)]
        assert (call.usage, call.nano_dollars) == (tokens(100), 100 * TOKEN)
        call.settle(tokens(60), note="as the vendor says")
        assert len(await entries(database)) == 1
    columns = "entry, quantity, nano_dollars, note"
    assert (await entries(database, columns))[1:] == [
        ("posted", 60, 60 * TOKEN, "as the vendor says")
    ]


async def test_what_is_told_counts_even_if_the_block_then_fails(database, ledger):
    defect = errors.InvalidArgument("while reading the answer, which is paid for")
    with pytest.raises(errors.InvalidArgument):
        await failing(held(ledger), defect, lambda call: call.settle(tokens(60)))
    assert (await entries(database))[1:] == [("posted", 60, 60 * TOKEN)]


@pytest.mark.parametrize(
    ("error", "entry"),
    [
        (errors.Unavailable("down"), ("released", 0, 0, "Unavailable")),
        (errors.OutcomeUnknown("?"), ("assumed", 100, 2000, "OutcomeUnknown")),
        (ConnectionResetError(), ("assumed", 100, 2000, "ConnectionResetError")),
        (KeyboardInterrupt(), ("assumed", 100, 2000, "KeyboardInterrupt")),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_block_that_tells_nothing_and_fails_is_judged_by_what_its_error_promises(
    database, ledger, error, entry
):
    with pytest.raises(type(error)):
        await failing(held(ledger), error)
    assert (await entries(database, "entry, quantity, nano_dollars, note"))[1:] == [entry]


async def test_a_block_that_tells_nothing_has_spent_the_worst_case(database, ledger):
    async with held(ledger):
        pass
    columns = "entry, nano_dollars, note"
    assert (await entries(database, columns))[1:] == [
        ("assumed", 2000, "nobody told what was used")
    ]


async def test_what_a_block_releases_stays_released_when_it_fails(database, ledger):
    error = ConnectionRefusedError()
    with pytest.raises(ConnectionRefusedError):
        await failing(held(ledger), error, lambda call: call.release(note="never connected"))
    columns = "entry, quantity, nano_dollars, note"
    assert (await entries(database, columns))[1:] == [("released", 0, 0, "never connected")]


async def test_the_last_word_of_a_block_counts(database, ledger):
    async with held(ledger) as call:
        call.release()
        call.open("job-1")
        call.settle(tokens(3))
    assert (await entries(database))[1:] == [("posted", 3, 3 * TOKEN)]


async def test_a_call_that_is_over_takes_no_further_word(database, ledger):
    async with held(ledger) as call:
        call.settle(tokens(1))
    for word in (lambda: call.settle(tokens(9)), call.release, lambda: call.open("job-1")):
        with pytest.raises(errors.InvalidArgument, match="over"):
            word()
    assert len(await entries(database)) == 2


async def test_work_billed_later_is_settled_by_another_process_once_its_bill_is_known(
    database, ledger
):
    async with held(ledger) as call:
        call.open("job-1")
    elsewhere = Ledger(database)
    assert not await Calls(elsewhere, PRICES).settle("openai", "job-2", tokens(70))
    assert await Calls(elsewhere, PRICES).settle("openai", "job-1", tokens(70))
    assert await Calls(elsewhere, PRICES).settle("openai", "job-1", tokens(70))
    await elsewhere.close()
    columns = "entry, nano_dollars, vendor_ref"
    assert (await entries(database, columns))[1:] == [
        ("open", 2000, "job-1"),
        ("posted", 1400, "job-1"),
    ]
    assert (await audit(database)).breaches == ()


@pytest.mark.parametrize(
    "told",
    [
        lambda call: call.settle(Usage("brand-new", "tokens", 1)),
        lambda call: call.settle(tokens(-1)),
        lambda call: call.settle(tokens(10**30)),
        lambda call: call.open(""),
    ],
    ids=["no price", "less than nothing", "beyond all sense", "no name"],
)
async def test_an_answer_whose_cost_nobody_can_tell_counts_as_the_worst_case(
    database, ledger, told
):
    async with held(ledger) as call:
        told(call)
    assert (await entries(database))[1:] == [("assumed", 100, 2000)]


async def test_what_costs_more_than_was_held_is_posted_in_full(database, ledger):
    await set_limit(database, Origin.REAL, Limit("global", "day", 2000))
    async with held(ledger) as call:
        call.settle(tokens(130))
    assert (await balance(database)).overrun == 600
    assert (await audit(database)).breaches == ()


@pytest.mark.parametrize(
    ("usage", "error"),
    [
        (tokens(101), errors.BudgetExceeded),
        (Usage("brand-new", "tokens", 1), errors.Misconfigured),
        (tokens(-1), errors.InvalidArgument),
        (tokens(10**30), errors.InvalidArgument),
    ],
    ids=lambda value: value.product if isinstance(value, Usage) else "",
)
async def test_a_block_is_not_entered_without_room_a_price_or_a_usage(
    database, ledger, usage, error
):
    await set_limit(database, Origin.REAL, Limit("global", "day", 2000))
    with pytest.raises(error):
        async with Calls(ledger, PRICES).hold("openai", "summarise", usage, **REAL):
            pytest.fail("the block was entered")
    assert await entries(database) == []


async def test_a_call_belongs_to_what_is_given_or_else_to_what_the_task_works_on(database, ledger):
    with bound(document="d1", collection="papers"):
        async with held(ledger), held(ledger, collection="mine"):
            pass
    columns = "operation, endpoint, collection, document_id"
    assert sorted(set(await entries(database, columns))) == [
        ("summarise", ENDPOINT, "mine", "d1"),
        ("summarise", ENDPOINT, "papers", "d1"),
    ]


async def test_a_block_cancelled_at_any_await_leaves_nothing_held(database, ledger):
    await set_limit(database, Origin.REAL, Limit("global", "day", 10_000_000))

    async def work(reached):
        async with held(ledger) as call:
            reached.append("vendor")
            await asyncio.sleep(0)
            call.settle(tokens(60))
            reached.append("answer")

    for number in count(1):
        reached = []
        task = asyncio.create_task(cancelled_at(number, work(reached)))
        await asyncio.wait({task})
        await ledger.close()
        assert (await balance(database)).held == 0
        assert (await audit(database)).breaches == ()
        last = {(): {"released", None}, ("vendor",): {"assumed"}}.get(tuple(reached), {"posted"})
        assert await last_state(database) in last
        if not task.cancelled():
            break
    assert reached == ["vendor", "answer"]
    assert number > 3


async def last_state(database):
    async with database.connection() as connection:
        cursor = await connection.execute("SELECT state FROM calls ORDER BY at DESC LIMIT 1")
        row = await cursor.fetchone()
    return row and row["state"]


async def test_a_late_bill_is_priced_at_the_address_where_the_call_was_made(database, ledger):
    own = Price("cohere", "rerank", "searches", 7, "ours", host="api.cohere.example")
    calls = Calls(ledger, Prices("own", [own]))
    usage = Usage("rerank", "searches", 3)
    facts = {"origin": Origin.REAL, "endpoint": "https://api.cohere.example/v2"}
    async with calls.hold("cohere", "rerank", usage, **facts) as call:
        call.open("search-1")
    assert await calls.settle("cohere", "search-1", Usage("rerank", "searches", 2))
    assert (await report(database)).totals[0].spent == 14
    with pytest.raises(errors.Misconfigured, match="no known price per searches"):
        calls.price("cohere", usage)
