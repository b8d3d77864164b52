"""`X-Robots-Tag`: which rules for crawlers the server takes with an upload."""

import re
from datetime import datetime
from email.utils import parsedate_to_datetime

from gristmill_simulators.supabase_storage.errors import StorageError

_SIMPLE = (
    *("all", "noindex", "nofollow", "none", "nosnippet"),
    *("indexifembedded", "notranslate", "noimageindex"),
)
_NUMBERS = ("max-snippet", "max-video-preview")
_IMAGES = ("none", "standard", "large")
_DATE = "unavailable_after"
_WITH_VALUE = (*_NUMBERS, "max-image-preview", _DATE)

_VALUED = re.compile(rf"({'|'.join(_WITH_VALUE)}):\s*(.*)", re.DOTALL)
_NUMBER = re.compile(r"\s*([+-]?\d+)", re.ASCII)
# a date may hold commas: it ends where a comma stands before a rule or the name of a crawler
_NEXT = rf",\s*(?:{'|'.join((*_SIMPLE, *_WITH_VALUE))}|[\w-]+:)"
_PART = re.compile(rf"\s*({_DATE}:\s*.+?(?={_NEXT}|$)|[^,]*)\s*(?:,|$)", re.ASCII)


def check(value: str) -> None:
    """Raises StorageError (invalid_x_robots_tag) for a header that the server refuses."""
    if not value.strip():
        raise _refused("X-Robots-Tag header value must be a non-empty string")
    at, value = 0, value.strip()
    while at < len(value):
        match = _PART.match(value, at)
        if match is None or not match[1].strip():
            raise _refused("X-Robots-Tag header contains empty rule")
        _check_rule(match[1].strip())
        at = match.end()


def _check_rule(rule: str) -> None:
    while (valued := _VALUED.fullmatch(rule)) is None and rule not in _SIMPLE:
        rule = _of_crawler(rule)
    if valued is not None:
        _check_value(valued[1], valued[2].strip())


def _of_crawler(rule: str) -> str:
    """The rule behind the name of a crawler."""
    crawler, colon, own = rule.partition(":")
    if not colon:
        raise _refused(f'Invalid X-Robots-Tag rule: "{rule}"')
    if not own.strip():
        message = f'X-Robots-Tag user agent "{crawler.strip()}" has no rules specified'
        raise _refused(message)
    return own.strip()


def _check_value(name: str, value: str) -> None:
    if not value:
        raise _refused(f'X-Robots-Tag rule "{name}" requires a value')
    if name in _NUMBERS:
        number = _NUMBER.match(value)
        valid, wanted = number is not None and int(number[1]) >= -1, "a number >= -1"
    elif name == _DATE:
        valid, wanted = _is_date(value), "a valid date"
    else:
        valid, wanted = value in _IMAGES, f"one of: {', '.join(_IMAGES)}"
    if not valid:
        raise _refused(f'X-Robots-Tag "{name}" value must be {wanted}, got: "{value}"')


def _is_date(value: str) -> bool:
    """ISO 8601 or the mail's form; the server's runtime knows a few more."""
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            parse(value)
        except ValueError:
            continue
        return True
    return False


def _refused(message: str) -> StorageError:
    text = f"Invalid X-Robots-Tag header: {message}"
    return StorageError("400", "invalid_x_robots_tag", text, "InvalidRequest")
