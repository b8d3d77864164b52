"""What the journal knows of the calls to a vendor, beside what the vendor has billed.

Quantities are compared, in the vendor's own unit: prices may have changed meanwhile. Where a bill
names the work that each line is for, as LlamaParse's does, it is compared line by line, and else
as a whole. Its lines go through a temporary table, so that a long bill takes no memory here.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from gristmill.contract import Origin, Usage
from gristmill.costs.prices import Prices, billed_at
from gristmill.database.engine import Connection, Database, Row
from gristmill.errors import Misconfigured

EXAMPLES: Final = 5  # of lines that differ

_COUNTS: Final = (
    "journal", "nano_dollars", "vendor", "open", "open_nano_dollars", "open_vendor", "lost",
    "lost_nano_dollars", "strange", "mismatched",
)  # fmt: skip

_ACCOUNTS: Final = b"""
SELECT service, endpoint, origin, min(held_at) AS since FROM journal
GROUP BY service, endpoint, origin ORDER BY origin, service, endpoint
"""

_TABLE: Final = b"""
CREATE TEMP TABLE vendor_bill (reference text, product text, unit text, quantity numeric)
"""

# What a call cost is known if it was before the vendor was asked. What came to be known afterwards,
# the vendor may have billed before or after it answered.
_CALLS: Final = """
WITH calls AS (
    SELECT call_id, max(vendor_ref) AS reference,
        coalesce(bool_or(at <= %(asked_at)s)
            FILTER (WHERE entry IN ('posted', 'corrected', 'released')), false) AS is_known,
        coalesce(max(product) FILTER (WHERE entry IN ('posted', 'corrected')), max(product))
            AS product,
        coalesce(max(unit) FILTER (WHERE entry IN ('posted', 'corrected')), max(unit)) AS unit,
        coalesce(max(quantity) FILTER (WHERE entry IN ('posted', 'corrected')), 0) AS quantity,
        coalesce(max(nano_dollars) FILTER (WHERE entry IN ('posted', 'corrected')), 0) AS cost,
        coalesce(max(nano_dollars) FILTER (WHERE entry = 'held'), 0) AS bound,
        coalesce(max(id) FILTER (WHERE entry = 'open'), 0)
            > coalesce(max(id) FILTER (WHERE entry = 'assumed'), 0) AS awaits_bill
    FROM journal
    WHERE (service, endpoint, origin) = (%(service)s, %(endpoint)s, %(origin)s)
    GROUP BY call_id
)
"""

_AS_A_WHOLE: Final = f"""
{_CALLS}, known AS (
    SELECT product, unit, sum(quantity) FILTER (WHERE is_known) AS journal,
        sum(cost) FILTER (WHERE is_known) AS nano_dollars,
        count(*) FILTER (WHERE NOT is_known) AS lost,
        sum(bound) FILTER (WHERE NOT is_known) AS lost_nano_dollars
    FROM calls GROUP BY product, unit
), billed AS (
    SELECT product, unit, sum(quantity) AS vendor FROM vendor_bill GROUP BY product, unit
)
SELECT product, unit, journal, nano_dollars, coalesce(vendor, 0) AS vendor,
    lost, lost_nano_dollars, lost_nano_dollars AS cover,
    greatest(0, coalesce(vendor, 0) - coalesce(journal, 0)) AS strange,
    (coalesce(vendor, 0) > coalesce(journal, 0))::int AS strange_lines,
    (coalesce(vendor, 0) < coalesce(journal, 0))::int AS mismatched
FROM known FULL JOIN billed USING (product, unit) ORDER BY product, unit
"""

_LINES: Final = f"""
{_CALLS}, lines AS (
    SELECT call_id, coalesce(c.reference, b.reference) AS reference, is_known, cost, bound,
        c.quantity AS journal, b.quantity AS vendor,
        NOT is_known AND awaits_bill AS is_open, NOT is_known AND NOT awaits_bill AS is_lost,
        is_known AND c.quantity <> coalesce(b.quantity, 0) AS is_mismatched
    FROM calls c FULL JOIN (
        SELECT reference, ceil(sum(quantity)) AS quantity FROM vendor_bill GROUP BY reference
    ) b ON b.reference = c.reference
)
"""

_LINE_BY_LINE: Final = f"""
{_LINES}
SELECT sum(journal) FILTER (WHERE is_known) AS journal,
    sum(cost) FILTER (WHERE is_known) AS nano_dollars,
    coalesce(sum(vendor), 0) AS vendor,
    count(*) FILTER (WHERE is_open) AS open,
    sum(bound) FILTER (WHERE is_open) AS open_nano_dollars,
    sum(vendor) FILTER (WHERE is_open) AS open_vendor,
    count(*) FILTER (WHERE is_lost) AS lost,
    sum(bound) FILTER (WHERE is_lost) AS lost_nano_dollars,
    sum(bound) FILTER (WHERE is_lost AND reference IS NULL) AS cover,
    count(*) FILTER (WHERE call_id IS NULL) AS strange_lines,
    sum(vendor) FILTER (WHERE call_id IS NULL) AS strange,
    count(*) FILTER (WHERE is_mismatched) AS mismatched
FROM lines
"""

_EXAMPLES: Final = f"""
{_LINES}
SELECT reference, journal, vendor FROM lines WHERE is_mismatched OR call_id IS NULL
ORDER BY call_id IS NULL, reference LIMIT %(examples)s
"""


@dataclass(frozen=True, slots=True)
class Account:
    """The calls of one service to one address, with money of one origin.

    `since` is when the first of them was made, None if there is none yet.
    """

    service: str
    endpoint: str
    origin: Origin
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class BillLine:
    """What a vendor has billed: so much of a product, for the work that `reference` names."""

    product: str
    unit: str
    quantity: Decimal
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Bill:
    """The lines of a bill, as they come. With names, all of them are of this product and unit."""

    lines: AsyncIterator[Sequence[BillLine]]
    named: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """A line where the two do not agree; None where one of them has no such line."""

    reference: str
    journal: int | None
    vendor: int | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the journal and a vendor say of one product; quantities are in whole `unit`s.

    `journal` counts calls whose cost is known; those cost `nano_dollars`. The bill of `open` calls
    has not been read yet, and `open_vendor` is on it by now. `lost` calls are under way, or ended
    without an answer. Both stand at their worst case, the other `…nano_dollars`. `strange` is
    what the vendor has billed beyond all calls that are known to the journal, and `mismatched` the
    number of lines that it has otherwise than it has answered, or not at all.

    `differing` is the number of lines that nothing in the journal explains, and `differences` are
    the first of them. `problem` says why there is no vendor's side.
    """

    account: Account
    product: str = ""
    unit: str = ""
    journal: int = 0
    nano_dollars: int = 0
    vendor: int | None = None
    open: int = 0
    open_nano_dollars: int = 0
    open_vendor: int = 0
    lost: int = 0
    lost_nano_dollars: int = 0
    strange: int = 0
    mismatched: int = 0
    differing: int = 0
    differences: tuple[Difference, ...] = ()
    problem: str = ""

    @property
    def difference(self) -> int | None:
        """By how much more the vendor has billed than the journal knows, whatever explains it."""
        return None if self.vendor is None else self.vendor - self.journal


async def accounts(database: Database) -> list[Account]:
    """Everybody who may have billed something, by the journal."""
    async with database.connection() as connection:
        rows = await (await connection.execute(_ACCOUNTS)).fetchall()
    return [Account(**{**row, "origin": Origin(row["origin"])}) for row in rows]


async def compare(
    database: Database, prices: Prices, account: Account, bill: Bill
) -> list[Comparison]:
    """Reads a bill to its end and compares it; a comparison for each product.

    Raises:
        DatabaseUnavailable: the database cannot be reached.
        GristmillError: the bill cannot be read, as whoever reads it says.
    """
    async with database.connection() as connection, _table(connection):
        facts = await _asked(connection, account)
        async for lines in bill.lines:
            await _keep(connection, lines)
        if bill.named:
            found = await _line_by_line(connection, facts)
            rows = [{**found, "product": bill.named[0], "unit": bill.named[1]}]
        else:
            rows = await (await connection.execute(_AS_A_WHOLE.encode(), facts)).fetchall()
    return [_judged(prices, account, row) for row in rows]


@asynccontextmanager
async def _table(connection: Connection) -> AsyncIterator[None]:
    await connection.execute(_TABLE)
    try:
        yield
    finally:
        await connection.execute("DROP TABLE vendor_bill")


async def _asked(connection: Connection, account: Account) -> dict[str, Any]:
    row = await (await connection.execute("SELECT clock_timestamp() AS asked_at")).fetchone()
    names = {"service": account.service, "endpoint": account.endpoint, "origin": account.origin}
    return {**(row or {}), **names, "examples": EXAMPLES}


async def _keep(connection: Connection, lines: Sequence[BillLine]) -> None:
    async with connection.cursor().copy("COPY vendor_bill FROM STDIN") as copy:
        for line in lines:
            await copy.write_row((line.reference, line.product, line.unit, line.quantity))


async def _line_by_line(connection: Connection, facts: dict[str, Any]) -> Row:
    row = await (await connection.execute(_LINE_BY_LINE.encode(), facts)).fetchone()
    examples = await (await connection.execute(_EXAMPLES.encode(), facts)).fetchall()
    return {**(row or {}), "examples": examples}


def _judged(prices: Prices, account: Account, row: Row) -> Comparison:
    counts: dict[str, Any] = {name: int(row.get(name) or 0) for name in _COUNTS}
    strange = Usage(row["product"], row["unit"], counts["strange"])
    differing = counts["mismatched"]
    if not _is_covered(prices, account, strange, int(row["cover"] or 0)):
        differing += int(row["strange_lines"])
    whole = [{"reference": "", "journal": row["journal"], "vendor": row["vendor"]}]
    examples = row.get("examples", whole) if differing else []
    return Comparison(
        account,
        row["product"],
        row["unit"],
        **counts,
        differing=differing,
        differences=tuple(_difference(each) for each in examples),
    )


def _is_covered(prices: Prices, account: Account, usage: Usage, nano_dollars: int) -> bool:
    """Whether so much may be the bill of calls that stand at this much, since nobody knows."""
    try:
        cost = prices.cost(account.service, usage, billed_at(account.origin, account.endpoint))
    except Misconfigured:
        return False
    return cost <= nano_dollars


def _difference(row: Row) -> Difference:
    journal, vendor = (
        None if row[name] is None else int(row[name]) for name in ("journal", "vendor")
    )
    return Difference(row["reference"], journal, vendor)
