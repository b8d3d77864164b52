"""What one failure shows of a service, for a person who has to do something about it. Pure.

Each case begins with a sentence of its own, so that nobody mistakes a wrong key for an outage.
"""

from typing import Final

from gristmill.contract import Status
from gristmill.errors import (
    GristmillError,
    InvalidResponse,
    Misconfigured,
    OutcomeUnknown,
    QuotaExhausted,
    Rejected,
    Throttled,
    Unauthorized,
    Unavailable,
)

HEALTHY: Final = "It answers and accepts the key."

# A good key without the right to ask; the code is OpenAI's, with 401 on some accounts.
_FORBIDDEN: Final = frozenset({403, "missing_scope"})

# The first kind that fits.
_FINDINGS: Final[tuple[tuple[type[GristmillError], Status, str], ...]] = (
    (Unauthorized, Status.UNHEALTHY, "The key is wrong."),
    (Throttled, Status.DEGRADED, "It is rate limited."),
    (QuotaExhausted, Status.UNHEALTHY, "The credit is used up."),
    (Unavailable, Status.UNHEALTHY, "It is down or cannot be reached."),
    (OutcomeUnknown, Status.UNHEALTHY, "It is down or cannot be reached."),
    (InvalidResponse, Status.UNHEALTHY, "What answers there is broken, or another service."),
    (Misconfigured, Status.UNCONFIGURED, "It is misconfigured."),
    (Rejected, Status.UNCONFIGURED, "It is misconfigured."),  # the probe itself is always legal
)


def finding(error: GristmillError) -> tuple[Status, str]:
    """The status that a failed call or probe shows, and why, with what to do."""
    status, sentence = next(
        ((status, text) for kind, status, text in _FINDINGS if isinstance(error, kind)),
        (Status.UNHEALTHY, "It cannot be used."),
    )
    if is_forbidden(error):
        sentence = "The key is not allowed to do this."
    return status, f"{sentence} {error} {error.advice}".strip()


def is_forbidden(error: GristmillError) -> bool:
    """Whether the key is a good one that may not do what it was used for."""
    return isinstance(error, Unauthorized) and not _FORBIDDEN.isdisjoint((error.status, error.code))
