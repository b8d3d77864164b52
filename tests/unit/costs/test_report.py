"""What was spent: totals from the journal, and amounts as text."""

from dataclasses import replace
from decimal import Decimal
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.contract import Origin, Usage
from gristmill.costs.journal import Entry, EntryKind, adopt, record, settle
from gristmill.costs.prices import credit_usage
from gristmill.costs.report import CostLine, CostReport, dollars, report
from gristmill.errors import Misconfigured

K = EntryKind
REAL, SIMULATED = Origin.REAL, Origin.SIMULATED


def expected(**changes):
    facts = {
        "call_id": uuid4(),
        "kind": K.EXPECTED,
        "service": "openai",
        "operation": "Embed",
        "usage": Usage("text-embedding-3-small", "tokens", 100),
        "nano_dollars": 2000,
        "price_version": "2026-10-07",
        "origin": REAL,
        "endpoint": "https://api.vendor.test",
        "collection": "papers",
        "document_id": "d1",
    }
    return Entry(**{**facts, **changes})


async def call(database, *ends, **changes):
    """A call with its bound of 2000 and further entries, each a kind with an amount."""
    entry = expected(**changes)
    await record(database, entry)
    for kind, nano_dollars in ends:
        ref = "pjb-1" if kind is K.OPEN else None
        await record(database, replace(entry, kind=kind, nano_dollars=nano_dollars, vendor_ref=ref))
    return entry


async def test_an_entry_is_written_once_and_repeating_it_changes_nothing(database):
    entry = expected()
    assert await record(database, entry)
    assert not await record(database, replace(entry, nano_dollars=1))
    assert (await report(database)).lines == (CostLine("openai", REAL, 1, 0, 2000),)


async def test_known_bills_are_spent_and_bounds_without_one_are_assumed(database):
    await call(database)
    await call(database, (K.ACTUAL, 500))
    await call(database, (K.UNKNOWN, 2000))
    await call(database, (K.RELEASED, 0))
    await call(database, (K.OPEN, 2000), service="llamaparse")

    assert await report(database) == CostReport(
        by="service",
        lines=(
            CostLine("llamaparse", REAL, calls=1, spent=0, assumed=2000),
            CostLine("openai", REAL, calls=3, spent=500, assumed=4000),
        ),
        totals=(CostLine(None, REAL, calls=4, spent=500, assumed=6000),),
    )


async def test_the_late_bill_of_an_open_call_counts_once(database):
    await call(database, (K.OPEN, 12_500_000), service="llamaparse")
    bill = credit_usage(Decimal("3.5"))

    assert await settle(database, service="llamaparse", vendor_ref="pjb-1", usage=bill)
    assert not await settle(
        database, service="llamaparse", vendor_ref="pjb-1", usage=credit_usage(Decimal(99))
    )
    assert not await settle(database, service="llamaparse", vendor_ref="pjb-2", usage=bill)

    assert (await report(database)).lines == (
        CostLine("llamaparse", REAL, calls=1, spent=4_375_000, assumed=0),
    )


async def test_a_lost_answer_opens_its_call_once_and_never_an_older_one(database):
    submit = {"service": "llamaparse", "operation": "SubmitParse"}
    older = await call(database, (K.UNKNOWN, 2000), **submit)
    lost = await call(database, (K.UNKNOWN, 2000), **submit)
    found = {"document_id": "d1", "operation": "SubmitParse", "vendor_ref": "pjb-1"}

    async with database.connection() as connection:
        assert await adopt(connection, **found)
        assert not await adopt(connection, **found)
        cursor = await connection.execute("SELECT call_id FROM journal WHERE entry = 'open'")
        assert [row["call_id"] for row in await cursor.fetchall()] == [lost.call_id]
    assert older.call_id != lost.call_id


async def test_a_bill_of_nothing_settles_as_well(database):
    await call(database, (K.OPEN, 12_500_000), service="llamaparse")
    assert await settle(
        database, service="llamaparse", vendor_ref="pjb-1", usage=credit_usage(Decimal(0))
    )
    assert (await report(database)).totals == (CostLine(None, REAL, 1, spent=0, assumed=0),)


async def test_a_bill_without_a_price_settles_nothing(database):
    await call(database, (K.OPEN, 12_500_000), service="llamaparse")
    with pytest.raises(Misconfigured):
        await settle(
            database, service="llamaparse", vendor_ref="pjb-1", usage=Usage("minute", "audio", 1)
        )
    assert (await report(database)).totals == (CostLine(None, REAL, 1, 0, assumed=12_500_000),)


async def test_real_and_simulated_money_is_never_added_up(database):
    await call(database, (K.ACTUAL, 1))
    await call(database, (K.ACTUAL, 10), origin=SIMULATED)
    result = await report(database)
    assert result.lines == (
        CostLine("openai", REAL, 1, 1, 0),
        CostLine("openai", SIMULATED, 1, 10, 0),
    )
    assert [(line.origin, line.spent) for line in result.totals] == [(REAL, 1), (SIMULATED, 10)]


async def test_documents_and_collections_have_lines_and_calls_of_none_come_last(database):
    await call(database, (K.ACTUAL, 1), document_id="d2")
    await call(database, (K.ACTUAL, 2), document_id="d1", collection="notes")
    await call(database, (K.ACTUAL, 4), document_id=None, collection=None)

    by_document = (await report(database, "document")).lines
    assert [(line.name, line.spent) for line in by_document] == [("d1", 2), ("d2", 1), (None, 4)]
    by_collection = (await report(database, "collection")).lines
    assert [line.name for line in by_collection] == ["notes", "papers", None]


async def test_days_are_utc_whatever_the_session_thinks(database):
    await call(database, (K.ACTUAL, 1))
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
