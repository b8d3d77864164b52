"""What a client says about an object beside its bytes: `x-metadata` and its JSON."""

from base64 import b64decode
from typing import Any

import orjson


def from_header(given: str | None) -> dict[str, Any]:
    """The object in `x-metadata`, base64 of JSON; undecodable it is ignored, as there.

    Node decodes both alphabets, with or without padding.
    """
    plain = (given or "").replace("-", "+").replace("_", "/")
    try:
        found = orjson.loads(b64decode(plain.rstrip("=") + "=="))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
