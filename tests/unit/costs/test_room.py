"""What limits have room for now, read without a change."""

from money import end, hold, posted

from gristmill.contract import Origin
from gristmill.costs.budgets import Limit, room, set_limit
from gristmill.costs.ledger import EntryKind

REAL = Origin.REAL
SCOPES = [
    ("global", ""),
    ("service", "openai"),
    ("service", "llamaparse"),
    ("collection", "papers"),
    ("document", ""),
    ("document", "d1"),
]


async def limited(database, *limits):
    for limit in limits:
        await set_limit(database, REAL, limit)


async def told(database, scopes=SCOPES, origin=REAL):
    found = await room(database, origin, scopes)
    return {each.name: (each.limit, each.spent, each.held) for each in found}


async def test_only_limits_that_concern_the_call_are_told(database):
    await limited(
        database,
        Limit("global", "day", 100),
        Limit("service", "day", 50, "openai"),
        Limit("service", "day", 60, "supabase"),
        Limit("collection", "month", 70, "letters"),
        Limit("document", "total", 80),
    )
    assert await told(database) == {
        "global/day": (100, 0, 0),
        "service=openai/day": (50, 0, 0),
        "document/total": (80, 0, 0),
        "document=d1/total": (80, 0, 0),
    }
    assert await told(database, origin=Origin.SIMULATED) == {}


async def test_what_is_spent_and_held_is_told_of_rows_and_where_there_is_none_of_the_journal(
    database, ledger
):
    facts = {"document_id": "d1", "collection": "papers"}
    call = await ledger.hold(hold(30, **facts))
    await ledger.end(call, posted(20))
    await ledger.hold(hold(7, **facts))
    # Limits for each have no row before somebody holds for them.
    await limited(
        database,
        Limit("global", "day", 100),
        Limit("service", "day", 50),
        Limit("document", "total", 80),
    )
    expected = {
        "global/day": (100, 20, 7),
        "service=llamaparse/day": (50, 0, 0),
        "service=openai/day": (50, 20, 7),
        "document/total": (80, 0, 0),
        "document=d1/total": (80, 20, 7),
    }
    assert await told(database) == expected
    await ledger.hold(hold(0, **facts))  # makes the rows
    assert await told(database) == expected


async def test_reading_writes_no_row(database, ledger):
    await limited(database, Limit("document", "total", 80))
    call = await ledger.hold(hold(30))
    await ledger.end(call, end(EntryKind.RELEASED, 0))
    await told(database)
    async with database.connection() as connection:
        cursor = await connection.execute("SELECT count(*) AS rows FROM balances")
        assert (await cursor.fetchone())["rows"] == 0


async def test_no_limit_on_purpose_is_none(database):
    await limited(database, Limit("global", "total", None))
    assert await told(database) == {}
