"""docs/budgets.md shows what really happens."""

import ast
import re
from pathlib import Path

import budgets_page
import pytest
import transcripts
from simulator import SimulatorControl

from gristmill_simulators.environment import environment

_PROGRAM = re.compile(r"```python\n(.*?)```", re.DOTALL)
_AWAITING = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


def test_the_outputs_on_the_page_are_what_the_commands_print(
    tmp_path: Path, conninfo_url: str, simulator: SimulatorControl
) -> None:
    environment = {
        "GRISTMILL_HOME": str(tmp_path / "home"),
        "GRISTMILL_SIMULATOR_URL": simulator.base_url,
        "DATABASE_URL": conninfo_url,
    }
    page = budgets_page.PAGE.read_text("utf-8")
    now = transcripts.rewritten(page, transcripts.runner(environment))
    assert now == page, "python tests/support/budgets_page.py"


async def test_the_programs_on_the_page_run_and_print_what_was_spent(
    tmp_path: Path,
    conninfo_url: str,
    simulator: SimulatorControl,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    named = {"GRISTMILL_HOME": str(tmp_path / "home"), "DATABASE_URL": conninfo_url}
    for name, value in (named | environment(simulator.base_url)).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    for program in _PROGRAM.findall(budgets_page.PAGE.read_text("utf-8")):
        await eval(compile(program, "budgets.md", "exec", flags=_AWAITING), {})  # noqa: S307

    assert capsys.readouterr().out.splitlines() == ["global day 0 0 5000000000", "letters 100 0"]
    assert simulator.calls("openai.embeddings.create") == 1
