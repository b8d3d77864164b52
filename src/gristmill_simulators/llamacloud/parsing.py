"""`/api/v2/parse`: create, look, list, cancel and delete jobs."""

import asyncio
import hashlib
import math
import sqlite3
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gristmill_simulators.llamacloud import files, present, state
from gristmill_simulators.llamacloud.errors import (
    LlamaCloudError,
    invalid_field,
    job_not_found,
    json,
)
from gristmill_simulators.llamacloud.request import ParseRequest, parse
from gristmill_simulators.llamacloud.runner import Runner
from gristmill_simulators.llamacloud.versions import LATEST, VERSIONS, resolved
from gristmill_simulators.operation import call_of
from gristmill_simulators.simulator import Simulator

_STATUSES = {"PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"}
_SHAPING = {  # the options a cached result depends on, beside tier and version
    "agentic_options",
    "crop_box",
    "fast_options",
    "input_options",
    "output_options",
    "page_ranges",
    "processing_options",
}
_CONFIDENCE_CREDITS = 5.0  # a page, for confidence_score_effort; SDK docstring
_PAGE_SIZE = 50
_MAX_PAGE_SIZE = 1000


class Parsing:
    """The project's parse jobs."""

    def __init__(self, simulator: Simulator, folders: state.Folders, runner: Runner) -> None:
        self._simulator = simulator
        self._database = simulator.database
        self._folders = folders
        self._runner = runner

    async def create(self, request: Request) -> Response:
        wanted = parse(await request.body())
        file = files.find(self._simulator, str(wanted.file_id))
        row = self._new_job(wanted, file)
        hit = await self._database.write(lambda connection: _insert(connection, row))
        if not hit:
            self._runner.submit(row["id"])
        call_of(request).units["job_id"] = row["id"]
        # the answer to a submission is PENDING even when the cache had the result
        return json({**present.job(self._find(row["id"]), 0.0), "status": "PENDING"})

    async def get(self, request: Request) -> Response:
        expand = _many(request, "expand")
        job_id = request.path_params["id"]
        present.check_expand(expand, self._find(job_id)["tier"])
        row = await self._looked_at(job_id)
        now = self._simulator.clock()
        pages = None
        if state.visible_status(row, now) == "COMPLETED" and present.needs_pages(expand):
            pages = await asyncio.to_thread(self._pages, row["result_id"])
        answer = {"job": present.job(row, now, usage="usage" in expand)}
        answer |= present.contents(expand, pages)
        if "job_metadata" in expand:
            answer["job_metadata"] = present.job_metadata(row, self._page_count(row, now))
        return json(answer)

    async def list_jobs(self, request: Request) -> Response:
        size = _page_size(request)
        now = self._simulator.clock()
        where, parameters = _filters(request)
        sql = f"SELECT * FROM llama_jobs WHERE {where} ORDER BY sequence DESC LIMIT ?"
        rows = self._database.read(sql, *parameters, size + 1)
        shown = rows[:size]
        if waiting := [r["id"] for r in shown if r["transition"] == "polls"]:
            await self._database.write(lambda connection: state.look(connection, waiting, now))
            shown = self._database.read(sql, *parameters, size)
        status = request.query_params.get("status")
        items = [present.job(row, now) for row in shown]
        more = len(rows) > size
        return json(
            {
                "items": [item for item in items if status is None or item["status"] == status],
                "next_page_token": _token(shown[-1]["sequence"]) if more else None,
                "total_size": None,
            }
        )

    async def cancel(self, request: Request) -> Response:
        job_id = request.path_params["id"]
        now = self._simulator.clock()
        await self._database.write(lambda connection: _cancel(connection, job_id, now))
        return json(present.job(self._find(job_id), now))

    async def delete(self, request: Request) -> Response:
        row = self._find(request.path_params["id"])
        if state.visible_status(row, self._simulator.clock()) in state.UNFINISHED:
            raise LlamaCloudError(409, "Only a finished parse job can be deleted")
        await self._database.write(
            lambda connection: connection.execute(
                "DELETE FROM llama_jobs WHERE id = ?", [row["id"]]
            )
        )
        return json({"id": row["id"], "project_id": present.PROJECT_ID})

    async def versions(self, _request: Request) -> Response:
        return json({**VERSIONS, "latest": LATEST})

    def _find(self, job_id: str) -> sqlite3.Row:
        return _found(self._database.read_one("SELECT * FROM llama_jobs WHERE id = ?", job_id))

    async def _looked_at(self, job_id: str) -> sqlite3.Row:
        row = self._find(job_id)
        if row["transition"] == "polls" and row["released_at"] is None:
            now = self._simulator.clock()
            await self._database.write(lambda connection: state.look(connection, [job_id], now))
            row = self._find(job_id)
        return row

    def _pages(self, result_id: str) -> present.Pages:
        try:
            pages: present.Pages = orjson.loads(self._folders.result(result_id).read_bytes())
        except FileNotFoundError:
            raise LlamaCloudError(404, "Parse result not found") from None
        return pages

    def _page_count(self, row: sqlite3.Row, now: float) -> int | None:
        if state.visible_status(row, now) != "COMPLETED":
            return None
        result = self._database.read_one(
            "SELECT pages FROM llama_results WHERE id = ?", row["result_id"]
        )
        return None if result is None else int(result["pages"])

    def _new_job(self, wanted: ParseRequest, file: sqlite3.Row) -> dict[str, Any]:
        settings = self._simulator.settings.current
        # the precision on the wire, so that filters meet; cut, so that it is never in the future
        now = math.floor(self._simulator.clock() * 1e6) / 1e6
        ranges = wanted.page_ranges
        effort = wanted.processing_options and wanted.processing_options.confidence_score_effort
        webhooks = [hook.model_dump() for hook in wanted.webhook_configurations or ()]
        metadata = wanted.user_metadata
        return {
            "id": state.new_job_id(),
            "file_id": file["id"],
            "file_name": file["name"],
            "tier": wanted.tier,
            "version": resolved(wanted.tier, wanted.version),
            "target_pages": ranges and ranges.target_pages,
            "max_pages": ranges and ranges.max_pages,
            "page_surcharge": _CONFIDENCE_CREDITS if effort else 0.0,
            "cache_key": None if wanted.disable_cache else _cache_key(wanted, file),
            "client_name": wanted.client_name,
            "user_metadata": None if metadata is None else orjson.dumps(metadata).decode(),
            "webhooks": orjson.dumps(webhooks).decode() if webhooks else None,
            "status": "PENDING",
            "created_at": now,
            "updated_at": now,
            "transition": settings.transition.kind,
            "transition_value": settings.transition.value,
            "billing_delay": settings.billing_delay_seconds,
        }


def _insert(connection: sqlite3.Connection, row: dict[str, Any]) -> bool:
    """Store the job; True when a cached result already answers it."""
    key, now = row["cache_key"], row["created_at"]
    hit = None if key is None else state.cached_result(connection, key, now)
    state.insert(connection, "llama_jobs", row)
    if hit is None:
        return False
    job = connection.execute("SELECT * FROM llama_jobs WHERE id = ?", [row["id"]]).fetchone()
    connection.execute(
        "UPDATE llama_jobs SET status = 'COMPLETED', cache_hit = 1, credits = 0.0, result_id = ?,"
        " released_at = ? WHERE id = ?",
        (hit["id"], state.released_at(job, now), row["id"]),
    )
    state.bill(connection, row, 0, 0.0, now)
    return True


def _cancel(connection: sqlite3.Connection, job_id: str, now: float) -> None:
    job = _found(connection.execute("SELECT * FROM llama_jobs WHERE id = ?", [job_id]).fetchone())
    if state.visible_status(job, now) not in state.UNFINISHED:
        raise LlamaCloudError(409, "A finished parse job cannot be cancelled")
    connection.execute(
        "UPDATE llama_jobs SET status = 'CANCELLED', updated_at = ? WHERE id = ?", (now, job_id)
    )
    connection.execute("DELETE FROM llama_bills WHERE job_id = ?", [job_id])


def _found(row: sqlite3.Row | None) -> sqlite3.Row:
    if row is None:
        raise job_not_found()
    return row


def _cache_key(wanted: ParseRequest, file: sqlite3.Row) -> str:
    options = wanted.model_dump(include=_SHAPING, exclude_none=True)
    version = resolved(wanted.tier, wanted.version)
    # the name decides which reader a file gets
    identity = [file["sha256"], file["name"].rpartition(".")[2], wanted.tier, version, options]
    return hashlib.sha256(orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _many(request: Request, name: str) -> set[str]:
    """A repeated or comma-joined query parameter."""
    values = request.query_params.getlist(name)
    return {part.strip() for value in values for part in value.split(",") if part.strip()}


def _filters(request: Request) -> tuple[str, list[Any]]:
    status = request.query_params.get("status")
    if status is not None and status not in _STATUSES:
        raise invalid_field(["query", "status"], "Input should be a job status", status)
    where: list[str] = ["1"]
    parameters: list[Any] = []
    if ids := _many(request, "job_ids"):
        where.append(f"id IN ({', '.join('?' * len(ids))})")
        parameters.extend(sorted(ids))
    for name, comparison in (("on_or_after", ">="), ("on_or_before", "<=")):
        if (given := request.query_params.get(f"created_at_{name}")) is not None:
            where.append(f"created_at {comparison} ?")
            parameters.append(_seconds(f"created_at_{name}", given))
    if (token := request.query_params.get("page_token")) is not None:
        where.append("sequence < ?")
        parameters.append(_sequence(token))
    return " AND ".join(where), parameters


def _page_size(request: Request) -> int:
    given = request.query_params.get("page_size", str(_PAGE_SIZE))
    if not given.isdigit() or not 1 <= int(given) <= _MAX_PAGE_SIZE:
        raise invalid_field(["query", "page_size"], "Input should be from 1 to 1000", given)
    return int(given)


def _seconds(name: str, given: str) -> float:
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        message = "Input should be a valid datetime"
        raise invalid_field(["query", name], message, given) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _token(sequence: int) -> str:
    return urlsafe_b64encode(str(sequence).encode()).decode()


def _sequence(token: str) -> int:
    try:
        return int(urlsafe_b64decode(token))
    except ValueError:
        raise LlamaCloudError(400, "Invalid page token") from None
