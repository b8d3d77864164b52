"""JSON bodies and their schema errors; the server coerces types and ignores extra fields."""

from typing import Any

import orjson
from starlette.requests import Request

from gristmill_simulators.supabase_storage.errors import StorageError, missing, schema

_MAX_BYTES = 1024 * 1024


async def read(request: Request) -> dict[str, Any]:
    """The object in the body; an empty body is `{}`."""
    raw = await request.body()
    if len(raw) > _MAX_BYTES:
        message = "Request body is too large"
        raise StorageError("413", "FastifyError", message, "EntityTooLarge", 413)
    try:
        fields = orjson.loads(raw or b"{}")
    except orjson.JSONDecodeError:
        message = "Body is not valid JSON but content-type is set to 'application/json'"
        raise StorageError("400", "FastifyError", message, "InvalidRequest") from None
    if not isinstance(fields, dict):
        raise schema("body must be object")
    return fields


def text(fields: dict[str, Any], name: str) -> str:
    if name not in fields:
        raise missing("body", name)
    value = fields[name]
    if isinstance(value, dict | list):
        raise schema(f"body/{name} must be string")
    return "" if value is None else str(value)


def integer(fields: dict[str, Any], name: str, default: int | None, least: int) -> int:
    """An integer or its text; `default=None` makes it required."""
    value = fields.get(name, default)
    if value is None:
        raise missing("body", name)
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise schema(f"body/{name} must be integer") from None
    if isinstance(value, float) and value != number:
        raise schema(f"body/{name} must be integer")
    if number < least:
        raise schema(f"body/{name} must be >= {least}")
    return number


def texts(fields: dict[str, Any], name: str, most: int | None = None) -> list[str]:
    if name not in fields:
        raise missing("body", name)
    values = fields[name]
    if not isinstance(values, list):
        values = [values]
    if not values:
        raise schema(f"body/{name} must NOT have fewer than 1 items")
    if most is not None and len(values) > most:
        raise schema(f"body/{name} must NOT have more than {most} items")
    return [str(value) for value in values]
