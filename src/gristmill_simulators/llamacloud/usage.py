"""`/api/v1/beta/usage-metrics`: the bills of an organization as rows, and summed up."""

import sqlite3
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gristmill_simulators.llamacloud import query
from gristmill_simulators.llamacloud.errors import invalid_field, json
from gristmill_simulators.simulator import Simulator

_USER_ID = "simulated-user"
_DIMENSIONS = {
    "day": "day",
    "event_type": "event_type",
    "organization_id": f"'{query.ORGANIZATION_ID}'",
    "project_id": f"'{query.PROJECT_ID}'",
    "tier": "tier",
    "user_id": f"'{_USER_ID}'",
}


class Usage:
    """A row appears once its bill has settled; `event_aggregation_key` is the job's id."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    async def rows(self, request: Request) -> Response:
        size = query.page_size(request)
        where, parameters = self._filters(request)
        after = query.sequence(query.after(request))
        sql = f"SELECT * FROM llama_bills WHERE {where} AND sequence > ? ORDER BY sequence LIMIT ?"
        found = self._simulator.database.read(sql, *parameters, after, size + 1)
        answer = query.page(found, size, _metric, lambda row: [row["sequence"]])
        if query.flag(request, "include_total"):
            counted = self._simulator.database.read_one(
                f"SELECT count(*) AS total FROM llama_bills WHERE {where}", *parameters
            )
            answer["total_size"] = counted and counted["total"]
        return json(answer)

    async def aggregate(self, request: Request) -> Response:
        """Buckets, the dearest first."""
        group_by = query.many(request, "group_by")
        if not group_by or set(group_by) - _DIMENSIONS.keys():
            message = f"Input should be one or more of {', '.join(_DIMENSIONS)}"
            raise invalid_field(["query", "group_by"], message, group_by)
        where, parameters = self._filters(request)
        columns = ", ".join(f"{_DIMENSIONS[name]} AS by_{name}" for name in group_by)
        keys = ", ".join(f"by_{name}" for name in group_by)
        found = self._simulator.database.read(
            f"SELECT {columns}, count(*) AS metric_count, sum(value) AS total_value,"
            f" sum(credits) AS total_credits FROM llama_bills WHERE {where}"
            f" GROUP BY {keys} ORDER BY total_credits DESC, {keys}",
            *parameters,
        )
        buckets = [_bucket(row, group_by) for row in found]
        return json({"group_by": group_by, "buckets": buckets})

    def _filters(self, request: Request) -> tuple[str, list[Any]]:
        """Raises LlamaCloudError (422) where it is not said whose bills they are."""
        if "organization_id" not in request.query_params:
            raise invalid_field(["query", "organization_id"], "Field required", None)
        where: list[str] = ["settles_at <= ?"]
        parameters: list[Any] = [self._simulator.clock()]
        params = request.query_params
        columns = {"event_aggregation_key": "job_id", "event_aggregation_type": "file_type"}
        for name, column in columns.items():
            if (given := params.get(name)) is not None:
                where.append(f"{column} = ?")
                parameters.append(given)
        for name, column in (("event_types", "event_type"), ("days", "day")):
            if values := query.many(request, name):
                where.append(f"{column} IN ({query.marks(values)})")
                parameters.extend(values)
        for name, comparison in (("on_or_after", ">="), ("on_or_before", "<=")):
            if (day := query.day(request, f"day_{name}")) is not None:
                where.append(f"day {comparison} ?")
                parameters.append(day)
        if params.get("user_id", _USER_ID) != _USER_ID:
            where.append("0")
        return " AND ".join(where), parameters


def _metric(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "user_id": _USER_ID,
        "organization_id": query.ORGANIZATION_ID,
        "project_id": query.PROJECT_ID,
        "event_type": row["event_type"],
        "event_aggregation_key": row["job_id"],
        "event_aggregation_type": row["file_type"],
        "value": row["value"],
        "credits": row["credits"],
        "day": row["day"],
        "properties": {"tier": row["tier"]},
        "usage_tags": None,
    }


def _bucket(row: sqlite3.Row, group_by: list[str]) -> dict[str, Any]:
    return {
        "dimensions": {name: row[f"by_{name}"] for name in group_by},
        "metric_count": row["metric_count"],
        "total_value": row["total_value"],
        "total_credits": row["total_credits"],
    }
