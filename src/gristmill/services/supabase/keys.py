"""File names as keys of the object storage, and back. Pure.

A key may hold A-Z a-z 0-9 and `_ / ! . * ' ( ) space & $ @ = ; : + , ? -` only; everything else is
refused with `InvalidKey`. (source of the storage server) The SDK unquotes `%` and refuses `.` and
`..` between slashes. (SDK source) The signer of the server leaves `?` and some others quoted, so
that the signature does not fit. (measured against the server) Behind the server, S3 takes 1,024
bytes, of which the project, the bucket and the version need up to 160. (server source)
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

from gristmill.errors import Rejected
from gristmill.services import failures

_PART = 200  # characters between two slashes; a file system allows 255 bytes
_READABLE = 680  # characters of a key; what would be longer is packed instead
_PACKED = {"!!!": "utf-8", "!!": "utf-16-le"}  # no readable key begins so

_KEY = re.compile(r"[A-Za-z0-9_/!.*'() &$@=;:+,?-]+")
_BUCKET = re.compile(r"(?! )[A-Za-z0-9_!.*'() &$@=;:+,?-]{1,100}(?<! )(?<!--table-s3)")
_PLAIN = re.compile(r"[A-Za-z0-9_-]+|(?<=[A-Za-z0-9_-])\.(?=[A-Za-z0-9])")
_ESCAPE = re.compile(rb"!([0-9A-F]{2})")


def legal_key(name: str) -> str:
    """A key that the storage accepts, for any name; `original_name` gives the name back.

    Letters, digits, `_`, `-` and inner dots stay, every other byte of the UTF-8 becomes `!` and two
    hexadecimal digits; `!` is allowed and quoted by nobody on the way. A slash of the name is
    escaped as well; the slashes of the key only cut a long one. A name of at most 255 characters,
    as file systems count them, never needs more than 690 characters of the key.
    """
    key = _readable(name)
    if len(key) > _READABLE:
        key = _packed(name)
    return "/".join(key[start : start + _PART] for start in range(0, len(key), _PART))


def original_name(key: str) -> str:
    """The name that `legal_key` was given."""
    joined = key.replace("/", "")
    for mark, codec in _PACKED.items():
        if joined.startswith(mark):
            return _unpacked(joined.removeprefix(mark), codec)
    plain = joined.encode()
    raw = b"" if plain == b"!" else _ESCAPE.sub(lambda hit: bytes.fromhex(hit[1].decode()), plain)
    return raw.decode("utf-8", "surrogatepass")


def _readable(name: str) -> str:
    end, parts = 0, []
    for match in _PLAIN.finditer(name):
        parts += [_escaped(name[end : match.start()]), match.group()]
        end = match.end()
    return "".join([*parts, _escaped(name[end:])]) or "!"


def _escaped(text: str) -> str:
    return "".join(f"!{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))


def _packed(name: str) -> str:
    # UTF-16 has two bytes for what file systems count as a character, where UTF-8 has up to three;
    # but it makes one character of two halves that a name may hold apart.
    for mark, codec in reversed(_PACKED.items()):
        packed = urlsafe_b64encode(name.encode(codec, "surrogatepass")).rstrip(b"=").decode()
        if _unpacked(packed, codec) == name:
            return mark + packed
    raise AssertionError("UTF-8 keeps every character apart")


def _unpacked(text: str, codec: str) -> str:
    raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    return raw.decode(codec, "surrogatepass")


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


def checked_bucket(name: str) -> str:
    """`name`, if a bucket may be called so; another one could lead to another address.

    Raises:
        Rejected: the storage would refuse it, or the SDK change it on the way.
    """
    if _BUCKET.fullmatch(name) and name not in {".", ".."}:
        return name
    advice = "Use 1 to 100 letters, digits, `-` or `_`."
    raise failures.failure(
        Rejected, "supabase", f"not sent: {name!r} is no bucket's name", advice=advice
    )
