"""Fixtures shared by all tests: one real Postgres for the run, a fresh database for each test."""

import logging
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
import pytest_asyncio

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
    """The address of a real server that lives as long as the run, and need not outlive a crash."""
    with EmbeddedPostgres.start(tmp_path_factory.mktemp("home")) as server:
        with psycopg.connect(server.conninfo, autocommit=True) as connection:
            connection.execute(
                "ALTER SYSTEM SET fsync = off"
            )  # three quarters of a database's cost
            connection.execute("SELECT pg_reload_conf()")
        yield server.conninfo


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def migrated(postgres: str) -> str:
    """The name of a database on it that is migrated, to copy: a tenth of what migrating costs."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE migrated TEMPLATE template0")
    database = Database(psycopg.conninfo.make_conninfo(postgres, dbname="migrated"))
    await database.open()
    await migrate(database)
    await database.close()
    return "migrated"


@pytest.fixture
def conninfo(postgres: str, migrated: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a migrated database on it, empty, dropped afterwards."""
    with _copy_of(migrated, postgres, request) as conninfo:
        yield conninfo


@pytest.fixture
def unmigrated(postgres: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a database on it with nothing in it, dropped afterwards."""
    with _copy_of("template0", postgres, request) as conninfo:
        yield conninfo


@contextmanager
def _copy_of(template: str, server: str, request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"test_{abs(hash(request.node.nodeid)):x}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE {template} STRATEGY file_copy')
    yield psycopg.conninfo.make_conninfo(server, dbname=name)
    with psycopg.connect(server, autocommit=True) as connection:
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
    yield database
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
