"""`/api/v1/beta/files`: upload, list, look, download, delete."""

import sqlite3
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gristmill_simulators.bodies import BodyTooLarge, Form, MalformedForm, Stored, store_form
from gristmill_simulators.llamacloud import file_query, present, presigned, query, state
from gristmill_simulators.llamacloud.errors import (
    LlamaCloudError,
    file_not_found,
    invalid_field,
    json,
)
from gristmill_simulators.llamacloud.ids import new_file_id
from gristmill_simulators.llamacloud.presigned import Presigner
from gristmill_simulators.llamacloud.runner import Runner
from gristmill_simulators.simulator import Simulator

_MAX_BYTES = 512 * 1000 * 1000  # platform-wide limit, vendor's page on limitations
_SOURCE_SECONDS = 48 * 3600.0  # how long a file uploaded for parsing is kept
_PURPOSES = {"user_data", "parse", "extract", "classify", "split", "sheet", "agent_app"}
_ORDERS = {  # the column, and how it sorts
    "created_at": ("created_at", "DESC"),
    "id": ("id", "ASC"),
    "name": ("name", "ASC"),
}
_ONWARD = {"ASC": ">", "DESC": "<"}  # which way a page goes on
_WEEK = 7 * 24 * 3600


class Files:
    """The project's files; the bytes are on disk, named by the file's id."""

    def __init__(
        self, simulator: Simulator, folders: state.Folders, runner: Runner, presigner: Presigner
    ) -> None:
        self._simulator = simulator
        self._folders = folders
        self._runner = runner
        self._presigner = presigner

    async def create(self, request: Request) -> Response:
        form = await self.received(request)
        purpose = form.fields.get("purpose")
        if form.file is None or purpose not in _PURPOSES:
            raise _refusal(form)
        row = await self.keep(form.file, purpose, form.fields.get("external_file_id"))
        return json(present.file(row), 201)

    async def list_files(self, request: Request) -> Response:
        params = request.query_params
        wanted = {
            "ids": query.many(request, "file_ids"),
            "name": params.get("file_name"),
            "external_file_id": params.get("external_file_id"),
        }
        order = params.get("order_by", "created_at")
        if order not in _ORDERS:
            message = "Input should be 'name', 'id' or 'created_at'"
            raise invalid_field(["query", "order_by"], message, order)
        size, place = query.page_size(request), query.after(request)
        expand = query.many(request, "expand")
        rows = self._rows(wanted, _ORDERS[order], place, size + 1)
        return json(
            query.page(
                rows,
                size,
                lambda row: present.file(row, self._expanded(request, row, expand)),
                lambda row: [row[_ORDERS[order][0]], row["id"]],
            )
        )

    async def query(self, request: Request) -> Response:
        """The deprecated twin of the list, with its filter in the body; sizes are coerced."""
        asked = file_query.read(await request.body())
        rows = self._rows(asked.wanted(), asked.order(), asked.place(), asked.size() + 1)
        if asked.is_about_others():
            rows = []
        return json(
            query.page(
                rows, asked.size(), present.file, lambda row: [row[asked.order()[0]], row["id"]]
            )
        )

    async def retrieve(self, request: Request) -> Response:
        row = self._find(request.path_params["id"])
        expand = query.many(request, "expand")
        return json(present.file(row, self._expanded(request, row, expand)))

    async def content(self, request: Request) -> Response:
        row = self._find(request.path_params["id"])
        seconds = query.number(request, "expires_at_seconds", low=1, high=_WEEK)
        return json(self._presigner.url(request, "file", row["id"], row["name"], seconds))

    async def download(self, request: Request) -> Response:
        """What a presigned URL of a file leads to."""
        try:
            row = self._find(request.path_params["id"])
        except LlamaCloudError:
            return presigned.gone()
        return presigned.download(self._folders.file(row["id"]), row["name"])

    async def delete(self, request: Request) -> Response:
        file_id = request.path_params["id"]
        self._find(file_id)
        await self._simulator.database.write(
            lambda connection: connection.execute("DELETE FROM llama_files WHERE id = ?", [file_id])
        )
        self._runner.release_file(file_id)
        return Response(status_code=204)

    async def received(self, request: Request) -> Form:
        """The multipart form. Raises LlamaCloudError (400, 413)."""
        try:
            return await store_form(request, self._folders.files, _MAX_BYTES)
        except BodyTooLarge:
            raise LlamaCloudError(413, "File too large") from None
        except MalformedForm as error:
            raise LlamaCloudError(400, f"There was an error parsing the body: {error}") from None

    async def keep(self, file: Stored, purpose: str, external_id: str | None = None) -> sqlite3.Row:
        """Make the received bytes a file of the project."""
        file_id = new_file_id()
        file.keep(self._folders.file(file_id))
        now = self._simulator.clock()
        row = {
            "id": file_id,
            "name": file.filename or "upload",
            "purpose": purpose,
            "external_file_id": external_id,
            "sha256": file.sha256,
            "size": file.size,
            "created_at": now,
            "expires_at": now + _SOURCE_SECONDS if purpose == "parse" else None,
        }
        database = self._simulator.database
        await database.write(lambda connection: state.insert(connection, "llama_files", row))
        return self._find(file_id)

    def _find(self, file_id: str) -> sqlite3.Row:
        return find(self._simulator, file_id)

    def _expanded(
        self, request: Request, row: sqlite3.Row, expand: list[str]
    ) -> dict[str, Any] | None:
        if "download_url" not in expand:
            return None
        return self._presigner.url(request, "file", row["id"], row["name"])

    def _rows(
        self,
        wanted: dict[str, Any],
        order: tuple[str, str],
        place: list[Any] | None,
        limit: int,
    ) -> list[sqlite3.Row]:
        column, way = order
        where = ["(expires_at IS NULL OR expires_at > ?)"]
        parameters: list[Any] = [self._simulator.clock()]
        if ids := wanted["ids"]:
            where.append(f"id IN ({query.marks(ids)})")
            parameters += ids
        for name in ("name", "external_file_id"):
            if wanted[name] is not None:
                where.append(f"{name} = ?")
                parameters.append(wanted[name])
        if place is not None:
            where.append(f"({column}, id) {_ONWARD[way]} (?, ?)")
            parameters += _pair(place)
        return self._simulator.database.read(
            f"SELECT * FROM llama_files WHERE {' AND '.join(where)}"
            f" ORDER BY {column} {way}, id {way} LIMIT ?",
            *parameters,
            limit,
        )


def find(simulator: Simulator, file_id: str) -> sqlite3.Row:
    """A file that is there and has not expired. Raises LlamaCloudError (404)."""
    row = simulator.database.read_one("SELECT * FROM llama_files WHERE id = ?", file_id)
    if row is None or (row["expires_at"] is not None and row["expires_at"] <= simulator.clock()):
        raise file_not_found(file_id)
    return row


def _pair(place: list[Any]) -> list[Any]:
    if len(place) != 2 or not all(isinstance(part, str | float) for part in place):
        raise LlamaCloudError(400, "Invalid page token")
    return place


def _refusal(form: Form) -> LlamaCloudError:
    if form.file is None:
        return invalid_field(["body", "file"], "Field required", None)
    form.file.discard()
    given = form.fields.get("purpose")
    return invalid_field(["body", "purpose"], "Input should be a valid purpose", given)
