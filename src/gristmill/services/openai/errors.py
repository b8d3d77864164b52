"""OpenAI's error answers as errors of ours. Pure.

Rules of the vendor relied on here, with their source:

- The body is `{"error": {"message", "type", "param", "code"}}`; `param` is null in every recorded
  error about embeddings, so that only the message tells what was wrong. (recorded traffic)
- A bad input is named as `'input[3]'`, counted from 0. (error texts of the live service)
- Too many tokens in all have the code `max_tokens_per_request`. (error texts of the live service)
- An exhausted credit and spending caps are a 429 as well, told apart by `code` only. (guides "Error
  codes" and "Spend limits")
- "Request too large" is a 429 that no waiting cures: the request is larger than the limit of a
  minute. (guide "Error codes")
- Retry-After is a floor, and may be missing; the text says "try again in 2.812s". (guide "Rate
  limits")
- 401 also stands for a key outside its organization or its list of addresses, 403 for a country
  that is not served. (guide "Error codes")
- A model that the key may not use is a 404 with `model_not_found`. (error texts of the live
  service)
- Which inputs a 400 of unknown text is about is not published: it may be one of them.
"""

import re
from typing import Final

import orjson

from gristmill.errors import (
    GristmillError,
    InvalidInput,
    Misconfigured,
    NotFound,
    QuotaExhausted,
    Rejected,
    Throttled,
    TooLarge,
    Unauthorized,
    Unavailable,
)
from gristmill.services import failures

# Codes that say more than their status.
_NO_CREDIT: Final = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "billing_hard_limit_reached",
        "billing_not_active",
    }
)
_TOO_FAST: Final = frozenset({"rate_limit_exceeded", "slow_down"})
_TOO_MANY_TOKENS: Final = "max_tokens_per_request"

_NO_MODEL: Final = "model_not_found"

_ADVICE: Final = {
    _NO_MODEL: "Let the key's project use this model at the vendor, or choose another one:"
    " GRISTMILL_EMBEDDING_MODEL.",
    "invalid_api_key": "Check OPENAI_API_KEY.",
    "missing_scope": "Add the missing scopes to the key, or check its rights, at the vendor.",
    "unsupported_country_region_territory": "Call from a country that the vendor serves.",
}
# Where a code says nothing, the words do.
_ADVICE_BY_WORDS: Final = {
    "You didn't provide an API key": "No key arrived; check OPENAI_BASE_URL, and what stands"
    " between here and the vendor.",
    "IP ": "Add this machine's address to those that the project allows, at the vendor.",
    "organization": "Add the key's owner to the organization, at the vendor.",
}

_BAD_INPUT: Final = re.compile(r"'input\[(\d{1,9})\]'", re.ASCII)
# What a 400 says when no other input would do better: another field, or no input at all.
_ABOUT_REQUEST: Final = re.compile(
    r"'\$?\.?(?!\$?\.?input)\w*'|dimensions|parameter|argument|JSON body|empty array"
)


def classify(answer: failures.Answer) -> GristmillError:
    """Our error for an answer of OpenAI: by its code first, then by its status."""
    code, kind_of_error, message = _error_fields(answer.text)
    codes = {code, kind_of_error}
    kind = failures.by_status(answer.status, safe=answer.safe)
    advice = _ADVICE.get(code or "", "")
    if kind is NotFound and code != _NO_MODEL:
        return _wrong_address(answer.status, message)
    if code == _NO_MODEL:
        kind = Unauthorized
    elif kind is Unauthorized:
        advice = advice or _by_words(message)
    elif codes & _NO_CREDIT:
        kind = QuotaExhausted
    elif message.startswith("Request too large"):
        kind, advice = TooLarge, "Send fewer tokens in one request than the limit of a minute."
    elif code in _TOO_FAST:
        kind = Throttled
    elif code == "server_is_overloaded" or answer.status == 409:
        kind = Unavailable
    elif kind is Rejected:
        kind = _rejected(answer.status, codes, message)
    error = failures.answered(answer, kind, message, code=code or kind_of_error, advice=advice)
    if isinstance(error, InvalidInput):
        error.index = _named(message)
    return error


def _wrong_address(status: int, message: str) -> Misconfigured:
    """Embeddings and models are always there: another service, or another path, has answered."""
    said = failures.masked(message) or "it gave no reason"
    return Misconfigured(
        f"What answers as OpenAI has no embeddings ({status}): {said.rstrip('.')}.",
        advice="Check OPENAI_BASE_URL; the vendor's own address is https://api.openai.com/v1.",
    )


def _by_words(message: str) -> str:
    return next((advice for words, advice in _ADVICE_BY_WORDS.items() if words in message), "")


def _rejected(status: int, codes: set[str | None], message: str) -> type[Rejected]:
    if status == 413 or _TOO_MANY_TOKENS in codes or "array length must be" in message:
        return TooLarge
    if status != 400 or (_named(message) is None and _ABOUT_REQUEST.search(message)):
        return Rejected
    return InvalidInput


def _named(message: str) -> int | None:
    found = _BAD_INPUT.search(message)
    return int(found[1]) if found else None


def _error_fields(text: str) -> tuple[str | None, str | None, str]:
    try:
        error = orjson.loads(text)["error"]
        return _word(error.get("code")), _word(error.get("type")), str(error.get("message") or "")
    except (ValueError, TypeError, KeyError, AttributeError):
        return None, None, ""


def _word(value: object) -> str | None:
    return value if isinstance(value, str) else None
