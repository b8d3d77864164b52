"""Vectors that place related texts near each other, without a model: signed feature hashing.

A text is its words, cut to a stem, and the letter groups inside them, so that "retry", "retries"
and "retrying" meet. Common words count little, repeated ones ever less. Each feature adds a few
signed ones at positions drawn from its hash over the whole width, so that the first dimensions
alone, normalised again, still tell near from far. The same text gives the same vector everywhere.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from math import log

import numpy as np

_WORD_POSITIONS = 32
_GROUP_POSITIONS = 8
_GROUP_WEIGHT = 0.35
_COMMON_WEIGHT = 0.08
_CACHED_FEATURES = 100_000  # about 30 MB
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
_COMMON = frozenset(_COMMON_WORDS.split())
_TOKENS = re.compile(r"[^\W_]+")
# Scripts written without blanks: their characters in pairs stand for words.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")


def embed(texts: Sequence[str], *, native_dimensions: int) -> np.ndarray:
    """Unit vectors of `texts`: (n, native_dimensions) float32, one row a text."""
    rows = np.empty((len(texts), native_dimensions), dtype=np.float32)
    for row, text in zip(rows, texts, strict=True):
        row[:] = _vector(text, native_dimensions)
    return rows


def _vector(text: str, width: int) -> np.ndarray:
    weights = _weights(text) or {f"?{text}": 1.0}  # blanks and signs only: some direction
    places, signs, repeats = zip(*(_positions(name) for name in weights), strict=True)
    amounts = np.repeat(np.fromiter(weights.values(), np.float64, len(weights)), repeats)
    # Scaled rather than wrapped, so that two widths spread a feature alike.
    index = (np.concatenate(places).astype(np.int64) * width) >> 16
    vector = np.bincount(index, np.concatenate(signs) * amounts, minlength=width)
    length = float(np.linalg.norm(vector))
    if length == 0.0:  # every feature met its opposite
        vector[0] = length = 1.0
    return (vector / length).astype(np.float32)


def _weights(text: str) -> dict[str, float]:
    counts = Counter(_words(text))
    weights: defaultdict[str, float] = defaultdict(float)
    for word, times in counts.items():
        weight = (1.0 + log(times)) * (_COMMON_WEIGHT if word in _COMMON else 1.0)
        weights[_stem(word)] += weight
        for group in _groups(word):
            weights[group] += weight * _GROUP_WEIGHT
    return weights


def _words(text: str) -> Iterator[str]:
    for match in _TOKENS.finditer(text.lower()):
        word = match.group()
        runs = _UNSPACED.findall(word)
        if not runs:
            yield word[:64]
        for run in runs:
            yield from (run[i : i + 2] for i in range(max(1, len(run) - 1)))


def _stem(word: str) -> str:
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            stem = word.removesuffix(suffix)
            return stem + "y" if suffix in ("ies", "ied") else stem.rstrip("e")
    return word.rstrip("e") if len(word) > 3 else word


def _groups(word: str) -> list[str]:
    if len(word) < 5 or word in _COMMON:
        return []
    return [f"#{word[i : i + 4]}" for i in range(len(word) - 3)]


@lru_cache(maxsize=_CACHED_FEATURES)
def _positions(feature: str) -> tuple[np.ndarray, np.ndarray, int]:
    """Positions as fractions of the width in 1/65536, their signs, and their number."""
    count = _GROUP_POSITIONS if feature.startswith("#") else _WORD_POSITIONS
    name = feature.encode("utf-8", "replace")
    drawn = b"".join(blake2b(name, digest_size=48, salt=bytes([n])).digest() for n in range(2))
    words = np.frombuffer(drawn, dtype="<u2")[:count]
    bits = np.unpackbits(np.frombuffer(blake2b(name, digest_size=4).digest(), np.uint8))[:count]
    return words, bits.astype(np.float64) * 2 - 1, count
