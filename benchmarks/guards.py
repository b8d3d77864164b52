"""What the policies cost a call in time and in memory.

The baseline is the same instant service without a policy; peers are measured in their own
environment, less what the same call takes without them.
"""

import asyncio
import contextlib
import gc
import json
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any, ClassVar, Final

import psutil

from benchmarks.embeddings import interpreter
from benchmarks.report import bar, is_quick, machine, table
from gristmill.contract import (
    Operation,
    Origin,
    R,
    Result,
    ServiceHealth,
    ServiceInterface,
    Settled,
    Status,
    Usage,
)
from gristmill.costs.ledger import Ledger
from gristmill.costs.prices import PRICES
from gristmill.database.embedded import EmbeddedPostgres
from gristmill.database.engine import Database
from gristmill.database.migrate import migrate
from gristmill.health.hearing import Hearing
from gristmill.policies import stack
from gristmill.quotas.turns import Turns
from gristmill.settings.rates import RateLimitSetting
from gristmill.telemetry.logging import configure

HERE: Final = Path(__file__).parent
ENDPOINT: Final = "http://127.0.0.1"
MODEL: Final = "text-embedding-3-small"
BAR_P50, BAR_P99 = 150e-6, 1e-3


@dataclass(frozen=True, slots=True)
class Free(Operation[int]):
    """Costs nothing."""

    service: ClassVar[str] = "openai"


@dataclass(frozen=True, slots=True)
class Paid(Operation[int]):
    """Costs some tokens."""

    service: ClassVar[str] = "openai"

    def worst_case(self) -> Usage:
        return Usage(MODEL, "tokens", 100)


class Instant(ServiceInterface):
    """Answers at once."""

    def is_available(self) -> bool:
        return True

    async def get_health(self) -> ServiceHealth:
        return ServiceHealth(Status.HEALTHY)

    async def execute(self, operation: Operation[R]) -> Result[R]:
        answer: Any = 1
        settled = Settled(operation.worst_case())
        return Result(answer, Origin.SIMULATED, ENDPOINT, 0.0, settlement=settled)


@contextlib.asynccontextmanager
async def empty_database() -> AsyncIterator[Database]:
    """A database of its own, migrated, gone afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="grist") as folder,
        EmbeddedPostgres.start(Path(folder) / "home") as server,
    ):
        database = Database(server.conninfo)
        await database.open()
        await migrate(database)
        yield database
        await database.close()


@contextlib.asynccontextmanager
async def guarded(
    database: Database, inner: ServiceInterface, endpoint: str, *limits: RateLimitSetting
) -> AsyncIterator[ServiceInterface]:
    """A service with every policy, as the system builds it."""
    ledger, turns = Ledger(database), Turns(database, "openai", endpoint, limits=limits)
    yield stack(
        inner,
        ledger=ledger,
        prices=PRICES,
        turns=turns,
        hearing=Hearing(),
        origin=Origin.SIMULATED,
        endpoint=endpoint,
    )
    await turns.close()
    await ledger.close()


async def timed(call: Callable[[], Awaitable[object]], number: int) -> list[float]:
    times = []
    for _ in range(number):
        started = time.perf_counter()
        await call()
        times.append(time.perf_counter() - started)
    return times


async def cost_of_guards(database: Database, *, quick: bool) -> None:
    number = 2_000 if quick else 20_000
    fast = RateLimitSetting("requests", 10**9, 60.0)
    rows = []
    async with guarded(database, Instant(), "plain") as service:
        bare, free, paid = Instant(), Free(), Paid()
        await timed(lambda: service.execute(free), 200)
        measured = {
            "no policy": await timed(lambda: bare.execute(free), number),
            "every policy, without the database": await timed(
                lambda: service.execute(free), number
            ),
            "the same, held and settled": await timed(lambda: service.execute(paid), number // 10),
        }
    async with guarded(database, Instant(), "limited", fast) as service:
        key = "the same, with a turn in a limit"
        measured[key] = await timed(lambda: service.execute(paid), number // 10)
    for name, times in measured.items():
        rows.append((name, f"{median(times) * 1e6:.0f}", f"{percentile(times) * 1e6:.0f}"))
    rows += [peer(name, number // 20) for name in ("backstop-ai", "litellm")]
    table(("a call through", "p50 us", "p99 us"), rows)
    ours = measured["every policy, without the database"]
    p50, p99 = median(ours), percentile(ours)
    bar("guards, p50", met=p50 <= BAR_P50, figure=f"{p50 * 1e6:.0f} us", wanted="<= 150 us")
    bar("guards, p99", met=p99 <= BAR_P99, figure=f"{p99 * 1e6:.0f} us", wanted="<= 1000 us")
    print()


def percentile(times: list[float]) -> float:
    return quantiles(times, n=100)[-1]


def peer(name: str, number: int) -> tuple[str, str, str]:
    """What a peer's guards add to one call, measured in its own environment."""
    told = ("not measured", "", "")
    with contextlib.suppress(subprocess.CalledProcessError, ValueError):
        python = interpreter("litellm" if name == "litellm" else "openai")
        command = [python, str(HERE / "guarding.py"), name, str(number)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        p50, p99 = json.loads(done.stdout.splitlines()[-1])
        told = (name, f"{p50 * 1e6:.0f}", f"{p99 * 1e6:.0f}")
    return told


async def memory_of_calls(database: Database, *, quick: bool) -> None:
    """Memory after many calls, over what it was after a tenth of them."""
    number = 10_000 if quick else 100_000
    process, rows = psutil.Process(), []
    for name, operation in (("free", Free()), ("held and settled", Paid())):
        async with guarded(database, Instant(), "memory") as service:

            async def run(many: int, service=service, operation=operation) -> float:
                for _ in range(many // 100):
                    await asyncio.gather(*(service.execute(operation) for _ in range(100)))
                gc.collect()
                return process.memory_info().rss / 1e6

            early, late = await run(number // 10), await run(number)
        rows.append((f"{number:,} calls, {name}", f"{early:.0f}", f"{late:.0f}"))
    table(("", "MB after a tenth", "MB after all"), rows)


async def run(*, quick: bool) -> None:
    async with empty_database() as database:
        await cost_of_guards(database, quick=quick)
        await memory_of_calls(database, quick=quick)


def main() -> None:
    quick = is_quick(__doc__)
    machine()
    configure("CRITICAL", "json")
    asyncio.run(run(quick=quick))


if __name__ == "__main__":
    main()
