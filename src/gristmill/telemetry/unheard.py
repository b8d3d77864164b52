"""Around calls of SDKs: what they and httpx log of a call is not heard by anybody.

They log whole addresses, with signatures and with the path that protects a home's simulators, and
at DEBUG the request, with the headers of a webhook. Masking by shape cannot know all of that, and
needs a host that asks for it. Nothing is lost: each call is an event of ours. What a host logs of
its own use of the same libraries is left alone.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

# A filter hears the records of its own logger, not of those below: so each is named.
TALKERS: Final = (
    "httpx",
    "httpx2",
    "llama_cloud._base_client",
    "llama_cloud._response",
    "openai._base_client",
    "openai._legacy_response",
    "openai._response",
)

_unheard: Final[ContextVar[bool]] = ContextVar("gristmill_unheard", default=False)


@contextmanager
def unheard() -> Iterator[None]:
    """Silences the SDKs here and in tasks that start inside."""
    token = _unheard.set(True)
    try:
        yield
    finally:
        _unheard.reset(token)


class _Unheard(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        del record
        return not _unheard.get()


_FILTER: Final = _Unheard()
for _name in TALKERS:
    logging.getLogger(_name).addFilter(_FILTER)
