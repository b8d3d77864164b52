"""What is billed beyond a budget when many calls come at once: gristmill, and litellm's router.

The budget has room for a tenth of the calls. The vendor, a small server, answers each at once and
counts; what it was asked is what it bills. Neither client retries, and each has a fresh budget.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import instant
from benchmarks.embeddings import interpreter
from benchmarks.report import bar, is_quick, machine, table

HERE: Final = Path(__file__).parent
COST: Final = 8 * 20  # nano-dollars for a call of 8 tokens
# Calls, and how many of them at once.
SIZES: Final = ((1000, 1), (1000, 1000), (5000, 5000))
QUICK: Final = ((100, 1), (1000, 1000))


@dataclass(frozen=True, slots=True)
class Spent:
    """Calls that a budget had room for, that the vendor billed, and that the client saw refused."""

    room: int
    billed: int
    refused: int
    seconds: float

    @property
    def over(self) -> int:
        """Nano-dollars beyond the budget."""
        return max(0, self.billed - self.room) * COST


def spent(name: str, vendors: instant.Vendors, calls: int, at_once: int) -> Spent:
    """Has one client make its calls.

    Raises:
        subprocess.CalledProcessError: it, or its environment, failed.
    """
    vendors.reset()
    room = calls // 10
    told = subprocess.run(
        [
            interpreter(name),
            str(HERE / "spenders.py"),
            name,
            f"{vendors.url}/openai/v1",
            *(str(number) for number in (calls, at_once, room * COST)),
        ],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    answer = json.loads(told.stdout.splitlines()[-1])
    billed = vendors.counts()["embed"]
    return Spent(room, billed, answer.get("refused", 0), answer["seconds"])


def main() -> None:
    sizes = QUICK if is_quick(__doc__) else SIZES
    machine()
    rows, over = [], 0
    with instant.running() as vendors:
        for calls, at_once in sizes:
            for name in ("gristmill", "litellm"):
                found = spent(name, vendors, calls, at_once)
                over += found.over if name == "gristmill" else 0
                rows.append(
                    (
                        f"{calls} calls, {at_once} at once, {name}",
                        found.room,
                        found.billed,
                        found.refused,
                        f"{found.over / (found.room * COST):.0%}",
                        f"{found.seconds:.1f}",
                    )
                )
    table(("", "room for", "billed", "refused", "beyond the budget", "s"), rows)
    bar("gristmill beyond its budgets", met=over == 0, figure=f"{over} nano-dollars", wanted="0")


if __name__ == "__main__":
    main()
