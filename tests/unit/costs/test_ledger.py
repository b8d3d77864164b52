"""The ledger: what is held never passes a limit, what ended ends once, and all of it adds up."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from cancel import cancelled_at
from money import RELEASED, SetClock, balance, end, hold, opened, posted
from scripted import ENDPOINT, PRICES, Grind, ScriptedService, answer

from gristmill.contract import Origin
from gristmill.costs.audit import audit
from gristmill.costs.budgets import Limit, balances, clear_limit, seed_limits, set_limit
from gristmill.costs.ledger import EntryKind, Ledger
from gristmill.errors import BudgetExceeded
from gristmill.policies.budget import Budget

NOON = datetime(2026, 3, 31, 12, tzinfo=UTC)
REAL = Origin.REAL


async def limited(database, nano_dollars, scope="global", period="day", key=""):
    await set_limit(database, REAL, Limit(scope, period, nano_dollars, key))


async def entries(database):
    async with database.connection() as connection:
        cursor = await connection.execute("SELECT entry FROM journal ORDER BY id")
        return [row["entry"] for row in await cursor.fetchall()]


async def money(database, scope="global", key=""):
    found = await balance(database, scope, key)
    return found.spent, found.held, found.overrun


# 1. Nothing held passes a limit; only a bill or a lowered limit does.


async def test_a_hold_that_fits_to_the_last_nano_dollar_is_taken_and_one_more_is_not(
    database, ledger
):
    await limited(database, 100)
    await ledger.hold(hold(100))
    with pytest.raises(BudgetExceeded):
        await ledger.hold(hold(1))
    assert await money(database) == (0, 100, 0)
    assert (await audit(database)).breaches == ()


async def test_a_hold_of_nothing_passes_a_limit_that_is_used_up(database, ledger):
    await limited(database, 100)
    await ledger.hold(hold(100))
    await ledger.hold(hold(0))
    assert await money(database) == (0, 100, 0)


async def test_a_settlement_above_its_hold_is_posted_in_full_and_told_as_overrun(database, ledger):
    await limited(database, 100)
    call = await ledger.hold(hold(100))
    await ledger.end(call, posted(130))
    assert await money(database) == (130, 0, 30)
    with pytest.raises(BudgetExceeded):
        await ledger.hold(hold(1))
    assert await money(database) == (130, 0, 30)
    assert (await audit(database)).breaches == ()


async def test_a_limit_lowered_below_what_is_held_calls_nothing_back_and_lets_nothing_new_in(
    database, ledger
):
    await limited(database, 100)
    call = await ledger.hold(hold(90))
    await limited(database, 50)
    assert await money(database) == (0, 90, 40)
    with pytest.raises(BudgetExceeded):
        await ledger.hold(hold(1))
    await ledger.end(call, posted(20))
    assert await money(database) == (20, 0, 0)
    await ledger.hold(hold(30))
    assert (await audit(database)).breaches == ()


async def test_many_callers_of_two_processes_pass_no_limit_together(database):
    ledger, other = Ledger(database), Ledger(database)
    await limited(database, 1000)
    await limited(database, 300, "document", "total")

    async def call(number):
        keeper = (ledger, other)[number % 2]
        await keeper.hold(hold(7, collection="c", document_id=f"d{number % 5}"))

    asked = await asyncio.gather(*(call(n) for n in range(400)), return_exceptions=True)
    await asyncio.gather(ledger.close(), other.close())
    assert sum(1 for answer in asked if answer is None) == 1000 // 7
    assert {type(answer) for answer in asked if answer is not None} == {BudgetExceeded}
    assert all(b.spent + b.held <= b.limit for b in await balances(database))
    assert (await audit(database)).breaches == ()


# 2. Each hold of a group is decided for itself.


async def test_of_a_group_of_holds_those_that_fit_go_and_a_refused_one_takes_no_room(
    database, ledger
):
    await limited(database, 100)
    await limited(database, 10, "document", "total", "poor")
    asked = (
        hold(60, document_id="rich"),
        hold(20, document_id="poor"),
        hold(50, document_id="rich"),
        hold(40, document_id="rich"),
    )
    answers = await asyncio.gather(*(ledger.hold(one) for one in asked), return_exceptions=True)
    assert [isinstance(answer, BudgetExceeded) for answer in answers] == [False, True, True, False]
    assert (answers[1].scope, answers[1].key) == ("document", "poor")
    assert (answers[2].scope, answers[2].held) == ("global", 60)
    assert await money(database) == (0, 100, 0)
    assert await entries(database) == ["held", "held"]
    assert (await audit(database)).breaches == ()


async def test_what_ends_in_a_group_makes_room_for_what_is_held_in_it(database, ledger):
    await limited(database, 100)
    call = await ledger.hold(hold(100))
    await asyncio.gather(ledger.end(call, RELEASED), ledger.hold(hold(100)))
    assert await money(database) == (0, 100, 0)


async def test_a_call_refused_by_two_limits_waits_for_the_one_that_begins_anew_last(
    database, ledger
):
    await limited(database, 10)
    await limited(database, 10, period="month")
    await ledger.end(await ledger.hold(hold(10)), posted(10))
    with pytest.raises(BudgetExceeded) as caught:
        await ledger.hold(hold(5))
    assert caught.value.period == "month"


async def test_a_defect_in_one_call_of_a_group_harms_no_other(database, ledger):
    await limited(database, 100)
    wrong = hold(5, origin="counterfeit")
    answers = await asyncio.gather(
        *(ledger.hold(one) for one in (hold(1), wrong, hold(2))), return_exceptions=True
    )
    assert [isinstance(answer, Exception) for answer in answers] == [False, True, False]
    assert await money(database) == (0, 3, 0)


# 4. A call ends once.


@pytest.mark.parametrize("again", [posted(30), RELEASED, end(EntryKind.ASSUMED, 50)])
async def test_ending_a_call_again_changes_nothing(database, ledger, again):
    await limited(database, 100)
    call = await ledger.hold(hold(50))
    await ledger.end(call, posted(30))
    await ledger.end(call, again)
    await ledger.end(call, again)
    assert await money(database) == (30, 0, 0)
    assert await entries(database) == ["held", "posted"]


async def test_accepted_work_that_is_told_of_again_stays_open_once(database, ledger):
    await limited(database, 100)
    call = await ledger.hold(hold(50))
    for _ in range(2):  # as after a connection that broke before it told what was written
        await ledger.end(call, opened(50, "job-1"))
    assert await money(database) == (0, 50, 0)
    await ledger.settle("openai", "job-1", posted(20))
    await ledger.end(call, opened(50, "job-1"))
    assert await money(database) == (20, 0, 0)
    assert await entries(database) == ["held", "open", "posted"]


async def test_the_end_of_a_call_that_was_never_held_changes_nothing(database, ledger):
    await limited(database, 100)
    stray = await ledger.hold(hold(1, origin=Origin.SIMULATED))
    await ledger.end(stray, RELEASED)
    other = Ledger(database)
    await other.end(type(stray)(int=stray.int ^ 1), posted(50))
    await other.close()
    assert await money(database) == (0, 0, 0)


async def test_a_bill_that_two_processes_bring_at_once_is_posted_once(database, ledger):
    await limited(database, 100)
    other = Ledger(database)
    call = await ledger.hold(hold(50))
    await ledger.end(call, opened(50, "job-1"))
    bills = (keeper.settle("openai", "job-1", posted(20)) for keeper in (ledger, other))
    assert await asyncio.gather(*bills) == [True, True]
    await other.close()
    assert await money(database) == (20, 0, 0)
    assert await entries(database) == ["held", "open", "posted"]
    assert (await audit(database)).breaches == ()


async def test_a_bill_that_comes_twice_at_once_is_posted_once_and_both_are_told(database, ledger):
    await limited(database, 100)
    call = await ledger.hold(hold(50))
    await ledger.end(call, opened(50, "job-1"))
    bills = (ledger.settle("openai", "job-1", posted(20)) for _ in range(2))
    assert await asyncio.gather(*bills) == [True, True]
    assert await entries(database) == ["held", "open", "posted"]


async def test_what_is_known_of_a_call_is_not_lost_because_it_is_assumed_at_the_same_time(
    database, ledger
):
    await limited(database, 100)
    call = await ledger.hold(hold(50))
    ends = (end(EntryKind.ASSUMED, 50), posted(30), end(EntryKind.ASSUMED, 50))
    await asyncio.gather(*(ledger.end(call, each) for each in ends))
    assert await entries(database) == ["held", "assumed", "corrected"]
    assert await money(database) == (30, 0, 0)


async def test_open_work_is_held_until_its_bill_comes_however_late(database, ledger):
    await limited(database, 100)
    call = await ledger.hold(hold(50))
    await ledger.end(call, opened(50, "job-1"))
    assert await ledger.assume_forgotten(seconds=0) == 0
    assert await money(database) == (0, 50, 0)


# 5. What nobody knows counts as spent; evidence corrects it, time alone never.


async def test_a_call_that_nobody_ended_is_posted_at_its_worst_case(database, ledger):
    await limited(database, 100)
    await ledger.hold(hold(50))
    assert await ledger.assume_forgotten(seconds=60) == 0
    assert await ledger.assume_forgotten(seconds=0) == 1
    assert await money(database) == (50, 0, 0)
    assert await ledger.assume_forgotten(seconds=0) == 0
    assert await entries(database) == ["held", "assumed"]


@pytest.mark.parametrize(("evidence", "spent"), [(posted(30), 30), (RELEASED, 0), (posted(80), 80)])
async def test_later_evidence_corrects_what_was_assumed_once(database, ledger, evidence, spent):
    await limited(database, 100)
    call = await ledger.hold(hold(50))
    await ledger.assume_forgotten(seconds=0)
    await ledger.end(call, evidence)
    await ledger.end(call, posted(99))
    assert await money(database) == (spent, 0, 0)
    assert await entries(database) == ["held", "assumed", "corrected"]
    assert (await audit(database)).breaches == ()


async def test_an_assumed_submit_whose_job_is_found_is_corrected_by_that_jobs_bill(
    database, ledger
):
    await limited(database, 100)
    await ledger.hold(hold(50, document_id="d1"))
    await ledger.assume_forgotten(seconds=0)
    assert await ledger.adopt("openai", "Embed", "d1", "job-1")
    assert not await ledger.adopt("openai", "Embed", "d1", "job-1")
    assert await ledger.settle("openai", "job-1", posted(20))
    assert await money(database) == (20, 0, 0)
    assert (await audit(database)).breaches == ()


async def test_a_bill_that_never_comes_is_assumed_when_somebody_says_so(database, ledger):
    await limited(database, 100)
    call = await ledger.hold(hold(50))
    await ledger.end(call, opened(50, "job-1"))
    assert await ledger.assume("openai", "job-1", "no bill within a day")
    assert not await ledger.assume("openai", "job-1", "no bill within a day")
    assert await money(database) == (50, 0, 0)
    assert await ledger.settle("openai", "job-1", posted(10))
    assert await money(database) == (10, 0, 0)
    assert (await audit(database)).breaches == ()


# 6. A balance is what the journal says.


async def test_a_limit_set_late_counts_what_was_spent_and_held_before_it(database, ledger):
    await ledger.end(await ledger.hold(hold(30, collection="c")), posted(30))
    await ledger.hold(hold(25, collection="c"))
    await limited(database, 100)
    await limited(database, 40, "collection", "month", "c")
    assert await money(database) == (30, 25, 0)
    assert await money(database, "collection", "c") == (30, 25, 15)
    assert (await audit(database)).breaches == ()


async def test_a_limit_for_each_document_is_counted_from_its_first_call_on(database, ledger):
    await ledger.end(await ledger.hold(hold(30, document_id="old")), posted(30))
    await limited(database, 40, "document", "total")
    with pytest.raises(BudgetExceeded) as caught:
        await ledger.hold(hold(20, document_id="old"))
    assert (caught.value.key, caught.value.spent) == ("old", 30)
    await ledger.hold(hold(40, document_id="new"))
    assert (await audit(database)).breaches == ()


async def test_a_limit_removed_and_set_again_has_forgotten_nothing(database, ledger):
    await limited(database, 100)
    await ledger.end(await ledger.hold(hold(30)), posted(30))
    assert await clear_limit(database, REAL, "global", "day")
    await ledger.end(await ledger.hold(hold(500)), posted(40))
    await limited(database, 100)
    assert await money(database) == (70, 0, 0)
    assert (await audit(database)).breaches == ()


async def test_the_journal_cannot_be_changed_afterwards(database, ledger):
    await ledger.hold(hold(30))
    for statement in ("UPDATE journal SET posted = 0", "DELETE FROM journal"):
        with pytest.raises(Exception, match="append"):
            async with database.connection() as connection:
                await connection.execute(statement)


# 7. Windows are the database's days and months of UTC, and a call belongs to the one it began in.


@pytest.fixture
async def clock(database):
    clock = SetClock(database._conninfo)
    await clock.open()
    await clock.wind()
    await clock.set(NOON)
    yield clock
    await clock.close()


async def test_a_day_that_turns_in_mid_call_settles_in_the_day_of_the_hold(clock):
    ledger = Ledger(clock)
    await limited(clock, 100)
    await limited(clock, 150, period="month")
    call = await ledger.hold(hold(100))
    await clock.set(NOON + timedelta(hours=13))
    await ledger.hold(hold(60))
    await ledger.end(call, posted(70))
    assert await windows(clock) == [
        ("day", "2026-03-31", 70, 0),
        ("day", "2026-04-01", 0, 60),
        ("month", "2026-03-01", 70, 0),
        ("month", "2026-04-01", 0, 60),
    ]
    assert (await audit(clock)).breaches == ()


async def test_a_new_day_has_the_whole_limit_and_a_total_stays_as_it_is(clock):
    ledger = Ledger(clock)
    await limited(clock, 100)
    await limited(clock, 150, period="total")
    await ledger.end(await ledger.hold(hold(100)), posted(100))
    with pytest.raises(BudgetExceeded) as caught:
        await ledger.hold(hold(40))
    assert caught.value.window_end == datetime(2026, 4, 1, tzinfo=UTC)
    assert caught.value.retry_after == 12 * 3600
    await clock.set(NOON + timedelta(hours=12))
    await ledger.hold(hold(40))
    with pytest.raises(BudgetExceeded) as caught:
        await ledger.hold(hold(40))
    assert caught.value.period == "total"
    assert (await audit(clock)).breaches == ()


async def test_a_clock_that_steps_back_spends_no_window_twice(clock):
    ledger = Ledger(clock)
    await limited(clock, 100)
    await ledger.hold(hold(90))
    await clock.set(NOON + timedelta(days=1))
    call = await ledger.hold(hold(90))
    await clock.set(NOON)
    with pytest.raises(BudgetExceeded):
        await ledger.hold(hold(20))
    await ledger.end(call, posted(50))
    assert await windows(clock) == [("day", "2026-03-31", 0, 90), ("day", "2026-04-01", 50, 0)]
    assert (await audit(clock)).breaches == ()


async def windows(database):
    async with database.connection() as connection:
        cursor = await connection.execute(
            "SELECT l.period, to_char(b.starts_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day,"
            " b.posted, b.held FROM balances b JOIN limits l ON l.id = b.limit_id ORDER BY 1, 2"
        )
        return [tuple(row.values()) for row in await cursor.fetchall()]


async def test_a_price_that_changes_in_mid_flight_is_named_where_it_priced(database, ledger):
    await limited(database, 100)
    call = await ledger.hold(hold(50))
    await ledger.end(call, opened(50, "job-1"))
    await ledger.settle("openai", "job-1", posted(60, price_version="now"))
    async with database.connection() as connection:
        cursor = await connection.execute("SELECT entry, price_version FROM journal ORDER BY id")
        named = [tuple(row.values()) for row in await cursor.fetchall()]
    assert named == [("held", "then"), ("open", "then"), ("posted", "now")]
    assert await money(database) == (60, 0, 0)


# The environment of the first process seeds an empty database; afterwards the database wins.


async def test_of_two_processes_with_different_limits_the_first_one_sets_them(database):
    ours, theirs = Limit("global", "day", 100), Limit("global", "day", 900)
    seeded = await asyncio.gather(
        *(seed_limits(database, REAL, [limit]) for limit in (ours, theirs))
    )
    assert sorted(seeded) == [False, True]
    first = ours if seeded[0] else theirs
    assert [b.limit for b in await balances(database)] == [first.nano_dollars]


# Cancelled anywhere, a call leaves nothing held and nothing unexplained.


async def test_a_call_cancelled_at_any_await_leaves_nothing_held(database, ledger):
    await limited(database, 10_000_000)
    for number in count(1):
        service = ScriptedService([answer(used=60)])
        layer = Budget(service, ledger=ledger, prices=PRICES, origin=REAL, endpoint=ENDPOINT)
        call = asyncio.create_task(cancelled_at(number, layer.execute(Grind(tokens=100))))
        await asyncio.wait({call})
        await ledger.close()
        assert (await balance(database)).held == 0
        assert (await audit(database)).breaches == ()
        states = await last_states(database)
        assert states <= ({"posted", "assumed"} if service.calls else {"released"})
        if not call.cancelled():
            break
    assert number > 2


async def last_states(database):
    async with database.connection() as connection:
        cursor = await connection.execute("SELECT state FROM calls ORDER BY at DESC LIMIT 1")
        return {row["state"] for row in await cursor.fetchall()}
