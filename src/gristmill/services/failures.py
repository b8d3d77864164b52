"""From what a vendor answered to our errors. Pure: status, headers and text in, an error out."""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from gristmill.errors import (
    InvalidInput,
    InvalidResponse,
    NotFound,
    OutcomeUnknown,
    QuotaExhausted,
    Rejected,
    ServiceError,
    Throttled,
    TooLarge,
    Unauthorized,
    Unavailable,
)

INSECURE: Final = "tls"  # the code of an error about a connection that is not to be trusted

_LONGEST_QUOTE = 300  # characters of a vendor's own words inside our sentence
_LONGEST_ID = 200
LONGEST_WAIT: Final = 86_400.0  # seconds; whoever is told to wait longer asks again after a day

# What reading an answer raises that is not as promised; JSON may be deep, and its numbers infinite.
UNREADABLE: Final = (
    *(ArithmeticError, AttributeError, LookupError),
    *(RecursionError, TypeError, ValueError),
)

_SECRETS = re.compile(
    r"(?<![A-Za-z])(?:sk|llx|sb_secret|sb_publishable)[-_][\w*.-]{3,}[\w*-]"  # the vendors' keys
    r"|(?<![\w-])(?=[\w-]*+\.)[\w-]*?eyJ[\w-]{4,}(?:\.[\w-]*){1,2}"  # a JSON web token
    r"|(?<![\w.-])[\w.-]*\*{3}(?:[\w*.-]*[\w*-])?"  # masked by the vendor but for the ends
    r"|(?<=[?&]token=)[^&\s\"']+"  # a signed address
    r"|(?<=[Bb]earer )\S+"
)

_AMOUNT = r"\d{1,9}(?:\.\d{1,9})?"
_DURATION = re.compile(
    rf"(?:(\d{{1,9}})h)?(?:(\d{{1,9}})m(?!s))?(?:({_AMOUNT})s|({_AMOUNT})ms)?", re.ASCII
)
_TRY_AGAIN = re.compile(rf"try again in ((?:{_AMOUNT}(?:h|ms|m|s)){{1,4}})", re.IGNORECASE)

_NAMES = {"openai": "OpenAI", "llamaparse": "LlamaParse", "supabase": "Supabase Storage"}

_WORDS: Mapping[type[ServiceError], tuple[str, str]] = {
    Rejected: ("refused this request", "The same request fails again; change the input."),
    InvalidInput: ("refused one of the inputs", "Change that input; the others may pass."),
    TooLarge: ("refused this request as too large", "Send it in smaller parts."),
    NotFound: ("does not have what was asked for", "It was deleted, expired, or never there."),
    Unauthorized: ("refused access", "Check the key, its rights and its region."),
    Throttled: ("was asked too fast", "It goes on by itself, slower; {rate} sets how fast to ask."),
    QuotaExhausted: (
        "has stopped serving this account over its billing",
        "Check the billing at the vendor: plan, credit, spending limits. Then: gristmill resume.",
    ),
    Unavailable: (
        "cannot serve now",
        "It is tried again by itself; look at the vendor's status page if it stays so.",
    ),
    OutcomeUnknown: (
        "gave no usable answer after the request was sent",
        "It may have been done and billed. What is safe to repeat is tried again by itself.",
    ),
    InvalidResponse: (
        "broke its own contract",
        "What is safe to repeat is tried again by itself; report it if it stays so.",
    ),
}
_UNREACHABLE = (
    "Check the network, and the address in the settings. It is tried again by itself meanwhile."
)
_DISTRUST = (
    "Check the address, this machine's clock, and what stands in between: the certificate there is"
    " none that is trusted here."
)
_MOVED = "The address leads to another one, and is not followed: set that one in the settings."

_BY_STATUS: Mapping[int, type[ServiceError]] = {
    401: Unauthorized,
    402: QuotaExhausted,
    403: Unauthorized,
    404: NotFound,
    410: NotFound,
    429: Throttled,
    503: Unavailable,
    529: Unavailable,
}


class NotSecure(httpx.ConnectError):
    """The other end showed no certificate that is trusted, or no TLS; nothing was sent to it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An error as it came over the wire. `safe`: repeating the request would harm nobody."""

    service: str
    status: int
    headers: Mapping[str, str]
    text: str
    safe: bool


def failure(
    kind: type[ServiceError],
    service: str,
    said: str,
    *,
    phrase: str = "",
    code: str | None = None,
    status: int | None = None,
    request_id: str | None = None,
    advice: str = "",
    retry_after: float | None = None,
) -> ServiceError:
    """An error with a sentence for a person, the vendor's words masked and cut.

    `phrase` says what the service did, where the kind does not say it well.
    """
    usual_phrase, usual_advice = _WORDS[kind]
    label = " ".join(str(part) for part in (status, code) if part)
    quote = _cut(masked(" ".join(said.split())))
    sentence = f"{_NAMES.get(service, service)} {phrase or usual_phrase}"
    sentence += f" ({label})" if label else ""
    return kind(
        _closed(f"{sentence}: {quote}" if quote else sentence),
        service=service,
        code=code,
        status=status,
        request_id=request_id,
        advice=advice or usual_advice.format(rate=f"GRISTMILL_RATE_{service.upper()}"),
        retry_after=retry_after,
    )


def _cut(quote: str) -> str:
    return quote if len(quote) <= _LONGEST_QUOTE else quote[:_LONGEST_QUOTE].rstrip() + "…"


def _closed(sentence: str) -> str:
    """Another sentence may follow."""
    return sentence if sentence.endswith((".", "!", "?", "…")) else f"{sentence}."


def answered(
    answer: Answer, kind: type[ServiceError], said: str, *, code: str | None, advice: str = ""
) -> ServiceError:
    """The error for an answer whose kind is known."""
    waits = issubclass(kind, Throttled | Unavailable | OutcomeUnknown)
    is_moved = 300 <= answer.status < 400
    return failure(
        kind,
        answer.service,
        said or ("" if code else "it gave no reason"),
        code=code,
        status=answer.status,
        request_id=request_id(answer.headers),
        advice=advice or (_MOVED if is_moved else ""),
        retry_after=seconds_to_wait(answer.headers, said) if waits else None,
    )


def by_status(status: int, *, safe: bool) -> type[ServiceError]:
    """The effect of an HTTP status where the vendor's code says nothing more exact.

    503 and 529 say that nothing was done. After any other server error a request that is billed,
    or may not be repeated, is of unknown outcome.
    """
    unsure = Unavailable if safe else OutcomeUnknown
    otherwise = unsure if status >= 500 else Rejected
    return {**_BY_STATUS, 408: unsure, 499: unsure}.get(status, otherwise)


def unreachable(service: str, error: BaseException) -> ServiceError | None:
    """The error for a request without an answer; None if `error` is about something else."""
    cause = _http_cause(error)
    match cause:
        case None:
            return None
        case httpx.DecodingError():
            said = str(cause) if cause.args else ""
            return failure(InvalidResponse, service, f"the answer cannot be read: {said}")
        case httpx.ConnectError() | httpx.ConnectTimeout() | httpx.UnsupportedProtocol():
            return _unconnected(service, cause)
        case httpx.TimeoutException():
            phrase = "did not answer in time, after the request was sent"
            return failure(OutcomeUnknown, service, "", phrase=phrase)
        case httpx.RemoteProtocolError():
            return failure(OutcomeUnknown, service, str(cause))
        case _:
            phrase = "broke off the connection, after the request was sent"
            return failure(OutcomeUnknown, service, str(cause), phrase=phrase)


def _unconnected(service: str, cause: httpx.RequestError) -> ServiceError:
    said, phrase, code, advice = str(cause), "cannot be reached", None, _UNREACHABLE
    if isinstance(cause, NotSecure):
        phrase, code, advice = "offers no secure connection", INSECURE, _DISTRUST
    return failure(Unavailable, service, said, phrase=phrase, code=code, advice=advice)


def _http_cause(error: BaseException | None) -> httpx.RequestError | None:
    while error is not None and not isinstance(error, httpx.RequestError):
        error = error.__cause__
    return error


@contextmanager
def reading(service: str, response: httpx.Response) -> Iterator[None]:
    """Around pure reading of an answer: what does not fit is an `InvalidResponse`."""
    try:
        yield
    except UNREADABLE as error:
        reason = f"{type(error).__name__}: {error}"
        raise failure(
            InvalidResponse,
            service,
            f"cannot read the answer ({reason})",
            status=response.status_code,
            request_id=request_id(response.headers),
        ) from None


def request_id(headers: Mapping[str, str]) -> str | None:
    """The vendor's name for this request, to quote to its support."""
    names = ("x-request-id", "sb-request-id", "cf-ray")
    return next((headers[name][:_LONGEST_ID] for name in names if headers.get(name)), None)


def masked(text: str, secret: str = "") -> str:
    """`text` without keys, tokens and signatures, whoever put them there."""
    if secret:
        text = text.replace(secret, "***")
    return _SECRETS.sub("***", text)


def seconds_to_wait(
    headers: Mapping[str, str], said: str = "", now: datetime | None = None
) -> float | None:
    """How long the vendor asks to wait: the longest of what headers and text say, in seconds.

    `LONGEST_WAIT` at most, whatever they say.
    """
    hint = _TRY_AGAIN.search(said)
    waits = [
        _milliseconds(headers.get("retry-after-ms", "")),
        _seconds_or_date(headers.get("retry-after", ""), now or datetime.now(UTC)),
        duration(hint.group(1)) if hint else None,
    ]
    asked = [min(wait, LONGEST_WAIT) for wait in waits if wait is not None and wait >= 0]
    return max(asked, default=None)


def duration(text: str) -> float | None:
    """Seconds in a duration as Go writes it: `6ms`, `2.812s`, `7m12s`, `23h18m29.144s`."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        return None
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000


def _milliseconds(text: str) -> float | None:
    number = _number(text)
    return None if number is None else number / 1000


def _seconds_or_date(text: str, now: datetime) -> float | None:
    number = _number(text)
    if number is not None or not text:
        return number
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds()


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
