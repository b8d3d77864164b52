"""File names as keys of the object storage, and back. Pure.

A key may hold A-Z a-z 0-9 and `_ / ! . * ' ( ) space & $ @ = ; : + , ? -` only; everything else is
refused with `InvalidKey`. (source of the storage server) The SDK unquotes `%` and refuses `.` and
`..` between slashes. (SDK source) The signer of the server leaves `?` and some others quoted, so
that the signature does not fit. (measured against the server)
"""

import re

from gristmill.errors import Rejected
from gristmill.services import failures

_PART = 200  # characters between two slashes; a file system allows 255 bytes

_KEY = re.compile(r"[A-Za-z0-9_/!.*'() &$@=;:+,?-]+")
_PLAIN = re.compile(r"[A-Za-z0-9_-]+|(?<=[A-Za-z0-9_-])\.(?=[A-Za-z0-9])")
_ESCAPE = re.compile(rb"!([0-9A-F]{2})")


def legal_key(name: str) -> str:
    """A key that the storage accepts, for any name; `original_name` gives the name back.

    Letters, digits, `_`, `-` and inner dots stay, every other byte of the UTF-8 becomes `!` and two
    hexadecimal digits; `!` is allowed and quoted by nobody on the way. A slash of the name is
    escaped as well; the slashes of the key only cut a long one.
    """
    end, parts = 0, []
    for match in _PLAIN.finditer(name):
        parts += [_escaped(name[end : match.start()]), match.group()]
        end = match.end()
    key = "".join([*parts, _escaped(name[end:])]) or "!"
    return "/".join(key[start : start + _PART] for start in range(0, len(key), _PART))


def original_name(key: str) -> str:
    """The name that `legal_key` was given."""
    joined = key.replace("/", "").encode()
    raw = b"" if joined == b"!" else _ESCAPE.sub(lambda hit: bytes.fromhex(hit[1].decode()), joined)
    return raw.decode("utf-8", "surrogatepass")


def _escaped(text: str) -> str:
    return "".join(f"!{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))


def checked_key(key: str) -> str:
    """`key`, if it is one that arrives as it was sent.

    Raises:
        Rejected: the storage would refuse it, or the SDK change it on the way.
    """
    if _KEY.fullmatch(key) and not key.startswith("/") and "//" not in key:
        return key
    advice = "Make keys from names with `legal_key`."
    raise failures.failure(
        Rejected, "supabase", f"not sent: {key!r} is no legal key", advice=advice
    )
