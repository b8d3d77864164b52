"""The folder of one embedded database: who may enter, how it is made, how it is set up.

    <home>/postgres/          0700, as root 0711: the server's user passes through
        data/                 the cluster, made aside and renamed, so it is whole or absent
        socket/               0700; a link into /tmp where the path is too long for a socket
        log/  start.log       the server's log, and what it said before it had one
        password              0600, made once
        server.conf  hba.conf written before each start
        start.lock users.lock see `embedded`

As root on Linux the server is given the folder as an open descriptor and knows it by
`/proc/self/fd`: that works below parents which only root may enter, and no mode outside is changed.
"""

import os
import secrets
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from psycopg.conninfo import make_conninfo

from gristmill.database.account import (
    ENVIRONMENT,
    Account,
    initdb_account,
    server_account,
)
from gristmill.database.binaries import Binaries
from gristmill.errors import DatabaseUnavailable

NAME: Final = "gristmill"  # of the database and of its owner
KEPT_LOGS: Final = 4
_DRAFT: Final = "data.new-"
_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 — a mount point, not a temporary file
_ENOUGH_SHARED_MEMORY: Final = 512 * 1024**2

# Sized for a laptop. Errors of statements reach their caller and would put document text into
# the log, so it has only what the server says about itself.
SETTINGS: Final = """\
listen_addresses = ''
max_connections = 100
shared_buffers = 128MB
work_mem = 16MB
maintenance_work_mem = 128MB
effective_cache_size = 1GB
random_page_cost = 1.1
max_worker_processes = 4
max_parallel_workers = 2
max_parallel_maintenance_workers = 2
jit = off
synchronous_commit = on
wal_level = minimal
max_wal_senders = 0
min_wal_size = 64MB
max_wal_size = 512MB
checkpoint_timeout = 15min
password_encryption = scram-sha-256
timezone = UTC
log_timezone = UTC
lc_messages = C
default_text_search_config = 'pg_catalog.english'
logging_collector = on
log_filename = 'server-%Y%m%d-%H%M%S.log'
log_rotation_age = 0
log_rotation_size = 1MB
log_min_messages = log
log_min_error_statement = panic
log_checkpoints = off
log_autovacuum_min_duration = -1
"""

_INITDB: Final = (
    f"--username={NAME}",
    "--pwfile=/dev/stdin",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
    "--no-sync",  # done once at the end, for everything
)

_SINGLE: Final = ("--single", "-F", "-c", "exit_on_error=on", "-c", "log_checkpoints=off")


class Cluster:
    """One embedded database's folder. All methods but `conninfo` need the start lock.

    Raises:
        DatabaseUnavailable: the folder belongs to somebody else.
        OSError: it cannot be made.
    """

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = _own_folder(home.resolve() / "postgres")
        self.account = server_account()
        self.folder.chmod(0o711 if self.account.switch else 0o700)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def tag(self) -> str:
        """What marks our server in the list of processes: survives renames and bind mounts."""
        status = self.folder.stat()
        return f"gristmill_{status.st_dev:x}_{status.st_ino:x}"

    def conninfo(self) -> str:
        """The libpq address, with the password. `require_auth` never shows it to an impostor."""
        return make_conninfo(
            host=str(self.socket_folder()),
            port=5432,
            dbname=NAME,
            user=NAME,
            password=self._password(),
            require_auth="scram-sha-256",
            connect_timeout=10,
        )

    @contextmanager
    def seen_by_server(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The folder's name for a child process, and the descriptors that the child must get."""
        if not (self.account.switch and sys.platform == "linux"):
            yield str(self.folder), ()
            return
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield f"/proc/self/fd/{descriptor}", (descriptor,)
        finally:
            os.close(descriptor)

    # The data folder

    def major(self) -> int | None:
        """The version that made the data folder, if there is one."""
        version = self.data / "PG_VERSION"
        return int(version.read_text()) if self.data.exists() else None

    def make_data(self, binaries: Binaries) -> None:
        """Makes the data folder with the database and pgvector in it, all or nothing.

        Raises:
            DatabaseUnavailable: PostgreSQL's programs failed; says how.
            OSError: the folder cannot be written.
        """
        for leftover in self.folder.glob(f"{_DRAFT}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        self._make_password()
        owner = initdb_account()
        draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=self.folder))
        try:
            owner.own(draft)
            self._fill(draft.name, binaries, owner)
            self.account.own_tree(draft)
            draft.rename(self.data)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        _sync(self.folder)

    def _fill(self, draft: str, binaries: Binaries, owner: Account) -> None:
        with self.seen_by_server() as (folder, descriptors):

            def run(program: str, *arguments: str, text: str = "") -> None:
                # `--single` must be the first argument, and a database's name the last.
                command = [binaries.program(program), *arguments]
                place = {"PGDATA": f"{folder}/{draft}"}
                _run(command, f"{text}\n", place, owner, descriptors)

            run("initdb", *_INITDB, text=self._password())
            run("postgres", *_SINGLE, "postgres", text=f"CREATE DATABASE {NAME}")
            run("postgres", *_SINGLE, NAME, text="CREATE EXTENSION vector")
            run("initdb", "--sync-only")

    # The password

    def _make_password(self) -> None:
        path = self.folder / "password"
        if path.exists():
            return
        draft = path.with_suffix(".new")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32))
            file.flush()
            os.fsync(descriptor)
        draft.rename(path)

    def _password(self) -> str:
        path = self.folder / "password"
        try:
            return path.read_text().strip()
        except FileNotFoundError:
            raise DatabaseUnavailable(
                f"The password of the embedded database is gone: {path} does not exist.",
                advice="Put the file back from a backup of the home folder.",
            ) from None

    # The set-up for one start

    def configure(self) -> None:
        """Writes the server's settings, makes its folders, removes old logs."""
        memory = "posix" if _has_shared_memory() else "mmap"
        settings = f"{SETTINGS}dynamic_shared_memory_type = {memory}\n"
        _write_readable(self.folder / "server.conf", settings)
        _write_readable(self.folder / "hba.conf", "local all all scram-sha-256\n")
        _write_readable(self.folder / "ident.conf", "")
        self._make_log_folder()
        self._make_socket_folder()

    def arguments(self, folder: str) -> list[str]:
        """The server's arguments, where it knows this folder as `folder`."""
        sockets = self.socket_folder()
        ours = sockets.parent == self.folder
        values = {
            "config_file": f"{folder}/server.conf",
            "hba_file": f"{folder}/hba.conf",
            "ident_file": f"{folder}/ident.conf",
            "log_directory": f"{folder}/log",
            "unix_socket_directories": f"{folder}/socket" if ours else str(sockets),
            "cluster_name": self.tag,
        }
        pairs = [("-c", f"{name}={value}") for name, value in values.items()]
        return ["-D", f"{folder}/data", *(word for pair in pairs for word in pair)]

    def log_tail(self, lines: int = 5) -> str:
        """The server's last words, newest log first."""
        logs = sorted((self.folder / "log").glob("*.log"))[-1:]
        text = "".join(
            path.read_text(errors="replace")
            for path in (self.folder / "start.log", *logs)
            if path.exists()
        )
        return "\n".join(text.strip().splitlines()[-lines:])

    def _make_log_folder(self) -> None:
        log = self.folder / "log"
        log.mkdir(mode=0o700, exist_ok=True)
        self.account.own(log)
        self.prune_logs()

    def prune_logs(self) -> None:
        """Keeps the newest `KEPT_LOGS` files of at most 1 MB; every start of a user calls it."""
        for old in sorted((self.folder / "log").glob("*.log"))[:-KEPT_LOGS]:
            old.unlink(missing_ok=True)

    # The socket

    def socket_folder(self) -> Path:
        """Where the server listens: `socket`, or the folder that it links to.

        Raises:
            DatabaseUnavailable: that folder is not private to the server's user.
        """
        path = self.folder / "socket"
        folder = path.readlink() if path.is_symlink() else path
        if folder.exists() and not self._is_private(folder):
            raise DatabaseUnavailable(
                f"{folder}, the folder of the database's socket, is open to other users.",
                advice=f"Stop all that use this home, then remove {path}.",
            )
        return folder

    def _make_socket_folder(self) -> None:
        path = self.folder / "socket"
        if path.is_symlink():
            if self._is_private(path.readlink()):
                return
            path.unlink()
        path.mkdir(mode=0o700, exist_ok=True)
        if not _can_hold_socket(path):
            path.rmdir()
            # A name that nobody can guess, so nobody can be there first.
            path.symlink_to(tempfile.mkdtemp(prefix="gristmill-", dir="/tmp"))
        self.account.own(path.resolve())

    def remove_sockets(self) -> None:
        """Removes what a dead server left; its lock file would name some process of today."""
        folder = self.socket_folder()
        for name in (".s.PGSQL.5432", ".s.PGSQL.5432.lock"):
            (folder / name).unlink(missing_ok=True)

    def remove_distant_socket_folder(self) -> None:
        """Leaves nothing in /tmp."""
        path = self.folder / "socket"
        if path.is_symlink():
            shutil.rmtree(path.readlink(), ignore_errors=True)
            path.unlink()

    def _is_private(self, folder: Path) -> bool:
        try:
            status = folder.lstat()
        except FileNotFoundError:
            return False
        is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == self.account.uid
        return is_ours and not status.st_mode & 0o077


def _own_folder(path: Path) -> Path:
    """Makes the folder, or checks that it, and a link to it, is the caller's. Follows the link."""
    path.mkdir(mode=0o700, exist_ok=True)
    owners = {path.lstat().st_uid, path.stat().st_uid}
    if owners != {os.geteuid()}:
        raise DatabaseUnavailable(
            f"The database in {path} belongs to another user of this machine.",
            advice="Set GRISTMILL_HOME to a folder of your own, or run as that user.",
        )
    return path.resolve()


def _can_hold_socket(folder: Path) -> bool:
    """Whether a socket can be bound here, and libpq, which splits at commas, can name it."""
    path = folder / ".s.PGSQL.test"
    path.unlink(missing_ok=True)
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(str(path))
    except OSError:  # the path is too long, or the file system has no sockets
        return False
    path.unlink()
    return str(folder).isascii() and "," not in str(folder)


def _has_shared_memory() -> bool:
    """Parallel index builds need as much as `maintenance_work_mem`; Docker gives 64 MB."""
    if not _SHARED_MEMORY.is_dir():
        return True  # macOS: not limited by a mount
    status = os.statvfs(_SHARED_MEMORY)
    return status.f_bavail * status.f_frsize >= _ENOUGH_SHARED_MEMORY


def _write_readable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o644)  # the folder around it decides who gets here


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _run(
    command: list[str],
    text: str,
    environment: dict[str, str],
    account: Account,
    descriptors: tuple[int, ...],
) -> None:
    """Runs one of PostgreSQL's programs with `text` as its input.

    Raises:
        DatabaseUnavailable: it failed; quotes its last lines.
    """
    reading, writing = os.pipe()
    with os.fdopen(reading) as stdin:
        if account.switch:
            os.fchown(reading, account.uid, account.gid)  # initdb opens /dev/stdin by name
        with os.fdopen(writing, "w") as file:
            file.write(text)  # a line: it fits into the pipe
        finished = subprocess.run(  # noqa: S603 — our own dependency's program
            command,
            stdin=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            cwd="/",
            env=ENVIRONMENT | environment,
            pass_fds=descriptors,
            start_new_session=True,  # Ctrl-C is for us; we end the child if need be
            **account.privileges(),
        )
    if finished.returncode != 0:
        words = (finished.stderr or finished.stdout).strip().splitlines()[-3:]
        raise _failed(Path(command[0]).name, "\n".join(words))


def _failed(program: str, words: str) -> DatabaseUnavailable:
    if "No space left on device" in words:
        return DatabaseUnavailable(
            "The disk is full: the database could not be made.",
            advice="Free at least 200 MB where GRISTMILL_HOME is, and try again.",
        )
    return DatabaseUnavailable(
        f"The database could not be made: {program} says: {words}",
        advice="If the reason is not plain, set DATABASE_URL to a Postgres with pgvector.",
    )
