"""Bytes into text, strictly: what cannot be told for certain is refused, not guessed into noise."""

from typing import Final

MAX_CONTROL_SHARE: Final = 0.02  # of the bytes of a text
MAX_ACCENT_SHARE: Final = 0.3  # of the bytes of a text in Windows-1252; other scripts have more

_BYTE_ORDER_MARKS: Final = (  # UTF-32 first: its mark begins with that of UTF-16
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_CONTROLS: Final = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b")) + b"\x7f"
_NOT_ASCII: Final = bytes(range(128, 256))


class NotText(ValueError):
    """The bytes are no text, or in no encoding that can be told. Its message says why."""


def decode(data: bytes) -> tuple[str, str]:
    """The text without its byte order mark, and a note if the encoding had to be guessed.

    A byte order mark decides; otherwise UTF-8; otherwise Windows-1252, if the bytes look like a
    Western language.

    Raises:
        NotText: it is none of these.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return _decode_marked(data[len(mark) :], encoding), ""
    if b"\0" in data or _share(data, _CONTROLS) > MAX_CONTROL_SHARE:
        raise NotText("it holds binary data")
    try:
        return data.decode(), ""
    except UnicodeDecodeError:
        return _decode_windows(data), "not UTF-8: read as Windows-1252"


def _decode_marked(data: bytes, encoding: str) -> str:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        raise NotText(f"it says that it is {encoding.upper()}, and is not") from None
    if "\0" in text:
        raise NotText("it holds binary data")
    return text


def _decode_windows(data: bytes) -> str:
    if _share(data, _NOT_ASCII) > MAX_ACCENT_SHARE:
        raise NotText("its encoding is not UTF-8, and cannot be guessed")
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:
        raise NotText("its encoding is neither UTF-8 nor Windows-1252") from None


def _share(data: bytes, of: bytes) -> float:
    return 1 - len(data.translate(None, of)) / len(data) if data else 0.0
