"""Text from outside as a terminal may show it."""

import json


def printable(text: str, keep: str = "") -> str:
    r"""`text` with what a terminal obeys as JSON escapes it, `\u001b`; but for what is in `keep`.

    That is controls, C1 among them, and marks that turn the direction of writing; and half of a
    surrogate pair, which no output can encode. Inside a string of JSON it means the same as before.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else json.dumps(c)[1:-1] for c in text)
