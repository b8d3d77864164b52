"""`/files`: upload, list, look, download, delete."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from gristmill_simulators.bodies import BodyTooLarge, Form, MalformedForm, Stored, store_form
from gristmill_simulators.openai import parameters, state
from gristmill_simulators.openai.errors import InvalidRequest, OpenAIError
from gristmill_simulators.openai.paging import Paging
from gristmill_simulators.openai.route_limits import RouteLimits
from gristmill_simulators.openai.switches import Switches
from gristmill_simulators.openai.wire import answer
from gristmill_simulators.simulator import Simulator

PURPOSES = ("fine-tune", "assistants", "batch", "user_data", "vision", "evals")
BATCH_DAYS = 30  # until files of batches go away by themselves (API reference)

_NOT_READABLE = {"assistants", "user_data"}
_MOST_LISTED = 10_000


def find(simulator: Simulator, file_id: str) -> sqlite3.Row | None:
    """A file that is there and has not expired."""
    return simulator.database.read_one(
        "SELECT * FROM openai_files WHERE id = ? AND ifnull(expires_at, 9e99) > ?",
        file_id,
        simulator.clock(),
    )


def needed(simulator: Simulator, file_id: str) -> bool:
    """Is the file the input of a batch that is not finished?"""
    row = simulator.database.read_one(
        "SELECT 1 FROM openai_batches WHERE input_file_id = ?"
        " AND status IN ('validating', 'in_progress', 'finalizing', 'cancelling')",
        file_id,
    )
    return row is not None


async def purge(simulator: Simulator, folders: state.Folders) -> None:
    """Forget expired files, and remove their bytes."""
    now = simulator.clock()
    rows = await simulator.database.write(
        lambda connection: connection.execute(
            "DELETE FROM openai_files WHERE expires_at <= ? RETURNING id", (now,)
        ).fetchall()
    )
    for row in rows:
        if not needed(simulator, row["id"]):
            folders.file(row["id"]).unlink(missing_ok=True)


class Files:
    """The project's files; the bytes are on disk, named by the file's id."""

    def __init__(self, simulator: Simulator, folders: state.Folders, limits: RouteLimits) -> None:
        self._simulator = simulator
        self._folders = folders
        self._limits = limits

    async def create(self, request: Request) -> Response:
        switches = self._simulator.settings.current.openai
        self._limits.admit("files.create", switches.uploads_per_minute, 60.0)
        form = await self._received(request, switches)
        assert form.file is not None  # noqa: S101 — checked by _received
        try:
            seconds = await self._checked(form.fields, form.file, switches)
        except OpenAIError:
            form.file.discard()
            raise
        file_id = state.new_file_id()
        form.file.keep(self._folders.file(file_id))
        now = self._simulator.clock()
        row = {
            "id": file_id,
            "filename": form.file.filename or "upload",
            "purpose": form.fields["purpose"],
            "bytes": form.file.size,
            "created_at": now,
            "expires_at": None if seconds is None else int(now) + seconds,
        }
        await self._simulator.database.write(lambda c: state.insert(c, "openai_files", row))
        return answer(self._present(self._found(file_id)))

    async def list_all(self, request: Request) -> Response:
        paging = Paging.read(request.query_params, default=_MOST_LISTED, most=_MOST_LISTED)
        rows = paging.rows(
            self._simulator.database,
            "openai_files",
            "ifnull(expires_at, 9e99) > ? AND purpose = ifnull(?, purpose)",
            self._simulator.clock(),
            request.query_params.get("purpose"),
        )
        return answer(paging.page(rows, self._present))

    async def retrieve(self, request: Request) -> Response:
        file_id = self._found(request.path_params["id"])["id"]
        await self._simulator.database.write(
            lambda connection: connection.execute(
                "UPDATE openai_files SET looks = looks + 1 WHERE id = ?", (file_id,)
            )
        )
        return answer(self._present(self._found(file_id)))

    async def content(self, request: Request) -> Response:
        row = self._found(request.path_params["id"])
        if row["purpose"] in _NOT_READABLE:
            raise InvalidRequest(f"Not allowed to download files of purpose: {row['purpose']}")
        return FileResponse(
            self._folders.file(row["id"]),
            media_type="application/octet-stream",
            filename=row["filename"],
        )

    async def delete(self, request: Request) -> Response:
        file_id = self._found(request.path_params["id"])["id"]
        await self._simulator.database.write(
            lambda connection: connection.execute(
                "DELETE FROM openai_files WHERE id = ?", (file_id,)
            )
        )
        if not needed(self._simulator, file_id):
            self._folders.file(file_id).unlink(missing_ok=True)
        return answer({"object": "file", "deleted": True, "id": file_id})

    async def _received(self, request: Request, switches: Switches) -> Form:
        try:
            form = await store_form(request, self._folders.files, switches.file_bytes)
        except BodyTooLarge:
            raise _too_large(switches.file_bytes) from None
        except MalformedForm:
            raise InvalidRequest(
                "Could not parse multipart form. Please check that the Content-Type header has"
                " the boundary of the body."
            ) from None
        if form.file is None:
            raise InvalidRequest("'file' is a required property", param="file")
        return form

    async def _checked(
        self, fields: dict[str, str], file: Stored, switches: Switches
    ) -> int | None:
        """Seconds until the file goes away. Raises OpenAIError."""
        purpose = fields.get("purpose")
        if purpose is None:
            raise InvalidRequest("'purpose' is a required property", param="purpose")
        if purpose not in PURPOSES:
            message = f"'{purpose}' is not one of {list(PURPOSES)} - 'purpose'"
            raise InvalidRequest(message, param="purpose")
        if purpose == "batch":
            await _check_batch_file(file, switches)
        self._check_storage(file.size, switches)
        seconds = parameters.expiry("expires_after", _nested(fields, "expires_after"))
        return BATCH_DAYS * 86_400 if seconds is None and purpose == "batch" else seconds

    def _check_storage(self, size: int, switches: Switches) -> None:
        row = self._simulator.database.read_one(
            "SELECT total(bytes) AS used FROM openai_files WHERE ifnull(expires_at, 9e99) > ?",
            self._simulator.clock(),
        )
        used = 0 if row is None else row["used"]
        if used + size > switches.project_bytes:
            message = "The project has reached its file storage limit. Please delete some files."
            raise InvalidRequest(message, code="storage_limit_exceeded")

    def _found(self, file_id: str) -> sqlite3.Row:
        row = find(self._simulator, file_id)
        if row is None:
            raise OpenAIError(404, f"No such File object: {file_id}", param="id")
        return row

    def _present(self, row: sqlite3.Row) -> dict[str, Any]:
        looks = self._simulator.settings.current.openai.file_looks
        expires = row["expires_at"]
        return {
            "object": "file",
            "id": row["id"],
            "purpose": row["purpose"],
            "filename": row["filename"],
            "bytes": row["bytes"],
            "created_at": int(row["created_at"]),
            "expires_at": None if expires is None else int(expires),
            "status": "processed" if row["looks"] >= looks else "uploaded",
            "status_details": None,
        }


async def _check_batch_file(file: Stored, switches: Switches) -> None:
    if file.size > switches.batch_file_bytes:
        raise _too_large(switches.batch_file_bytes)
    named = file.filename.lower().endswith(".jsonl")
    if not named or not await asyncio.to_thread(_begins_with_json, file.path):
        raise InvalidRequest("Invalid file format for Batch API. Must be .jsonl")


def _begins_with_json(path: Path) -> bool:
    # later lines are looked at by the batch, which names the bad ones
    with path.open("rb") as file:
        line = file.readline()
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _too_large(limit: int) -> OpenAIError:
    return OpenAIError(
        413,
        f"The file is too large. The maximum size is {limit // 1_000_000} MB.",
        code="file_too_large",
        param="file",
    )


def _nested(fields: dict[str, str], name: str) -> dict[str, str] | None:
    """`name[key]` fields of a form as one mapping."""
    prefix = f"{name}["
    found = {
        key.removeprefix(prefix).rstrip("]"): value
        for key, value in fields.items()
        if key.startswith(prefix)
    }
    return found or None
