"""Fixtures shared by all tests: one real Postgres for the run, a fresh schema for each test."""

import logging
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from gristmill.costs.ledger import Ledger
from gristmill.database.embedded import EmbeddedPostgres
from gristmill.database.engine import Database
from gristmill.database.migrate import migrate


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--against",
        choices=("simulators", "real"),
        default="simulators",
        help="what tests/conformance and tests/scenarios ask; real needs keys and is billed",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test printed may hold anything; between processes only text can go."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.fixture(scope="session")
def against_real(request: pytest.FixtureRequest) -> bool:
    """Whether the vendors themselves are asked, with the keys of the environment."""
    return bool(request.config.getoption("--against") == "real")


@pytest.fixture(autouse=True)
def logs() -> Iterator[None]:
    """A test that runs a command configures the logs; the next one finds them as they were."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real server that lives as long as the run."""
    with EmbeddedPostgres.start(tmp_path_factory.mktemp("home")) as server:
        yield server.conninfo


@pytest.fixture
def conninfo(postgres: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of an empty database on it, dropped afterwards."""
    name = f"test_{abs(hash(request.node.nodeid)):x}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    yield psycopg.conninfo.make_conninfo(postgres, dbname=name)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def conninfo_url(conninfo: str) -> str:
    """The same address as a URL, as DATABASE_URL has it."""
    parts = psycopg.conninfo.conninfo_to_dict(conninfo)
    names = {name: quote(str(value), safe="") for name, value in parts.items()}
    query = f"host={names['host']}&port={names.get('port', '5432')}"
    return f"postgresql://{names['user']}:{names['password']}@/{names['dbname']}?{query}"


@pytest.fixture
async def database(conninfo: str) -> AsyncIterator[Database]:
    """A migrated database, empty."""
    database = Database(conninfo)
    await database.open()
    try:
        await migrate(database)
        yield database
    finally:
        await database.close()


@pytest.fixture
async def ledger(database: Database) -> AsyncIterator[Ledger]:
    """Of a process that waits for the database only briefly, and ends in an orderly way."""
    ledger = Ledger(database, write_seconds=0.5)
    yield ledger
    await ledger.close()


@pytest.fixture
def samples() -> Path:
    """The documents that come with the project."""
    return Path(__file__).parent.parent / "samples"
