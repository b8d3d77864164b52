"""A whole system for each test: a fresh database, simulators on a real socket, a home."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from pdfs import pdf
from simulator import SimulatorControl
from waits import shorten

from gristmill import Gristmill
from gristmill.settings import Settings, load_settings
from gristmill_simulators.server import SimulatorServer


@pytest.fixture(scope="session")
def simulator_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorServer]:
    with SimulatorServer(tmp_path_factory.mktemp("simulator")) as server:
        yield server


@pytest.fixture
def simulator(simulator_server: SimulatorServer) -> Iterator[SimulatorControl]:
    """The simulators, with nothing in them."""
    control = SimulatorControl(simulator_server.base_url)
    control.reset()
    yield control
    control.close()


@pytest.fixture
def settings(tmp_path: Path, conninfo_url: str, simulator: SimulatorControl) -> Settings:
    environment = {
        "GRISTMILL_HOME": str(tmp_path / "home"),
        "GRISTMILL_SIMULATOR_URL": simulator.base_url,
        "DATABASE_URL": conninfo_url,
    }
    return load_settings(environment, tmp_path)


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
