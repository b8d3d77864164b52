"""`/api/v1/beta/configurations`: saved parse options that a job can name by id."""

import sqlite3
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gristmill_simulators.llamacloud import query, request
from gristmill_simulators.llamacloud.errors import LlamaCloudError, invalid_field, json
from gristmill_simulators.llamacloud.ids import new_id
from gristmill_simulators.llamacloud.moments import moment
from gristmill_simulators.simulator import Simulator

SCHEMA = """
CREATE TABLE IF NOT EXISTS llama_configurations (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
    parameters TEXT NOT NULL, created_at REAL NOT NULL, updated_at REAL NOT NULL);
"""

_PRODUCT = "parse_v2"
_ONLY_PER_JOB = ("configuration_id", "http_proxy", "user_metadata")


class Configurations:
    """Of the products only `parse_v2` can be saved here; the others are not simulated."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    async def create(self, http: Request) -> Response:
        given = request.json_object(await http.body())
        if not isinstance(given.get("name"), str):
            raise invalid_field(["body", "name"], "Field required", given.get("name"))
        id_, now = new_id("cfg"), self._simulator.clock()
        parameters = _checked(given.get("parameters"))
        await self._write(
            "INSERT INTO llama_configurations (id, name, parameters, created_at, updated_at)"
            " VALUES (?, ?, ?, ?, ?)",
            (id_, given["name"], parameters, now, now),
        )
        return json(_shown(self._find(id_)))

    async def retrieve(self, http: Request) -> Response:
        return json(_shown(self._find(http.path_params["id"])))

    async def update(self, http: Request) -> Response:
        row = self._find(http.path_params["id"])
        given = request.json_object(await http.body())
        parameters = row["parameters"]
        if given.get("parameters") is not None:
            parameters = _checked(given["parameters"])
        await self._write(
            "UPDATE llama_configurations SET name = ?, parameters = ?, updated_at = ? WHERE id = ?",
            (given.get("name") or row["name"], parameters, self._simulator.clock(), row["id"]),
        )
        return json(_shown(self._find(row["id"])))

    async def delete(self, http: Request) -> Response:
        row = self._find(http.path_params["id"])
        await self._write("DELETE FROM llama_configurations WHERE id = ?", (row["id"],))
        return Response(status_code=204)

    async def list_configurations(self, http: Request) -> Response:
        size, products = query.page_size(http), query.many(http, "product_type")
        rows = self._simulator.database.read(
            "SELECT * FROM llama_configurations WHERE sequence > ? AND name = ifnull(?, name)"
            " AND ? ORDER BY sequence LIMIT ?",
            query.sequence(query.after(http)),
            http.query_params.get("name"),
            not products or _PRODUCT in products,
            size + 1,
        )
        return json(query.page(rows, size, _shown, lambda row: [row["sequence"]]))

    def completed(self, given: dict[str, Any]) -> dict[str, Any]:
        """A submission with what its saved configuration says.

        Raises LlamaCloudError: 404 for an unknown one, 422 for `configured` without one.
        """
        id_ = given.get("configuration_id")
        if id_ is None:
            if given.get("version") == "configured":
                message = "Value error, 'configured' needs a configuration_id"
                raise invalid_field(["version"], message, "configured")
            return given
        saved = orjson.loads(self._find(str(id_))["parameters"])
        saved.pop("product_type", None)
        own = {k: v for k, v in given.items() if (k, v) != ("version", "configured")}
        return {**saved, **own}

    async def _write(self, sql: str, parameters: tuple[Any, ...]) -> None:
        await self._simulator.database.write(lambda c: c.execute(sql, parameters))

    def _find(self, id_: str) -> sqlite3.Row:
        sql = "SELECT * FROM llama_configurations WHERE id = ?"
        row = self._simulator.database.read_one(sql, id_)
        if row is None:
            raise LlamaCloudError(404, "Configuration not found")
        return row


def _checked(parameters: Any) -> str:  # noqa: ANN401 — any JSON value
    """Parse options as stored. Raises LlamaCloudError (400, 422)."""
    if not isinstance(parameters, dict):
        raise invalid_field(["body", "parameters"], "Field required", parameters)
    if parameters.get("product_type") != _PRODUCT:
        raise LlamaCloudError(400, f"The simulator saves configurations of {_PRODUCT} only")
    options = {k: v for k, v in parameters.items() if k != "product_type"}
    for name in _ONLY_PER_JOB:
        if name in options:
            loc: list[str | int] = ["body", "parameters", name]
            raise invalid_field(loc, "Extra inputs are not permitted", options[name])
    request.parse(options, uploaded=True)
    return orjson.dumps(parameters).decode()


def _shown(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "name": row["name"],
        "product_type": _PRODUCT,
        "parameters": orjson.loads(row["parameters"]),
        "version": moment(row["updated_at"]),
        "created_at": moment(row["created_at"]),
        "updated_at": moment(row["updated_at"]),
    }
