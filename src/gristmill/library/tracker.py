"""Money around anybody's own calls: the library's face of `costs`.

    async with CostTracker.open() as tracker:
        worst = Usage("text-embedding-3-small", "tokens", 8_000)
        async with tracker.hold(service="openai", usage=worst) as call:
            answer = await ask()
            call.settle(Usage("text-embedding-3-small", "tokens", answer.tokens))

The calls of a `Gristmill` and these share limits and journal: `mill.tracker`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from gristmill.contract import Origin, Usage
from gristmill.costs import budgets
from gristmill.costs.budgets import Balance, Limit, Scope
from gristmill.costs.calls import HeldCall
from gristmill.costs.report import CostReport, Grouping, Since, report
from gristmill.errors import BudgetExceeded, InvalidArgument
from gristmill.pipeline.store import wake_parked
from gristmill.settings import Settings, load_settings, settings_at
from gristmill.settings.budget import Period
from gristmill.system import System


class CostTracker:
    """Holds the worst case of a call before it leaves, and knows what all calls have cost.

    `origin` says whose money it is, unless a method is told otherwise; without it that of the
    present mode.
    """

    def __init__(self, system: System, origin: Origin | None = None) -> None:
        self._system = system
        self._origin = origin
        self._limited: set[Origin] = set()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: Settings | str | None = None, *, origin: Origin | None = None
    ) -> AsyncIterator[Self]:
        """A tracker of its own: by settings, those of the environment, or a database's address.

        Money is that of the settings' mode, and real with an address alone. Calls that nobody has
        ended for a quarter of an hour, since their process is dead, are posted at their worst case.

        Raises:
            InvalidSettings: with everything that is wrong.
            DatabaseUnavailable: the database cannot be reached.
        """
        if isinstance(settings, str):
            settings, origin = settings_at(settings), origin or Origin.REAL
        async with System(settings or load_settings()) as system:
            await system.ledger().assume_forgotten()
            yield cls(system, origin)

    @asynccontextmanager
    async def hold(
        self,
        *,
        service: str,
        usage: Usage,
        operation: str = "call",
        collection: str | None = None,
        document: str | None = None,
        endpoint: str = "",
        origin: Origin | None = None,
    ) -> AsyncIterator[HeldCall]:
        """Holds what a call may use at most while the block makes it, then ends it.

        `hold.settle(usage)` says what it used, `hold.open(name)` under which name it will be billed
        later, `hold.release()` that nothing happened. A block that says nothing and ends by an
        error that promises `no_effect` has released it too; any other has spent the worst case.
        The names of operation, collection and document are for limits and reports; at another
        `endpoint` than the vendor's own, prices are those that are given for it.

        Raises:
            BudgetExceeded: it does not fit a limit; the block is not entered.
            Misconfigured: it has no price, or real money has no limit; likewise.
            InvalidArgument: no usage is given; likewise.
            DatabaseUnavailable: it could not be held; likewise.
        """
        if usage.quantity < 1:
            raise InvalidArgument("What a call may use at most is 1 or more.")
        whose = await self._whose(origin)
        await self._refuse_boundless(whose)
        held = self._system.calls().hold(
            service,
            operation,
            usage,
            origin=whose,
            endpoint=endpoint,
            collection=collection,
            document=document,
        )
        async with held as call:
            yield call

    async def settle(self, service: str, vendor_ref: str, usage: Usage) -> bool:
        """Settles the call that was left open under this name; False if none is known.

        Any process may do it, at any time; repeating it changes nothing.

        Raises:
            Misconfigured: it has no price; it stays held.
            InvalidArgument: that is no usage; it stays held.
            DatabaseUnavailable: it is not written yet; repeat it.
        """
        return await self._system.calls().settle(service, vendor_ref, usage)

    def price(self, service: str, usage: Usage, endpoint: str | None = None) -> int:
        """What that would cost there, in nano-dollars; nothing is held.

        Raises:
            Misconfigured: it has no price.
            InvalidArgument: that is no usage.
        """
        return self._system.calls().price(service, usage, endpoint)

    async def budget(self) -> list[Balance]:
        """Every limit, with what is spent, held and left of it now."""
        return await budgets.balances(self._system.database)

    async def set_limit(self, *limits: Limit, origin: Origin | None = None) -> None:
        """Sets limits, or changes them; documents that were parked for lack of money are woken."""
        whose = await self._whose(origin)
        for limit in limits:
            await budgets.set_limit(self._system.database, whose, limit)
        await self._wake_parked()

    async def clear_limit(
        self, scope: Scope, period: Period, key: str = "", *, origin: Origin | None = None
    ) -> bool:
        """Removes a limit; False if there was none. Documents that were parked for it are woken.

        Raises:
            InvalidArgument: real money would be left without any global limit.
        """
        whose, database = await self._whose(origin), self._system.database
        if whose is Origin.REAL and scope == "global":
            await budgets.refuse_last(database, period)
        cleared = await budgets.clear_limit(database, whose, scope, period, key)
        await self._wake_parked()
        return cleared

    async def costs(self, by: Grouping = "service", *, since: Since | None = None) -> CostReport:
        """What was spent, by service, day, collection, document or model.

        `since` is a moment, or how long ago by the database's clock; without it, all there is.

        Raises:
            InvalidArgument: costs cannot be grouped like that, or the moment has no time zone.
        """
        return await report(self._system.database, by, since=since)

    async def _whose(self, origin: Origin | None) -> Origin:
        if (known := origin or self._origin) is not None:
            return known
        await self._system.modes.all()
        return self._system.money

    async def _refuse_boundless(self, origin: Origin) -> None:
        if origin not in self._limited:
            await budgets.refuse_boundless(self._system.database, origin)
            self._limited.add(origin)

    async def _wake_parked(self) -> None:
        await wake_parked(self._system.database, BudgetExceeded.__name__)
