"""docs/simulators.md says what the simulators are, and its examples run."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson
import pytest
import simulators_page
from typer.testing import CliRunner

from gristmill.cli.app import app
from gristmill_simulators.server import SimulatorServer

PAGE = simulators_page.PAGE.read_text("utf-8")
ADDRESS = "http://127.0.0.1:9000"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorServer]:
    with SimulatorServer(tmp_path_factory.mktemp("simulators")) as server:
        yield server


def example(language: str, beginning: str) -> str:
    blocks = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return next(block for block in blocks if block.startswith(beginning))


def test_the_tables_and_lists_of_the_page_are_what_the_simulators_are():
    # not the pages themselves: to show how two of them differ takes pytest minutes
    assert simulators_page.outdated(PAGE) == [], "python tests/support/simulators_page.py"


def test_the_pytest_example_passes(tmp_path: Path):
    (tmp_path / "test_example.py").write_text(example("python", "import httpx"))
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", "."]
    command += ["-o", "asyncio_mode=auto", "-p", "pytest_asyncio.plugin", "test_example.py"]
    alone = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    ran = subprocess.run(
        command, cwd=tmp_path, env=alone, capture_output=True, text=True, check=False
    )
    assert "2 passed" in ran.stdout, ran.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="the examples need curl")
def test_the_examples_for_a_shell_run_as_they_stand(server: SimulatorServer):
    script = example("sh", "S=").replace(ADDRESS, server.base_url)
    careful = 'set -e; curl() { command curl -fsS "$@"; echo; }\n'
    ran = subprocess.run(
        ["sh", "-c", careful + script], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    answers = [orjson.loads(line) for line in ran.stdout.splitlines() if line]
    assert len(answers) == script.count("curl ")
    assert [fault["id"] for fault in answers[2]["faults"]] == [1, 2, 3]


@pytest.mark.skipif(shutil.which("curl") is None, reason="the examples need curl")
def test_the_variables_reach_a_shell_as_the_page_shows(server: SimulatorServer):
    line = example("sh", "eval").replace(ADDRESS, server.base_url)
    command = ["sh", "-c", f'{line}\nprintf %s "$SUPABASE_URL"']
    assert (
        subprocess.run(command, capture_output=True, text=True, check=False).stdout
        == server.supabase_url
    )


def test_the_examples_for_the_command_line_run_as_they_stand(
    server: SimulatorServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("GRISTMILL_SIMULATOR_URL", server.base_url)
    monkeypatch.chdir(tmp_path)
    for line in example("sh", "gristmill simulator").splitlines():
        result = CliRunner().invoke(app, shlex.split(line)[1:])
        assert result.exit_code == 0, f"{line}\n{result.output}"


def test_the_script_of_jobs_is_a_setting(server: SimulatorServer):
    body = example("json", "{")
    answer = httpx.post(f"{server.base_url}/_simulator/settings", content=body, trust_env=False)
    assert answer.status_code == 200, answer.text


def test_the_addresses_and_keys_of_the_page_are_those_of_a_client():
    from gristmill_simulators.environment import environment

    for name, value in environment(ADDRESS).items():
        shown = re.search(rf"`{name}` = `(.*?)`", PAGE)
        assert shown is None or shown[1] == value, name
