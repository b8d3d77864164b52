"""JSON bodies and their schema errors; the server coerces types and ignores extra fields.

The server is Fastify with Ajv's `coerceTypes: "array"`: a numeric string passes for a number, a
number for a string, a one-element array for its element and the element for the array, and null
for the empty value of the type. The schema is checked before the token is.
"""

from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import orjson
from starlette.requests import Request

from gristmill_simulators.supabase_storage.errors import StorageError, fastify, missing, schema

T = TypeVar("T")

_MAX_BYTES = 1024 * 1024
_JSON = "application/json"

Fields = Mapping[str, Any]


async def read(request: Request) -> dict[str, Any]:
    """The object in the body. Raises StorageError for anything else."""
    raw = await request.body()
    if len(raw) > _MAX_BYTES:
        message = "Request body is too large"
        raise StorageError("413", "FastifyError", message, "EntityTooLarge", 413)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
        raise schema("body must be object")  # another type is not parsed at all
    if not raw:
        raise fastify(f"Body cannot be empty when content-type is set to '{_JSON}'")
    fields = _parsed(raw)
    if not isinstance(fields, dict):
        raise schema("body must be object")
    return fields


async def skip(request: Request) -> None:
    """The body of a route that needs none: `{}`, nothing at all, but not broken JSON."""
    raw = await request.body()
    if raw and request.headers.get("content-type", "").startswith(_JSON):
        _parsed(raw)


def text(fields: Fields, name: str, default: str | None = None, where: str = "body") -> str:
    """A string, or the text of a number; `default=None` makes it required."""
    if name not in fields:
        return _default(name, default, where)
    value = _scalar(fields[name])
    if isinstance(value, dict | list):
        raise schema(f"{where}/{name} must be string")
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def choice(
    fields: Fields, name: str, allowed: Collection[str], default: str | None, where: str = "body"
) -> str:
    """One of the allowed strings."""
    value = text(fields, name, default, where)
    if name in fields and value not in allowed:
        raise schema(f"{where}/{name} must be equal to one of the allowed values")
    return value


def integer(fields: Fields, name: str, default: int | None, least: int, where: str = "body") -> int:
    """An integer or its text; `default=None` makes it required."""
    if name not in fields:
        return _default(name, default, where)
    number = whole_number(fields[name])
    if number is None:
        raise schema(f"{where}/{name} must be integer")
    if number < least:
        raise schema(f"{where}/{name} must be >= {least}")
    return number


def whole_number(value: object) -> int | None:
    """The integer that Ajv makes of a value, or None."""
    value = _scalar(value)
    if value is None:
        return 0
    if isinstance(value, str) and (not value or "_" in value):
        return None
    try:
        number = float(value)  # type: ignore[arg-type]  # whatever JSON may hold
    except (TypeError, ValueError):
        return None
    return int(number) if number.is_integer() else None


def boolean(fields: Fields, name: str, *, default: bool) -> bool:
    """A boolean, `"true"`, `"false"`, 1, 0 or null."""
    if name not in fields:
        return default
    value = _scalar(fields[name])
    if value is None or value in ("false", 0):
        return False
    if value in ("true", 1):
        return True
    raise schema(f"body/{name} must be boolean")


def texts(fields: Fields, name: str, most: int | None = None) -> list[str]:
    """At least one string."""
    if name not in fields:
        raise missing("body", name)
    values = fields[name]
    if isinstance(values, dict):
        raise schema(f"body/{name} must be array")
    if not isinstance(values, list):
        values = [values]
    if not values:
        raise schema(f"body/{name} must NOT have fewer than 1 items")
    if most is not None and len(values) > most:
        raise schema(f"body/{name} must NOT have more than {most} items")
    return [text({f"{name}/{i}": value}, f"{name}/{i}") for i, value in enumerate(values)]


def nested(fields: Fields, name: str) -> dict[str, Any]:
    """An object within the body, `{}` where there is none."""
    value = fields.get(name, {})
    if not isinstance(value, dict):
        raise schema(f"body/{name} must be object")
    return value


def _parsed(raw: bytes) -> object:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        message = f"Body is not valid JSON but content-type is set to '{_JSON}'"
        raise fastify(message) from None


def _scalar(value: object) -> object:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _default(name: str, default: T | None, where: str) -> T:
    if default is None:
        raise missing(where, name)
    return default
