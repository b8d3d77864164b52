"""256 texts into 1536 numbers each: gristmill, alone and with all policies, against other clients.

All clients ask one local server, each from a process of its own, in turns. The baseline is the
least that must be done: `httpx2` and `orjson` into one array.
"""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks import instant
from benchmarks.report import bar, is_quick, machine, table

HERE: Final = Path(__file__).parent
BASELINE: Final = "raw"
BAR: Final = 1.5
LABELS: Final = {
    "raw": "httpx2 + orjson",
    "adapter": "gristmill, adapter alone",
    "stack": "gristmill, all policies and ledger",
    "openai": "openai, default",
    "langchain-openai": "langchain-openai, no tokenizing",
    "llama-index": "llama-index",
    "litellm": "litellm",
}
# Which environment each client lives in: our own, or one made from a list of requirements.
PEERS: Final = {
    "openai": "peers",
    "langchain-openai": "peers",
    "llama-index": "peers",
    "litellm": "peers-litellm",
}


@dataclass(slots=True)
class Client:
    """A client's process, and what was measured: medians of the rounds, in seconds."""

    process: subprocess.Popen[str]
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def round(self, calls: int) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{calls}\n")
        self.process.stdin.flush()
        times = json.loads(self.process.stdout.readline())
        self.wall.append(median(wall for wall, _ in times))
        self.cpu.append(median(cpu for _, cpu in times))


def interpreter(name: str) -> str:
    """The Python that has this client.

    Raises:
        subprocess.CalledProcessError: its environment cannot be made.
    """
    requirements = PEERS.get(name)
    if requirements is None:
        return sys.executable
    folder = HERE / f".venv-{requirements}"
    mark = folder / ".installed"
    wanted = (HERE / f"{requirements}.txt").read_text()
    if not mark.exists() or mark.read_text() != wanted:
        print(f"installing {requirements}.txt", flush=True)
        _run(sys.executable, "-m", "venv", str(folder))
        pip = (str(folder / "bin/python"), "-m", "pip", "install", "--quiet")
        _run(*pip, "--disable-pip-version-check", "-r", str(HERE / f"{requirements}.txt"))
        mark.write_text(wanted)
    return str(folder / "bin/python")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


@contextlib.contextmanager
def started(names: list[str], url: str) -> Iterator[Mapping[str, Client]]:
    """The clients that can be had, ready to call; the others are told with the reason."""
    clients: dict[str, Client] = {}
    try:
        for name in names:
            if (client := _start(name, url)) is not None:
                clients[name] = client
        yield clients
    finally:
        for client in clients.values():
            assert client.process.stdin is not None
            client.process.stdin.close()
            client.process.wait()


def _start(name: str, url: str) -> Client | None:
    try:
        python = interpreter(name)
    except subprocess.CalledProcessError as error:
        reason = [line for line in error.stderr.splitlines() if "ERROR" in line] or ["no reason"]
        print(f"skipped {name}: it cannot be installed: {reason[-1]}")
        return None
    process = subprocess.Popen(
        [python, str(HERE / "clients.py"), name, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    if process.stdout.readline().strip() != "ready":
        print(f"skipped {name}: it does not start, see above")
        process.wait()
        return None
    return Client(process)


def tell(clients: Mapping[str, Client]) -> None:
    """Medians over the rounds; a ratio is the median of the ratios of each round."""
    rows = [
        (
            LABELS[name],
            f"{median(client.wall) * 1e3:.1f}",
            f"{median(client.cpu) * 1e3:.1f}",
            f"{ratio(client, clients[BASELINE]):.2f}",
        )
        for name, client in clients.items()
    ]
    table(("client", "wall ms", "client CPU ms", "wall / baseline"), rows)


def ratio(client: Client, baseline: Client) -> float:
    return median(own / base for own, base in zip(client.wall, baseline.wall, strict=True))


def main() -> None:
    rounds, calls = (2, 2) if is_quick(__doc__) else (9, 5)
    machine()
    with instant.running() as vendors, started(list(LABELS), f"{vendors.url}/openai/v1") as clients:
        for _ in range(rounds):
            for client in clients.values():
                client.round(calls)
        tell(clients)
        for name in ("adapter", "stack"):
            figure = ratio(clients[name], clients[BASELINE])
            bar(LABELS[name], met=figure <= BAR, figure=f"{figure:.2f} x", wanted=f"<= {BAR} x")


if __name__ == "__main__":
    main()
