"""Exact token counts of OpenAI's embedding models (cl100k), without a network.

The counter is toktok-rs, which carries the vocabulary and has one wheel for every Python from
3.11 on; tiktoken downloads its vocabulary when it is first used. It gives tiktoken's numbers, with
one difference: it knows the letters of a newer Unicode. Next to those few thousand, hardly ever
written, characters a count can be lower than tiktoken's. Special tokens such as `<|endoftext|>`
count as the text they are.
"""

from collections.abc import Callable, Iterable
from functools import cache
from threading import Lock

_loading = Lock()


def count(text: str) -> int:
    """The number of cl100k tokens of `text`; lone surrogates count as the U+FFFD they become."""
    try:
        return _counter()(text)
    except UnicodeEncodeError:
        return _counter()(_encodable(text))


def count_all(texts: Iterable[str]) -> list[int]:
    """The counts of all `texts`, in their order."""
    return [count(text) for text in texts]


def clean(text: str) -> str:
    """`text` as it can be stored and sent.

    A surrogate pair becomes the character it stands for. A lone surrogate, which UTF-8 cannot
    express, and NUL, which Postgres refuses, become U+FFFD, as CommonMark does with NUL.
    """
    return _encodable(text).replace("\0", "\N{REPLACEMENT CHARACTER}")


@cache
def _counter() -> Callable[[str], int]:
    with _loading:  # two first callers would load 50 MB each
        import toktok  # noqa: PLC0415 — whoever counts nothing does not pay for it

        toktok.batch_count([""])

    def counter(text: str) -> int:
        return int(toktok.batch_count((text,), threads=1)[0])

    return counter


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
