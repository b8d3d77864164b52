"""Query parameters, and lists in pages."""

import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any, TypeVar

import orjson
from starlette.requests import Request

from gristmill_simulators.llamacloud.errors import LlamaCloudError, invalid_field

T = TypeVar("T")

ORGANIZATION_ID = "00000000-0000-4000-8000-51b01a7e0c60"
PROJECT_ID = "00000000-0000-4000-8000-51b01a7ed000"

_PAGE_SIZE = 50
_MAX_PAGE_SIZE = 1000
_DIGITS = 18


def many(request: Request, name: str) -> list[str]:
    """A repeated or comma-joined parameter, in order and each value once."""
    values = request.query_params.getlist(name)
    parts = (part.strip() for value in values for part in value.split(","))
    return list(dict.fromkeys(part for part in parts if part))


def check_tenant(request: Request) -> None:
    """Raises LlamaCloudError for an id that is no UUID (422) or not ours (404)."""
    for name, ours in (("project_id", PROJECT_ID), ("organization_id", ORGANIZATION_ID)):
        given = request.query_params.get(name)
        if given is None:
            continue
        try:
            same = str(uuid.UUID(given)) == ours
        except ValueError:
            message = "Input should be a valid UUID"
            raise invalid_field(["query", name], message, given) from None
        if not same:
            raise LlamaCloudError(404, f"{name.removesuffix('_id').capitalize()} not found")


def page_size(request: Request) -> int:
    """Raises LlamaCloudError (422) outside of 1 to 1000."""
    given = request.query_params.get("page_size", str(_PAGE_SIZE))
    if not is_number(given) or not 1 <= int(given) <= _MAX_PAGE_SIZE:
        raise invalid_field(["query", "page_size"], "Input should be from 1 to 1000", given)
    return int(given)


def number(request: Request, name: str, *, low: int, high: int) -> int | None:
    """A whole number. Raises LlamaCloudError (422) when it is none or out of range."""
    given = request.query_params.get(name)
    if given is None:
        return None
    if not is_number(given) or not low <= int(given) <= high:
        raise invalid_field(["query", name], f"Input should be from {low} to {high}", given)
    return int(given)


def is_number(text: str) -> bool:
    """Decimal digits, few enough for a number of the database."""
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS


def flag(request: Request, name: str) -> bool:
    return request.query_params.get(name, "").lower() in {"true", "1"}


def seconds(request: Request, name: str) -> float | None:
    """An ISO 8601 moment as seconds since 1970; UTC unless it says otherwise."""
    given = request.query_params.get(name)
    if given is None:
        return None
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        message = "Input should be a valid datetime"
        raise invalid_field(["query", name], message, given) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def day(request: Request, name: str) -> str | None:
    """A day as `YYYY-MM-DD`."""
    given = request.query_params.get(name)
    try:
        return None if given is None else date.fromisoformat(given).isoformat()
    except ValueError:
        raise invalid_field(["query", name], "Input should be a valid date", given) from None


def after(request: Request) -> list[Any] | None:
    """The place in the list that `page_token` stands for. Raises LlamaCloudError (400)."""
    return place_of(request.query_params.get("page_token"))


def place_of(token: str | None) -> list[Any] | None:
    """The same for a token from elsewhere. Raises LlamaCloudError (400)."""
    if token is None:
        return None
    try:
        place = orjson.loads(urlsafe_b64decode(token))
    except ValueError:
        place = None
    if not isinstance(place, list):
        raise LlamaCloudError(400, "Invalid page token")
    return place


def sequence(place: list[Any] | None) -> int:
    """The number that a place of one number holds; 0 for the beginning."""
    if place is None:
        return 0
    if len(place) != 1 or not isinstance(place[0], int) or abs(place[0]) > 10**_DIGITS:
        raise LlamaCloudError(400, "Invalid page token")
    return place[0]


def page(
    rows: Sequence[T], size: int, shown: Callable[[T], Any], place: Callable[[T], list[Any]]
) -> dict[str, Any]:
    """One page of a list from up to `size + 1` rows; the one too many says that there are more."""
    token = None
    if len(rows) > size:
        token = urlsafe_b64encode(orjson.dumps(place(rows[size - 1]))).decode()
    items = [shown(row) for row in rows[:size]]
    return {"items": items, "next_page_token": token, "total_size": None}


def marks(values: Sequence[object]) -> str:
    """`?, ?, ?` for an SQL list."""
    return ", ".join("?" * len(values))
