"""What was spent: totals from the journal, and amounts as text."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.amounts import dollars
from gristmill.contract import Origin, Usage
from gristmill.costs.ledger import End, EntryKind, Hold
from gristmill.costs.prices import PRICES, credit_usage
from gristmill.costs.report import CostLine, CostReport, report

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
