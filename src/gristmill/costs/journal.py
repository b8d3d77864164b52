"""The journal in SQL: an entry before each billable call and one that ends it; never a change."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from gristmill.contract import Origin, Usage
from gristmill.costs.prices import PRICES, Prices
from gristmill.database.engine import Connection, Database


class EntryKind(StrEnum):
    """What an entry says of its call."""

    EXPECTED = "expected"  # the bound, written before the call
    ACTUAL = "actual"  # the answer said what was used
    OPEN = "open"  # accepted, billed later under `vendor_ref`
    RELEASED = "released"  # refused, with the promise that nothing happened
    UNKNOWN = "unknown"  # no usable answer: counts as the bound
    SETTLED = "settled"  # the later bill of an open call


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal. `nano_dollars` is the price of `usage` by `price_version`."""

    call_id: UUID
    kind: EntryKind
    service: str
    operation: str
    usage: Usage
    nano_dollars: int
    price_version: str
    origin: Origin
    endpoint: str
    collection: str | None = None
    document_id: str | None = None
    vendor_ref: str | None = None
    note: str = ""


# An entry that is there already stays: repeating changes nothing.
_RECORD: Final = """
INSERT INTO journal (call_id, entry, service, operation, product, unit, quantity, nano_dollars,
                     price_version, origin, endpoint, collection, document_id, vendor_ref, note)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (call_id, entry) DO NOTHING
"""

_SETTLE: Final = """
INSERT INTO journal (call_id, entry, service, operation, product, unit, quantity, nano_dollars,
                     price_version, origin, endpoint, collection, document_id, vendor_ref, note)
SELECT call_id, 'settled', service, operation, %(product)s, %(unit)s, %(quantity)s,
       %(nano_dollars)s, %(price_version)s, origin, endpoint, collection, document_id,
       vendor_ref, %(note)s
FROM journal
WHERE vendor_ref = %(vendor_ref)s AND entry = 'open' AND service = %(service)s
ON CONFLICT (call_id, entry) DO NOTHING
"""


async def record(database: Database, entry: Entry) -> bool:
    """Commits an entry; False if the call has one of this kind already.

    Raises:
        DatabaseUnavailable: it may or may not be there.
    """
    values = (
        entry.call_id, entry.kind, entry.service, entry.operation,
        entry.usage.product, entry.usage.unit, entry.usage.quantity, entry.nano_dollars,
        entry.price_version, entry.origin, entry.endpoint,
        entry.collection, entry.document_id, entry.vendor_ref, entry.note,
    )  # fmt: skip
    async with database.connection() as connection:
        cursor = await connection.execute(_RECORD, values)
        return cursor.rowcount == 1


# The submit whose answer was lost is the newest call of the document without an end.
_ADOPT: Final = """
INSERT INTO journal (call_id, entry, service, operation, product, unit, quantity, nano_dollars,
                     price_version, origin, endpoint, collection, document_id, vendor_ref, note)
SELECT call_id, 'open', service, operation, product, unit, quantity, nano_dollars,
       price_version, origin, endpoint, collection, document_id, %(vendor_ref)s, 'adopted'
FROM journal j
WHERE document_id = %(document)s AND operation = %(operation)s AND entry IN ('expected', 'unknown')
  AND NOT EXISTS (SELECT FROM journal o WHERE o.vendor_ref = %(vendor_ref)s)
  AND NOT EXISTS (SELECT FROM journal o WHERE o.call_id = j.call_id
                  AND o.entry NOT IN ('expected', 'unknown'))
ORDER BY id DESC LIMIT 1
ON CONFLICT (call_id, entry) DO NOTHING
"""


async def adopt(
    connection: Connection, *, document_id: str, operation: str, vendor_ref: str
) -> bool:
    """Opens, under the vendor's reference, the call whose answer was lost; False if none was.

    Repeating it changes nothing. Before the caller records the work, so that its bill finds the
    call as soon as the work is known.
    """
    values = {"document": document_id, "operation": operation, "vendor_ref": vendor_ref}
    return (await connection.execute(_ADOPT, values)).rowcount == 1


async def settle(
    database: Database,
    *,
    service: str,
    vendor_ref: str,
    usage: Usage,
    prices: Prices = PRICES,
    note: str = "",
) -> bool:
    """Adds the bill of an open call, once; False if it is settled already or nothing is open.

    Raises:
        Misconfigured: the usage has no price; nothing is written.
        DatabaseUnavailable: it may or may not be there; repeat it.
    """
    values = {
        "vendor_ref": vendor_ref,
        "service": service,
        "product": usage.product,
        "unit": usage.unit,
        "quantity": usage.quantity,
        "nano_dollars": prices.cost(service, usage),
        "price_version": prices.version,
        "note": note,
    }
    async with database.connection() as connection:
        return (await connection.execute(_SETTLE, values)).rowcount > 0
