"""`/api/v2/parse`: look at jobs, list, cancel and delete them."""

import asyncio
import sqlite3
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gristmill_simulators.llamacloud import expansion, outbox, present, query, state
from gristmill_simulators.llamacloud.delivery import Sender
from gristmill_simulators.llamacloud.errors import (
    LlamaCloudError,
    invalid_field,
    job_not_found,
    json,
)
from gristmill_simulators.llamacloud.expansion import Expansion
from gristmill_simulators.llamacloud.versions import LATEST, VERSIONS
from gristmill_simulators.simulator import Simulator

_STATUSES = {"PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"}


class Parsing:
    """The project's parse jobs."""

    def __init__(self, simulator: Simulator, expansion_: Expansion, sender: Sender) -> None:
        self._simulator = simulator
        self._database = simulator.database
        self._expansion = expansion_
        self._sender = sender

    async def get(self, request: Request) -> Response:
        expand = frozenset(query.many(request, "expand"))
        job_id = request.path_params["id"]
        expansion.check(expand, self._find(job_id)["tier"])
        row = await self._looked_at(job_id)
        job = present.job(row, self._simulator.clock(), usage="usage" in expand)
        links = self._expansion.links(request, row)
        body = await asyncio.to_thread(self._expansion.answer, row, job, expand, links)
        return Response(body, media_type="application/json")

    async def list_jobs(self, request: Request) -> Response:
        size, now = query.page_size(request), self._simulator.clock()
        status = request.query_params.get("status")
        rows = self._rows(request, status, size + 1, now)
        if waiting := [row["id"] for row in rows[:size] if row["transition"] == "polls"]:
            await self._look(waiting)
            rows = self._again(rows, now)
        answer = query.page(
            rows, size, lambda row: present.job(row, now), lambda row: [row["sequence"]]
        )
        if status is not None:  # a look may have changed what was found by it
            answer["items"] = [item for item in answer["items"] if item["status"] == status]
        return json(answer)

    async def cancel(self, request: Request) -> Response:
        job_id = request.path_params["id"]
        now = self._simulator.clock()
        keep = self._simulator.settings.current.llamacloud.bill_cancelled_jobs
        await self._database.write(lambda connection: _cancel(connection, job_id, now, keep))
        self._sender.notify()
        return json(present.job(self._find(job_id), now))

    async def delete(self, request: Request) -> Response:
        row = self._find(request.path_params["id"])
        if row["visible"] in state.UNFINISHED:
            raise LlamaCloudError(409, "Only a finished parse job can be deleted")
        await self._database.write(
            lambda connection: connection.execute(
                "DELETE FROM llama_jobs WHERE id = ?", [row["id"]]
            )
        )
        return json({"id": row["id"], "project_id": query.PROJECT_ID})

    async def versions(self, _request: Request) -> Response:
        return json({**VERSIONS, "latest": LATEST})

    async def download(self, request: Request) -> Response:
        """What a presigned URL of a result leads to."""
        job_id, name = request.path_params["id"], request.path_params["name"]
        row = state.job(self._database, job_id, self._simulator.clock())
        return await asyncio.to_thread(self._expansion.file, row, name)

    def _find(self, job_id: str) -> sqlite3.Row:
        return _found(state.job(self._database, job_id, self._simulator.clock()))

    async def _looked_at(self, job_id: str) -> sqlite3.Row:
        row = self._find(job_id)
        if row["transition"] == "polls" and row["released_at"] is None:
            await self._look([job_id])
            row = self._find(job_id)
        return row

    async def _look(self, ids: list[str]) -> None:
        now = self._simulator.clock()
        await self._database.write(lambda connection: state.look(connection, ids, now))
        self._sender.notify()

    def _rows(
        self, request: Request, status: str | None, limit: int, now: float
    ) -> list[sqlite3.Row]:
        where, parameters = _filters(request, status)
        sql = f"{state.JOBS} WHERE {where} ORDER BY sequence DESC LIMIT ?"
        return self._database.read(sql, now, *parameters, limit)

    def _again(self, rows: list[sqlite3.Row], now: float) -> list[sqlite3.Row]:
        ids = [row["id"] for row in rows]
        sql = f"{state.JOBS} WHERE id IN ({query.marks(ids)}) ORDER BY sequence DESC"
        return self._database.read(sql, now, *ids)


def _cancel(connection: sqlite3.Connection, job_id: str, now: float, keep_bill: bool) -> None:
    job = _found(state.job_in(connection, job_id, now))
    if job["visible"] not in state.UNFINISHED:
        raise LlamaCloudError(409, "A finished parse job cannot be cancelled")
    if not keep_bill:
        connection.execute("DELETE FROM llama_bills WHERE job_id = ?", [job_id])
    row = connection.execute(
        "UPDATE llama_jobs SET status = 'CANCELLED', updated_at = ?,"
        " credits = iif(?, credits, NULL) WHERE id = ? RETURNING *",
        (now, keep_bill, job_id),
    ).fetchone()
    outbox.withdraw_end(connection, job_id, now)
    outbox.tell(connection, row, "parse.cancelled", now, now)


def _found(row: sqlite3.Row | None) -> sqlite3.Row:
    if row is None:
        raise job_not_found()
    return row


def _filters(request: Request, status: str | None) -> tuple[str, list[Any]]:
    where: list[str] = ["1"]
    parameters: list[Any] = []
    if status is not None:
        if status not in _STATUSES:
            raise invalid_field(["query", "status"], "Input should be a job status", status)
        where.append("visible = ?")
        parameters.append(status)
    if ids := query.many(request, "job_ids"):
        where.append(f"id IN ({query.marks(ids)})")
        parameters.extend(ids)
    for name, comparison in (("on_or_after", ">="), ("on_or_before", "<=")):
        if (moment := query.seconds(request, f"created_at_{name}")) is not None:
            where.append(f"created_at {comparison} ?")
            parameters.append(moment)
    if (place := query.after(request)) is not None:
        where.append("sequence < ?")
        parameters.append(query.sequence(place))
    return " AND ".join(where), parameters
