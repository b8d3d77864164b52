"""Texts into requests of OpenAI, and a refused request into smaller ones. Pure: values only.

A text is named by its place in the caller's sequence. Requests are planned under the vendor's
limits (SDK docstring of `embeddings.create`; the exact values by error texts of the live service)
and under the caller's own caps: a smaller request answers sooner, and takes less of the tokens of
a minute at once from whoever shares the key.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gristmill.errors import InvalidInput, Rejected

MAX_INPUTS: Final = 2048  # of one request
MAX_INPUT_TOKENS: Final = 8192  # of one input
MAX_REQUEST_TOKENS: Final = 300_000  # of all inputs of one request

Batch = tuple[int, ...]  # the places of the texts of one request, ascending


@dataclass(frozen=True, slots=True)
class Caps:
    """The most that one request is to hold. A text with more than `tokens` goes alone.

    Raises ValueError beyond the vendor's limits.
    """

    inputs: int = MAX_INPUTS
    tokens: int = MAX_REQUEST_TOKENS

    def __post_init__(self) -> None:
        if not 1 <= self.inputs <= MAX_INPUTS:
            raise ValueError(f"inputs must be between 1 and {MAX_INPUTS}, not {self.inputs}")
        if not 1 <= self.tokens <= MAX_REQUEST_TOKENS:
            raise ValueError(
                f"tokens must be between 1 and {MAX_REQUEST_TOKENS}, not {self.tokens}"
            )


@dataclass(frozen=True, slots=True)
class Plan:
    """The requests to send, and the places of texts that no request may hold."""

    batches: tuple[Batch, ...]
    unfit: tuple[int, ...]


def is_fit(tokens: int) -> bool:
    """Whether the vendor takes a text of so many cl100k tokens."""
    return 1 <= tokens <= MAX_INPUT_TOKENS


def plan(texts: Sequence[str], tokens: Sequence[int], caps: Caps) -> Plan:
    """Requests that together hold every text once, in order; `tokens` are the exact counts.

    Of equal texts only the first is in a request. No request has room for the next one's first
    text, so that there is none to be saved without changing the order.
    """
    batches: list[Batch] = []
    unfit: list[int] = []
    batch: list[int] = []
    total = 0
    seen: set[str] = set()
    for place, (text, size) in enumerate(zip(texts, tokens, strict=True)):
        if text in seen:
            continue
        seen.add(text)
        if not is_fit(size):
            unfit.append(place)
            continue
        if batch and (total + size > caps.tokens or len(batch) == caps.inputs):
            batches.append(tuple(batch))
            batch, total = [], 0
        batch.append(place)
        total += size
    if batch:
        batches.append(tuple(batch))
    return Plan(tuple(batches), tuple(unfit))


def divide(batch: Batch, refusal: Rejected) -> tuple[tuple[Batch, ...], Batch]:
    """What to send instead of a refused request, and which places are refused for good.

    An input that the refusal names is left out; else the request is halved, down to one text.
    """
    index = refusal.index if isinstance(refusal, InvalidInput) else None
    if index is not None and 0 <= index < len(batch):
        rest = batch[:index] + batch[index + 1 :]
        return ((rest,) if rest else ()), (batch[index],)
    if len(batch) == 1:
        return (), batch
    middle = len(batch) // 2
    return (batch[:middle], batch[middle:]), ()


def most_requests(texts: int, *, is_any_accepted: bool) -> int:
    """How many requests may take the place of a refused one with so many texts.

    Twice the binary logarithm finds one culprit by halving. While nothing at all is accepted, the
    culprit is hardly a text, and little more than that is tried; else four times as much.
    """
    for_one = 2 * max(1, (texts - 1).bit_length())
    return 4 * for_one if is_any_accepted else for_one + 2
