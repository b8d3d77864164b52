"""`/batches`: create, list, look, cancel; the work itself is the runner's."""

import sqlite3
import uuid
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gristmill_simulators.openai import batch_state, parameters, state
from gristmill_simulators.openai.errors import OpenAIError
from gristmill_simulators.openai.paging import Paging
from gristmill_simulators.openai.request import parse
from gristmill_simulators.openai.route_limits import RouteLimits
from gristmill_simulators.openai.runner import Runner
from gristmill_simulators.openai.wire import answer
from gristmill_simulators.simulator import Simulator

# the SDK's list; here every model of the other endpoints is unknown, which fails such a batch
ENDPOINTS = (
    "/v1/responses",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/completions",
    "/v1/moderations",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/videos",
)

_WINDOW = 86_400
_ENDED = ("completed", "failed", "expired")
_TIMES = ("finalizing", "completed", "failed", "expired", "cancelling", "cancelled")


class Batches:
    """The project's batches, newest first."""

    def __init__(self, simulator: Simulator, runner: Runner, limits: RouteLimits) -> None:
        self._simulator = simulator
        self._runner = runner
        self._limits = limits

    async def create(self, request: Request) -> Response:
        settings = self._simulator.settings.current
        self._limits.admit("batches.create", settings.openai.batches_per_hour, 3600.0)
        fields = _checked(parse(await request.body()))
        now = self._simulator.clock()
        transition = settings.transition
        row = fields | {
            "id": f"batch_{uuid.uuid4().hex}",
            "status": "validating",
            "transition": transition.kind,
            "transition_value": transition.value,
            "created_at": now,
            "expires_at": now + _WINDOW,
        }
        await self._simulator.database.write(lambda c: state.insert(c, "openai_batches", row))
        created = present(self._found(row["id"]))
        self._runner.advance(row["id"])
        return answer(created)

    async def list_all(self, request: Request) -> Response:
        paging = Paging.read(request.query_params, default=20, most=100)
        rows = paging.rows(self._simulator.database, "openai_batches", "TRUE")
        return answer(paging.page(rows, present))

    async def retrieve(self, request: Request) -> Response:
        row = self._found(request.path_params["id"])
        if row["transition"] != "at_once" or self._simulator.clock() >= row["expires_at"]:
            await batch_state.look(self._simulator.database, row["id"])
            await self._runner.catch_up(row["id"])
        return answer(present(self._found(row["id"])))

    async def cancel(self, request: Request) -> Response:
        row = self._found(request.path_params["id"])
        if row["status"] in _ENDED:
            message = f"Cannot cancel a batch with status '{row['status']}'."
            raise OpenAIError(409, message)
        await batch_state.cancel(self._simulator.database, row["id"], self._simulator.clock())
        cancelled = present(self._found(row["id"]))
        self._runner.advance(row["id"])
        return answer(cancelled)

    def _found(self, batch_id: str) -> sqlite3.Row:
        row = batch_state.find(self._simulator.database, batch_id)
        if row is None:
            raise OpenAIError(404, f"No batch found with id '{batch_id}'.")
        return row


def present(row: sqlite3.Row) -> dict[str, Any]:
    """A batch as it looks on the wire."""
    told = {
        "id": row["id"],
        "object": "batch",
        "endpoint": row["endpoint"],
        "model": row["model"],
        "errors": None,
        "input_file_id": row["input_file_id"],
        "completion_window": "24h",
        "status": row["status"],
        "output_file_id": row["output_file_id"],
        "error_file_id": row["error_file_id"],
        "created_at": int(row["created_at"]),
        "in_progress_at": _moment(row["in_progress_at"]),
        "expires_at": int(row["expires_at"]),
        **{f"{name}_at": _moment(row[f"{name}_at"]) for name in _TIMES},
        "request_counts": {key: row[key] for key in ("total", "completed", "failed")},
        "usage": _usage(row["tokens"]),
        "metadata": None if row["metadata"] is None else orjson.loads(row["metadata"]),
    }
    if row["errors"] is not None:
        told["errors"] = {"object": "list", "data": orjson.loads(row["errors"])}
    return told


def _checked(given: dict[str, Any]) -> dict[str, Any]:
    """The columns that the client decides. Raises InvalidRequest."""
    endpoint = parameters.one_of("endpoint", given.get("endpoint"), ENDPOINTS)
    parameters.one_of("completion_window", given.get("completion_window"), ["24h"])
    file_id = given.get("input_file_id")
    if file_id is None:
        raise parameters.missing("input_file_id")
    if not isinstance(file_id, str):
        raise parameters.wrong_type("input_file_id", "a string", file_id)
    metadata = parameters.metadata(given.get("metadata"))
    return {
        "endpoint": endpoint,
        "input_file_id": file_id,
        "metadata": None if metadata is None else orjson.dumps(metadata).decode(),
        "output_seconds": parameters.expiry(
            "output_expires_after", given.get("output_expires_after")
        ),
    }


def _usage(tokens: int) -> dict[str, Any]:
    return {
        "input_tokens": tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 0,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": tokens,
    }


def _moment(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds)
