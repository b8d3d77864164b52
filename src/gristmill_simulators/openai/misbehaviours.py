"""Embeddings answers that a careful client must not take: made from right ones."""

import math
from array import array
from base64 import b64decode, b64encode
from collections.abc import Callable
from functools import partial
from typing import Any

import orjson

from gristmill_simulators.misbehaviour import Misbehaviour

_ROUTE = "openai.embeddings.create"
_LAYOUT = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
_NOT_A_NUMBER = "not a number"  # JSON has none: written as text, then bared

Answer = dict[str, Any]
Vector = list[float | str]


def _rewritten(change: Callable[[Answer], None], body: bytes) -> bytes:
    answer = orjson.loads(body)
    change(answer)
    return orjson.dumps(answer, option=_LAYOUT).replace(b'"%b"' % _NOT_A_NUMBER.encode(), b"NaN")


def _drop_last(answer: Answer) -> None:
    del answer["data"][-1]


def _empty(answer: Answer) -> None:
    answer["data"] = []


def _reverse(answer: Answer) -> None:
    answer["data"].reverse()


def _drop_index(answer: Answer) -> None:
    for item in answer["data"]:
        del item["index"]


def _repeat_index(answer: Answer) -> None:
    for item in answer["data"]:
        item["index"] = 0


def _drop_usage(answer: Answer) -> None:
    del answer["usage"]


def _shorten(answer: Answer) -> None:
    for item in answer["data"]:
        item["embedding"] = _changed(item["embedding"], lambda vector: vector[:-1])


def _poison(answer: Answer) -> None:
    first = answer["data"][0]
    first["embedding"] = _changed(first["embedding"], lambda vector: [math.nan, *vector[1:]])


def _zero(answer: Answer) -> None:
    first = answer["data"][0]
    first["embedding"] = _changed(first["embedding"], lambda vector: [0.0] * len(vector))


def _changed(
    embedding: str | list[float], change: Callable[[list[float]], list[float]]
) -> str | Vector:
    if isinstance(embedding, str):
        numbers = array("f", b64decode(embedding))
        return b64encode(array("f", change(numbers.tolist())).tobytes()).decode()
    return [_NOT_A_NUMBER if math.isnan(number) else number for number in change(embedding)]


def _of(name: str, change: Callable[[Answer], None], meaning: str) -> Misbehaviour:
    return Misbehaviour(name, _ROUTE, meaning, partial(_rewritten, change))


EMBEDDINGS = (
    _of("wrong_count", _drop_last, "the last vector is missing"),
    _of("empty_data", _empty, "`data` is an empty list"),
    _of("wrong_order", _reverse, "the vectors come last first, each with its right `index`"),
    _of("no_index", _drop_index, "the vectors have no `index`"),
    _of("same_index", _repeat_index, "every vector says `index` 0"),
    _of("wrong_dimensions", _shorten, "every vector is one number short"),
    _of("not_finite", _poison, "the first number of the first vector is NaN"),
    _of("zero_vector", _zero, "the first vector is all zeros"),
    _of("no_usage", _drop_usage, "`usage` is missing"),
)
