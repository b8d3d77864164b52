"""Reading and checking the body of `POST /embeddings`, in the vendor's words.

Limits and messages: OpenAPI specification of 2026-08-21 and recorded answers.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson

from gristmill_simulators.openai.errors import InvalidRequest, unknown_model
from gristmill_simulators.openai.switches import Switches

MAX_INPUTS = 2048
MAX_INPUT_TOKENS = 8192
MAX_REQUEST_TOKENS = 300_000

NATIVE_DIMENSIONS = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}

_FIELDS = {"input", "model", "dimensions", "encoding_format", "user"}
_API_REFERENCE = "Please check the API reference: https://platform.openai.com/docs/api-reference."
_END_OF_VOCABULARY = 100_277  # cl100k_base: 100,256 ranks, a gap, 5 special tokens
_SPECIAL = re.compile(r"<\|(?:endoftext|fim_prefix|fim_middle|fim_suffix|endofprompt)\|>")
_DEFAULT = Switches()


@dataclass(slots=True)
class Embedding:
    """A request that passed every check: texts, the true token count, the vector size."""

    model: str
    texts: list[str]
    tokens: int
    dimensions: int
    base64: bool


@cache
def tokenizer() -> Any:  # noqa: ANN401 — the package has no types
    """cl100k_base; the first call takes 0.2 s or more."""
    import toktok  # noqa: PLC0415 — not needed before the first embedding

    return toktok._encoding("cl100k_base")  # noqa: SLF001 — its only way to decode tokens


def echoed_model(model: str) -> str:
    """The name an answer gives to the model."""
    return "text-embedding-ada-002-v2" if model == "text-embedding-ada-002" else model


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object of the body."""
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        fields = _lenient(body)
    if not isinstance(fields, dict):
        raise InvalidRequest(f"'$' is invalid. {_API_REFERENCE}")
    return fields


def charge(fields: dict[str, Any]) -> int:
    """Tokens the limiter takes: `floor(utf8 bytes / 4) + 1`; token arrays count exactly."""
    given = fields.get("input")
    items = given if isinstance(given, list) else [given]
    utf8 = sum(len(item.encode("utf-8", "replace")) for item in items if isinstance(item, str))
    counted = sum(len(item) if isinstance(item, list) else isinstance(item, int) for item in items)
    return utf8 // 4 + counted + 1


def checked(fields: dict[str, Any], switches: Switches = _DEFAULT) -> Embedding:
    """Raises InvalidRequest (400) or the 404 of an unknown model."""
    unknown = fields.keys() - _FIELDS
    if unknown and switches.unknown_fields == "refuse":
        raise InvalidRequest(f"Unrecognized request argument supplied: {min(unknown)}")
    model = fields.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidRequest("you must provide a model parameter")
    if model not in NATIVE_DIMENSIONS:
        raise unknown_model(model)
    if not isinstance(fields.get("user"), str | None):
        raise InvalidRequest(f"'$.user' is invalid. {_API_REFERENCE}")
    texts, counts = _inputs(fields.get("input"), _counter(switches))
    if switches.refuse_containing and any(switches.refuse_containing in text for text in texts):
        raise _bad_shape()
    _check_counts(counts)
    return Embedding(
        model, texts, sum(counts), _dimensions(fields, model), _encoding(fields) == "base64"
    )


def _lenient(body: bytes) -> Any:  # noqa: ANN401 — any JSON value
    # orjson refuses escaped lone surrogates, which other clients can send
    try:
        return json.loads(body, parse_constant=_refuse)  # no NaN, no Infinity
    except (ValueError, RecursionError):
        raise InvalidRequest(
            "We could not parse the JSON body of your request. (HINT: This likely means you"
            " aren't using your HTTP library correctly. The OpenAI API expects a JSON payload,"
            " but what was sent was not valid JSON. If you have trouble figuring out how to fix"
            " this, please contact us through our help center at help.openai.com.)"
        ) from None


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _counter(switches: Switches) -> Callable[[str], int]:
    count: Callable[[str], int] = tokenizer().count
    if switches.special_tokens == "ordinary":
        return count
    return lambda text: len(_SPECIAL.findall(text)) + sum(map(count, _SPECIAL.split(text)))


def _inputs(given: object, count: Callable[[str], int]) -> tuple[list[str], list[int]]:
    if isinstance(given, str):
        items: list[Any] = [given]
    elif isinstance(given, list):
        if not given:
            raise InvalidRequest("Invalid 'input': input cannot be an empty array.")
        if len(given) > MAX_INPUTS:
            raise InvalidRequest("Invalid 'input': array length must be 2048 or less.")
        items = [given] if _is_token(given[0]) else given
    else:
        raise _bad_shape()
    if all(isinstance(item, str) for item in items):
        return _texts(items, count, bare=isinstance(given, str))
    return _token_arrays(items)


def _texts(
    items: list[str], count: Callable[[str], int], *, bare: bool
) -> tuple[list[str], list[int]]:
    for index, item in enumerate(items):
        if not item:
            where = "input" if bare else f"input[{index}]"
            raise InvalidRequest(f"Invalid '{where}': input cannot be an empty string.")
    texts = [_without_lone_surrogates(item) for item in items]
    return texts, [count(text) for text in texts]


def _token_arrays(items: list[Any]) -> tuple[list[str], list[int]]:
    for item in items:
        if not isinstance(item, list) or not item or not all(map(_is_token, item)):
            raise _bad_shape()
    decode = tokenizer().decode_bytes
    try:
        texts = [bytes(decode(item)).decode("utf-8", "replace") for item in items]
    except (IndexError, KeyError, RuntimeError, ValueError):
        raise _bad_shape() from None
    return texts, [len(item) for item in items]


def _is_token(value: object) -> bool:
    return type(value) is int and 0 <= value < _END_OF_VOCABULARY


def _check_counts(counts: list[int]) -> None:
    for index, count in enumerate(counts):
        if count > MAX_INPUT_TOKENS:
            raise InvalidRequest(
                f"Invalid 'input[{index}]': maximum input length is {MAX_INPUT_TOKENS} tokens."
            )
    total = sum(counts)
    if total > MAX_REQUEST_TOKENS:
        message = f"Requested {total} tokens, max {MAX_REQUEST_TOKENS} tokens per request"
        code = "max_tokens_per_request"
        raise InvalidRequest(message, kind=code, code=code)


def _dimensions(fields: dict[str, Any], model: str) -> int:
    native = NATIVE_DIMENSIONS[model]
    given = fields.get("dimensions")
    if given is None:
        return native
    if not model.startswith("text-embedding-3"):
        raise InvalidRequest("This model does not support specifying dimensions.")
    if type(given) is not int or given < 1:
        raise InvalidRequest(f"'$.dimensions' is invalid. {_API_REFERENCE}")
    if given > native:
        raise InvalidRequest(
            f"Invalid value for 'dimensions' = {given}. Must be less than or equal to {native}."
        )
    return given


def _encoding(fields: dict[str, Any]) -> str:
    given = fields.get("encoding_format")
    if given is None:
        return "float"
    if given not in ("float", "base64"):
        raise InvalidRequest(f"'$.encoding_format' is invalid. {_API_REFERENCE}")
    return str(given)


def _bad_shape() -> InvalidRequest:
    return InvalidRequest(f"'$.input' is invalid. {_API_REFERENCE}")


def _without_lone_surrogates(text: str) -> str:
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
