"""Half a minute without the simulators, or without the database, under the command line."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from pdfs import pdf
from simulator import SimulatorControl

from gristmill_simulators.background import stop

pytestmark = pytest.mark.slow

OUTAGE_SECONDS = 30.0
DOCUMENTS = 300


def simulators(home: Path) -> list[int]:
    with closing(control_of(home)) as control:
        return [int(control._get("/health")["pid"])]


def control_of(home: Path) -> SimulatorControl:
    return SimulatorControl(
        json.loads((home / "simulator" / "address.json").read_text())["base_url"]
    )


def has_begun(home: Path) -> bool:
    """Whether some of the documents are with the parser."""
    if not (home / "simulator" / "address.json").exists():
        return False
    with closing(control_of(home)) as control:
        return control.calls("llamacloud.parsing.create") >= DOCUMENTS // 10


def database(home: Path) -> list[int]:
    """The server with all its processes."""
    server = int((home / "postgres/data/postmaster.pid").read_text().split()[0])
    return [server, *(child.pid for child in psutil.Process(server).children())]


def silence(pids: Sequence[int]) -> None:
    """They hang, and with them every call under way, and then go on."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(OUTAGE_SECONDS)
    for pid in pids:
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGCONT)


def kill(pids: Sequence[int]) -> None:
    """They are gone; whoever needs them starts them again."""
    os.kill(pids[0], signal.SIGKILL)
    time.sleep(OUTAGE_SECONDS)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    asyncio.run(stop(tmp_path / "home" / "simulator"))


@pytest.mark.timeout(240)
@pytest.mark.parametrize("happens", [silence, kill], ids=["silent", "killed"])
@pytest.mark.parametrize("to", [simulators, database], ids=["simulators", "database"])
def test_an_ingest_outlives_half_a_minute_without(
    home: Path,
    tmp_path: Path,
    to: Callable[[Path], list[int]],
    happens: Callable[[Sequence[int]], None],
) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number in range(DOCUMENTS):
        (corpus / f"{number:02}.pdf").write_bytes(pdf(f"Barley, sack number {number}."))
    environment = {"PATH": os.environ["PATH"], "GRISTMILL_HOME": str(home)}
    command = [sys.executable, "-m", "gristmill", "ingest", str(corpus), "--json"]
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE) as ingest:
        while not has_begun(home):
            assert ingest.poll() is None, "too fast to be interrupted"
            time.sleep(0.1)
        happens(to(home))
        output, _ = ingest.communicate(timeout=150)
    report = json.loads(output)
    assert {each["status"] for each in report.get("documents", [])} == {"ready"}, report
    assert ingest.returncode == 0
    with closing(control_of(home)) as control:
        assert control.billed()["llamacloud"]["jobs"] == DOCUMENTS
