"""What was spent: totals from the journal, and amounts as text."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from money import SetClock

from gristmill.amounts import dollars
from gristmill.contract import Origin, Usage
from gristmill.costs.ledger import End, EntryKind, Hold, Ledger
from gristmill.costs.prices import PRICES, credit_usage
from gristmill.costs.report import CostLine, CostReport, report
from gristmill.database.migrate import migrate
from gristmill.errors import InvalidArgument

K = EntryKind
REAL, SIMULATED = Origin.REAL, Origin.SIMULATED
TOKENS = Usage("text-embedding-3-small", "tokens", 100)


async def call(ledger, *ends, **changes):
    """A call with 2000 held and further entries, each a kind with an amount."""
    facts = {
        "service": "openai",
        "operation": "Embed",
        "usage": TOKENS,
        "nano_dollars": 2000,
        "price_version": "2026-10-07",
        "origin": REAL,
        "endpoint": "https://api.vendor.test",
        "collection": "papers",
        "document_id": "d1",
    }
    call_id = await ledger.hold(Hold(**{**facts, **changes}))
    for kind, nano_dollars in ends:
        ref = "pjb-1" if kind is K.OPEN else None
        await ledger.end(call_id, End(kind, TOKENS, nano_dollars, "2026-10-07", ref))
    return call_id


def bill(credit):
    usage = credit_usage(Decimal(credit))
    return End(K.POSTED, usage, PRICES.cost("llamaparse", usage), PRICES.version)


async def test_known_bills_are_spent_and_bounds_without_one_are_assumed(database, ledger):
    await call(ledger)
    await call(ledger, (K.POSTED, 500))
    await call(ledger, (K.ASSUMED, 2000))
    await call(ledger, (K.RELEASED, 0))
    await call(ledger, (K.OPEN, 2000), service="llamaparse")

    assert await report(database) == CostReport(
        by="service",
        lines=(
            CostLine("llamaparse", REAL, calls=1, spent=0, assumed=2000),
            CostLine("openai", REAL, calls=3, spent=500, assumed=4000),
        ),
        totals=(CostLine(None, REAL, calls=4, spent=500, assumed=6000),),
    )


async def test_the_late_bill_of_an_open_call_counts_once(database, ledger):
    await call(ledger, (K.OPEN, 2000), service="llamaparse")

    assert await ledger.settle("llamaparse", "pjb-1", bill("3.5"))
    await ledger.settle("llamaparse", "pjb-1", bill("99"))
    assert not await ledger.settle("llamaparse", "pjb-2", bill("3.5"))

    assert (await report(database)).lines == (
        CostLine("llamaparse", REAL, calls=1, spent=4_375_000, assumed=0),
    )


async def test_a_lost_answer_opens_its_call_once_and_never_an_older_one(database, ledger):
    submit = {"service": "llamaparse", "operation": "SubmitParse"}
    older = await call(ledger, (K.ASSUMED, 2000), **submit)
    lost = await call(ledger, (K.ASSUMED, 2000), **submit)

    assert await ledger.adopt(*submit.values(), "d1", "pjb-1")
    assert not await ledger.adopt(*submit.values(), "d1", "pjb-1")
    async with database.connection() as connection:
        cursor = await connection.execute("SELECT call_id FROM journal WHERE entry = 'open'")
        assert [row["call_id"] for row in await cursor.fetchall()] == [lost]
    assert older != lost

    assert await ledger.settle("llamaparse", "pjb-1", bill("0.001"))
    assert (await report(database)).totals == (CostLine(None, REAL, 2, 1250, assumed=2000),)


async def test_a_bill_of_nothing_settles_as_well(database, ledger):
    await call(ledger, (K.OPEN, 2000), service="llamaparse")
    assert await ledger.settle("llamaparse", "pjb-1", bill("0"))
    assert (await report(database)).totals == (CostLine(None, REAL, 1, spent=0, assumed=0),)


async def test_real_and_simulated_money_is_never_added_up(database, ledger):
    await call(ledger, (K.POSTED, 1))
    await call(ledger, (K.POSTED, 10), origin=SIMULATED)
    result = await report(database)
    assert result.lines == (
        CostLine("openai", REAL, 1, 1, 0),
        CostLine("openai", SIMULATED, 1, 10, 0),
    )
    assert [(line.origin, line.spent) for line in result.totals] == [(REAL, 1), (SIMULATED, 10)]


async def test_documents_and_collections_have_lines_and_calls_of_none_come_last(database, ledger):
    await call(ledger, (K.POSTED, 1), document_id="d2")
    await call(ledger, (K.POSTED, 2), document_id="d1", collection="notes")
    await call(ledger, (K.POSTED, 4), document_id=None, collection=None)

    by_document = (await report(database, "document")).lines
    assert [(line.name, line.spent) for line in by_document] == [("d1", 2), ("d2", 1), (None, 4)]
    by_collection = (await report(database, "collection")).lines
    assert [line.name for line in by_collection] == ["notes", "papers", None]


async def test_a_document_that_is_still_there_has_the_name_of_its_file(database, ledger):
    async with database.connection() as connection:
        await connection.execute(
            "WITH c AS (INSERT INTO collections (name, origin) VALUES ('papers', 'real') RETURNING"
            " id) INSERT INTO documents (id, collection_id, source, status, stage)"
            " SELECT 'd1', id, '/docs/rye.pdf', 'ready', 'ready' FROM c"
        )
    await call(ledger, (K.POSTED, 1), document_id="d1")
    await call(ledger, (K.POSTED, 1), document_id="deleted")
    lines = (await report(database, "document")).lines
    assert [(line.name, line.title) for line in lines] == [
        ("d1", "/docs/rye.pdf"),
        ("deleted", None),
    ]


async def test_a_model_is_what_was_asked_for_whatever_the_bill_is_in(database, ledger):
    usage = Usage("agentic", "pages", 4)
    await call(ledger, (K.OPEN, 2000), service="llamaparse", usage=usage)
    await ledger.settle("llamaparse", "pjb-1", bill("3.5"))
    await call(ledger, (K.POSTED, 7))
    lines = (await report(database, "model")).lines
    assert [(line.name, line.spent, line.calls) for line in lines] == [
        ("agentic", 4_375_000, 1),
        ("text-embedding-3-small", 7, 1),
    ]


async def test_what_corrects_an_assumed_call_takes_its_place(database, ledger):
    corrected = await call(ledger, (K.ASSUMED, 2000), (K.POSTED, 300))
    found = await call(ledger, (K.ASSUMED, 2000), (K.OPEN, 2000), service="llamaparse")
    (openai, parser) = (await report(database)).lines[::-1]
    assert (openai.spent, openai.assumed, parser.spent, parser.assumed) == (300, 0, 0, 2000)
    await ledger.end(found, bill("1"))
    await ledger.end(corrected, End(K.POSTED, TOKENS, 1, "later"))
    (parser, openai) = (await report(database)).lines
    assert (openai.spent, openai.assumed) == (300, 0)
    assert (parser.spent, parser.assumed) == (1_250_000, 0)


async def test_only_calls_made_since_then_are_counted(conninfo):
    database = SetClock(conninfo)
    await database.open()
    await migrate(database)
    await database.wind()
    ledger, noon = Ledger(database), datetime(2026, 11, 2, 12, tzinfo=UTC)
    for moment in (noon - timedelta(days=2), noon - timedelta(hours=12)):
        await database.set(moment)
        await call(ledger, (K.ASSUMED, 2000))
    await database.set(noon)
    await call(ledger, (K.POSTED, 100))

    async def spent(since):
        found = await report(database, since=since)
        return found.since, sum(line.spent + line.assumed for line in found.lines)

    midnight = datetime(2026, 11, 2, tzinfo=UTC)
    assert await spent(None) == (None, 4100)
    assert await spent(midnight) == (midnight, 2100)
    assert await spent(timedelta(hours=1)) == (noon - timedelta(hours=1), 100)
    assert await spent(timedelta(days=7)) == (noon - timedelta(days=7), 4100)
    assert await spent(noon + timedelta(days=1)) == (noon + timedelta(days=1), 0)
    await ledger.close()
    await database.close()


async def test_a_moment_without_a_time_zone_is_refused(database):
    with pytest.raises(InvalidArgument, match="time zone"):
        await report(database, since=datetime(2026, 11, 2))  # noqa: DTZ001 — what is refused


async def test_days_are_utc_whatever_the_session_thinks(database, ledger):
    await call(ledger, (K.POSTED, 1))
    async with database.connection() as connection:
        cursor = await connection.execute("SELECT (now() AT TIME ZONE 'UTC')::date::text AS day")
        day = (await cursor.fetchone())["day"]
        await connection.execute("SET TIME ZONE 'Pacific/Kiritimati'")
    (line,) = (await report(database, "day")).lines
    assert line.name == day


async def test_an_unknown_grouping_is_refused(database):
    with pytest.raises(ValueError, match="service, day, document, collection"):
        await report(database, "colour")


async def test_an_empty_journal_has_an_empty_report(database):
    assert await report(database) == CostReport("service", (), ())


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "$0.000000"),
        (20_000, "$0.000020"),
        (20, "$0.000000020"),
        (1_250_000_000, "$1.250000"),
        (1_234_567_000_000_001, "$1,234,567.000000001"),
        (-12_500_000, "-$0.012500"),
    ],
)
def test_an_amount_reads_as_dollars(nano, text):
    assert dollars(nano) == text


@given(st.integers(min_value=-(2**80), max_value=2**80))
def test_an_amount_as_text_is_exact(nano):
    sign = -1 if dollars(nano).startswith("-") else 1
    whole, _, decimals = dollars(nano).lstrip("-$").replace(",", "").partition(".")
    assert sign * int(whole + decimals.ljust(9, "0")) == nano
