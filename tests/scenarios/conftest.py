"""A whole system for each test: a fresh database, simulators on a real socket, a home."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from pdfs import pdf
from simulator import SimulatorControl
from vendor import Vendor
from waits import shorten

from gristmill import Gristmill
from gristmill.settings import Settings, load_settings
from gristmill_simulators.server import SimulatorServer


@pytest.fixture(scope="session")
def simulator_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorServer]:
    with SimulatorServer(tmp_path_factory.mktemp("simulator")) as server:
        yield server


def emptied(server: SimulatorServer) -> Iterator[SimulatorControl]:
    control = SimulatorControl(server.base_url)
    control.reset()
    yield control
    control.close()


@pytest.fixture
def simulator(simulator_server: SimulatorServer) -> Iterator[SimulatorControl]:
    """The simulators, with nothing in them."""
    yield from emptied(simulator_server)


@pytest.fixture
def settings(tmp_path: Path, conninfo_url: str, simulator: SimulatorControl) -> Settings:
    environment = {
        "GRISTMILL_HOME": str(tmp_path / "home"),
        "GRISTMILL_SIMULATOR_URL": simulator.base_url,
        "DATABASE_URL": conninfo_url,
    }
    return load_settings(environment, tmp_path)


@pytest.fixture(scope="session")
def vendor_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendor]:
    with Vendor(tmp_path_factory.mktemp("vendor")) as server:
        yield server


@pytest.fixture
def vendor(vendor_server: Vendor) -> Iterator[SimulatorControl]:
    """What stands for the real vendors, with nothing in it."""
    yield from emptied(vendor_server)


SettingsIn = Callable[..., Settings]


@pytest.fixture
def beside_vendor(
    tmp_path: Path,
    conninfo_url: str,
    simulator: SimulatorControl,
    vendor: SimulatorControl,  # noqa: ARG001 — with nothing in it
    vendor_server: Vendor,
) -> dict[str, str]:
    """The variables of a home with keys of the vendor and a limit; calls are tried once."""
    return {
        "GRISTMILL_HOME": str(tmp_path / "home"),
        "GRISTMILL_SIMULATOR_URL": simulator.base_url,
        "DATABASE_URL": conninfo_url,
        "GRISTMILL_BUDGET": "50/day",
        "GRISTMILL_RETRY_SECONDS": "0",
        "GRISTMILL_RATE_LLAMAPARSE": "60000/minute",
        "GRISTMILL_PARSE_POLL_SECONDS": "0.05",
        **vendor_server.environment(tmp_path),
    }


@pytest.fixture
def settings_in(tmp_path: Path, beside_vendor: dict[str, str]) -> SettingsIn:
    """Settings in a mode, beside the vendor."""

    def load(mode: str, **more: str) -> Settings:
        return load_settings({**beside_vendor, "GRISTMILL_MODE": mode, **more}, tmp_path)

    return load


@pytest.fixture
async def mill(settings: Settings) -> AsyncIterator[Gristmill]:
    async with Gristmill(settings) as mill:
        yield mill


@pytest.fixture
async def short_waits(mill: Gristmill) -> None:
    """What this mill waits for by the clock comes soon."""
    await shorten(mill)


@pytest.fixture
async def impatient(settings: Settings) -> AsyncIterator[Gristmill]:
    """The same, which tries nothing a second time at once."""
    async with Gristmill(settings.model_copy(update={"retry_seconds": 0.0})) as mill:
        yield mill


@pytest.fixture
def write_pdf(tmp_path: Path) -> Callable[..., Path]:
    """Writes a PDF with the given text, a page for each argument."""

    def write(name: str, *pages: str) -> Path:
        path = tmp_path / name
        path.write_bytes(pdf(*pages))
        return path

    return write
