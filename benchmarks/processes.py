"""What a process tree uses: memory in MB, CPU in seconds, by the part each process plays."""

import contextlib
import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil

# By a piece of the command line; what fits nothing, runs the pipeline.
PARTS: Final = (
    ("Postgres", ("postgres",)),
    ("simulators", ("gristmill_simulators",)),
    ("instant vendors", ("benchmarks.instant",)),
    ("children", ("pipeline/child.py",)),
)
OWN: Final = "gristmill"


def me() -> int:
    return os.getpid()


def parts(root: int, *others: int) -> dict[str, list[psutil.Process]]:
    """The processes below `root` and `others`, with them, by their part."""
    found: dict[str, list[psutil.Process]] = defaultdict(list)
    for pid in (root, *others):
        try:
            process = psutil.Process(pid)
            for each in (process, *process.children(recursive=True)):
                found[OWN if each.pid == root else part(each)].append(each)
        except psutil.NoSuchProcess:
            continue
    return found


def part(process: psutil.Process) -> str:
    try:
        words = " ".join(process.cmdline())
    except psutil.Error:
        return "others"
    return next(
        (name for name, signs in PARTS if any(sign in words for sign in signs)),
        "others",
    )


def servers_of(home: Path) -> list[int]:
    """The detached servers of a home: Postgres says where it is, the simulators name the home."""
    found = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        found.append(int((home / "postgres/data/postmaster.pid").read_text().split()[0]))
    for process in psutil.process_iter(["pid", "cmdline"]):
        words = process.info["cmdline"] or ()
        if "gristmill_simulators" in words and any(str(home) in word for word in words):
            found.append(process.info["pid"])
    return found


def cpu_seconds(found: Mapping[str, list[psutil.Process]]) -> dict[str, float]:
    """User and system time of each part so far, of those of its processes that have ended too."""
    total: dict[str, float] = defaultdict(float)
    for name, processes in found.items():
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total[name] += times.user + times.system
                # The only processes that ours starts, uses up and ends are the children.
                ended = "children" if name == OWN else name
                total[ended] += getattr(times, "children_user", 0.0)
                total[ended] += getattr(times, "children_system", 0.0)
    return total


def memory(processes: list[psutil.Process]) -> float:
    """MB: the proportional share on Linux, which counts shared pages once; else the resident."""
    return sum(_memory_of(process) for process in processes) / 1e6


def _memory_of(process: psutil.Process) -> int:
    rollup = Path(f"/proc/{process.pid}/smaps_rollup")
    try:
        for line in rollup.read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
        return int(process.memory_info().rss)
    except (OSError, psutil.Error):
        try:
            return int(process.memory_info().rss)
        except psutil.Error:
            return 0
