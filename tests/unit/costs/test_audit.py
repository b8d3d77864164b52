"""The audit: books that are right are found so, and whatever is changed behind them is told."""

from datetime import UTC, datetime, timedelta

import pytest
from money import RELEASED, SetClock, end, hold, opened, posted

from gristmill.contract import Origin
from gristmill.costs.audit import EXAMPLES, Audit, Breach, Example, audit
from gristmill.costs.budgets import Limit, set_limit
from gristmill.costs.ledger import EntryKind, Ledger
from gristmill.database.migrate import migrate

REAL, SIMULATED = Origin.REAL, Origin.SIMULATED


async def sql(database, statement, *values):
    """Changes what only the ledger may change; the journal's guard is asleep meanwhile."""
    async with database.transaction() as connection:
        await connection.execute("ALTER TABLE journal DISABLE TRIGGER journal_append_only")
        await connection.execute(statement, values)
        await connection.execute("ALTER TABLE journal ENABLE TRIGGER journal_append_only")


@pytest.fixture
async def books(database, ledger):
    """Calls that ended in every way, and limits of every scope and period."""
    for scope in ("global", "service", "collection", "document"):
        for period in ("day", "month", "total"):
            for origin in (REAL, SIMULATED):
                await set_limit(database, origin, Limit(scope, period, 10_000))
    await set_limit(database, REAL, Limit("service", "day", 500, "openai"))
    calls = [
        await ledger.hold(hold(100, origin=origin, collection="papers", document_id=f"d{n}"))
        for n in range(3)
        for origin in (REAL, SIMULATED)
    ]
    ends = (posted(60), posted(130), RELEASED, end(EntryKind.ASSUMED, 100), opened(100, "job-1"))
    for call, how in zip(calls, ends, strict=False):
        await ledger.end(call, how)
    await ledger.end(calls[3], posted(70))
    await ledger.end(calls[4], posted(40))
    await ledger.end(calls[5], opened(100, "job-2"))
    return calls


async def test_books_that_are_right_are_found_so_whatever_became_of_the_calls(database, books):
    found = await audit(database)
    assert found == Audit(entries=14, calls=len(books), balances=found.balances, breaches=())
    assert found.balances > 20


async def test_empty_books_are_right(database):
    assert await audit(database) == Audit(entries=0, calls=0, balances=0, breaches=())


@pytest.mark.parametrize(
    ("change", "rule", "says", "journal"),
    [
        ("posted = posted - 1", "What a balance says is spent", 99, 100),
        ("held = held + 1", "What a balance says is held", 1, 0),
        ("overrun = overrun + 1", "The overrun of a balance", 1, 0),
        ("nano_dollars = nano_dollars + 1", "A balance is kept for another limit", 10_001, 10_000),
    ],
)
@pytest.mark.usefixtures("books")
async def test_a_balance_that_was_changed_is_told_with_both_amounts(
    database, change, rule, says, journal
):
    day = "limit_id = (SELECT id FROM limits WHERE origin = 'real' AND scope = 'global'"
    await sql(database, f"UPDATE balances SET {change} WHERE {day} AND period = 'day')")
    (breach,) = (await audit(database)).breaches
    assert breach.rule.startswith(rule)
    assert breach.number == 1
    today = datetime.now(UTC).date()
    assert breach.examples == (Example(f"global/day of {today}, real", says, journal),)


async def test_each_balance_of_a_key_and_of_all_time_is_looked_at(database, books):
    del books
    await sql(database, "UPDATE balances SET posted = posted + 1, overrun = overrun")
    (breach,) = (await audit(database)).breaches
    names = {example.what for example in breach.examples}
    assert breach.number == (await audit(database)).balances
    assert len(names) == EXAMPLES
    assert all(name.startswith("collection=papers/") for name in names)


HELD_ALONE = """
INSERT INTO holds
SELECT (jsonb_populate_record(h, jsonb_build_object('call_id', gen_random_uuid(),
                                                    'vendor_ref', 'job-3'))).*
FROM holds h WHERE call_id = %s
"""


@pytest.mark.parametrize(
    ("statement", "rules"),
    [
        (
            "DELETE FROM holds WHERE call_id = %s",
            ("A call that has ended is still held", "What is held for a call is not"),
        ),
        (
            "UPDATE holds SET nano_dollars = 1 WHERE call_id = %s",
            ("What is held for a call is not",),
        ),
        (
            "DELETE FROM journal WHERE entry = 'held' AND call_id = %s",
            ("A call does not begin", "What is held for a call", "What a balance says is held"),
        ),
        (
            "UPDATE journal SET document_id = 'other' WHERE entry = 'open' AND call_id = %s",
            ("The entries of a call are not about",),
        ),
        (
            "UPDATE journal SET nano_dollars = 99 WHERE entry = 'held' AND call_id = %s",
            ("The last word on a call",),
        ),
        (HELD_ALONE, ("A call does not begin",)),
    ],
    ids=["no hold", "another hold", "no beginning", "mixed", "another amount", "only a hold"],
)
async def test_a_call_that_contradicts_itself_is_told(database, books, statement, rules):
    await sql(database, statement, books[-1])
    found = (await audit(database)).breaches
    assert len(found) == len(rules)
    for breach, rule in zip(found, rules, strict=True):
        assert breach.rule.startswith(rule)


COLUMNS = (
    "at, call_id, entry, service, operation, product, unit, quantity, nano_dollars, price_version,"
    " origin, endpoint, collection, document_id, vendor_ref, note, held_at, held, posted"
)


async def again(database, call, entry, **changes):
    """A further entry of a call, made from its first."""
    facts = {"entry": f"'{entry}'", "held": "0", "posted": "0", **changes}
    chosen = ", ".join(facts.get(column, column) for column in COLUMNS.split(", "))
    first = "FROM journal WHERE entry = 'held' AND call_id = %s"
    await sql(database, f"INSERT INTO journal ({COLUMNS}) SELECT {chosen} {first}", call)


@pytest.mark.parametrize(
    ("entry", "rule"),
    [
        ("released", "A call has ended more than once"),
        ("corrected", "A call was corrected that nobody had assumed"),
    ],
)
async def test_an_end_too_many_is_told(database, ledger, entry, rule):
    call = await ledger.hold(hold(100))
    await ledger.end(call, posted(0))
    await again(database, call, entry, nano_dollars="0")
    (breach,) = (await audit(database)).breaches
    assert breach == Breach(rule, 1, (Example(f"openai Embed {call}"),))


async def test_windows_of_other_days_and_months_are_added_up_as_well(conninfo):
    database = SetClock(conninfo)
    await database.open()
    await migrate(database)
    await database.wind()
    ledger, start = Ledger(database), datetime(2026, 10, 30, 23, 30, tzinfo=UTC)
    for period in ("day", "month", "total"):
        await set_limit(database, REAL, Limit("document", period, 1000))
    for hours in range(0, 72, 12):
        await database.set(start + timedelta(hours=hours))
        call = await ledger.hold(hold(10, document_id="d1"))
        await database.set(start + timedelta(hours=hours + 1))
        await ledger.end(call, posted(7))
    assert (await audit(database)).breaches == ()
    assert (await audit(database)).balances == 4 + 2 + 1
    await ledger.close()
    await database.close()


async def test_breaches_are_counted_and_only_some_are_named(database, ledger):
    for _ in range(EXAMPLES + 3):
        await ledger.hold(hold(1))
    await sql(database, "UPDATE holds SET nano_dollars = 2")
    (breach,) = (await audit(database)).breaches
    assert (breach.number, len(breach.examples)) == (EXAMPLES + 3, EXAMPLES)
    assert {(example.says, example.journal) for example in breach.examples} == {(2, 1)}
