"""The vendor's book and our journal, brought together when nobody spends any more."""

from collections import defaultdict
from typing import Any

from ledger_calls import Line, settled
from money import the_dead_are_done

from gristmill.costs.ledger import Ledger
from gristmill.database.engine import Database, Row

Bills = dict[str, dict[str, Any]]

# How each call ended: the number that the vendor knows it by, if its answer came.
_CALLS = b"""
SELECT c.document_id, c.state, c.nano_dollars,
       coalesce(c.vendor_ref, substring(j.note FROM 'number: (.*)')) AS number
FROM calls c JOIN journal j ON j.call_id = c.call_id AND j.entry = c.state
WHERE c.state <> 'released'
"""


async def brought_in(database: Database, line: Line) -> Bills:
    """Assumes what is left, and pays every bill that the ledger knows the work of. The book."""
    await the_dead_are_done(database)
    ledger = Ledger(database)
    while await ledger.assume_forgotten(seconds=0):
        pass
    bills: Bills = (await line.ask("everything"))["bills"]
    for name, bill in bills.items():
        if bill["service"] == "llamaparse" and not bill["is_paid"]:
            await settled(ledger, name, bill["amount"])
    await ledger.close()
    return bills


async def reconcile(database: Database, bills: Bills) -> dict[str, int]:
    """Finds each bill in the journal; what is not there, a call that was assumed has to cover.

    Gives how much was billed, and how much more than that was assumed, in nano-dollars.
    """
    async with database.connection() as connection:
        calls = await (await connection.execute(_CALLS)).fetchall()
    assumed = [call for call in calls if call["state"] == "assumed"]
    known = _answered(call for call in calls if call["state"] != "assumed")
    assert known == {number: bills[number]["amount"] for number in known}
    lost = [bill for number, bill in bills.items() if number not in known]
    return {
        "billed": sum(bill["amount"] for bill in bills.values()),
        "assumed beyond it": _covered(lost, assumed),
    }


def _answered(calls: Any) -> dict[str, int]:
    known: dict[str, int] = {}
    for call in calls:
        if call["number"] is None:  # assumed too early, then refused by the vendor
            assert (call["state"], call["nano_dollars"]) == ("corrected", 0), call
            continue
        assert call["state"] in ("posted", "corrected"), call
        assert call["number"] not in known, "two calls for one bill"
        known[call["number"]] = call["nano_dollars"]
    return known


def _covered(lost: list[dict[str, Any]], assumed: list[Row]) -> int:
    """By how much the assumed calls of each document are more than its lost bills."""
    unseen, covers = defaultdict(list), defaultdict(list)
    for bill in lost:
        unseen[bill["document"]].append(bill["amount"])
    for call in assumed:
        covers[call["document_id"]].append(call["nano_dollars"])
    for document, amounts in unseen.items():
        assert len(amounts) <= len(covers[document]), document
        assert sum(amounts) <= sum(covers[document]), document
    return sum(map(sum, covers.values())) - sum(map(sum, unseen.values()))
