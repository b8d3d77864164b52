"""A million journal rows: how long the budget, the costs and verifying them take.

Half a million calls over sixty days, in a hundred collections and a hundred thousand documents,
with limits of every scope and period. Rows are written past the ledger, as it would have written
them; balances are made from them by the ledger's own function.
"""

import asyncio
import os
import resource
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.report import bar, is_quick, machine, table
from gristmill.contract import Origin
from gristmill.costs.audit import audit
from gristmill.costs.budgets import Limit, balances, set_limit
from gristmill.costs.prices import PRICES
from gristmill.costs.reconcile import Account, Bill, BillLine, compare
from gristmill.costs.report import report
from gristmill.database.embedded import EmbeddedPostgres
from gristmill.database.engine import Database
from gristmill.database.migrate import migrate

CALLS: Final = 500_000
OF_EACH: Final = 10**15  # nano-dollars: no limit is in the way

# A call in five is a parse, billed in credits; one in a hundred has not ended, one was assumed.
FILL: Final = """
CREATE TEMP TABLE made ON COMMIT DROP AS
SELECT gen_random_uuid() AS call_id, n, n % 5 = 0 AS is_parse, n % 100 AS kind,
    clock_timestamp() - n * interval '60 days' / {calls} AS at,
    'collection ' || n % 100 AS collection, 'doc-' || n % {documents} AS document_id,
    (10 + n % 90)::bigint AS quantity
FROM generate_series(1, {calls}) n;
CREATE TEMP TABLE priced ON COMMIT DROP AS
SELECT *, CASE WHEN is_parse THEN 'llamaparse' ELSE 'openai' END AS service,
    CASE WHEN is_parse THEN 'cost_effective' ELSE 'text-embedding-3-small' END AS product,
    CASE WHEN is_parse THEN 'pages' ELSE 'tokens' END AS unit,
    quantity * CASE WHEN is_parse THEN 3750000 ELSE 20 END AS worst
FROM made;
INSERT INTO journal (at, call_id, entry, service, operation, product, unit, quantity, nano_dollars,
    price_version, origin, endpoint, collection, document_id, vendor_ref, held_at, held, posted)
SELECT at, call_id, 'held', service, 'Call', product, unit, quantity, worst, 'then', 'simulated',
    'simulator', collection, document_id, NULL, at, worst, 0 FROM priced
UNION ALL
SELECT at + interval '1 second', call_id, CASE kind WHEN 1 THEN 'assumed' ELSE 'posted' END,
    service, 'Call', CASE WHEN is_parse THEN 'credit' ELSE product END,
    CASE WHEN is_parse THEN 'millicredits' ELSE unit END,
    quantity * CASE WHEN is_parse THEN 3000 ELSE 1 END, worst, 'then', 'simulated', 'simulator',
    collection, document_id, CASE WHEN is_parse THEN 'pjb-' || n END, at, - worst, worst
FROM priced WHERE kind <> 2 ORDER BY 1;
INSERT INTO holds (call_id, at, service, operation, product, unit, quantity, nano_dollars,
    price_version, origin, endpoint, collection, document_id)
SELECT call_id, at, service, 'Call', product, unit, quantity, worst, 'then', 'simulated',
    'simulator', collection, document_id FROM priced WHERE kind = 2;
INSERT INTO balances (limit_id, key, starts_at, ends_at, nano_dollars, posted, held)
SELECT l.id, k.key, w.starts_at, window_end(l.period, w.starts_at), l.nano_dollars, posted, held
FROM limits l, LATERAL (
    SELECT CASE l.scope WHEN 'global' THEN '' WHEN 'service' THEN service
               WHEN 'collection' THEN collection ELSE document_id END AS key,
           window_start(l.period, held_at) AS starts_at, sum(posted) AS posted, sum(held) AS held
    FROM journal GROUP BY 1, 2) w (key, starts_at, posted, held), LATERAL (SELECT w.key) k
ON CONFLICT (limit_id, key, starts_at) DO UPDATE SET
    posted = excluded.posted, held = excluded.held
"""


async def fill(database: Database, calls: int) -> None:
    """The journal, and a balance of each window of each limit."""
    for scope in ("global", "service", "collection", "document"):
        for period in ("day", "month", "total"):
            await set_limit(database, Origin.SIMULATED, Limit(scope, period, OF_EACH))  # type: ignore[arg-type]
    async with database.transaction() as connection:
        for statement in FILL.format(calls=calls, documents=calls // 5).split(";\n"):
            await connection.execute(statement.encode())
    async with database.connection() as connection:
        await connection.execute("ANALYZE")


async def measured(work: Callable[[], Awaitable[object]], rounds: int) -> float:
    """Seconds, the median of the rounds."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        await work()
        times.append(time.perf_counter() - started)
    return median(times)


async def parses(calls: int) -> AsyncIterator[Sequence[BillLine]]:
    """The vendor's books, a thousand lines at a time; also of jobs that have not ended here."""
    numbers = range(5, calls + 1, 5)
    for start in range(0, len(numbers), 1000):
        yield [
            BillLine("credit", "millicredits", Decimal((10 + n % 90) * 3000), f"pjb-{n}")
            for n in numbers[start : start + 1000]
        ]


async def embeddings(calls: int) -> AsyncIterator[Sequence[BillLine]]:
    used = sum(10 + n % 90 for n in range(1, calls + 1) if n % 5 and n % 100 not in (1, 2))
    yield [BillLine("text-embedding-3-small", "tokens", Decimal(used))]


async def verified(database: Database, calls: int) -> None:
    """What costs verify does, but for asking the vendors."""
    assert (await audit(database)).breaches == ()
    bills = {
        "llamaparse": Bill(parses(calls), ("credit", "millicredits")),
        "openai": Bill(embeddings(calls)),
    }
    for service, bill in bills.items():
        account = Account(service, "simulator", Origin.SIMULATED)
        for found in await compare(database, PRICES, account, bill):
            assert found.differing == 0, found


async def run(calls: int) -> None:
    with tempfile.TemporaryDirectory() as home, EmbeddedPostgres.start(Path(home)) as server:
        database = Database(server.conninfo)
        await database.open()
        await migrate(database)
        await fill(database, calls)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        looked = await measured(lambda: verified(database, calls), 3)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        budget = await measured(lambda: balances(database), 9)
        found = await audit(database)
        rows: list[tuple[object, ...]] = [
            ("budget", f"{budget * 1000:.1f} ms"),
            ("verify: journal, balances, bills", f"{looked:.1f} s"),
        ]
        for by in ("service", "day", "collection", "document", "model"):
            seconds = await measured(lambda by=by: report(database, by), 3)  # type: ignore[misc]
            rows.append((f"costs by {by}", f"{seconds:.2f} s"))
        table((f"{found.entries:,} entries, {found.balances:,} balances", "median"), rows)
        print(
            f"verifying took {(after - before) // 1024} MB of memory on top of {before // 1024} MB;"
            f" load {os.getloadavg()[0]:.1f}\n"
        )
        bar("budget", met=budget <= 0.05, figure=f"{budget * 1000:.1f} ms", wanted="<= 50 ms")
        bar(
            "costs verify",
            met=looked <= 60,
            figure=f"{looked:.1f} s",
            wanted="<= 60 s",
        )
        await database.close()


def main() -> None:
    quick = is_quick(__doc__)
    machine()
    asyncio.run(run(CALLS // 50 if quick else CALLS))


if __name__ == "__main__":
    main()
