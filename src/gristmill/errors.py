"""Every error that Gristmill raises, named after its effect.

GristmillError
├── ServiceError              something outside failed
│   ├── Rejected              the service refused this input; the same input fails again
│   │   ├── InvalidInput      one of several inputs is refused; the others may pass
│   │   └── TooLarge          too much for one request; in parts it may pass
│   ├── NotFound              the thing asked about is not, or no longer, there
│   ├── Unauthorized          the key is wrong, expired or may not do this
│   ├── Throttled             too fast; wait, then ask again
│   ├── QuotaExhausted        no credit or a spending cap at the vendor; waiting does not help
│   ├── Unavailable           could not be reached, or said it cannot serve; nothing happened
│   ├── OutcomeUnknown        no answer after sending; it may have happened and been billed
│   └── InvalidResponse       an answer that breaks the vendor's own contract
├── RefusedError              we did not call
│   ├── BudgetExceeded        its worst case does not fit a limit that a person set
│   ├── BreakerOpen           the service has failed too often; it is left alone for a while
│   ├── RateLimited           its turn in a rate limit comes later than the caller can wait
│   ├── Misconfigured         a setting is missing or wrong
│   ├── NotYet                it is too early to call; try again after `retry_after`
│   └── SimulatedAnswer       a simulator answered where only the real service may
├── DocumentError             this document cannot go on; others can
│   ├── UnreadableSource      the file cannot be read or may not be taken in
│   └── DocumentFailed        a stage ended for good
├── DatabaseUnavailable       the database cannot be started, reached or used
├── CollectionError           the collection cannot be used like that
├── InvalidArgument           what was asked for makes no sense; it is a ValueError as well
└── LostClaim                 another worker has taken the document over
"""

from datetime import datetime
from typing import ClassVar


class GristmillError(Exception):
    """Root of all errors here.

    `retryable` says whether the same call can succeed later, `no_effect` promises that nothing
    happened or was billed, in any of its tries. `retry_after` is in seconds. `str(error)` is a
    sentence for a person and `advice` what that person can do; neither ever holds a secret.
    """

    retryable: ClassVar[bool] = False
    no_effect: bool = True

    def __init__(self, message: str, *, advice: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.advice = advice
        self.retry_after = retry_after

    @property
    def kind(self) -> str:
        """The name that logs, metrics and the JSON shape use."""
        return type(self).__name__

    @property
    def is_outage(self) -> bool:
        """Whether the service was not there, and nothing has happened in any try."""
        return self.no_effect and isinstance(self, Unavailable | BreakerOpen)


class ServiceError(GristmillError):
    """Something outside failed, the last of so many `tries`."""

    tries: int = 1

    def __init__(  # an error's facts are its arguments
        self,
        message: str,
        *,
        service: str = "",
        code: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        advice: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, advice=advice, retry_after=retry_after)
        self.service = service
        self.code = code
        self.status = status
        self.request_id = request_id

    def __str__(self) -> str:
        said = super().__str__()
        return said if self.tries == 1 else f"{said} Tried {self.tries} times."


class Rejected(ServiceError):
    """The service refused this input; the same input fails again."""


class InvalidInput(Rejected):
    """One of several inputs is refused; the others may pass.

    `index` is its place in the request, counted from 0; None if the service does not say which.
    """

    index: int | None = None


class TooLarge(Rejected):
    """Too much for one request; in parts it may pass."""


class NotFound(Rejected):
    """The thing asked about is not, or no longer, there."""


class Unauthorized(ServiceError):
    """The key is wrong, expired or may not do this."""


class Throttled(ServiceError):
    """Too fast; wait `retry_after` seconds if given, then ask again."""

    retryable = True


class QuotaExhausted(ServiceError):
    """No credit, or a spending cap at the vendor: waiting does not help."""


class Unavailable(ServiceError):
    """Could not be reached, or said that it cannot serve. Nothing happened."""

    retryable = True


class OutcomeUnknown(ServiceError):
    """No answer after sending: it may have happened, and may have been billed."""

    retryable = True
    no_effect = False


class InvalidResponse(ServiceError):
    """An answer that breaks the vendor's own contract. It may have been billed."""

    retryable = True
    no_effect = False


class RefusedError(GristmillError):
    """We did not call."""


class BudgetExceeded(RefusedError):
    """Its worst case does not fit a limit that a person set; nothing is spent.

    `scope` and `key` say whose limit, `period` is day, month or total. `limit`, `spent`, `held` and
    `asked` are in nano-dollars. `window_end` is when the limit begins anew, None if it never does.
    `retry_after` is None where only a higher limit helps.
    """

    retryable = True

    def __init__(
        self,
        message: str,
        *,
        scope: str,
        key: str,
        period: str,
        limit: int,
        spent: int,
        held: int,
        asked: int,
        window_end: datetime | None,
        advice: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, advice=advice, retry_after=retry_after)
        self.scope = scope
        self.key = key
        self.period = period
        self.limit = limit
        self.spent = spent
        self.held = held
        self.asked = asked
        self.window_end = window_end


class BreakerOpen(RefusedError):
    """The service has failed too often; it is left alone for `retry_after` seconds."""

    retryable = True


class RateLimited(RefusedError):
    """Its turn in a rate limit comes in `retry_after` seconds, later than the caller can wait."""

    retryable = True


class Misconfigured(RefusedError):
    """A setting is missing or wrong."""


class NotYet(RefusedError):
    """It is too early to call; try again after `retry_after` seconds."""

    retryable = True


class SimulatedAnswer(RefusedError):
    """A simulator answered where only the real service may."""


class DocumentError(GristmillError):
    """This document cannot go on; others can."""


class UnreadableSource(DocumentError):
    """The file cannot be read, or may not be taken in."""


class DocumentFailed(DocumentError):
    """A stage ended for good."""


class DatabaseUnavailable(GristmillError):
    """The database cannot be started, reached or used."""

    retryable = True


class CollectionError(GristmillError):
    """The collection cannot be used like that."""


class InvalidArgument(GristmillError, ValueError):
    """What was asked for makes no sense: an unknown status, a question without a word."""


class LostClaim(GristmillError):
    """Another worker has taken the document over; this one must change nothing."""
