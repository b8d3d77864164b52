"""OpenAI embeddings.

Rules of the vendor relied on here, with their source; those of errors are in `errors`:

- At most 2048 inputs, each of 1 to 8192 tokens, 300,000 tokens in all; an empty string, or one
  input over its limit, fails the whole request. (SDK docstring of `embeddings.create`; error texts
  of the live service)
- Tokens are those of cl100k_base for all three models. (model page; equal in all recorded traffic)
- `encoding_format: base64` is standard base64 over little-endian float32; vectors have length 1,
  with `dimensions` too. (SDK source `resources/embeddings.py`; recorded traffic)
- `index` is the place of the input; the order of `data` is not promised. (API reference)
- `dimensions` is refused for text-embedding-ada-002, which always gives 1536. (API reference)
- Billed is `usage.prompt_tokens`, the true number of tokens, without a split by input. (API
  reference; equal to our count in all recorded traffic)
- `model` in the answer may be a dated name: `text-embedding-ada-002-v2`. (recorded traffic)
- Limits come back as `x-ratelimit-{limit,remaining,reset}-{requests,tokens,project-tokens}`, the
  reset as a Go duration. (guide "Rate limits"; recorded traffic)
- `GET /models` is free and needs a good key: the health probe. (API reference)

What breaks the first or the fifth of these is refused here, before anything is sent.

The request goes through the SDK's own `post` with a ready body, because `embeddings.create` makes a
Python object of every number: 4 times the cost of 256 vectors.
"""

import binascii
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import httpx
import numpy as np
import numpy.typing as npt
import orjson

from gristmill.contract import Demand, Operation, RateLimitFeedback, Settled, Usage
from gristmill.errors import GristmillError, InvalidInput, Rejected, ServiceError, TooLarge
from gristmill.services import failures
from gristmill.services.adapter import Adapter, Handler, Reply
from gristmill.services.openai.batching import (
    MAX_INPUT_TOKENS,
    MAX_INPUTS,
    MAX_REQUEST_TOKENS,
    is_fit,
)
from gristmill.services.openai.errors import classify

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_FIXED_SIZE_MODEL = "text-embedding-ada-002"
_FIXED_SIZE = 1536
_NORM_TOLERANCE = 1e-3
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86_400.0
_MOST_TOKENS = 10**9  # beyond this a bill is no bill: a request holds 300,000
_LONGEST_NUMBER = 15  # digits of a limit in a header
_LIMIT_NAMES = ("requests", "tokens", "project-requests", "project-tokens")


@dataclass(frozen=True, slots=True)
class Embeddings:
    """`vectors`: float32 of shape (texts, dimensions), each of length 1, in the texts' order.

    `model` is the vendor's echo; `tokens` is what it bills.
    """

    vectors: npt.NDArray[np.float32]
    model: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Embed(Operation[Embeddings]):
    """Embeds texts in one request. `tokens` are their exact counts, of cl100k, by the caller.

    Nothing changes at the vendor, so a repeat is safe; but it is billed again. Raises ValueError
    unless there is a count for each text.
    """

    service: ClassVar[str] = "openai"
    falls_back: ClassVar[bool] = True

    texts: tuple[str, ...]
    model: str
    dimensions: int
    tokens: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.tokens) != len(self.texts):
            raise ValueError(f"{len(self.tokens)} token counts for {len(self.texts)} texts")

    def worst_case(self) -> Usage:
        return Usage(product=self.model, unit="tokens", quantity=sum(self.tokens))

    def demand(self) -> Demand:
        """The vendor's limiter counts a quarter of the bytes, whatever it bills.

        Source: recorded headers of 91 of 91 answers.
        """
        size = sum(len(text.encode("utf-8", "surrogatepass")) for text in self.texts)
        return Demand(tokens=size // 4 + 1, pool=self.model)


@dataclass(frozen=True, slots=True)
class ListModels(Operation[tuple[str, ...]]):
    """The ids of the models that the key may use; free."""

    service: ClassVar[str] = "openai"


class OpenAI(Adapter["AsyncOpenAI"]):
    """Executes `Embed` and `ListModels`."""

    service = "openai"
    sdk_modules = ("openai",)

    def _build(self) -> "AsyncOpenAI":
        from openai import AsyncOpenAI  # noqa: PLC0415 — 0.6 s; `_loaded` did it off the loop

        sdk = AsyncOpenAI(
            api_key=self._endpoint.key,
            admin_api_key="",
            organization="",
            project="",
            webhook_secret="",
            base_url=self._endpoint.base_url,
            max_retries=0,
            http_client=cast("Any", self._http),  # typed for httpx2; httpx is accepted as well
        )
        # None in the constructor means "ask the environment", and OPENAI_CUSTOM_HEADERS is asked
        # in any case; tests/unit/services/test_environment.py holds this to its effect.
        sdk.admin_api_key = sdk.organization = sdk.project = sdk.webhook_secret = None
        sdk._custom_headers = {}  # noqa: SLF001 — no public way in 3.54
        return sdk

    def _handlers(self) -> Mapping[type[Operation[Any]], Handler]:
        return {Embed: self._embed, ListModels: self._list_models}

    def _probe(self) -> Operation[Any]:
        return ListModels()

    async def _embed(self, sdk: "AsyncOpenAI", operation: Embed) -> Reply[Embeddings]:
        check(operation)
        response = await sdk.post(
            "/embeddings", content=request_body(operation), cast_to=httpx.Response
        )
        with failures.reading(self.service, response):
            value, billed = read_embeddings(response.content, operation)
        usage = Usage(operation.model, "tokens", value.tokens)
        notes = {} if billed else {"usage": "not stated by the vendor; our own count"}
        return Reply(value, response, Settled(usage), notes=notes)

    async def _list_models(
        self, sdk: "AsyncOpenAI", operation: ListModels
    ) -> Reply[tuple[str, ...]]:
        del operation
        response = await sdk.get("/models", cast_to=httpx.Response)
        with failures.reading(self.service, response):
            models = tuple(str(item["id"]) for item in orjson.loads(response.content)["data"])
        return Reply(models, response)

    def _error_answer(self, error: Exception) -> httpx.Response | None:
        from openai import APIStatusError  # noqa: PLC0415 — loaded by now

        return cast("httpx.Response", error.response) if isinstance(error, APIStatusError) else None

    def _classify(self, answer: failures.Answer) -> GristmillError:
        return classify(answer)

    def _rate_limits(self, response: httpx.Response) -> tuple[RateLimitFeedback, ...]:
        return rate_limits(response.headers)


def check(operation: Embed) -> None:
    """Refuses what the vendor would refuse, or bill and answer uselessly.

    Raises:
        InvalidInput: a text is empty or over its limit; `index` says which.
        TooLarge: too many texts, or tokens in all.
        Rejected: nothing to embed, or vectors that the model does not make.
    """
    texts, counts = operation.texts, operation.tokens
    for index, (text, tokens) in enumerate(zip(texts, counts, strict=True)):
        if not text or not is_fit(tokens):
            raise _invalid(index, f"{tokens:,} tokens, not 1 to {MAX_INPUT_TOKENS:,}")
    total = sum(counts)
    if len(texts) > MAX_INPUTS:
        raise _unsent(TooLarge, f"{len(texts):,} texts, at most {MAX_INPUTS:,} in one request")
    if total > MAX_REQUEST_TOKENS:
        raise _unsent(TooLarge, f"{total:,} tokens, at most {MAX_REQUEST_TOKENS:,} in one request")
    if not texts:
        raise _unsent(Rejected, "there is no text")
    if operation.model == _FIXED_SIZE_MODEL and operation.dimensions != _FIXED_SIZE:
        raise _unsent(Rejected, f"vectors of {_FIXED_SIZE_MODEL} have {_FIXED_SIZE} dimensions")


def _unsent(kind: type[ServiceError], reason: str) -> ServiceError:
    return failures.failure(kind, Embed.service, f"{reason}; nothing was sent")


def _invalid(index: int, reason: str) -> ServiceError:
    error = _unsent(InvalidInput, f"text {index} has {reason}")
    if isinstance(error, InvalidInput):
        error.index = index
    return error


def request_body(operation: Embed) -> bytes:
    """The JSON body.

    Raises:
        InvalidInput: a text holds half of a surrogate pair, which no JSON can carry.
    """
    body: dict[str, Any] = {
        "model": operation.model,
        "input": operation.texts,
        "encoding_format": "base64",
    }
    if operation.model != _FIXED_SIZE_MODEL:
        body["dimensions"] = operation.dimensions
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError:
        index = next(i for i, text in enumerate(operation.texts) if not _is_unicode(text))
        raise _invalid(index, "half of a surrogate pair, which is no valid Unicode") from None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_embeddings(content: bytes, operation: Embed) -> tuple[Embeddings, bool]:
    """The vectors, and whether the vendor said what it bills.

    Raises:
        ValueError, TypeError, KeyError: the answer is not one to `operation`.
    """
    body = orjson.loads(content)
    vectors = _vectors(body["data"], len(operation.texts), operation.dimensions)
    billed = (body.get("usage") or {}).get("prompt_tokens")
    model = str(body["model"])
    if type(billed) is int and 0 <= billed <= _MOST_TOKENS:
        return Embeddings(vectors, model, billed), True
    return Embeddings(vectors, model, sum(operation.tokens)), False


def _vectors(
    items: list[Mapping[str, Any]], count: int, dimensions: int
) -> npt.NDArray[np.float32]:
    if sorted(item["index"] for item in items) != list(range(count)):
        raise ValueError(f"expected the vectors 0 to {count - 1}, got {len(items)} others")
    vectors = np.empty((count, dimensions), dtype=np.float32)
    for item in items:
        raw = binascii.a2b_base64(item["embedding"], strict_mode=True)
        if len(raw) != 4 * dimensions:
            raise ValueError(f"a vector of {len(raw)} bytes instead of {4 * dimensions}")
        vectors[item["index"]] = np.frombuffer(raw, dtype="<f4")
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    if not bool(np.all(np.abs(norms - 1) <= _NORM_TOLERANCE)):  # false for NaN as well
        raise ValueError("a vector is not finite or not of length 1")
    return vectors


def rate_limits(headers: Mapping[str, str]) -> tuple[RateLimitFeedback, ...]:
    """What the headers say of each limit."""
    limits = (_rate_limit(headers, name) for name in _LIMIT_NAMES)
    return tuple(limit for limit in limits if limit is not None)


def _rate_limit(headers: Mapping[str, str], name: str) -> RateLimitFeedback | None:
    limit, remaining, reset = (
        headers.get(f"x-ratelimit-{part}-{name}", "") for part in ("limit", "remaining", "reset")
    )
    if not limit and not remaining:
        return None
    feedback = RateLimitFeedback(
        name=name,
        limit=_number(limit),
        remaining=_number(remaining),
        reset=failures.duration(reset),
    )
    return replace(feedback, seconds=_window(feedback))


def _number(text: str) -> int | None:
    is_one = text.isascii() and text.isdecimal() and len(text) <= _LONGEST_NUMBER
    return int(text) if is_one else None


def _window(feedback: RateLimitFeedback) -> float:
    """Of a minute or of a day: headers do not say, but how long it takes to refill does.

    Source: recorded resets are used / limit * window for both.
    """
    limit, remaining, reset = feedback.limit, feedback.remaining, feedback.reset
    if not limit or remaining is None or not reset or remaining >= limit:
        return _MINUTE
    return _DAY if reset * limit / (limit - remaining) > _HOUR else _MINUTE
