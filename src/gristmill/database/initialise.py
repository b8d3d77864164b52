"""Makes the data folder, with the database and pgvector in it: all or nothing."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from gristmill.database.account import ENVIRONMENT, Account, initdb_account
from gristmill.database.binaries import Binaries
from gristmill.database.cluster import NAME, Cluster
from gristmill.database.refusals import USE_A_SERVER, told_by_server
from gristmill.errors import DatabaseUnavailable

_DRAFT: Final = "data.new-"
_INITDB: Final = (
    f"--username={NAME}",
    "--pwfile=/dev/stdin",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
    "--no-sync",  # once at the end, for everything
)
_SINGLE: Final = ("--single", "-F", "-c", "exit_on_error=on", "-c", "log_checkpoints=off")


def make_data(cluster: Cluster, binaries: Binaries) -> None:
    """Fills a folder beside the goal, writes it to the disk, renames it.

    Raises:
        DatabaseUnavailable: PostgreSQL's programs failed; says how.
        OSError: the folder cannot be written.
    """
    cluster.make_password()
    owner = initdb_account()
    draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=cluster.folder))
    try:
        owner.own(draft)
        _fill(cluster, draft, binaries, owner)
        cluster.account.own_tree(draft)
        draft.rename(cluster.data)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    _sync(cluster.folder)


def remove_drafts(cluster: Cluster) -> None:
    """Removes what killed first starts left."""
    for draft in cluster.folder.glob(f"{_DRAFT}*"):
        shutil.rmtree(draft, ignore_errors=True)  # an orphaned initdb may still be writing


def _fill(cluster: Cluster, draft: Path, binaries: Binaries, owner: Account) -> None:
    with cluster.seen_by_server() as (folder, descriptors):

        def run(program: str, *arguments: str, text: str = "") -> None:
            environment = ENVIRONMENT | {"PGDATA": f"{folder}/{draft.name}"}
            command = [binaries.program(program), *arguments]
            _run(command, f"{text}\n", environment, owner, descriptors)

        run("initdb", *_INITDB, text=cluster.password())
        run("postgres", *_SINGLE, "postgres", text=f"CREATE DATABASE {NAME}")
        run("postgres", *_SINGLE, NAME, text="CREATE EXTENSION vector")
        run("initdb", "--sync-only")


def _run(
    command: list[str],
    text: str,
    environment: dict[str, str],
    account: Account,
    descriptors: tuple[int, ...],
) -> None:
    """Runs one of PostgreSQL's programs with `text`, a line, as its input.

    Raises:
        DatabaseUnavailable: it failed.
    """
    reading, writing = os.pipe()
    with os.fdopen(reading) as stdin:
        if account.switch:
            os.fchown(reading, account.uid, account.gid)  # initdb opens /dev/stdin by name
        with os.fdopen(writing, "w") as file:
            file.write(text)
        finished = subprocess.run(  # noqa: S603 — our own dependency's program
            command,
            stdin=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            cwd="/",
            env=environment,
            pass_fds=descriptors,
            start_new_session=True,  # the terminal's Ctrl-C is for us, not for a half-made folder
            **account.privileges(),
        )
    if finished.returncode != 0:
        raise _failure(command[0], finished.stderr + finished.stdout)


def _failure(program: str, output: str) -> DatabaseUnavailable:
    errors = [line for line in output.splitlines() if "error:" in line or "FATAL" in line]
    words = "\n".join(errors or output.strip().splitlines()[-3:])
    failed = DatabaseUnavailable(
        f"The database could not be made. {Path(program).name} says: {words}",
        advice=f"If the reason is not plain: {USE_A_SERVER}",
    )
    return told_by_server(output, failed)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
