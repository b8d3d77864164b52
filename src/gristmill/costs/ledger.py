"""The ledger: holds before calls, ends after them, committed in groups.

A hold sets the worst case of a call aside in every balance that it concerns, or is refused; an end
lets it go and posts what the call did cost. The database decides (`migrations/0003_ledger.sql`,
`0007_ledger_lock.sql`); this module brings it the calls of this process, as many in one transaction
as have come up while the last one was under way.

An end is never given up while the process lives: if the database is away, it is written when the
database is back. What a dead process left behind is posted by `assume_forgotten`.
"""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from typing import Any, Final, TypeVar
from uuid import UUID, uuid4

import orjson

from gristmill.contract import Origin, Usage
from gristmill.costs.refusals import exceeded
from gristmill.database.engine import Database, Row
from gristmill.errors import DatabaseUnavailable
from gristmill.telemetry.logging import get_logger

log = get_logger(__name__)

GROUP: Final = 256  # calls in one transaction, at most
WRITE_SECONDS: Final = 5.0  # how long a caller waits for the ledger
RETRY_SECONDS: Final = 0.5  # between two tries to write ends to a database that is away
FORGOTTEN_SECONDS: Final = 900  # longer than any call takes

_KEEP: Final = b"SELECT keep_ledger(%s::text::jsonb, %s::text::jsonb) AS told"

_BILLED: Final = """
SELECT call_id, origin, endpoint FROM holds
WHERE service = %(service)s AND vendor_ref = %(vendor_ref)s
UNION ALL
SELECT call_id, origin, endpoint FROM journal
WHERE service = %(service)s AND vendor_ref = %(vendor_ref)s AND entry = 'open'
LIMIT 1
"""

# The newest call of the document that has neither an answer nor a vendor's name for it.
_LOST: Final = """
SELECT call_id, product, unit, quantity, nano_dollars, price_version FROM journal j
WHERE document_id = %(document)s AND service = %(service)s AND operation = %(operation)s
  AND entry = 'held'
  AND NOT EXISTS (SELECT FROM journal o WHERE o.vendor_ref = %(vendor_ref)s
                  AND o.service = %(service)s)
  AND NOT EXISTS (SELECT FROM journal o WHERE o.call_id = j.call_id
                  AND o.entry NOT IN ('held', 'assumed'))
ORDER BY id DESC LIMIT 1
"""

_OPEN: Final = """
SELECT call_id, product, unit, quantity, nano_dollars, price_version FROM holds
WHERE service = %s AND vendor_ref = %s
"""

_FORGOTTEN: Final = """
SELECT call_id, product, unit, quantity, nano_dollars, price_version FROM holds
WHERE vendor_ref IS NULL AND at < clock_timestamp() - make_interval(secs => %s)
ORDER BY at LIMIT 1000
"""


class EntryKind(StrEnum):
    """What an entry of the journal says of its call."""

    HELD = "held"  # the worst case, before the call leaves
    POSTED = "posted"  # what it cost
    OPEN = "open"  # accepted, billed later under `vendor_ref`
    RELEASED = "released"  # nothing happened
    ASSUMED = "assumed"  # nobody knows, so it counts as its worst case
    CORRECTED = "corrected"  # what an assumed call did cost


@dataclass(frozen=True, slots=True)
class Hold:
    """A call that is about to leave, and the most that it may cost, in nano-dollars."""

    service: str
    operation: str
    usage: Usage
    nano_dollars: int
    price_version: str
    origin: Origin
    endpoint: str
    collection: str | None = None
    document_id: str | None = None


@dataclass(frozen=True, slots=True)
class End:
    """How a call ended: its usage, and what that costs by the prices of `price_version`."""

    kind: EntryKind
    usage: Usage
    nano_dollars: int
    price_version: str
    vendor_ref: str | None = None
    note: str = ""


class Ledger:
    """Keeps the money of one process. Close it, so that nothing stays unwritten."""

    def __init__(
        self,
        database: Database,
        *,
        write_seconds: float = WRITE_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._database = database
        self._write_seconds = write_seconds
        self._retry_seconds = retry_seconds
        self._asked: _Waiting[Hold] = {}
        self._ends: _Waiting[End] = {}
        self._group = GROUP
        self._keeper: asyncio.Task[None] | None = None

    async def hold(self, hold: Hold) -> UUID:
        """Sets the worst case aside and names the call; the call may leave now, and has to end.

        Raises:
            BudgetExceeded: it does not fit; nothing is held.
            DatabaseUnavailable: nobody can say whether it fits; the call must not leave.
        """
        call_id = uuid4()
        written = self._future()
        self._asked[written] = (call_id, hold)
        self._wake()
        try:
            await self._within_time(written)
        except (asyncio.CancelledError, DatabaseUnavailable) as error:
            self._forget(written, call_id, hold, f"never left: {type(error).__name__}")
            raise
        return call_id

    async def end(self, call_id: UUID, end: End) -> None:
        """Ends a call, once: repeating it changes nothing, an assumed call is corrected.

        It is written even if the caller is cancelled, or the database away: then later.

        Raises:
            DatabaseUnavailable: it is not written yet.
        """
        written = self._future()
        self._ends[written] = (call_id, end)
        self._wake()
        await self._within_time(written)

    async def settle(self, service: str, vendor_ref: str, end: End) -> bool:
        """Ends the open call that is billed under this name; False if none is known.

        Raises:
            DatabaseUnavailable: it is not written yet; repeat it.
        """
        row = await self._billed(service, vendor_ref)
        if row is not None:
            await self.end(row["call_id"], end)
        return row is not None

    async def made_at(self, service: str, vendor_ref: str) -> tuple[Origin, str] | None:
        """Whose money the call under this name is, and at which address it was made."""
        row = await self._billed(service, vendor_ref)
        return None if row is None else (Origin(row["origin"]), row["endpoint"])

    async def _billed(self, service: str, vendor_ref: str) -> Row | None:
        name = {"service": service, "vendor_ref": vendor_ref}
        async with self._database.connection() as connection:
            return await (await connection.execute(_BILLED, name)).fetchone()

    async def adopt(self, service: str, operation: str, document_id: str, vendor_ref: str) -> bool:
        """Opens, under the vendor's name for it, the call whose answer was lost; False if none was.

        Repeating it changes nothing. Before the caller records the work, so that its bill finds the
        call as soon as the work is known.

        Raises:
            DatabaseUnavailable: it is not written yet; repeat it.
        """
        facts = {
            "service": service,
            "operation": operation,
            "document": document_id,
            "vendor_ref": vendor_ref,
        }
        async with self._database.connection() as connection:
            row = await (await connection.execute(_LOST, facts)).fetchone()
        if row is None:
            return False
        opened = _at_worst(row, EntryKind.OPEN, "adopted")
        await self.end(row["call_id"], replace(opened, vendor_ref=vendor_ref))
        return True

    async def assume(self, service: str, vendor_ref: str, note: str) -> bool:
        """Posts the worst case of the call that is open under this name; False if none is.

        Raises:
            DatabaseUnavailable: it is not written yet; repeat it.
        """
        async with self._database.connection() as connection:
            cursor = await connection.execute(_OPEN, (service, vendor_ref))
            row = await cursor.fetchone()
        if row is not None:
            await self.end(row["call_id"], _at_worst(row, EntryKind.ASSUMED, note))
        return row is not None

    async def assume_forgotten(self, *, seconds: float = FORGOTTEN_SECONDS) -> int:
        """Posts, at their worst case, calls that nobody has ended for so long; gives their number.

        Held or assumed, it counts the same against every limit, and if whoever made the call is
        only slow, its end corrects what was assumed. Calls that are billed later are left alone.
        """
        async with self._database.connection() as connection:
            rows = await (await connection.execute(_FORGOTTEN, (seconds,))).fetchall()
        ends = (
            self.end(row["call_id"], _at_worst(row, EntryKind.ASSUMED, "nobody ended it"))
            for row in rows
        )
        await asyncio.gather(*ends)
        return len(rows)

    async def close(self) -> None:
        """Waits until what has ended is written, for as long as a caller would wait."""
        if self._keeper is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(self._write_seconds):
                await asyncio.shield(self._keeper)
        if not self._keeper.done():
            log.error("ledger.not_written", calls=len(self._ends))
            self._keeper.cancel()
            await asyncio.wait({self._keeper})

    async def _within_time(self, written: "_Written") -> None:
        """Waits for the keeper; a timer takes a third of what `asyncio.timeout` does."""
        timer = written.get_loop().call_later(self._write_seconds, self._give_up, written)
        try:
            await written
        finally:
            timer.cancel()

    def _give_up(self, written: "_Written") -> None:
        _fail((written,), _silent(self._write_seconds))

    def _future(self) -> "_Written":
        return asyncio.get_running_loop().create_future()

    def _forget(self, written: "_Written", call_id: UUID, hold: Hold, note: str) -> None:
        """A call that never left: its hold may have been committed all the same."""
        if self._asked.pop(written, None) is not None:
            return
        nothing = Usage(hold.usage.product, hold.usage.unit, 0)
        end = End(EntryKind.RELEASED, nothing, 0, hold.price_version, note=note)
        self._ends[self._future()] = (call_id, end)
        self._wake()

    def _wake(self) -> None:
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._keep(), name="ledger")

    async def _keep(self) -> None:
        while self._asked or self._ends:
            asked, ends = _taken(self._asked, self._group), _taken(self._ends, self._group)
            try:
                told = await self._write(ends, asked)
            except DatabaseUnavailable as error:  # holds are the callers' to ask for again
                self._ends = ends | self._ends
                _fail(asked, error)
                await asyncio.sleep(self._retry_seconds)
            except Exception as error:  # noqa: BLE001 — a defect in one of them: each goes alone
                self._set_apart(asked, ends, error)
            else:
                _answer(asked, told.get("refused") or {})
                _answer(ends, {})
                for alert in told.get("alerts") or ():
                    log.warning("budget.threshold", **alert)
        self._group = GROUP

    def _set_apart(self, asked: "_Waiting[Hold]", ends: "_Waiting[End]", error: Exception) -> None:
        if len(asked) + len(ends) == 1:
            calls = [str(call) for call, _ in (*asked.values(), *ends.values())]
            log.error("ledger.defect", calls=calls, error=str(error))
            _fail(asked, error)
            _fail(ends, error)
            return
        self._group = 1
        if len(asked) == len(ends) == 1:  # one pair: the end goes first
            _fail(asked, error)
            asked = {}
        self._asked = asked | self._asked
        self._ends = ends | self._ends

    async def _write(self, ends: "_Waiting[End]", asked: "_Waiting[Hold]") -> Row:
        lines = (
            _json([_end_line(call, end) for call, end in ends.values()]),
            _json([_hold_line(call, hold) for call, hold in asked.values()]),
        )
        async with self._database.connection() as connection:
            row = await (await connection.execute(_KEEP, lines)).fetchone()
        if row is None:
            raise AssertionError("the ledger always answers")
        told: Row = row["told"] or {}
        return told


T = TypeVar("T")
_Written = asyncio.Future[None]
_Waiting = dict[_Written, tuple[UUID, T]]


def _taken(waiting: "_Waiting[T]", most: int) -> "_Waiting[T]":
    """Takes the oldest out, as many as one transaction may have; of one call only the first.

    Two ends of a call may come at once, one that knows and one that assumes: each has its turn.
    """
    taken: _Waiting[T] = {}
    calls: set[UUID] = set()
    for written in list(islice(waiting, most)):
        call, _ = waiting[written]
        if call not in calls:
            calls.add(call)
            taken[written] = waiting.pop(written)
    return taken


def _answer(waiting: "_Waiting[Any]", refused: Mapping[str, Any]) -> None:
    for written, (call, _) in waiting.items():
        if written.done():
            continue
        if why := refused.get(str(call)):
            written.set_exception(exceeded(why))
        else:
            written.set_result(None)


def _fail(waiting: "Iterable[_Written]", error: Exception) -> None:
    for written in waiting:
        if not written.done():
            written.set_exception(error)
            written.exception()  # nobody may wait for it any more


def _json(lines: list[dict[str, object]]) -> str:
    return orjson.dumps(lines).decode()


def _hold_line(call_id: UUID, hold: Hold) -> dict[str, object]:
    usage = hold.usage
    return {
        "call_id": call_id,
        "service": hold.service,
        "operation": hold.operation,
        "product": usage.product,
        "unit": usage.unit,
        "quantity": usage.quantity,
        "nano_dollars": hold.nano_dollars,
        "price_version": hold.price_version,
        "origin": hold.origin,
        "endpoint": hold.endpoint,
        "collection": hold.collection,
        "document_id": hold.document_id,
    }


def _end_line(call_id: UUID, end: End) -> dict[str, object]:
    usage = end.usage
    return {
        "call_id": call_id,
        "entry": end.kind,
        "product": usage.product,
        "unit": usage.unit,
        "quantity": usage.quantity,
        "nano_dollars": end.nano_dollars,
        "price_version": end.price_version,
        "vendor_ref": end.vendor_ref,
        "note": end.note,
    }


def _at_worst(row: Row, kind: EntryKind, note: str) -> End:
    usage = Usage(row["product"], row["unit"], row["quantity"])
    return End(kind, usage, row["nano_dollars"], row["price_version"], note=note)


def _silent(seconds: float) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"The ledger took no entry within {seconds:g} s.",
        advice="Check the database; no paid call is made without it.",
    )
