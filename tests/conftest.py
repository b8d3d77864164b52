"""Fixtures shared by all tests: one real Postgres for the run, a fresh database for each test."""

import logging
import os
import shutil
import subprocess
import tempfile
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

MEMORY = Path("/dev/shm")  # noqa: S108 — a mount point
ROOM = 4 << 30  # bytes; a run needs less than one


def _folder_in_memory() -> str | None:
    """Where files cost no disk, if that is here with room, and programs may run there.

    Each database is copied, each simulator keeps its state: two workers wait for a disk, not for us.
    """
    if not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK):
        return None
    status = os.statvfs(MEMORY)
    fits = status.f_bavail * status.f_frsize >= ROOM and not status.f_flag & os.ST_NOEXEC
    return str(MEMORY) if fits else None


TEMPORARY = _folder_in_memory() or "/tmp"  # noqa: S108 — short enough for a socket
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", TEMPORARY)  # of `tmp_path`


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--against",
        choices=("simulators", "real"),
        default="simulators",
        help="what tests/conformance and tests/scenarios ask; real needs keys and is billed",
    )
    parser.addoption(
        "--operations",
        type=int,
        default=100_000,
        help="how many entries tests/chaos/test_ledger.py has written to the journal",
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


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder with a short path: pytest's own are too long for a socket."""
    path = Path(tempfile.mkdtemp(prefix="gm-", dir=TEMPORARY))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def made_home() -> Iterator[Path]:
    """A home with a stopped database in it, to copy, which is a sixth of making one."""
    path = Path(tempfile.mkdtemp(prefix="gm-", dir=TEMPORARY))
    EmbeddedPostgres.start(path).close()
    yield path
    shutil.rmtree(path)


@pytest.fixture
def home(made_home: Path, folder: Path) -> Path:
    """A copy of that home, `home` in `folder`."""
    return copied(made_home, folder / "home")


def copied(made: Path, home: Path) -> Path:
    subprocess.run(["cp", "-a", made, home], check=True)
    return home


@pytest.fixture(scope="session")
def postgres(made_home: Path) -> Iterator[str]:
    """The address of a real server that lives as long as the run, and need not outlive a crash."""
    with (
        tempfile.TemporaryDirectory(prefix="gm-", dir=TEMPORARY) as folder,
        EmbeddedPostgres.start(copied(made_home, Path(folder) / "home")) as server,
    ):
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
