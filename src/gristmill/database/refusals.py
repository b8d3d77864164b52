"""The operating system's refusals as sentences."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from gristmill.errors import DatabaseUnavailable

USE_A_SERVER: Final = "Set DATABASE_URL to a Postgres server with pgvector."

_NOT_WRITABLE: Final = {errno.EACCES, errno.EPERM, errno.EROFS}
_NOT_A_FOLDER: Final = {errno.EEXIST, errno.ENOTDIR}
_NO_SPACE: Final = {errno.ENOSPC, errno.EDQUOT}
_NOT_SUPPORTED: Final = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
# PostgreSQL names a short write, the first sign of a full disk, without the system's reason.
_FULL_WORDS: Final = ("No space left on device", "Disk quota exceeded", "Check free disk space")


@contextmanager
def explained(home: Path) -> Iterator[None]:
    """Raises `DatabaseUnavailable` for what the operating system refuses inside."""
    try:
        yield
    except OSError as error:
        raise _explanation(home, error) from error


def told_by_server(words: str, otherwise: DatabaseUnavailable) -> DatabaseUnavailable:
    """The plain reason in the output of a PostgreSQL program, or the error given."""
    if any(sign in words for sign in _FULL_WORDS):
        return _disk_full()
    return otherwise


def _explanation(home: Path, error: OSError) -> DatabaseUnavailable:
    if error.errno in _NO_SPACE:
        return _disk_full()
    if error.errno in _NOT_SUPPORTED:
        return DatabaseUnavailable(
            f"The file system of {home} has no locks.",
            advice="Set GRISTMILL_HOME to a folder on a local disk.",
        )
    if error.errno in _NOT_WRITABLE:
        return DatabaseUnavailable(
            f"User id {os.geteuid()} may not write {error.filename or home}.",
            advice="Set GRISTMILL_HOME to a folder of your own.",
        )
    if error.errno in _NOT_A_FOLDER:
        return DatabaseUnavailable(
            f"{home} is a file, or lies below one.",
            advice="Set GRISTMILL_HOME to a folder, or to a name that is free.",
        )
    return DatabaseUnavailable(f"The embedded database cannot start: {error}", advice=USE_A_SERVER)


def _disk_full() -> DatabaseUnavailable:
    return DatabaseUnavailable(
        "The disk is full: the embedded database cannot work.",
        advice="Free at least 200 MB where GRISTMILL_HOME is, and try again.",
    )
