"""No billable call that the limits do not have room for, and none without a trace.

Stands next to the adapter, below whatever repeats: each attempt is a call of its own. Its worst
case is held, and committed, before it leaves. How it ends in the ledger:

    answered, usage stated              posted     at the price of what was used
    accepted, billed later              open       held, under the vendor's reference
    failed, nothing happened            released   at nothing
    anything else, cancellation too     assumed    at the worst case

If the hold is refused, or cannot be committed, the call does not leave. If its end cannot be
written yet, the answer is handed on all the same; the ledger writes it later.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any
from uuid import UUID

from gristmill.contract import Open, Operation, Origin, R, Result, ServiceInterface, Usage
from gristmill.costs.ledger import End, EntryKind, Hold, Ledger
from gristmill.costs.prices import PRICES, Prices
from gristmill.errors import GristmillError, Misconfigured
from gristmill.policies.layer import Layer
from gristmill.telemetry.correlation import current
from gristmill.telemetry.logging import get_logger

log = get_logger(__name__)


class Budget(Layer):
    """Holds and settles the billable calls to one endpoint; free ones pass untouched.

    `origin` is what is expected to answer, and whose money it is.
    """

    def __init__(
        self,
        next_: ServiceInterface,
        *,
        ledger: Ledger,
        origin: Origin,
        endpoint: str,
        prices: Prices = PRICES,
    ) -> None:
        super().__init__(next_)
        self._ledger = ledger
        self._origin = origin
        self._endpoint = endpoint
        self._prices = prices

    async def execute(self, operation: Operation[R]) -> Result[R]:
        """Executes the operation once, if its worst case fits.

        Raises:
            BudgetExceeded: it does not fit; nothing has left.
            Misconfigured: the operation has no price; nothing has left.
            DatabaseUnavailable: it could not be held; nothing has left.
            GristmillError: as the service.
        """
        bound = operation.worst_case()
        if bound.is_free:
            return await self.next.execute(operation)
        hold = self._hold(operation, bound)
        call_id = await self._ledger.hold(hold)
        try:
            result = await self.next.execute(operation)
        except BaseException as error:
            await self._end(call_id, _failed(hold, error))
            raise
        await self._end(call_id, self._answered(hold, result))
        return result

    def _hold(self, operation: Operation[Any], bound: Usage) -> Hold:
        ids = current()
        return Hold(
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

    def _answered(self, hold: Hold, result: Result[Any]) -> End:
        worst = _at_worst(hold, EntryKind.ASSUMED, _note(result, hold.origin))
        if result.origin is Origin.SIMULATED and hold.origin is Origin.REAL:
            return _released(hold, worst.note)  # nobody was paid
        if isinstance(result.settlement, Open):
            return replace(worst, kind=EntryKind.OPEN, vendor_ref=result.settlement.vendor_ref)
        usage = result.settlement.usage
        try:
            nano_dollars = self._prices.cost(hold.service, usage)
        except Misconfigured as error:  # the answer is paid for; it must not be lost over this
            return replace(worst, note=str(error))
        return replace(worst, kind=EntryKind.POSTED, usage=usage, nano_dollars=nano_dollars)

    async def _end(self, call_id: UUID, end: End) -> None:
        try:
            await _uninterrupted(self._ledger.end(call_id, end))
        except Exception:  # whatever went wrong, the call is over and its outcome is handed on
            log.exception("budget.not_written", call_id=str(call_id), entry=end.kind.value)


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
            log.error("budget.not_written", error=str(failure))
        raise cancelled
    task.result()


def _failed(hold: Hold, error: BaseException) -> End:
    kind = error.kind if isinstance(error, GristmillError) else type(error).__name__
    if isinstance(error, GristmillError) and error.no_effect:
        return _released(hold, kind)
    return _at_worst(hold, EntryKind.ASSUMED, kind)


def _at_worst(hold: Hold, kind: EntryKind, note: str) -> End:
    return End(kind, hold.usage, hold.nano_dollars, hold.price_version, note=note)


def _released(hold: Hold, note: str) -> End:
    return End(
        EntryKind.RELEASED, replace(hold.usage, quantity=0), 0, hold.price_version, note=note
    )


def _note(result: Result[Any], expected: Origin) -> str:
    notes = [f"{name}: {text}" for name, text in result.notes.items()]
    if result.origin is not expected:
        notes.insert(0, f"answered as {result.origin}")
    return "; ".join(notes)
