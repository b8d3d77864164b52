"""The order in which the server's database walks through the keys of one folder level.

It looks up one key, and then either leaps over the whole folder that the key lies in or reads files
in batches (migrations 0050 and 0063). Where it goes on after each is not always right: descending,
a folder that follows a file loses its last key, and so a folder of one is never seen; ascending,
what sorts between `a` and `a/`, such as `a.txt`, is lost where a batch or a page ends with `a`.
Clients meet this, so it is kept.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

_BEHIND = "0"  # the character after the slash


def batch_size(limit: int) -> int:
    """How many files are read at a time for a page of `limit`."""
    return min(max(limit * 2, 100), 1000)


def ascending(keys: Sequence[str], prefix: int, batch: int, seek: str) -> Iterator[int]:
    """Places in the sorted `keys`, from `seek` on: each file, and one key of each folder.

    All keys begin with the same `prefix` characters; a slash behind them makes a folder.
    """
    while (first := bisect_left(keys, seek)) < len(keys):
        if folder := folder_of(keys[first], prefix):
            yield first
            seek = folder[:-1] + _BEHIND
            continue
        for place in range(first, min(first + batch, len(keys))):
            if folder_of(keys[place], prefix):
                seek = keys[place]
                break
            yield place
            seek = keys[place] + "/"


def descending(keys: Sequence[str], prefix: int, batch: int, seek: str) -> Iterator[int]:
    """The same backwards, from before `seek`."""
    while (last := bisect_left(keys, seek) - 1) >= 0:
        if folder := folder_of(keys[last], prefix):
            yield last
            seek = folder
            continue
        for place in range(last, max(last - batch, -1), -1):
            seek = keys[place]  # the next look is for less than this, also if it is a folder's
            if folder_of(seek, prefix):
                break
            yield place


def folder_of(key: str, prefix: int) -> str:
    """The part of a key up to the first slash behind the prefix; `""` for a file."""
    return key[: key.find("/", prefix) + 1]
