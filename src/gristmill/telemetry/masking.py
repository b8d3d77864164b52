"""Takes secrets out of whatever is about to be shown.

By shape: keys of the three vendors, JSON web tokens, authorization headers, signatures in
addresses, passwords in addresses and connection strings. By name: what stands under `api_key`,
`password` and the like is masked whatever it looks like. By itself: what this process uses as a key
or a password is known here, and masked wherever it stands. It would rather mask too much than too
little. Not promised: somebody else's secret without a known shape under an innocent name.
"""

import re
from collections.abc import Mapping
from typing import Final

MASK: Final = "***"
LEAST: Final = 12  # characters of a secret that is known; a shorter one would mask words
MAX_DEPTH: Final = 8  # of nested containers; what lies deeper is masked as one text

# Whatever ends like this. It starts where a word starts, which also keeps the search linear.
_NAME: Final = (
    r"(?<![\w-])[\w-]*(?:api[_-]?key|access[_-]?key|service[_-]role[_-]key|password|passwd|pwd"
    r"|secret|token|authorization|cookie)"
)
_SECRET_NAME: Final = re.compile(_NAME, re.IGNORECASE)

# Each keeps what its named groups say and masks the rest. Order matters: whole addresses first.
_PATTERNS: Final = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        # A password in an address. That of Postgres may hold a stray slash or @.
        r"(?P<head>postgres(?:ql)?(?:\+\w+)?://[^\s:@/\"']*:)[^\s\"']{0,1024}(?P<tail>@)",
        r"(?P<head>[a-z][a-z0-9+.-]{1,20}://[^\s:@/\"']*:)[^\s/\"'<>]+(?P<tail>@)",
        # Signatures and keys in the query of an address.
        (
            r"(?P<head>[?&;](?:token|sig|signature|key|api[_-]?key|apikey|access_token|password"
            r"|x-amz-(?:signature|credential|security-token))=)[^&\s\"'<>#]+"
        ),
        # Headers. A name glued to what stands before it is still a name.
        r"(?P<head>bearer\s+)[^\s\"',;)\]}]+",
        r"(?P<head>authorization[\"']?\s*[:=,]\s*b?[\"']?(?:basic|digest|token)\s+)[^\s\"']+",
        # name = value, as in connection strings, JSON and the repr of a mapping.
        (
            rf"(?P<head>{_NAME}\\?[\"']?\s*[:=]\s*b?)"
            # A word, or quoted; inside another quotation backslashes are doubled.
            r"(?:'(?:[^'\\]|\\+[^\\])*(?:'|\\*$)|\"(?:[^\"\\]|\\+[^\\])*(?:\"|\\*$)"
            r"|\\+(?P<quote>[\"']).*?(?:(?P=quote)|$)|(?!\s|bearer\s)[^\s\"'&,;)\]}]+)"
        ),
    )
) + tuple(
    # Keys by their shape, case kept. `sk-` also ends words such as "risk-": glued to a letter it
    # must be as long as a real key; `\n` in a repr is such a letter.
    re.compile(pattern)
    for pattern in (
        r"(?<![A-Za-z0-9])sk-[\w*.-]{4,}|sk-[\w*-]{20,}",
        r"llx-[\w*-]{4,}",
        r"sb_(?:secret|publishable)_[\w*-]{4,}",
        r"whsec_[\w+/=-]{4,}",
        # It looks for the point first, once for each word: `eyJeyJeyJ…` takes no quadratic time.
        r"(?<![\w-])(?=[\w-]*+\.)(?P<head>[\w-]*?)eyJ[\w-]{4,}(?:\.[\w-]*){1,2}",
    )
)


_known: set[str] = set()


def know(secret: str) -> None:
    """Has this masked from now on, whatever it looks like, unless it is shorter than `LEAST`.

    A key that was replaced stays known: a call that is under way may still tell of it.
    """
    if len(secret) >= LEAST:
        _known.add(secret)


def masked(text: str) -> str:
    """`text` without secrets; unchanged if there is none, and the same when masked again."""
    for secret in sorted(_known, key=len, reverse=True):  # one may hold another
        text = text.replace(secret, MASK)
    for pattern in _PATTERNS:
        text = pattern.sub(_kept, text)
    return text


def mask(value: object, depth: int = 0) -> object:
    """The same for any value: containers keep their form, objects become their masked text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, bytes):
        return masked(value.decode("utf-8", "backslashreplace"))
    if depth < MAX_DEPTH and isinstance(value, Mapping):
        return {masked(str(key)): _named(key, item, depth) for key, item in value.items()}
    if depth < MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [mask(item, depth + 1) for item in value]
    return masked(str(value) if isinstance(value, BaseException) else repr(value))


def _named(name: object, value: object, depth: int) -> object:
    text = name.decode("latin-1") if isinstance(name, bytes) else str(name)
    if value is not None and _SECRET_NAME.fullmatch(text):
        return MASK
    return mask(value, depth + 1)


def _kept(match: re.Match[str]) -> str:
    groups = match.groupdict()
    return f"{groups.get('head', '')}{MASK}{groups.get('tail', '')}"
