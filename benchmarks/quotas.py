"""How much of a vendor's quota is used, and how often it says 429, by one and by four processes.

The vendor is the OpenAI simulator with a minute's quota cut into slices of a second. Peers hold the
same number of requests to the same rate, each from its documentation; those that keep their count
in memory know nothing of other processes.
"""

import itertools
import json
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from benchmarks.embeddings import interpreter
from benchmarks.report import bar, is_quick, machine, table
from benchmarks.simulators import simulators
from gristmill.database.embedded import EmbeddedPostgres
from gristmill_simulators.environment import environment

HERE: Final = Path(__file__).parent
PEERS: Final = ("aiolimiter", "throttled-py", "limits", "langchain-core")
BAR: Final = 0.97


@dataclass(frozen=True, slots=True)
class Work:
    """A vendor's limits a minute, and what one call takes of its tokens."""

    name: str
    requests: int
    tokens: int
    cost: int
    tasks: int = 64

    @property
    def per_second(self) -> float:
        """Calls that the limits allow."""
        return min(self.requests, self.tokens / self.cost) / 60


WORKS: Final = (
    Work("small requests, 3,000/minute", 3_000, 1_000_000, 20),
    Work("5,000 tokens each, 1,000,000/minute", 3_000, 1_000_000, 5_000),
    Work("25,000 tokens each, 1,000,000/minute", 3_000, 1_000_000, 25_000, tasks=16),
)


def main() -> None:
    lead, seconds = (3, 10) if is_quick(__doc__) else (10, 60)
    machine()
    rows = []
    with (
        tempfile.TemporaryDirectory(prefix="grist") as folder,
        EmbeddedPostgres.start(Path(folder) / "home") as server,
    ):
        prepare(server.conninfo)
        facts = {"lead": lead, "seconds": seconds, "conninfo": server.conninfo}
        for work in WORKS:
            names = ("gristmill", *PEERS) if work is WORKS[0] else ("gristmill",)
            for name, processes in itertools.product(names, (1, 4)):
                rows.append(measured(name, work, processes, **facts))
    table(("limiter", "work", "processes", "of the quota", "429"), rows)
    ours = [row for row in rows if row[0] == "gristmill"]
    least = min(float(row[3]) for row in ours)
    refused = sum(int(row[4]) for row in ours)
    bar("quota used", met=least >= BAR, figure=f"{least:.3f}", wanted=f">= {BAR}")
    bar("429", met=refused == 0, figure=f"{refused}", wanted="0")


def prepare(conninfo: str) -> None:
    import asyncio

    from gristmill.database.engine import Database
    from gristmill.database.migrate import migrate

    async def run() -> None:
        database = Database(conninfo)
        await database.open()
        await migrate(database)
        await database.close()

    asyncio.run(run())


def measured(
    name: str, work: Work, processes: int, *, lead: int, seconds: int, conninfo: str
) -> tuple[str, str, int, str, int]:
    with (
        tempfile.TemporaryDirectory(prefix="grist") as folder,
        simulators(Path(folder)) as (url, _),
    ):
        limit(url, work)
        began = time.time() + 4  # by then every process is up
        asked = {
            "requests": work.requests, "tokens": work.tokens, "cost": work.cost,
            "began": began, "ends": began + lead + seconds, "tasks": work.tasks // processes,
            "conninfo": conninfo,
        }  # fmt: skip
        command = [interpreter(name if name == "gristmill" else "openai"), str(HERE / "callers.py")]
        command += [name, environment(url)["OPENAI_BASE_URL"], json.dumps(asked)]
        running = [
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)
        ]
        told = [json.loads(process.communicate()[0]) for process in running]
    window = [str(second) for second in range(lead, lead + seconds)]
    accepted = sum(each["accepted"].get(second, 0) for each in told for second in window)
    refused = sum(sum(each["refused"].values()) for each in told)
    share = accepted / (work.per_second * seconds)
    return name, work.name, processes, f"{share:.3f}", refused


def limit(url: str, work: Work) -> None:
    quotas = {
        "openai_requests_per_minute": work.requests,
        "openai_tokens_per_minute": work.tokens,
        "openai_burst_seconds": 1,
    }
    settings = f"{url}/_simulator/settings"
    httpx.post(settings, json={"quotas": quotas}, trust_env=False).raise_for_status()


if __name__ == "__main__":
    main()
