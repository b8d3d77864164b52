"""`python -m benchmarks [NAME ...] [--quick]`: one process for each measurement."""

import argparse
import importlib.util
import subprocess
import sys
from typing import Final

from benchmarks.report import title

# What each is, is the first line of its module.
BENCHMARKS: Final = {
    "embeddings": "benchmarks.embeddings",
    "planning": "benchmarks.planning",
    "pipeline": "benchmarks.pipeline",
    "memory": "benchmarks.memory",
    "simulators": "benchmarks.simulators",
    "storage": "benchmarks.storage",
    "ledger": "benchmarks.ledger",
    "overshoot": "benchmarks.overshoot",
    "quotas": "benchmarks.quotas",
    "books": "benchmarks.books",
    "guards": "benchmarks.guards",
    "trouble": "benchmarks.trouble",
    "start": "benchmarks.start",
    "quality": "benchmarks.embedding_quality",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="fewer rounds: does it still run?")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - BENCHMARKS.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(BENCHMARKS)}")
    failed = [name for name in arguments.names or BENCHMARKS if not run(name, arguments.quick)]
    if failed:
        print(f"\nNot finished: {', '.join(failed)}")
    return 1 if failed else 0


def run(name: str, quick: bool) -> bool:
    """Whether it came to its end; a bar that is missed is told, and is no failure."""
    title(name)
    module = BENCHMARKS[name]
    if importlib.util.find_spec(module) is None:
        print(f"skipped: there is no {module}")
        return True
    # Of its own process each: what one has imported or left behind does not colour the next.
    command = [sys.executable, "-m", module, *(["--quick"] if quick else [])]
    return subprocess.run(command, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
