"""What a hold and its settlement take: against a bare commit, by process, over time, and when old.

Four limits are concerned by each call: the day and the month of everything, the total of the
service, and the total of one of a hundred documents. The database is the embedded one with `fsync`
on, and its bare commit is an insert of one number, measured in turns with the pairs. The last part
writes a million entries as the ledger would have written them, and reads and recomputes them.
"""

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import uvloop

from benchmarks.report import bar, is_quick, machine, table
from gristmill.contract import Origin, Usage
from gristmill.costs.budgets import Limit, balances, set_limit
from gristmill.costs.ledger import End, EntryKind, Hold, Ledger
from gristmill.database.embedded import EmbeddedPostgres
from gristmill.database.engine import Database
from gristmill.database.migrate import migrate
from gristmill.telemetry.logging import configure

BAR_RATIO: Final = 4.5
BAR_ONE: Final = 4000.0
BAR_FOUR: Final = 2000.0
BAR_BUDGET_MS: Final = 50.0
BAR_RECOMPUTE_SECONDS: Final = 60.0

CALLERS: Final = 256  # calls under way at once, in all processes together
DOCUMENTS: Final = 100
MUCH: Final = 10**15  # nano-dollars that no run uses up
LIMITS: Final = (
    Limit("global", "day", MUCH),
    Limit("global", "month", MUCH),
    Limit("service", "total", MUCH, "openai"),
    Limit("document", "total", MUCH),
)
USAGE: Final = Usage("text-embedding-3-small", "tokens", 100)
END: Final = End(EntryKind.POSTED, USAGE, 1500, "benchmark")

# Calls that were held and settled in the last 60 days, 90 s apart or less, two entries each.
_OLD: Final = """
INSERT INTO journal (at, call_id, entry, service, operation, product, unit, quantity, nano_dollars,
    price_version, origin, endpoint, collection, document_id, held_at, held, posted)
SELECT c.at, c.call_id, e.entry, 'openai', 'Embed', 'text-embedding-3-small', 'tokens', 100, e.cost,
    'benchmark', 'real', 'https://vendor.example', 'books', 'old' || n %% 20000, c.at, e.held,
    e.posted
FROM (SELECT n, gen_random_uuid() AS call_id,
             clock_timestamp() - n * interval '60 days' / %(calls)s AS at
      FROM generate_series(%(calls)s, 1, -1) n) c
CROSS JOIN (VALUES ('held', 2000, 2000, 0), ('posted', 1500, -2000, 1500))
    e (entry, cost, held, posted)
"""

# Each balance from the journal alone, as it was written for the eye: slow where there are many.
_RECOMPUTED: Final = """
SELECT count(*) AS n FROM balances b,
    LATERAL folded(b.limit_id, b.key, b.starts_at) f (posted, held)
WHERE (b.posted, b.held) = (f.posted, f.held)
"""


@contextmanager
def server() -> Iterator[str]:
    with (
        tempfile.TemporaryDirectory(prefix="grist") as folder,
        EmbeddedPostgres.start(Path(folder)) as running,
    ):
        yield running.conninfo


async def opened(conninfo: str) -> tuple[Database, Ledger]:
    database = Database(conninfo)
    await database.open()
    return database, Ledger(database)


async def with_limits(database: Database) -> None:
    for limit in LIMITS:
        await set_limit(database, Origin.REAL, limit)


async def pair(ledger: Ledger, number: int) -> None:
    call = await ledger.hold(
        Hold(
            "openai",
            "Embed",
            USAGE,
            2000,
            "benchmark",
            Origin.REAL,
            "https://vendor.example",
            "books",
            f"document-{number % DOCUMENTS}",
        )
    )
    await ledger.end(call, END)


async def pairs(ledger: Ledger, count: int, callers: int) -> float:
    """Pairs a second of `count`, so many under way at once."""
    left = iter(range(count))

    async def call() -> None:
        for number in left:
            await pair(ledger, number)

    started = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(callers)))
    return count / (time.perf_counter() - started)


async def seconds(work: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await work()
    return time.perf_counter() - started


# --- one after the other, against a bare commit


async def against_a_commit(database: Database, ledger: Ledger, rounds: int) -> None:
    async with database.connection() as connection:
        await connection.execute("CREATE TABLE public.bare_commits (n int)")

    async def commit() -> None:
        async with database.connection() as connection:
            await connection.execute("INSERT INTO public.bare_commits VALUES (1)")

    await pairs(ledger, 500, 1)  # every document has its balance
    bare, both = [], []
    for number in range(rounds):
        bare.append(await seconds(commit))
        both.append(await seconds(lambda number=number: pair(ledger, number)))
    told("One after the other, in turns", {"bare commit": bare, "hold + settle": both})
    ratio = statistics.median(both) / statistics.median(bare)
    bar(
        "hold + settle, p50, to one bare commit",
        met=ratio <= BAR_RATIO,
        figure=f"{ratio:.2f} x",
        wanted=f"<= {BAR_RATIO:g} x",
    )


def told(title: str, times: dict[str, list[float]]) -> None:
    print(f"{title}:\n")
    rows = []
    for name, each in times.items():
        cuts = statistics.quantiles(each, n=100)
        rows.append((name, *(f"{cuts[percent - 1] * 1e6:.0f}" for percent in (10, 50, 95, 99))))
    table(("us", "p10", "p50", "p95", "p99"), rows)


# --- many at once, from one process and from four


async def from_one(database: Database, ledger: Ledger, count: int) -> None:
    del database
    rows = []
    for callers in (1, 16, 64, CALLERS):
        rate = await pairs(ledger, count if callers > 1 else count // 10, callers)
        rows.append((callers, f"{rate:.0f}"))
    print("\nFrom one process:\n")
    table(("calls under way", "pairs/s"), rows)
    bar("pairs/s from one process", met=rate >= BAR_ONE, figure=f"{rate:.0f}", wanted=">= 4000")


def from_four(conninfo: str, count: int) -> None:
    """Four processes begin together; the rate is of all of them until the last has ended."""
    command = [sys.executable, "-m", "benchmarks.ledger", "worker", conninfo, str(count // 4)]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()
    started = time.perf_counter()
    for worker in workers:
        worker.communicate("go\n")
    rate = count / (time.perf_counter() - started)
    bar("pairs/s from four processes", met=rate >= BAR_FOUR, figure=f"{rate:.0f}", wanted=">= 2000")


async def worker(conninfo: str, count: int) -> None:
    database, ledger = await opened(conninfo)
    await pair(ledger, 0)
    print("ready", flush=True)
    sys.stdin.readline()
    await pairs(ledger, count, CALLERS // 4)
    await ledger.close()
    await database.close()


# --- over many calls


async def over_time(database: Database, ledger: Ledger, count: int) -> None:
    del database
    tenth = count // 10
    rates = [await pairs(ledger, tenth, CALLERS) for _ in range(10)]
    print(f"\n{count} pairs, tenth by tenth, pairs/s:", ", ".join(f"{rate:.0f}" for rate in rates))
    first, last = statistics.mean(rates[:3]), statistics.mean(rates[-3:])
    bar("the last three tenths to the first", met=last >= 0.9 * first,
        figure=f"{last / first:.2f} x", wanted=">= 0.9 x")  # fmt: skip


# --- a million entries


async def when_old(database: Database, ledger: Ledger, entries: int) -> None:
    async with database.connection() as connection:
        await connection.execute(_OLD, {"calls": entries // 2})
        await connection.execute("ANALYZE journal")
    late = await seconds(lambda: with_limits(database))
    await pairs(ledger, 2000, 16)
    reading = statistics.median([await seconds(lambda: balances(database)) for _ in range(20)])
    pairing = [await seconds(lambda: pair(ledger, 0)) for _ in range(500)]
    recomputing = await seconds(lambda: recomputed(database))
    print(f"\nA journal of {entries} entries:\n")
    rows = [
        ("to set four limits, folded from it", f"{late * 1e3:.0f}"),
        ("`budget`, the reading of it", f"{reading * 1e3:.1f}"),
        ("hold + settle, p50", f"{statistics.median(pairing) * 1e3:.2f}"),
        ("all balances anew", f"{recomputing * 1e3:.0f}"),
    ]
    table(("", "ms"), rows)
    bar("reading what is left", met=reading * 1e3 <= BAR_BUDGET_MS,
        figure=f"{reading * 1e3:.1f} ms", wanted="<= 50 ms")  # fmt: skip
    bar("all balances recomputed", met=recomputing <= BAR_RECOMPUTE_SECONDS,
        figure=f"{recomputing:.1f} s", wanted="<= 60 s")  # fmt: skip


async def recomputed(database: Database) -> None:
    async with database.connection() as connection:
        row = await (await connection.execute(_RECOMPUTED)).fetchone()
        whole = await (await connection.execute("SELECT count(*) AS n FROM balances")).fetchone()
    assert row == whole, "a balance is not what the journal says"


async def fresh(
    part: Callable[[Database, Ledger, int], Awaitable[None]], size: int, *, limits: bool = True
) -> None:
    """Runs one part on a server of its own."""
    with server() as conninfo:
        database, ledger = await opened(conninfo)
        await migrate(database)
        if limits:
            await with_limits(database)
        await part(database, ledger, size)
        await ledger.close()
        if part is from_one:
            from_four(conninfo, size)
        await database.close()


async def main(*, quick: bool) -> None:
    configure("CRITICAL", "json")
    machine()
    await fresh(against_a_commit, 200 if quick else 3000)
    await fresh(from_one, 2000 if quick else 20_000)
    await fresh(over_time, 5000 if quick else 100_000)
    await fresh(when_old, 20_000 if quick else 1_000_000, limits=False)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["worker", address, count]:
            uvloop.run(worker(address, int(count)))
        case _:
            uvloop.run(main(quick=is_quick(__doc__)))
