"""What a hold and its settlement take: against a bare commit, by process, and over time.

Four limits are concerned by each call: the day and the month of everything, the total of the
service, and the total of one of a hundred documents. The database is the embedded one with `fsync`
on, and its bare commit is an insert of one number, measured in turns with the pairs. What reading
and auditing a million entries takes, is in `books`.
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

from benchmarks.books import fill
from benchmarks.report import bar, is_quick, machine, table
from gristmill.contract import Origin, Usage
from gristmill.costs.budgets import Limit, set_limit
from gristmill.costs.ledger import End, EntryKind, Hold, Ledger
from gristmill.database.embedded import EmbeddedPostgres
from gristmill.database.engine import Database
from gristmill.database.migrate import migrate
from gristmill.telemetry.logging import configure

BAR_RATIO: Final = 4.5
BAR_ONE: Final = 4000.0
BAR_FOUR: Final = 2000.0

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


async def from_one(_database: Database, ledger: Ledger, count: int) -> None:
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
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()
    rate = count / (time.perf_counter() - started)
    for worker in workers:
        worker.communicate()
    bar("pairs/s from four processes", met=rate >= BAR_FOUR, figure=f"{rate:.0f}", wanted=">= 2000")


async def worker(conninfo: str, count: int) -> None:
    database, ledger = await opened(conninfo)
    await pair(ledger, 0)
    print("ready", flush=True)
    sys.stdin.readline()
    await pairs(ledger, count, CALLERS // 4)
    print("done", flush=True)
    await ledger.close()
    await database.close()


# --- over many calls


async def over_time(_database: Database, ledger: Ledger, count: int) -> None:
    tenth = count // 10
    rates = [await pairs(ledger, tenth, CALLERS) for _ in range(10)]
    print(f"\n{count} pairs, tenth by tenth, pairs/s:", ", ".join(f"{rate:.0f}" for rate in rates))
    first, last = statistics.mean(rates[:3]), statistics.mean(rates[-3:])
    bar("the last three tenths to the first", met=last >= 0.9 * first,
        figure=f"{last / first:.2f} x", wanted=">= 0.9 x")  # fmt: skip


# --- beside a million entries


async def when_old(database: Database, ledger: Ledger, entries: int) -> None:
    young = await median_pair(ledger)
    await fill(database, entries // 2)
    await pairs(ledger, 500, 1)
    old = await median_pair(ledger)
    print(f"\nBeside {entries} entries: hold + settle, p50, {old * 1e6:.0f} us,")
    print(f"and {young * 1e6:.0f} us in the same database before them.")


async def median_pair(ledger: Ledger) -> float:
    return statistics.median(
        [await seconds(lambda number=number: pair(ledger, number)) for number in range(1000)]
    )


async def fresh(part: Callable[[Database, Ledger, int], Awaitable[None]], size: int) -> None:
    """Runs one part on a server of its own."""
    with server() as conninfo:
        database, ledger = await opened(conninfo)
        await migrate(database)
        for limit in LIMITS:
            await set_limit(database, Origin.REAL, limit)
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
    await fresh(when_old, 20_000 if quick else 1_000_000)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["worker", address, count]:
            uvloop.run(worker(address, int(count)))
        case _:
            uvloop.run(main(quick=is_quick(__doc__)))
