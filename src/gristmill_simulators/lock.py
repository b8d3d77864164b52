"""A lock between processes that the death of its holder releases."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Held(Exception):
    """Another process holds the lock."""


@contextmanager
def locked(path: Path, *, seconds: float) -> Iterator[None]:
    """Hold an exclusive lock; raises Held when it is not free within `seconds`. Blocks."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # not inherited by children: a server we start must not keep our lock
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _acquire(descriptor, path, time.monotonic() + seconds)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise Held(f"{path} is held by another process") from None
            time.sleep(0.02)
        else:
            return
