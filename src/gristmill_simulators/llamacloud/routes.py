"""The routes under `/llamacloud`: authentication and limit first, then files and parse jobs."""

import sqlite3
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from gristmill_simulators.bucket import Bucket
from gristmill_simulators.environment import LLAMA_CLOUD_API_KEY
from gristmill_simulators.llamacloud import errors, state
from gristmill_simulators.llamacloud.errors import LlamaCloudError
from gristmill_simulators.llamacloud.files import Files
from gristmill_simulators.llamacloud.parsing import Parsing
from gristmill_simulators.llamacloud.runner import Runner
from gristmill_simulators.misbehaviour import Misbehaviour
from gristmill_simulators.operation import Handler, route
from gristmill_simulators.settings import keep
from gristmill_simulators.simulator import Simulator

_LIMIT = "llamacloud.limit"


class LlamaCloud:
    """One project with one key."""

    name = "llamacloud"
    misbehaviours: tuple[Misbehaviour, ...] = ()
    units: tuple[str, ...] = ()

    def __init__(self, simulator: Simulator, workers: int) -> None:
        self._simulator = simulator
        self._folders = state.Folders(simulator.folder)
        self._runner = Runner(simulator, self._folders, workers)
        self._files = Files(simulator, self._folders, self._runner)
        self._parsing = Parsing(simulator, self._folders, self._runner)
        self._bucket: Bucket | None = None

    def routes(self) -> list[BaseRoute]:
        files, parsing = self._files, self._parsing
        one_file, one_job = "/api/v1/beta/files/{id}", "/api/v2/parse/{id}"
        return [
            self._route("POST", "/api/v1/beta/files", "files.create", files.create),
            self._route("GET", one_file, "files.retrieve", files.retrieve),
            self._route("DELETE", one_file, "files.delete", files.delete),
            self._route("POST", "/api/v2/parse", "parsing.create", parsing.create),
            self._route("GET", "/api/v2/parse", "parsing.list", parsing.list_jobs),
            self._route("GET", "/api/v2/parse/versions", "parsing.versions", parsing.versions),
            self._route("POST", one_job + "/cancel", "parsing.cancel", parsing.cancel),
            self._route("GET", one_job, "parsing.get", parsing.get),
            self._route("DELETE", one_job, "parsing.delete", parsing.delete),
            self._route("*", "/{path:path}", "unknown", _unknown),
        ]

    def failure(self, status: int, _code: str | None) -> Response:
        return errors.failure(status)

    def billed(self) -> dict[str, Any]:
        return state.billed(self._simulator.database)

    def busy(self) -> bool:
        return self._runner.busy > 0

    async def start(self) -> None:
        await self._runner.resume()

    async def close(self) -> None:
        await self._runner.close()

    def reset(self, connection: sqlite3.Connection) -> None:
        state.reset(connection)

    def forget(self) -> None:
        self._bucket = None
        self._folders.empty()

    def _route(self, method: str, path: str, name: str, handler: Handler) -> BaseRoute:
        async def admitted(request: Request) -> Response:
            _authorize(request)
            self._admit()
            return await handler(request)

        return route(self._simulator, self, method, path, name=name, handler=admitted)

    def _admit(self) -> None:
        quotas = self._simulator.settings.current.quotas
        limit = quotas.llamacloud_requests_per_minute
        if limit is None:
            return
        now = self._simulator.clock()
        capacity = limit * quotas.llamacloud_burst_seconds / 60
        bucket = self._bucket or self._restored()
        bucket.limit, bucket.capacity = limit, capacity
        self._bucket = bucket
        if bucket.wait(1, now) > 0:
            raise LlamaCloudError(429, "Rate limit exceeded")
        bucket.charge(1, now)
        kept = orjson.dumps([bucket.used, bucket.at])
        self._simulator.database.post(lambda connection: keep(connection, _LIMIT, kept))

    def _restored(self) -> Bucket:
        row = self._simulator.database.read_one("SELECT value FROM kept WHERE name = ?", _LIMIT)
        used, at = (0.0, 0.0) if row is None else orjson.loads(row["value"])
        return Bucket(1, 60, 1, used, at)


def _authorize(request: Request) -> None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise LlamaCloudError(401, "Not authenticated")
    if key != LLAMA_CLOUD_API_KEY:
        raise errors.wrong_key()


async def _unknown(_request: Request) -> Response:
    raise LlamaCloudError(404, "Not Found")
