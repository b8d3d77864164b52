"""docs/modes.md shows what really happens."""

from pathlib import Path

import modes_page
from simulator import SimulatorControl
from vendor import Vendor


def test_the_outputs_on_the_page_are_what_the_commands_print(
    tmp_path: Path,
    conninfo_url: str,
    simulator: SimulatorControl,
    vendor: SimulatorControl,
    vendor_server: Vendor,
) -> None:
    environment = {
        "GRISTMILL_HOME": str(tmp_path / "home"),
        "GRISTMILL_SIMULATOR_URL": simulator.base_url,
        "DATABASE_URL": conninfo_url,
        **vendor_server.environment(tmp_path),
    }
    page = modes_page.PAGE.read_text("utf-8")
    now = modes_page.page_now(page, environment, vendor)
    assert now == page, "python tests/support/modes_page.py"
