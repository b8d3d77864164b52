"""What a client says about an object beside its bytes: JSON, in `x-metadata` or in a form's field.

Whatever cannot be decoded is ignored, as there. What can be must be an object: Postgres refuses
arrays and strings, and of numbers, booleans and null nothing is kept.
"""

from base64 import b64decode

import orjson

from gristmill_simulators.supabase_storage import errors


def from_header(given: str | None) -> object:
    """The JSON in base64; Node decodes both alphabets, with or without padding."""
    plain = (given or "").replace("-", "+").replace("_", "/")
    try:
        return from_text(b64decode(plain.rstrip("=") + "=="))
    except ValueError:
        return None


def from_text(given: str | bytes | None) -> object:
    try:
        return orjson.loads(given or "")
    except ValueError:
        return None


def check(value: object) -> None:
    """Raises StorageError (InvalidParameter) for what the column's type refuses."""
    if isinstance(value, str) or (isinstance(value, list) and value):
        raise errors.bad_json()


def stored(value: object) -> str:
    """The column's text."""
    return orjson.dumps(value if isinstance(value, dict) else {}).decode()
