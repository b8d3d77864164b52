"""On whose behalf something happens: known to every log line and journal entry below.

    with bound(document="d1", collection="papers"):
        await service.execute(operation)

Tasks started inside inherit it; it never crosses a process.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, slots=True)
class Correlation:
    """The ids in force; None where nothing is said."""

    document: str | None = None
    collection: str | None = None
    job: str | None = None

    def known(self) -> dict[str, str]:
        """The ids that are set, by name."""
        ids = {"document": self.document, "collection": self.collection, "job": self.job}
        return {name: value for name, value in ids.items() if value is not None}


_NOBODY: Final = Correlation()
_current: Final[ContextVar[Correlation]] = ContextVar("gristmill_correlation", default=_NOBODY)


def current() -> Correlation:
    """The ids in force here."""
    return _current.get()


@contextmanager
def bound(
    *, document: str | None = None, collection: str | None = None, job: str | None = None
) -> Iterator[Correlation]:
    """Puts ids in force; what is not named keeps the value from outside."""
    named = Correlation(document, collection, job).known()
    token = _current.set(replace(_current.get(), **named))
    try:
        yield _current.get()
    finally:
        _current.reset(token)
