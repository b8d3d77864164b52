"""Locks between processes that the death of their holder releases (`flock`).

A lock belongs to the open file, so two holders in one process count as two, and no server
inherits one: Python opens files close-on-exec.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from gristmill.errors import DatabaseUnavailable

_POLL_SECONDS = 0.01


class FileLock:
    """One open lock file, not locked yet.

    Raises:
        OSError: the file cannot be opened, or its file system has no locks.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)

    def share(self) -> None:
        """Waits for, and joins, the holders of the shared lock."""
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def try_exclusive(self) -> bool:
        """Whether nobody else holds it, and it is now exclusively ours. A no gives up a share."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def exclusive(path: Path, *, seconds: float) -> Iterator[None]:
    """Holds the lock alone.

    Raises:
        DatabaseUnavailable: others held it for all of `seconds`.
        OSError: as `FileLock`.
    """
    deadline = time.monotonic() + seconds
    with FileLock(path) as lock:
        while not lock.try_exclusive():
            if time.monotonic() >= deadline:
                raise DatabaseUnavailable(
                    "Another process has been starting or stopping the database for too long.",
                    advice=f"Find it with `lsof {path}` and end it, then try again.",
                )
            time.sleep(_POLL_SECONDS)
        yield
