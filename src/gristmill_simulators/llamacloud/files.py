"""`/api/v1/beta/files`: upload, look, delete."""

import sqlite3

from starlette.requests import Request
from starlette.responses import Response

from gristmill_simulators.bodies import BodyTooLarge, Form, MalformedForm, store_form
from gristmill_simulators.llamacloud import present, state
from gristmill_simulators.llamacloud.errors import (
    LlamaCloudError,
    file_not_found,
    invalid_field,
    json,
)
from gristmill_simulators.llamacloud.runner import Runner
from gristmill_simulators.simulator import Simulator

_MAX_BYTES = 512 * 1000 * 1000  # platform-wide limit, vendor's page on limitations
_SOURCE_SECONDS = 48 * 3600.0  # how long a file uploaded for parsing is kept
_PURPOSES = {"user_data", "parse", "extract", "classify", "split", "sheet", "agent_app"}


class Files:
    """The project's files; the bytes are on disk, named by the file's id."""

    def __init__(self, simulator: Simulator, folders: state.Folders, runner: Runner) -> None:
        self._simulator = simulator
        self._folders = folders
        self._runner = runner

    async def create(self, request: Request) -> Response:
        form = await self._received(request)
        assert form.file is not None  # noqa: S101 — checked by _received
        file_id = state.new_file_id()
        form.file.keep(self._folders.file(file_id))
        now = self._simulator.clock()
        purpose = form.fields["purpose"]
        row = {
            "id": file_id,
            "name": form.file.filename or "upload",
            "purpose": purpose,
            "external_file_id": form.fields.get("external_file_id"),
            "sha256": form.file.sha256,
            "size": form.file.size,
            "created_at": now,
            "expires_at": now + _SOURCE_SECONDS if purpose == "parse" else None,
        }
        database = self._simulator.database
        await database.write(lambda connection: state.insert(connection, "llama_files", row))
        return json(present.file(self._find(file_id)), 201)

    async def retrieve(self, request: Request) -> Response:
        return json(present.file(self._find(request.path_params["id"])))

    async def delete(self, request: Request) -> Response:
        file_id = request.path_params["id"]
        self._find(file_id)
        await self._simulator.database.write(
            lambda connection: connection.execute("DELETE FROM llama_files WHERE id = ?", [file_id])
        )
        self._runner.release_file(file_id)
        return Response(status_code=204)

    def _find(self, file_id: str) -> sqlite3.Row:
        return find(self._simulator, file_id)

    async def _received(self, request: Request) -> Form:
        try:
            form = await store_form(request, self._folders.files, _MAX_BYTES)
        except BodyTooLarge:
            raise LlamaCloudError(413, "File too large") from None
        except MalformedForm as error:
            raise LlamaCloudError(400, f"There was an error parsing the body: {error}") from None
        if form.file is None:
            raise invalid_field(["body", "file"], "Field required", None)
        if form.fields.get("purpose") not in _PURPOSES:
            form.file.discard()
            given = form.fields.get("purpose")
            raise invalid_field(["body", "purpose"], "Input should be a valid purpose", given)
        return form


def find(simulator: Simulator, file_id: str) -> sqlite3.Row:
    """A file that is there and has not expired. Raises LlamaCloudError (404)."""
    row = simulator.database.read_one("SELECT * FROM llama_files WHERE id = ?", file_id)
    if row is None or (row["expires_at"] is not None and row["expires_at"] <= simulator.clock()):
        raise file_not_found(file_id)
    return row
