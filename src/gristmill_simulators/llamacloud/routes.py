"""The routes under `/llamacloud`: key, tenant and limits first, then the resource."""

import sqlite3
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from gristmill_simulators.llamacloud import billing, errors, presigned, projects, query, state
from gristmill_simulators.llamacloud.admission import Admission
from gristmill_simulators.llamacloud.configurations import Configurations
from gristmill_simulators.llamacloud.delivery import Sender
from gristmill_simulators.llamacloud.errors import LlamaCloudError
from gristmill_simulators.llamacloud.expansion import Expansion
from gristmill_simulators.llamacloud.files import Files
from gristmill_simulators.llamacloud.misbehaviours import MISBEHAVIOURS
from gristmill_simulators.llamacloud.parsing import Parsing
from gristmill_simulators.llamacloud.presigned import Presigner
from gristmill_simulators.llamacloud.runner import Runner
from gristmill_simulators.llamacloud.submission import Submissions
from gristmill_simulators.llamacloud.usage import Usage
from gristmill_simulators.llamacloud.webhook_configs import WebhookConfigs
from gristmill_simulators.misbehaviour import Misbehaviour
from gristmill_simulators.operation import Handler, route
from gristmill_simulators.simulator import Simulator


class LlamaCloud:
    """One project with one key."""

    name = "llamacloud"
    misbehaviours: tuple[Misbehaviour, ...] = MISBEHAVIOURS
    units: tuple[str, ...] = ()

    def __init__(self, simulator: Simulator, workers: int) -> None:
        self._simulator = simulator
        self._folders = state.Folders(simulator.folder)
        self._admission = Admission(simulator)
        self._presigner = Presigner(simulator)
        self._sender = Sender(simulator)
        self._runner = Runner(simulator, self._folders, self._sender, workers)
        self._files = Files(simulator, self._folders, self._runner, self._presigner)
        expansion = Expansion(simulator, self._folders, self._presigner)
        self._parsing = Parsing(simulator, expansion, self._sender)
        self._configurations = Configurations(simulator)
        self._webhooks = WebhookConfigs(simulator)
        self._usage = Usage(simulator)
        self._submissions = Submissions(
            simulator,
            self._admission,
            stored=self._files,
            configurations=self._configurations,
            webhooks=self._webhooks,
            runner=self._runner,
            sender=self._sender,
        )

    def routes(self) -> list[BaseRoute]:
        return [
            *self._file_routes("/api/v1/beta/files"),
            *self._parse_routes("/api/v2/parse"),
            *self._webhook_routes("/api/v1/beta/webhook-configs"),
            *self._configuration_routes("/api/v1/beta/configurations"),
            *self._usage_routes("/api/v1/beta/usage-metrics"),
            *self._project_routes("/api/v1/projects"),
            self._open("GET", presigned.PATH, "presigned", self._download),
            self._route("*", "/api/v1/parsing/{path:path}", "legacy", _legacy),
            self._route("*", "/{path:path}", "unknown", _unknown),
        ]

    def failure(self, status: int, _code: str | None) -> Response:
        return errors.failure(status)

    def billed(self) -> dict[str, Any]:
        return billing.billed(self._simulator.database)

    def busy(self) -> bool:
        return self._runner.busy > 0 or self._sender.busy()

    async def start(self) -> None:
        await self._runner.resume()
        self._sender.notify()

    async def close(self) -> None:
        await self._sender.close()
        await self._runner.close()

    async def halt(self) -> None:
        await self._sender.halt()

    def reset(self, connection: sqlite3.Connection) -> None:
        state.reset(connection)

    def forget(self) -> None:
        self._admission.forget()
        self._sender.go_on()
        self._folders.empty()

    def _file_routes(self, path: str) -> list[BaseRoute]:
        files = self._files
        return [
            self._route("POST", path, "files.create", files.create),
            self._route("GET", path, "files.list", files.list_files),
            self._route("POST", path + "/query", "files.query", files.query),
            self._route("GET", path + "/{id}/content", "files.content", files.content),
            self._route("GET", path + "/{id}", "files.retrieve", files.retrieve),
            self._route("DELETE", path + "/{id}", "files.delete", files.delete),
        ]

    def _parse_routes(self, path: str) -> list[BaseRoute]:
        parsing, submissions = self._parsing, self._submissions
        return [
            self._route("POST", path, "parsing.create", submissions.create),
            self._route("POST", path + "/upload", "parsing.upload", submissions.upload),
            self._route("GET", path, "parsing.list", parsing.list_jobs),
            self._route("GET", path + "/versions", "parsing.versions", parsing.versions),
            self._route("POST", path + "/{id}/cancel", "parsing.cancel", parsing.cancel),
            self._route("GET", path + "/{id}", "parsing.get", parsing.get),
            self._route("DELETE", path + "/{id}", "parsing.delete", parsing.delete),
        ]

    def _webhook_routes(self, path: str) -> list[BaseRoute]:
        hooks, v2 = self._webhooks, "/api/v2/webhook-configs"
        return [
            self._route("POST", path, "webhooks.create", hooks.create),
            self._route("GET", path, "webhooks.list", hooks.list_all),
            self._route("GET", v2, "webhooks.list_paginated", hooks.list_paginated),
            self._route("GET", path + "/{id}", "webhooks.retrieve", hooks.retrieve),
            self._route("PUT", path + "/{id}", "webhooks.update", hooks.update),
            self._route("DELETE", path + "/{id}", "webhooks.delete", hooks.delete),
        ]

    def _configuration_routes(self, path: str) -> list[BaseRoute]:
        saved, name = self._configurations, "configurations"
        return [
            self._route("POST", path, f"{name}.create", saved.create),
            self._route("GET", path, f"{name}.list", saved.list_configurations),
            self._route("GET", path + "/{id}", f"{name}.retrieve", saved.retrieve),
            self._route("PUT", path + "/{id}", f"{name}.update", saved.update),
            self._route("DELETE", path + "/{id}", f"{name}.delete", saved.delete),
        ]

    def _usage_routes(self, path: str) -> list[BaseRoute]:
        usage = self._usage
        return [
            self._route("GET", path, "usage.list", usage.rows),
            self._route("GET", path + "/aggregate", "usage.aggregate", usage.aggregate),
        ]

    def _project_routes(self, path: str) -> list[BaseRoute]:
        return [
            self._route("GET", path, "projects.list", projects.list_projects),
            self._route("GET", path + "/{id}", "projects.get", projects.retrieve),
        ]

    def _route(self, method: str, path: str, name: str, handler: Handler) -> BaseRoute:
        async def admitted(request: Request) -> Response:
            self._admission.authorize(request)
            query.check_tenant(request)
            self._admission.admit(name)
            self._sender.notify()  # the clock may have moved since the last look
            return await handler(request)

        return self._open(method, path, name, admitted)

    def _open(self, method: str, path: str, name: str, handler: Handler) -> BaseRoute:
        return route(self._simulator, self, method, path, name=name, handler=handler)

    async def _download(self, request: Request) -> Response:
        refusal = self._presigner.refusal(request)
        if refusal is not None:
            return refusal
        is_file = request.path_params["kind"] == "file"
        return await (self._files if is_file else self._parsing).download(request)


async def _legacy(request: Request) -> Response:
    """Version 1 is told apart from what never was, and not built."""
    if request.method == "POST":
        raise LlamaCloudError(410, "This parse mode is gone; use POST /api/v2/parse")
    raise LlamaCloudError(404, "Not Found")


async def _unknown(_request: Request) -> Response:
    raise LlamaCloudError(404, "Not Found")
