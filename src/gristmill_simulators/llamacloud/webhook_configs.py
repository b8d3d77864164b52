"""`/api/v1/beta/webhook-configs`: webhooks saved for the project, their secrets write-only."""

import sqlite3
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from gristmill_simulators.llamacloud import query
from gristmill_simulators.llamacloud.errors import LlamaCloudError, invalid, json
from gristmill_simulators.llamacloud.hooks import (
    SavedHookRequest,
    SavedHookUpdate,
    check_public,
    masked_url,
)
from gristmill_simulators.llamacloud.ids import new_id
from gristmill_simulators.llamacloud.moments import moment
from gristmill_simulators.llamacloud.request import json_object
from gristmill_simulators.simulator import Simulator

SCHEMA = """
CREATE TABLE IF NOT EXISTS llama_webhooks (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, hook TEXT NOT NULL,
    created_at REAL NOT NULL, updated_at REAL NOT NULL);
"""

_MASK = "****"


class WebhookConfigs:
    """Saved webhooks. What is read back hides header values and the URL's credentials."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    async def create(self, request: Request) -> Response:
        hook = await self._given(request, SavedHookRequest)
        id_, now = new_id("whc"), self._simulator.clock()
        await self._write(
            "INSERT INTO llama_webhooks (id, hook, created_at, updated_at) VALUES (?, ?, ?, ?)",
            (id_, orjson.dumps(hook).decode(), now, now),
        )
        return json(_shown(self._find(id_)), 201)

    async def retrieve(self, request: Request) -> Response:
        return json(_shown(self._find(request.path_params["id"])))

    async def update(self, request: Request) -> Response:
        row = self._find(request.path_params["id"])
        changes = await self._given(request, SavedHookUpdate)
        if changes.get("webhook_url") is None:
            changes.pop("webhook_url", None)  # there is none without an address
        hook = {**orjson.loads(row["hook"]), **changes}
        await self._write(
            "UPDATE llama_webhooks SET hook = ?, updated_at = ? WHERE id = ?",
            (orjson.dumps(hook).decode(), self._simulator.clock(), row["id"]),
        )
        return json(_shown(self._find(row["id"])))

    async def delete(self, request: Request) -> Response:
        row = self._find(request.path_params["id"])
        await self._write("DELETE FROM llama_webhooks WHERE id = ?", (row["id"],))
        return Response(status_code=204)

    async def list_all(self, _request: Request) -> Response:
        return json([_shown(row) for row in self._rows(0, -1)])

    async def list_paginated(self, request: Request) -> Response:
        size, place = query.page_size(request), query.after(request)
        rows = self._rows(query.sequence(place), size + 1)
        answer = query.page(rows, size, _shown, lambda row: [row["sequence"]])
        if query.flag(request, "include_total"):
            answer["total_size"] = len(self._rows(0, -1))
        return json(answer)

    def hooks(self, ids: list[str]) -> list[dict[str, Any]]:
        """Saved webhooks as a job takes them, secrets included. Raises LlamaCloudError (404)."""
        return [orjson.loads(self._find(id_)["hook"]) for id_ in ids]

    async def _given(self, request: Request, model: type[BaseModel]) -> dict[str, Any]:
        body = json_object(await request.body())
        try:
            hook = model.model_validate(body)
        except ValidationError as error:
            raise invalid(error) from None
        given = hook.model_dump(exclude_unset=True)
        if self._simulator.settings.current.llamacloud.refuse_local_webhooks:
            check_public(given.get("webhook_url"), ["body", "webhook_url"])
        return given

    async def _write(self, sql: str, parameters: tuple[Any, ...]) -> None:
        await self._simulator.database.write(lambda c: c.execute(sql, parameters))

    def _find(self, id_: str) -> sqlite3.Row:
        row = self._simulator.database.read_one("SELECT * FROM llama_webhooks WHERE id = ?", id_)
        if row is None:
            raise LlamaCloudError(404, "Webhook configuration not found")
        return row

    def _rows(self, after: int, limit: int) -> list[sqlite3.Row]:
        sql = "SELECT * FROM llama_webhooks WHERE sequence > ? ORDER BY sequence LIMIT ?"
        return self._simulator.database.read(sql, after, limit)


def _shown(row: sqlite3.Row) -> dict[str, Any]:
    hook = orjson.loads(row["hook"])
    headers = hook.get("webhook_headers")
    return {
        "id": row["id"],
        "tenant_id": query.PROJECT_ID,
        "tenant_type": "project",
        "webhook_url": masked_url(hook["webhook_url"]),
        "webhook_events": hook.get("webhook_events"),
        "webhook_headers": headers and dict.fromkeys(headers, _MASK),
        "webhook_output_format": hook.get("webhook_output_format") or "string",
        "has_secret": bool(hook.get("webhook_signing_secret")),
        "created_at": moment(row["created_at"]),
        "updated_at": moment(row["updated_at"]),
    }
