"""No billable call without a trace: its bound is committed before it leaves, its end afterwards.

Stands next to the adapter, below whatever repeats: each attempt is a call with entries of its own.
How a call ends in the journal:

    answered, usage stated              actual     at the price of what was used
    accepted, billed later              open       at the bound, under the vendor's reference
    failed, nothing happened            released   at nothing
    anything else, cancellation too     unknown    at the bound

If the database does not take the first entry, the call does not leave. If it does not take the
last one, the answer is handed on all the same and the call keeps its bound.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, Final
from uuid import uuid4

from gristmill.contract import Open, Operation, Origin, R, Result, ServiceInterface, Usage
from gristmill.costs import journal
from gristmill.costs.journal import Entry, EntryKind
from gristmill.costs.prices import PRICES, Prices
from gristmill.database.engine import Database
from gristmill.errors import DatabaseUnavailable, GristmillError, Misconfigured
from gristmill.policies.layer import Layer
from gristmill.telemetry.correlation import current
from gristmill.telemetry.logging import get_logger

log = get_logger(__name__)

WRITE_SECONDS: Final = 5.0  # how long an entry may take; a cancelled call waits no longer either


class Journal(Layer):
    """Writes the journal of the billable calls to one endpoint; free ones pass untouched.

    `origin` is what is expected to answer; the last entry names what did.
    """

    def __init__(
        self,
        next_: ServiceInterface,
        *,
        database: Database,
        origin: Origin,
        endpoint: str,
        prices: Prices = PRICES,
        write_seconds: float = WRITE_SECONDS,
    ) -> None:
        super().__init__(next_)
        self._database = database
        self._origin = origin
        self._endpoint = endpoint
        self._prices = prices
        self._write_seconds = write_seconds

    async def execute(self, operation: Operation[R]) -> Result[R]:
        """Executes the operation once, on the record.

        Raises:
            Misconfigured: what it may use has no price; nothing was sent.
            DatabaseUnavailable: its bound cannot be committed; nothing was sent.
            ServiceError, RefusedError: as the service below.
        """
        bound = operation.worst_case()
        if bound.is_free:
            return await self.next.execute(operation)
        expected = self._expected(operation, bound)
        await self._begin(expected)
        try:
            result = await self.next.execute(operation)
        except BaseException as error:
            await self._end(_failed(expected, error))
            raise
        await self._end(self._answered(expected, result))
        return result

    def _expected(self, operation: Operation[Any], bound: Usage) -> Entry:
        ids = current()
        return Entry(
            call_id=uuid4(),
            kind=EntryKind.EXPECTED,
            service=operation.service,
            operation=operation.name,
            usage=bound,
            nano_dollars=self._prices.cost(operation.service, bound),
            price_version=self._prices.version,
            origin=self._origin,
            endpoint=self._endpoint,
            collection=ids.collection,
            document_id=ids.document,
        )

    def _answered(self, expected: Entry, result: Result[Any]) -> Entry:
        answered = replace(expected, origin=result.origin, note=_note(result))
        if isinstance(result.settlement, Open):
            vendor_ref = result.settlement.vendor_ref
            return replace(answered, kind=EntryKind.OPEN, vendor_ref=vendor_ref)
        usage = result.settlement.usage
        try:
            nano_dollars = self._prices.cost(expected.service, usage)
        except Misconfigured as error:  # the answer is paid for; it must not be lost over this
            return replace(answered, kind=EntryKind.UNKNOWN, note=str(error))
        return replace(answered, kind=EntryKind.ACTUAL, usage=usage, nano_dollars=nano_dollars)

    async def _begin(self, expected: Entry) -> None:
        try:
            await _uninterrupted(self._write(expected))
        except asyncio.CancelledError:
            await self._end(_released(expected, "cancelled before it left"))
            raise

    async def _end(self, entry: Entry) -> None:
        try:
            await _uninterrupted(self._write(entry))
        except Exception:  # whatever went wrong, the call is over and its outcome is handed on
            log.exception("journal.not_written", call_id=str(entry.call_id), entry=entry.kind.value)

    async def _write(self, entry: Entry) -> None:
        try:
            async with asyncio.timeout(self._write_seconds):
                await journal.record(self._database, entry)
        except TimeoutError as error:
            raise DatabaseUnavailable(
                f"The journal took no entry within {self._write_seconds:g} s.",
                advice="Check the database; no paid call is made without it.",
            ) from error


async def _uninterrupted(work: Coroutine[Any, Any, None]) -> None:
    """Runs bounded work to its end; a cancellation in between is raised afterwards."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if (failure := task.exception()) is not None:
            log.error("journal.not_written", error=str(failure))
        raise cancelled
    task.result()


def _failed(expected: Entry, error: BaseException) -> Entry:
    kind = error.kind if isinstance(error, GristmillError) else type(error).__name__
    if isinstance(error, GristmillError) and error.no_effect:
        return _released(expected, kind)
    return replace(expected, kind=EntryKind.UNKNOWN, note=kind)


def _released(expected: Entry, note: str) -> Entry:
    usage = replace(expected.usage, quantity=0)
    return replace(expected, kind=EntryKind.RELEASED, usage=usage, nano_dollars=0, note=note)


def _note(result: Result[Any]) -> str:
    return "; ".join(f"{name}: {text}" for name, text in result.notes.items())
