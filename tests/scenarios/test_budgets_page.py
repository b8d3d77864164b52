"""docs/budgets.md shows what really happens."""

from pathlib import Path

import budgets_page
from simulator import SimulatorControl


def test_the_outputs_on_the_page_are_what_the_commands_print(
    tmp_path: Path, conninfo_url: str, simulator: SimulatorControl
) -> None:
    environment = {
        "GRISTMILL_HOME": str(tmp_path / "home"),
        "GRISTMILL_SIMULATOR_URL": simulator.base_url,
        "DATABASE_URL": conninfo_url,
    }
    page = budgets_page.PAGE.read_text("utf-8")
    now = budgets_page.rewritten(page, budgets_page.runner(environment))
    assert now == page, "python tests/support/budgets_page.py"
