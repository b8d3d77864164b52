"""Documents a second, one page each, with vendors that answer at once; and where the time goes.

Four passes: new documents, the same again, new ones under a sampling profiler, and new ones with
the simulators, which really parse. Baselines of the same run are bare commits of the same
database and bare calls to the same vendors.
"""

import asyncio
import gc
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uvloop

from benchmarks import instant, processes
from benchmarks.documents import one_page_files
from benchmarks.report import bar, is_quick, machine, table
from benchmarks.sampling import Samples, sampled
from gristmill import Gristmill
from gristmill.database.engine import Database
from gristmill.services.http import create_client
from gristmill.settings import load_settings
from gristmill.telemetry.logging import configure
from gristmill_simulators.background import stop

BAR: Final = 60.0
BAR_UNCHANGED: Final = 200.0
COLLECTION: Final = "benchmark"

_STEPS: Final = """
SELECT coalesce(before, 'taken in') || ' > ' || status AS step, count(*) AS documents,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS median,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds) AS p95
FROM (
    SELECT e.id, e.status, lag(e.status) OVER road AS before,
           extract(epoch FROM e.at - lag(e.at) OVER road)::float8 AS seconds
    FROM events e WHERE e.document_id = ANY(%s)
    WINDOW road AS (PARTITION BY e.document_id ORDER BY e.id)
) steps
WHERE before IS NOT NULL GROUP BY 1 ORDER BY min(id)
"""
_COMMITS: Final = "SELECT xact_commit AS n FROM pg_stat_database WHERE datname = current_database()"


@dataclass(frozen=True, slots=True)
class Pass:
    """What one call of `ingest` took: seconds, CPU seconds by part, transactions, calls by kind."""

    documents: int
    wall: float
    cpu: Mapping[str, float]
    transactions: int
    calls: Mapping[str, int]
    ids: tuple[str, ...]

    @property
    def rate(self) -> float:
        return self.documents / self.wall


async def measured(mill: Gristmill, folder: Path, vendors: instant.Vendors | None) -> Pass:
    """Ingests a folder into a running system, with everything that works for it watched.

    Raises:
        RuntimeError: a document did not become ready; its figures would mean nothing.
    """
    if vendors is not None:
        vendors.reset()
    commits, cpu = await _commits(mill), _cpu(mill, vendors)
    started = time.perf_counter()
    report = await mill.ingest(folder, collection=COLLECTION)
    wall = time.perf_counter() - started
    if not report.is_complete:
        raise RuntimeError(f"not all ready: {[d for d in report.documents if d.error][:2]}")
    used = {part: spent - cpu.get(part, 0.0) for part, spent in _cpu(mill, vendors).items()}
    calls = vendors.counts() if vendors is not None else {}
    commits = await _commits(mill) - commits
    ids = tuple(document.id for document in report.documents)
    return Pass(len(ids), wall, used, commits, calls, ids)


def _cpu(mill: Gristmill, vendors: instant.Vendors | None) -> dict[str, float]:
    others = processes.servers_of(mill.settings.home)
    found = processes.parts(processes.me(), *others, *([vendors.pid] if vendors else []))
    return processes.cpu_seconds(found)


async def _commits(mill: Gristmill) -> int:
    """Transactions so far; a session reports its own about once a second, so that is waited for."""
    await asyncio.sleep(1.5)
    async with _database(mill).connection() as connection:
        await connection.execute("SELECT pg_stat_force_next_flush()")
        cursor = await connection.execute(_COMMITS)
        row = await cursor.fetchone()
        return int(row["n"]) if row else 0


def _database(mill: Gristmill) -> Database:
    return mill._system.database  # noqa: SLF001 — for the baseline in the same database


async def steps(mill: Gristmill, ids: tuple[str, ...]) -> list[dict[str, Any]]:
    """How long documents were between two of their statuses; seconds, waiting included."""
    async with _database(mill).connection() as connection:
        cursor = await connection.execute(_STEPS, (list(ids),))
        return await cursor.fetchall()


async def rate(call: Callable[[], Awaitable[object]], *, at_once: int, count: int) -> float:
    """Calls a second of `count` calls, `at_once` of them in flight."""
    left = iter(range(count))

    async def one_after_the_other() -> None:
        for _ in left:
            await call()

    started = time.perf_counter()
    await asyncio.gather(*(one_after_the_other() for _ in range(at_once)))
    return count / (time.perf_counter() - started)


async def baselines(mill: Gristmill, vendors: instant.Vendors) -> list[tuple[str, float]]:
    """What the database and the vendors can do when nothing else is done."""
    database = _database(mill)

    async def commit() -> None:
        async with database.connection() as connection:
            await connection.execute("INSERT INTO public.bench_commits VALUES (1)")

    async with create_client() as http, database.connection() as connection:
        await connection.execute("CREATE TABLE IF NOT EXISTS public.bench_commits (n int)")

        async def call() -> None:
            await http.get(f"{vendors.url}/llamacloud/api/v2/parse/job-1?expand=markdown")

        return [
            ("bare commits/s, one after the other", await rate(commit, at_once=1, count=500)),
            ("bare commits/s, 7 at once", await rate(commit, at_once=7, count=2000)),
            ("bare calls/s to the vendors, 16 at once", await rate(call, at_once=16, count=2000)),
        ]


def settings_for(home: Path, vendors: instant.Vendors | None) -> Any:
    """Mock mode; the simulators' place is taken by the vendors that answer at once."""
    environ = {"GRISTMILL_HOME": str(home)}
    if vendors is not None:
        environ["GRISTMILL_SIMULATOR_URL"] = vendors.url
    return load_settings(environ, folder=home)


async def with_instant_vendors(home: Path, vendors: instant.Vendors, count: int) -> None:
    first = one_page_files(home / "first", count, seed="first")
    second = one_page_files(home / "second", count, seed="second")
    warm_up = one_page_files(home / "warm-up", 2, seed="warm")
    async with Gristmill(settings_for(home, vendors)) as mill:
        await mill.ingest(warm_up, collection=COLLECTION)  # imports, connections, children
        new = await measured(mill, first, vendors)
        vendors.reset()
        again = await measured(mill, first, vendors)
        with sampled() as samples:
            profiled = await measured(mill, second, vendors)
        bare = await baselines(mill, vendors)
        tell_rates(new, again, profiled, bare)
        tell_steps(await steps(mill, new.ids))
    tell_cpu(new)
    tell_samples(samples, profiled)
    tell_bars(new, again)


async def with_simulators(home: Path, count: int) -> None:
    folder = one_page_files(home / "simulated", count, seed="simulated")
    warm_up = one_page_files(home / "warm-up", 2, seed="warm")
    async with Gristmill(settings_for(home, None)) as mill:
        await mill.ingest(warm_up, collection=COLLECTION)
        new = await measured(mill, folder, None)
    print(f"With the simulators, which parse and embed: {new.rate:.1f} documents/s\n")
    tell_cpu(new)


def tell_rates(new: Pass, again: Pass, profiled: Pass, bare: list[tuple[str, float]]) -> None:
    passes = (("new documents", new), ("the same again", again), ("new, profiled", profiled))
    rows = [
        (name, each.documents, f"{each.wall:.2f}", f"{each.rate:.1f}",
         f"{each.transactions / each.documents:.1f}",
         f"{sum(each.calls.values()) / each.documents:.1f}")
        for name, each in passes
    ]  # fmt: skip
    table(("pass", "documents", "seconds", "per s", "transactions each", "calls each"), rows)
    own = [(name, f"{figure:.0f}", f"{figure / new.rate:.1f}") for name, figure in bare]
    table(("baseline", "per s", "to one new document"), own)
    print("calls:", ", ".join(f"{kind} {count}" for kind, count in sorted(new.calls.items())), "\n")


def tell_steps(rows: list[dict[str, Any]]) -> None:
    print("Between two statuses, waiting for a turn included:\n")
    cells = [
        (row["step"], row["documents"], f"{row['median'] * 1e3:.0f}", f"{row['p95'] * 1e3:.0f}")
        for row in rows
    ]
    table(("step", "documents", "median ms", "p95 ms"), cells)


def tell_cpu(one: Pass) -> None:
    print("CPU, by process:\n")
    rows = [
        (part, f"{spent:.2f}", f"{spent / one.documents * 1e3:.1f}", f"{spent / one.wall:.2f}")
        for part, spent in sorted(one.cpu.items(), key=lambda each: -each[1])
    ]
    table(("processes", "CPU s", "ms each document", "cores"), rows)


def tell_samples(samples: Samples, profiled: Pass) -> None:
    own = profiled.cpu[processes.OWN] / profiled.documents * 1e3
    print(f"CPU of the gristmill process by part, {samples.total} samples:\n")
    for head, counter in (
        ("part", samples.parts),
        ("our function that led there", samples.callers),
        ("function itself", samples.functions),
    ):
        rows = [
            (name, f"{count / samples.total:.1%}", f"{count / samples.total * own:.2f}")
            for name, count in counter.most_common(14)
        ]
        table((head, "share", "ms each document"), rows)


def tell_bars(new: Pass, again: Pass) -> None:
    paid = again.calls.get("embed", 0) + again.calls.get("submit", 0)
    bar(
        "new documents with instant vendors",
        met=new.rate >= BAR,
        figure=f"{new.rate:.1f}/s",
        wanted=f">= {BAR:g}/s",
    )
    bar(
        "the same again",
        met=again.rate >= BAR_UNCHANGED and paid == 0,
        figure=f"{again.rate:.0f}/s, {paid} paid calls",
        wanted=f">= {BAR_UNCHANGED:g}/s, 0 paid calls",
    )
    print()


async def main() -> None:
    count = 60 if is_quick(__doc__) else 400
    configure("CRITICAL", "json")
    machine()
    with tempfile.TemporaryDirectory(prefix="grist") as folder, instant.running() as vendors:
        await with_instant_vendors(Path(folder), vendors, count)
    with tempfile.TemporaryDirectory(prefix="grist") as folder:
        await with_simulators(Path(folder), count // 2)
        await stop(Path(folder) / "simulator")


if __name__ == "__main__":
    gc.set_threshold(100_000, 20, 100)  # both as the command line does
    uvloop.run(main())
