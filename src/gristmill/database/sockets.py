"""The private folder of a server's socket.

It stands in the cluster's folder. Where the path would be too long (104 bytes on macOS, 108 on
Linux), where libpq could not write it down, or where the file system has no sockets, a link
leads to a folder in /tmp, made under a name that nobody can guess and checked before each use.
"""

import shutil
import socket
import stat
import tempfile
from pathlib import Path
from typing import Final

from gristmill.database.account import Account
from gristmill.errors import DatabaseUnavailable

PORT: Final = 5432  # no port of the network: it is part of the socket's name
SOCKET: Final = f".s.PGSQL.{PORT}"
_TEST: Final = ".s.PGSQL.test"  # as long as the true one


def socket_folder(cluster: Path, account: Account) -> Path:
    """Where the server of this cluster listens, or will.

    Raises:
        DatabaseUnavailable: the folder is not private to the server's user.
    """
    path = cluster / "socket"
    folder = path.readlink() if path.is_symlink() else path
    if folder.exists() and not _is_private(folder, account):
        raise DatabaseUnavailable(
            f"{folder}, the folder of the database's socket, is not private.",
            advice=f"End all that use this home, then remove {path}.",
        )
    return folder


def make_socket_folder(cluster: Path, account: Account) -> None:
    """Makes the folder, or the link, unless it is there and private."""
    path = cluster / "socket"
    if path.is_symlink():
        if _is_private(path.readlink(), account):
            return
        path.unlink()
    path.mkdir(mode=0o700, exist_ok=True)
    if not _can_hold_socket(path):
        shutil.rmtree(path)
        path.symlink_to(tempfile.mkdtemp(prefix="gristmill-", dir="/tmp"))
    account.own(path.resolve())


def remove_sockets(folder: Path) -> None:
    """Removes what a dead server left; its lock file would name some process of today."""
    for name in (SOCKET, f"{SOCKET}.lock"):
        (folder / name).unlink(missing_ok=True)


def remove_distant_folder(cluster: Path) -> None:
    """Leaves nothing in /tmp."""
    path = cluster / "socket"
    if path.is_symlink():
        shutil.rmtree(path.readlink(), ignore_errors=True)
        path.unlink()


def _is_private(folder: Path, account: Account) -> bool:
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return False
    is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == account.uid
    return is_ours and not status.st_mode & 0o077


def _can_hold_socket(folder: Path) -> bool:
    """Whether a socket can be bound here, and libpq, which splits at commas, can name it."""
    path = folder / _TEST
    path.unlink(missing_ok=True)
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(str(path))
    except OSError:
        return False
    path.unlink()
    return str(folder).isascii() and "," not in str(folder)
