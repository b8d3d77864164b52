"""No billable call that the limits do not have room for, and none without a trace.

Stands next to the adapter, below whatever repeats: each attempt is a call of its own. Its worst
case is held, and committed, before it leaves; if it cannot be, the call does not leave. How it ends
in the ledger is told in `costs.calls`.
"""

from typing import Any

from gristmill.contract import Open, Operation, Origin, R, Result, ServiceInterface
from gristmill.costs.calls import Calls, HeldCall
from gristmill.costs.ledger import Ledger
from gristmill.costs.prices import Prices
from gristmill.policies.layer import Layer


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
        prices: Prices,
    ) -> None:
        super().__init__(next_)
        self._calls = Calls(ledger, prices)
        self._origin = origin
        self._endpoint = endpoint

    async def execute(self, operation: Operation[R]) -> Result[R]:
        """Executes the operation once, if its worst case fits.

        Raises:
            BudgetExceeded: it does not fit; nothing has left.
            Misconfigured: the operation has no price at this endpoint; nothing has left.
            DatabaseUnavailable: it could not be held; nothing has left.
            GristmillError: as the service.
        """
        bound = operation.worst_case()
        if bound.is_free:
            return await self.next.execute(operation)
        held = self._calls.hold(
            operation.service,
            operation.name,
            bound,
            origin=self._origin,
            endpoint=self._endpoint,
        )
        async with held as call:
            result = await self.next.execute(operation)
            self._tell(call, result)
            return result

    def _tell(self, call: HeldCall, result: Result[Any]) -> None:
        note = _note(result, self._origin)
        if result.origin is Origin.SIMULATED and self._origin is Origin.REAL:
            call.release(note=note)  # nobody was paid
        elif isinstance(result.settlement, Open):
            call.open(result.settlement.vendor_ref, note=note)
        else:
            call.settle(result.settlement.usage, note=note)


def _note(result: Result[Any], expected: Origin) -> str:
    notes = [f"{name}: {text}" for name, text in result.notes.items()]
    if result.origin is not expected:
        notes.insert(0, f"answered as {result.origin}")
    return "; ".join(notes)
