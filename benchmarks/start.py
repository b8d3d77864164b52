"""How long the command line takes to say something, beside a Python that says nothing.

Medians of runs in turns. `search` finds its servers up: the database and the simulators of its
home are kept running meanwhile.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.documents import pdf
from benchmarks.report import bar, is_quick, machine, table
from gristmill.database.embedded import EmbeddedPostgres
from gristmill_simulators.background import stop

BAR_HELP: Final = 1.3
BAR_SEARCH_SECONDS: Final = 1.0
GRISTMILL: Final = str(Path(sys.executable).with_name("gristmill"))
COMMANDS: Final = {
    "python -c pass": (sys.executable, "-c", "pass"),
    "python -c 'import typer'": (sys.executable, "-c", "import typer"),
    "gristmill --help": (GRISTMILL, "--help"),
    "gristmill search": (GRISTMILL, "search", "how are retries bounded?"),
}


def main() -> None:
    rounds = 3 if is_quick(__doc__) else 11
    machine()
    with tempfile.TemporaryDirectory(prefix="grist") as folder:
        home = Path(folder)
        environ = {"PATH": os.defpath, "HOME": folder, "GRISTMILL_HOME": folder, "COLUMNS": "100"}
        with EmbeddedPostgres.start(home):  # as long as we use it, it runs
            prepare(home, environ)
            seconds = {name: [] for name in COMMANDS}
            for _ in range(rounds):
                for name, command in COMMANDS.items():
                    seconds[name].append(timed(command, environ))
            imports = {name: imported(COMMANDS[name], environ) for name in list(COMMANDS)[2:]}
        asyncio.run(stop(home / "simulator"))
    tell({name: median(each) for name, each in seconds.items()})
    for name, times in imports.items():
        tell_imports(name, times)


def prepare(home: Path, environ: dict[str, str]) -> None:
    """A document to find, and everything compiled and in the file cache."""
    (home / "one.pdf").write_bytes(pdf(1, seed="retries are bounded"))
    for command in ((GRISTMILL, "ingest", str(home / "one.pdf")), *COMMANDS.values()):
        subprocess.run(command, env=environ, check=True, capture_output=True)


def timed(command: tuple[str, ...], environ: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, env=environ, check=True, capture_output=True)
    return time.perf_counter() - started


def tell(seconds: dict[str, float]) -> None:
    nothing, typer, help_, search = seconds.values()
    rows = [
        (name, f"{each * 1e3:.0f}", f"{each / typer:.2f}", f"{(each - nothing) * 1e3:.0f}")
        for name, each in seconds.items()
    ]
    table(("command", "ms", "to import typer", "ms over python -c pass"), rows)
    bar(
        "gristmill --help",
        met=help_ / typer <= BAR_HELP,
        figure=f"{help_ / typer:.2f} x",
        wanted=f"<= {BAR_HELP} x import typer",
    )
    bar(
        "first gristmill search",
        met=search - nothing <= BAR_SEARCH_SECONDS,
        figure=f"{search - nothing:.2f} s more",
        wanted=f"<= {BAR_SEARCH_SECONDS} s more than python -c pass",
    )
    print()


def imported(command: tuple[str, ...], environ: dict[str, str]) -> Counter[str]:
    """Microseconds of each package's own modules, as `-X importtime` tells them."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command],
        env=environ, check=True, capture_output=True, text=True,
    )  # fmt: skip
    packages: Counter[str] = Counter()
    for line in done.stderr.splitlines():
        if line.startswith("import time:") and (own := line[12:].split("|")[0].strip()).isdigit():
            packages[line.rpartition("|")[2].strip().split(".")[0]] += int(own)
    return packages


def tell_imports(name: str, packages: Counter[str]) -> None:
    print(f"Imports of {name}: {packages.total() / 1e3:.0f} ms (measuring slows them down)\n")
    rows = [(package, f"{spent / 1e3:.0f}") for package, spent in packages.most_common(12)]
    table(("package", "own ms"), rows)


if __name__ == "__main__":
    main()
