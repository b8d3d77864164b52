"""Random histories of the ledger against a model of a page: the same refusals, the same balances."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from money import OneTransaction, end, hold, opened, posted

from gristmill.contract import Origin
from gristmill.costs.budgets import Limit, clear_limit, set_limit
from gristmill.costs.ledger import EntryKind, Ledger
from gristmill.database.migrate import migrate
from gristmill.errors import BudgetExceeded

REAL = Origin.REAL
NOON = datetime(2026, 3, 31, 12, tzinfo=UTC)
FOREVER = datetime.min.replace(tzinfo=UTC)

_BALANCES = """
SELECT l.scope, l.key AS of_limit, l.period, b.key, b.nano_dollars, b.posted, b.held, b.overrun,
       CASE WHEN isfinite(b.starts_at) THEN b.starts_at END AS starts_at
FROM balances b JOIN limits l ON l.id = b.limit_id
"""

SERVICES = st.sampled_from(["openai", "llamaparse"])
COLLECTIONS = st.sampled_from([None, "a", "b"])
DOCUMENTS = st.sampled_from([None, "x", "y"])
WORST = st.integers(0, 40)
AMOUNTS = st.integers(0, 60)
WHICH = st.integers(0, 8)  # counted from the newest call
KINDS = st.sampled_from([EntryKind.POSTED, EntryKind.RELEASED, EntryKind.ASSUMED])
PLACES = st.sampled_from(
    [("global", ""), ("service", ""), ("service", "openai"), ("collection", ""),
     ("collection", "a"), ("document", ""), ("document", "x")]
)  # fmt: skip
PERIODS = st.sampled_from(["day", "month", "total"])
HOLDS = st.tuples(st.just("hold"), SERVICES, COLLECTIONS, DOCUMENTS, WORST)
LIMITS = st.tuples(st.just("limit"), PLACES, PERIODS, st.integers(20, 150))
STEPS = st.one_of(
    *(HOLDS.map(tuple) for _ in range(6)),  # as often as all the others together
    st.tuples(st.just("finish"), WHICH, KINDS, AMOUNTS),
    st.tuples(st.just("accept"), WHICH),
    st.tuples(st.just("bill"), WHICH, AMOUNTS),
    st.tuples(st.just("give_up"), WHICH),
    st.tuples(st.just("forget"), st.integers(0, 60)),
    st.tuples(st.just("limit"), PLACES, PERIODS, st.none() | st.integers(0, 100)),
    st.tuples(st.just("clear"), PLACES, PERIODS),
    st.tuples(st.just("wait"), st.integers(-30, 60)),
)


@dataclass
class Call:
    """What one call has come to."""

    at: datetime
    keys: dict[str, str | None]
    worst: int
    held: int
    spent: int = 0
    state: str = "held"
    name: str | None = None  # under which it is billed

    def finish(self, kind: EntryKind, amount: int) -> None:
        if self.state == "assumed" and kind is not EntryKind.ASSUMED:
            self.spent = 0 if kind is EntryKind.RELEASED else amount
            self.state = "corrected"
        elif self.state == "held":
            self.held = 0
            self.spent = 0 if kind is EntryKind.RELEASED else amount
            self.state = kind.value


def window(period: str, at: datetime) -> datetime:
    if period == "total":
        return FOREVER
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight if period == "day" else midnight.replace(day=1)


@dataclass
class Model:
    """The rules of the ledger, over plain lists."""

    now: datetime = NOON
    calls: list[Call] = field(default_factory=list)
    limits: dict[tuple[str, str, str], int | None] = field(default_factory=dict)

    def fits(self, call: Call) -> bool:
        return call.worst == 0 or all(
            amount is None
            or sum(self.used(scope, key, period, window(period, call.at))) + call.worst <= amount
            for (scope, of_limit, period), amount in self.limits.items()
            if (key := call.keys[scope]) is not None and of_limit in ("", key)
        )

    def used(self, scope: str, key: str, period: str, starts_at: datetime) -> tuple[int, int]:
        """Spent and held of one key in one window."""
        of = [
            call
            for call in self.calls
            if call.keys[scope] == key and window(period, call.at) == starts_at
        ]
        return sum(call.spent for call in of), sum(call.held for call in of)


class Both:
    """Does each step to the ledger and to the model, and looks whether they agree."""

    def __init__(self, database: OneTransaction) -> None:
        self.database = database
        self.ledger = Ledger(database)
        self.model = Model()
        self.ids: list[Any] = []

    async def do(self, step: tuple[Any, ...]) -> None:
        name, *facts = step
        await getattr(self, name)(*facts)
        await self.agree()

    async def hold(self, service: str, collection: Any, document: Any, worst: int) -> None:
        keys = {"global": "", "service": service, "collection": collection, "document": document}
        call = Call(self.model.now, keys, worst, held=worst)
        asked = hold(worst, service=service, collection=collection, document_id=document)
        try:
            self.ids.append(await self.ledger.hold(asked))
        except BudgetExceeded:
            assert not self.model.fits(call)
        else:
            assert self.model.fits(call)
            self.model.calls.append(call)

    def chosen(self, which: int) -> tuple[Any, Call] | None:
        if which >= len(self.ids):
            return None
        return self.ids[-1 - which], self.model.calls[-1 - which]

    async def finish(self, which: int, kind: EntryKind, amount: int) -> None:
        if chosen := self.chosen(which):
            call_id, call = chosen
            amount = call.worst if kind is EntryKind.ASSUMED else amount
            await self.ledger.end(call_id, end(kind, 0 if kind == "released" else amount))
            call.finish(kind, amount)

    async def accept(self, which: int) -> None:
        if chosen := self.chosen(which):
            call_id, call = chosen
            await self.ledger.end(call_id, opened(call.worst, f"job-{call_id}"))
            if call.state in ("held", "assumed", "corrected") and not self.is_finished(call):
                call.name = call.name or f"job-{call_id}"

    @staticmethod
    def is_finished(call: Call) -> bool:
        return call.state in ("posted", "released")

    async def bill(self, which: int, amount: int) -> None:
        if chosen := self.chosen(which):
            call_id, call = chosen
            known = await self.ledger.settle(call.keys["service"], f"job-{call_id}", posted(amount))
            assert known == (call.name is not None)
            if known:
                call.finish(EntryKind.POSTED, amount)

    async def give_up(self, which: int) -> None:
        if chosen := self.chosen(which):
            call_id, call = chosen
            done = await self.ledger.assume(call.keys["service"], f"job-{call_id}", "no bill")
            assert done == (call.name is not None and call.state == "held")
            if done:
                call.finish(EntryKind.ASSUMED, call.worst)

    async def forget(self, hours: int) -> None:
        forgotten = [
            call
            for call in self.model.calls
            if call.state == "held"
            and call.name is None
            and call.at < self.model.now - timedelta(hours=hours)
        ]
        assert await self.ledger.assume_forgotten(seconds=3600 * hours) == len(forgotten)
        for call in forgotten:
            call.finish(EntryKind.ASSUMED, call.worst)

    async def limit(self, place: tuple[Any, str], period: Any, amount: int | None) -> None:
        scope, key = place
        await set_limit(self.database, REAL, Limit(scope, period, amount, key))
        self.model.limits[scope, key, period] = amount

    async def clear(self, place: tuple[Any, str], period: Any) -> None:
        scope, key = place
        was = self.model.limits.pop((scope, key, period), False) is not False
        assert await clear_limit(self.database, REAL, scope, period, key) == was

    async def wait(self, hours: int) -> None:
        self.model.now += timedelta(hours=hours)
        await self.database.set(self.model.now)

    async def agree(self) -> None:
        async with self.database.connection() as connection:
            rows = await (await connection.execute(_BALANCES)).fetchall()
        for row in rows:
            limit = self.model.limits[row["scope"], row["of_limit"], row["period"]]
            starts_at = row["starts_at"] or FOREVER
            spent, held = self.model.used(row["scope"], row["key"], row["period"], starts_at)
            assert limit is not None
            overrun = max(0, spent + held - limit)
            told = (row["nano_dollars"], row["posted"], row["held"], row["overrun"])
            assert told == (limit, spent, held, overrun), row


def test_random_histories_come_to_what_a_plain_model_says(conninfo: str) -> None:
    with asyncio.Runner() as runner:
        database = OneTransaction(conninfo)
        runner.run(prepared(database))

        @settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
        @given(st.lists(LIMITS, min_size=1, max_size=4), st.lists(STEPS, min_size=10, max_size=40))
        def agree(limits: list[tuple[Any, ...]], steps: list[tuple[Any, ...]]) -> None:
            runner.run(played(database, limits + steps))

        try:
            agree()
        finally:
            runner.run(database.close())


async def prepared(database: OneTransaction) -> None:
    await database.open()
    await migrate(database)
    await database.wind()


async def played(database: OneTransaction, steps: list[tuple[Any, ...]]) -> None:
    async with database.undone():
        await database.set(NOON)
        both = Both(database)
        for step in steps:
            await both.do(step)
        await both.ledger.close()
