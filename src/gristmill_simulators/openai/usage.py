"""`/organization/usage/embeddings` and `/organization/costs`: what was used, in buckets of time.

Shapes and limits: the SDK's types of 2026-08. Bills show here `billing_delay_seconds` late.
"""

import base64
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from gristmill_simulators.openai import parameters
from gristmill_simulators.openai.account import API_KEY_ID, PROJECT, USER
from gristmill_simulators.openai.errors import InvalidRequest
from gristmill_simulators.openai.wire import answer
from gristmill_simulators.simulator import Simulator

_WIDTHS = {"1m": 60, "1h": 3600, "1d": 86_400}
_USAGE_LIMITS = {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)}  # default, most
_COST_LIMITS = {"1d": (7, 180)}
_USAGE_GROUPS = ("project_id", "user_id", "api_key_id", "model")
_COST_GROUPS = ("project_id", "line_item", "api_key_id", "user_id")
_OWNERS = {"project_id": PROJECT, "user_id": USER, "api_key_id": API_KEY_ID}

_Bills = Sequence[sqlite3.Row]


@dataclass(frozen=True, slots=True)
class _Query:
    """Buckets of `width` seconds from `start` to `end`, at most `limit` of them.

    `foreign`: the filters leave nothing of the one project, user and key there is.
    """

    start: int
    end: int
    width: int
    limit: int
    group_by: frozenset[str]
    models: frozenset[str]
    foreign: bool

    def buckets(self) -> Iterable[tuple[int, int]]:
        starts = range(self.start, self.end, self.width)
        return ((start, start + self.width) for start in starts[: self.limit])

    def next_page(self) -> str | None:
        following = self.start + self.limit * self.width
        if following >= self.end:
            return None
        return "page_" + base64.urlsafe_b64encode(str(following).encode()).decode()


class Usage:
    """For the administration's key only; a client reconciles its own books with it."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    async def used(self, request: Request) -> Response:
        query = self._read(request.query_params, _USAGE_LIMITS, _USAGE_GROUPS)
        return answer(await self._page(query, _usage_key, _usage_result))

    async def costs(self, request: Request) -> Response:
        query = self._read(request.query_params, _COST_LIMITS, _COST_GROUPS)
        return answer(await self._page(query, _line_item, _cost_result))

    def _read(
        self, params: QueryParams, limits: dict[str, tuple[int, int]], groups: Sequence[str]
    ) -> _Query:
        """Raises InvalidRequest."""
        if "start_time" not in params:
            raise parameters.missing("start_time")
        start = parameters.integer("start_time", params["start_time"], 0, None)
        now = int(self._simulator.clock()) + 1
        end = parameters.integer("end_time", params.get("end_time", str(now)), 0, None)
        name = parameters.one_of("bucket_width", params.get("bucket_width", "1d"), list(limits))
        default, most = limits[name]
        limit = parameters.integer("limit", params.get("limit", str(default)), 1, most)
        group_by = _several(params, "group_by")
        for group in group_by:
            parameters.one_of("group_by", group, groups)
        width = _WIDTHS[name]
        first = _cursor(params["page"]) if params.get("page") else start // width * width
        models = _several(params, "models")
        return _Query(first, end, width, limit, group_by, models, _is_foreign(params))

    async def _page(
        self,
        query: _Query,
        key: Callable[[sqlite3.Row], str],
        result: Callable[[_Bills, str | None, frozenset[str]], dict[str, Any]],
    ) -> dict[str, Any]:
        bills = await self._bills(query)
        data = [
            {
                "object": "bucket",
                "start_time": start,
                "end_time": end,
                "results": _results(
                    [bill for bill in bills if start <= bill["minute"] < end], query, key, result
                ),
            }
            for start, end in query.buckets()
        ]
        following = query.next_page()
        return {
            "object": "page",
            "data": data,
            "has_more": following is not None,
            "next_page": following,
        }

    async def _bills(self, query: _Query) -> _Bills:
        settled = self._simulator.clock()
        settled -= self._simulator.settings.current.billing_delay_seconds
        rows = await self._simulator.database.scan(
            "SELECT * FROM openai_bills WHERE minute >= ? AND minute < ? AND minute <= ?",
            query.start,
            min(query.end, query.start + query.limit * query.width),
            settled,
        )
        if query.foreign:
            return []
        return [row for row in rows if not query.models or row["model"] in query.models]


def _results(
    bills: _Bills,
    query: _Query,
    key: Callable[[sqlite3.Row], str],
    result: Callable[[_Bills, str | None, frozenset[str]], dict[str, Any]],
) -> list[dict[str, Any]]:
    if not bills:
        return []
    if not query.group_by & {"model", "line_item"}:
        return [result(bills, None, query.group_by)]
    names = sorted({key(bill) for bill in bills})
    return [
        result([bill for bill in bills if key(bill) == name], name, query.group_by)
        for name in names
    ]


def _usage_key(bill: sqlite3.Row) -> str:
    return str(bill["model"])


def _line_item(bill: sqlite3.Row) -> str:
    return f"{bill['model']}, {'batch ' if bill['batch'] else ''}input"


def _usage_result(bills: _Bills, model: str | None, group_by: frozenset[str]) -> dict[str, Any]:
    return {
        "object": "organization.usage.embeddings.result",
        "input_tokens": sum(bill["tokens"] for bill in bills),
        "num_model_requests": sum(bill["requests"] for bill in bills),
        **_owners(group_by),
        "model": model,
    }


def _cost_result(bills: _Bills, line_item: str | None, group_by: frozenset[str]) -> dict[str, Any]:
    named = line_item is not None
    return {
        "object": "organization.costs.result",
        "amount": {"value": sum(bill["nano_dollars"] for bill in bills) / 1e9, "currency": "usd"},
        "line_item": line_item,
        "quantity": sum(bill["tokens"] for bill in bills) if named else None,
        "quantity_unit": "tokens" if named else None,
        **_owners(group_by),
    }


def _owners(group_by: frozenset[str]) -> dict[str, str | None]:
    return {name: owner if name in group_by else None for name, owner in _OWNERS.items()}


def _several(params: QueryParams, name: str) -> frozenset[str]:
    """A list as the SDK sends it (`name[]=a&name[]=b`), or with plain names."""
    return frozenset(params.getlist(f"{name}[]") + params.getlist(name))


def _is_foreign(params: QueryParams) -> bool:
    wanted = {name: _several(params, f"{name}s") for name in _OWNERS}
    return any(ids and _OWNERS[name] not in ids for name, ids in wanted.items())


def _cursor(page: str) -> int:
    try:
        return int(base64.urlsafe_b64decode(page.removeprefix("page_")))
    except ValueError:
        raise InvalidRequest("Invalid 'page'.", code="invalid_value", param="page") from None
