"""Random kill -9 of the command line, then a resume; what was paid is counted at the vendor."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pdfs import pdf
from simulator import SimulatorControl

from gristmill_simulators.server import SimulatorServer

pytestmark = pytest.mark.slow

KILLS = 50
DOCUMENTS = 12
WORDS = ("Barley", "Millet", "Quinoa", "Sorghum", "Buckwheat", "Amaranth", "Spelt", "Teff", "Oats")
Run = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[SimulatorControl]:
    with SimulatorServer(tmp_path / "simulator") as server:
        control = SimulatorControl(server.base_url)
        control.configure(latency={"openai": 0.02, "llamacloud": 0.02, "supabase": 0.02})
        yield control
        control.close()


@pytest.fixture
def start(tmp_path: Path, simulator: SimulatorControl) -> Run:
    """Starts a command on one embedded home."""
    environment = {
        "PATH": os.environ["PATH"],
        "GRISTMILL_HOME": str(tmp_path / "home"),
        "GRISTMILL_SIMULATOR_URL": simulator.base_url,
    }

    def run(*arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", "from gristmill.cli import main; main()", *arguments]
        return subprocess.Popen(
            command,
            env=environment,
            cwd=tmp_path,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    return run


def test_fifty_random_kills_lose_nothing_and_no_parse_is_paid_twice(
    tmp_path: Path, start: Run, simulator: SimulatorControl
) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number in range(DOCUMENTS):
        # Lines that repeat from page to page would be taken for headers and left out.
        pages = [f"{WORDS[(number + 5 * page) % len(WORDS)]} number {number}" for page in range(3)]
        (corpus / f"{number:02}.pdf").write_bytes(pdf(*pages))
    draw = random.Random(7)
    for attempt in range(KILLS):
        process = start("ingest", str(corpus)) if attempt % 2 == 0 else start("resume")
        time.sleep(draw.uniform(0.3, 3.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    # What a killed run left behind is there at once; a last run brings everything home.
    final = start("ingest", str(corpus), "--json")
    output, errors = final.communicate(timeout=120)
    report = json.loads(output)
    assert {document["status"] for document in report["documents"]} == {"ready"}, report
    assert final.returncode == 0, errors
    assert simulator.calls("llamacloud.parsing.create") == DOCUMENTS
