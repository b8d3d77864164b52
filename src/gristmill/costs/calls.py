"""A billable call, from the hold before it leaves to its end in the ledger.

    async with calls.hold("openai", "Embed", bound, origin=origin, endpoint=endpoint) as call:
        answer = await ask()
        call.settle(Usage(model, "tokens", answer.tokens))

The worst case is held, and committed, before the block begins. How the call ends in the ledger:

    told what was used                      posted     at the price of that
    told that the bill comes later          open       held, under the vendor's reference
    told that nothing happened, or ended
    by an error of ours that promises it    released   at nothing
    anything else, cancellation too         assumed    at the worst case

An end that cannot be written yet is written later, by the ledger; the block's outcome is handed on
all the same.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Final
from uuid import UUID

from gristmill.amounts import MOST_DOLLARS, NANO
from gristmill.contract import Origin, Usage
from gristmill.costs.ledger import End, EntryKind, Hold, Ledger
from gristmill.costs.prices import Prices, billed_at
from gristmill.errors import GristmillError, InvalidArgument, Misconfigured
from gristmill.telemetry.correlation import current
from gristmill.telemetry.logging import get_logger

log = get_logger(__name__)

UNTOLD: Final = "nobody told what was used"


class HeldCall:
    """A call under way: say how it ended before its block is left. The last word counts."""

    def __init__(self, hold: Hold, price: Callable[[str, Usage], int]) -> None:
        self._hold = hold
        self._price = price
        self._end: End | None = None
        self._is_over = False

    @property
    def usage(self) -> Usage:
        """The most that it may use."""
        return self._hold.usage

    @property
    def nano_dollars(self) -> int:
        """What is held for it."""
        return self._hold.nano_dollars

    def settle(self, usage: Usage, *, note: str = "") -> None:
        """It used this much, be it more than was held.

        What has no price, or makes no sense, counts as the worst case: an answer that is paid for
        is not lost over it.

        Raises:
            InvalidArgument: the call is over.
        """
        try:
            nano_dollars = self._price(self._hold.service, usage)
        except (Misconfigured, InvalidArgument) as error:
            self._tell(EntryKind.ASSUMED, note=str(error))
        else:
            self._tell(EntryKind.POSTED, usage=usage, nano_dollars=nano_dollars, note=note)

    def open(self, vendor_ref: str, *, note: str = "") -> None:
        """It was accepted, and will be billed under the vendor's name for it; held until then.

        Raises:
            InvalidArgument: the call is over.
        """
        if vendor_ref:
            self._tell(EntryKind.OPEN, vendor_ref=vendor_ref, note=note)
        else:
            self._tell(EntryKind.ASSUMED, note="accepted under no name")

    def release(self, *, note: str = "") -> None:
        """Nothing happened, and nothing will be billed.

        Raises:
            InvalidArgument: the call is over.
        """
        self._tell(EntryKind.RELEASED, **self._nothing(), note=note)

    def left(self, error: BaseException | None) -> End:
        """How it ended, now that its block was left, by an error or without."""
        self._is_over = True
        return self._end or self._untold(error)

    def _untold(self, error: BaseException | None) -> End:
        note = UNTOLD if error is None else type(error).__name__
        if isinstance(error, GristmillError) and error.no_effect:
            return self._ended(EntryKind.RELEASED, **self._nothing(), note=note)
        return self._ended(EntryKind.ASSUMED, note=note)

    def _tell(self, kind: EntryKind, **facts: Any) -> None:  # noqa: ANN401 — fields of an End
        if self._is_over:
            raise InvalidArgument("This call is over: its block was left.")
        self._end = self._ended(kind, **facts)

    def _ended(self, kind: EntryKind, **facts: Any) -> End:  # noqa: ANN401 — fields of an End
        hold = self._hold
        worst = End(kind, hold.usage, hold.nano_dollars, hold.price_version)
        return replace(worst, **facts)

    def _nothing(self) -> dict[str, Any]:
        return {"usage": replace(self._hold.usage, quantity=0), "nano_dollars": 0}


class Calls:
    """Makes the calls of one process known to its ledger, by one table of prices."""

    def __init__(self, ledger: Ledger, prices: Prices) -> None:
        self._ledger = ledger
        self._prices = prices

    @asynccontextmanager
    async def hold(
        self,
        service: str,
        operation: str,
        usage: Usage,
        *,
        origin: Origin,
        endpoint: str,
        collection: str | None = None,
        document: str | None = None,
    ) -> AsyncIterator[HeldCall]:
        """Holds the worst case of a call while the block runs, then ends it as the block has told.

        Collection and document are those of the task, where none are given.

        Raises:
            BudgetExceeded: it does not fit; nothing may leave.
            Misconfigured: it has no price there; nothing may leave.
            InvalidArgument: that is no usage.
            DatabaseUnavailable: it could not be held; nothing may leave.
        """
        ids, place = current(), billed_at(origin, endpoint)
        hold = Hold(
            service=service,
            operation=operation,
            usage=usage,
            nano_dollars=self.price(service, usage, place),
            price_version=self._prices.version,
            origin=origin,
            endpoint=endpoint,
            collection=collection or ids.collection,
            document_id=document or ids.document,
        )
        call = HeldCall(hold, partial(self.price, endpoint=place))
        call_id = await self._ledger.hold(hold)
        try:
            yield call
        except BaseException as error:
            await self._end(call_id, call.left(error))
            raise
        await self._end(call_id, call.left(None))

    async def settle(self, service: str, vendor_ref: str, usage: Usage, *, note: str = "") -> bool:
        """Ends the open call that is billed under this name; False if none is known.

        Repeating it changes nothing.

        Raises:
            Misconfigured: it has no price; the call stays held.
            InvalidArgument: that is no usage; the call stays held.
            DatabaseUnavailable: it is not written yet; repeat it.
        """
        made = await self._ledger.made_at(service, vendor_ref)
        if made is None:
            return False
        nano_dollars = self.price(service, usage, billed_at(*made))
        end = End(EntryKind.POSTED, usage, nano_dollars, self._prices.version, note=note)
        return await self._ledger.settle(service, vendor_ref, end)

    def price(self, service: str, usage: Usage, endpoint: str | None = None) -> int:
        """What that costs at an address, in nano-dollars; without one, at the vendor's own.

        Raises:
            Misconfigured: it has no price there.
            InvalidArgument: that is no usage.
        """
        nano_dollars = self._prices.cost(service, usage, endpoint)
        if not 0 <= nano_dollars <= MOST_DOLLARS * NANO:
            raise InvalidArgument(f"{usage.quantity} {usage.unit} make no sense.")
        return nano_dollars

    async def _end(self, call_id: UUID, end: End) -> None:
        try:
            await _uninterrupted(self._ledger.end(call_id, end))
        except Exception:  # whatever went wrong, the call is over and its outcome is handed on
            log.exception("call.not_written", call_id=str(call_id), entry=end.kind.value)


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
            log.error("call.not_written", error=str(failure))
        raise cancelled
    task.result()
