"""Vectors that place related texts near each other, without a model: signed feature hashing.

A text is its words, cut to a stem, and the letter groups inside them, so that "retry", "retries"
and "retrying" meet. Common words count little, and the hundredth "retry" hardly more than the
third. Each feature adds a few signed ones at positions drawn from its hash over the whole width,
so that the first dimensions alone, normalised again, still tell near from far.

All sums are of integers: the same text gives the same bits on every machine.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import shake_128
from math import sqrt

import numpy as np

_WORD_POSITIONS = 32
_GROUP_POSITIONS = 8  # of four letters; a word of eight has five groups, more than its stem
_AMOUNT = 100
_VAGUE_AMOUNT = 30
_COMMON_AMOUNT = 8
_LONGEST_WORD = 64
_CACHED_WORDS = 32_768  # about 30 MB
_SUFFIXES = (
    *("ingly", "edly", "ings", "ing", "ies", "ied"),
    *("ers", "est", "ed", "es", "er", "ly", "s"),
)
_COMMON_WORDS = """
a about after all also an and any are as at be been before but by can could did do does for from
had has have how i if in into is it its many may more most much must no not of on one only or other
our out over shall should so some such than that the their them then there these they this those to
under up was we were what when where which who why will with would you your
"""
_VAGUE_WORDS = """
again against always am another anything around away back because come comes coming day days down
during each even ever every first gave get gets give given go goes going good happen happened
happens he her him his just keep kept kind know last let like long look made make makes me mean
means meant my myself need needs never new next nothing often old part people per please put really
right said same say says see seen she something still take taken tell thing things three through
time too took two until us use used using very want wants way well went whole within without year
years
"""
_AMOUNTS = {
    **dict.fromkeys(_VAGUE_WORDS.split(), _VAGUE_AMOUNT),
    **dict.fromkeys(_COMMON_WORDS.split(), _COMMON_AMOUNT),
}
_TOKENS = re.compile(r"[^\W_]+")
# Scripts written without blanks: their characters in pairs stand for words.
_UNSPACED = re.compile(r"([\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+)")


def embed(texts: Sequence[str], *, native_dimensions: int) -> np.ndarray:
    """Unit vectors of `texts`: (n, native_dimensions) float32, one row a text. Thread-safe."""
    rows = np.empty((len(texts), native_dimensions), dtype=np.float32)
    for row, text in zip(rows, texts, strict=True):
        row[:] = _vector(text, native_dimensions)
    return rows


def _vector(text: str, width: int) -> np.ndarray:
    total = _grain(text, width)
    counts = Counter(_words(text.lower()))
    if counts:
        drawn = [_drawn(word) for word in counts]
        places = np.concatenate([places for places, _ in drawn])
        factors = np.repeat([_damped(n) for n in counts.values()], [len(p) for p, _ in drawn])
        amounts = np.concatenate([amounts for _, amounts in drawn]) * factors
        # Scaled rather than wrapped, so that two widths spread a feature alike.
        index = places.astype(np.int64) * width >> 16
        total += np.bincount(index, amounts, minlength=width)  # exact: integers below 2**53
    vector: np.ndarray = total / sqrt(float(total @ total))
    return vector.astype(np.float32)


def _grain(text: str, width: int) -> np.ndarray:
    """One, up or down, in every dimension: no prefix is zero, and no two texts are the same."""
    drawn = shake_128(text.encode("utf-8", "surrogatepass")).digest(-(-width // 8))
    signs: np.ndarray = np.unpackbits(np.frombuffer(drawn, np.uint8))[:width] * 2.0 - 1.0
    return signs


def _damped(times: int) -> int:
    return round(16 * 2.2 * times / (times + 1.2))


def _words(text: str) -> Iterator[str]:
    for match in _TOKENS.finditer(text):
        word = match.group()
        if word.isascii():
            yield word[:_LONGEST_WORD]
            continue
        for part in _UNSPACED.split(word):
            if _UNSPACED.match(part):
                yield from (part[i : i + 2] for i in range(max(1, len(part) - 1)))
            elif part:
                yield part[:_LONGEST_WORD]


@lru_cache(maxsize=_CACHED_WORDS)
def _drawn(word: str) -> tuple[np.ndarray, np.ndarray]:
    """What a word adds: positions as fractions of the width in 1/65536, and signed amounts."""
    amount = _AMOUNTS.get(word, _AMOUNT)
    grouped = len(word) > 4 and amount != _COMMON_AMOUNT
    groups = [f"#{word[i : i + 4]}" for i in range(len(word) - 3)] if grouped else []
    parts = [
        _feature(_stem(word), _WORD_POSITIONS),
        *(_feature(group, _GROUP_POSITIONS) for group in groups),
    ]
    places, signs = (np.concatenate(part) for part in zip(*parts, strict=True))
    return places, signs * np.int16(amount)


def _feature(name: str, positions: int) -> tuple[np.ndarray, np.ndarray]:
    drawn = np.frombuffer(
        shake_128(name.encode("utf-8", "surrogatepass")).digest(3 * positions), np.uint8
    )
    # One in each equal part of the width, so that every prefix holds its share of every feature.
    parts = np.arange(positions) * 65536
    places = ((parts + drawn[: 2 * positions].view("<u2")) // positions).astype(np.uint16)
    signs = (drawn[2 * positions :] & 1).astype(np.int16) * 2 - 1
    return places, signs


def _stem(word: str) -> str:
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            stem = word.removesuffix(suffix)
            return stem + "y" if suffix in ("ies", "ied") else stem.rstrip("e")
    return word.rstrip("e") if len(word) > 3 else word
