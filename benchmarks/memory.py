"""A PDF of 1,000 pages: the most memory that the gristmill process takes, with all others beside.

On Linux the proportional share, which counts a page shared by n processes as 1/n; elsewhere what
is resident.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Final

from benchmarks import processes
from benchmarks.documents import pdf
from benchmarks.report import bar, is_quick, machine, table
from gristmill_simulators.background import stop

BAR_MB: Final = 300.0
EVERY_SECONDS: Final = 0.1


def main() -> None:
    pages = 100 if is_quick(__doc__) else 1000
    machine()
    with tempfile.TemporaryDirectory(prefix="grist") as folder:
        home = Path(folder)
        one, many = home / "one.pdf", home / "many.pdf"
        one.write_bytes(pdf(1, seed="one"))
        many.write_bytes(pdf(pages, seed="many"))
        size = many.stat().st_size / 1e6
        peaks_of_one, _ = watched(home, one)
        peaks, seconds = watched(home, many)
        asyncio.run(stop(home / "home" / "simulator"))
    print(f"{pages} pages, {size:.1f} MB, {seconds:.1f} s\n")
    rows = [(part, f"{peaks_of_one[part]:.0f}", f"{peaks[part]:.0f}") for part in sorted(peaks)]
    table(("peak of", "1 page, MB", f"{pages} pages, MB"), rows)
    peak = peaks[processes.OWN]
    bar("gristmill process", met=peak <= BAR_MB, figure=f"{peak:.0f} MB", wanted="<= 300 MB")


def watched(home: Path, file: Path) -> tuple[dict[str, float], float]:
    """The most that each part took at one moment, in MB, and how long it all took, in seconds.

    Raises:
        RuntimeError: the document did not become ready.
    """
    started = time.monotonic()
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("gristmill")), "ingest", str(file), "--json"],
        env={"PATH": os.defpath, "HOME": str(home), "GRISTMILL_HOME": str(home / "home")},
        stdout=subprocess.PIPE,
        text=True,
    )
    peaks: dict[str, float] = defaultdict(float)
    while process.poll() is None:
        others = processes.servers_of(home / "home")
        for part, each in processes.parts(process.pid, *others).items():
            peaks[part] = max(peaks[part], processes.memory(each))
        time.sleep(EVERY_SECONDS)
    output = process.stdout.read() if process.stdout else ""
    if process.returncode != 0:
        raise RuntimeError(output)
    return peaks, time.monotonic() - started


if __name__ == "__main__":
    main()
