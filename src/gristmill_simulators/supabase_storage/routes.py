"""The routes under `/supabase/storage/v1`, and the same without the gateway's prefix."""

import re
import sqlite3
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from gristmill_simulators import __version__
from gristmill_simulators.misbehaviour import Misbehaviour
from gristmill_simulators.operation import Handler, route
from gristmill_simulators.simulator import Simulator
from gristmill_simulators.supabase_storage import cors, errors, head, s3, state
from gristmill_simulators.supabase_storage.access import caller
from gristmill_simulators.supabase_storage.buckets import Buckets
from gristmill_simulators.supabase_storage.cdn import Cdn
from gristmill_simulators.supabase_storage.download import Downloads
from gristmill_simulators.supabase_storage.emptying import Emptying
from gristmill_simulators.supabase_storage.errors import StorageError, json
from gristmill_simulators.supabase_storage.lists import Lists
from gristmill_simulators.supabase_storage.objects import Objects
from gristmill_simulators.supabase_storage.policies import Policies
from gristmill_simulators.supabase_storage.signed_upload import SignedUploads
from gristmill_simulators.supabase_storage.signing import Signing
from gristmill_simulators.supabase_storage.transfer import Transfer
from gristmill_simulators.supabase_storage.tus_routes import Resumable
from gristmill_simulators.supabase_storage.upload import Uploads

_KNOWN = {"bucket", "object", "render", "cdn"}


class SupabaseStorage:
    """One project's storage."""

    name = "supabase"
    misbehaviours: tuple[Misbehaviour, ...] = ()
    units = ("egress_bytes",)

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._folders = state.Folders(simulator.folder)
        self._policies = Policies(simulator)
        self._buckets = Buckets(simulator, self._policies)
        self._emptying = Emptying(simulator, self._folders, self._buckets)
        self._uploads = Uploads(simulator, self._folders, self._buckets, self._policies)
        self._signed_uploads = SignedUploads(simulator, self._uploads)
        self._resumable = Resumable(simulator, self._folders, self._buckets, self._uploads)
        self._downloads = Downloads(simulator, self._folders)
        self._objects = Objects(simulator, self._folders, self._policies, self._downloads)
        self._lists = Lists(simulator, self._policies)
        self._transfer = Transfer(simulator, self._folders, self._policies)
        self._signing = Signing(simulator, self._downloads, self._policies)
        self._cdn = Cdn(simulator)

    def routes(self) -> list[BaseRoute]:
        return [
            *self._service_routes(),
            *self._bucket_routes(),
            *self._signed_upload_routes(),
            *self._special_object_routes(),
            *self._object_routes(),
            *self._resumable_routes(),
            *self._other_routes(),
            self._route("*", "/{path:path}", "unknown", _unknown),
        ]

    def failure(self, status: int, code: str | None) -> Response:
        return errors.failure(status, code, named=self._named)

    def billed(self) -> dict[str, Any]:
        return state.billed(self._simulator.database)

    def busy(self) -> bool:
        return False

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def halt(self) -> None:
        pass

    def reset(self, connection: sqlite3.Connection) -> None:
        state.reset(connection)

    def forget(self) -> None:
        self._folders.empty()
        self._emptying.forget()

    def _service_routes(self) -> list[BaseRoute]:
        return [
            self._route("GET", "/status", "status", _status),
            self._route("GET", "/version", "version", _version),
            self._route("GET", "/health", "health", self._health),
        ]

    def _bucket_routes(self) -> list[BaseRoute]:
        buckets, one = self._buckets, "/bucket/{bucket}"
        return [
            self._route("POST", "/bucket", "bucket.create", buckets.create),
            self._route("GET", "/bucket", "bucket.list", buckets.list_all),
            self._route("GET", one, "bucket.get", buckets.get),
            self._route("PUT", one, "bucket.update", buckets.update),
            self._route("DELETE", one, "bucket.delete", buckets.delete),
            self._route("POST", f"{one}/empty", "bucket.empty", self._emptying.empty),
        ]

    def _signed_upload_routes(self) -> list[BaseRoute]:
        uploads, path = self._signed_uploads, "/object/upload/sign/{bucket}/{key:path}"
        return [
            self._route("POST", path, "object.sign_upload", uploads.sign),
            self._route("PUT", path, "object.upload_signed", uploads.put),
        ]

    def _special_object_routes(self) -> list[BaseRoute]:
        # before the general ones: no bucket can be called `sign` and be reached
        objects, signing, one = self._objects, self._signing, "/{bucket}/{key:path}"
        sign, info = "/object/sign", "/object/info"
        return [
            self._route("POST", "/object/list/{bucket}", "object.list", self._lists.v1),
            self._route("POST", "/object/list-v2/{bucket}", "object.list_v2", self._lists.v2),
            self._route("POST", "/object/move", "object.move", self._transfer.move),
            self._route("POST", "/object/copy", "object.copy", self._transfer.copy),
            self._route("POST", sign + one, "object.sign", signing.sign),
            self._route("POST", sign + "/{bucket}", "object.sign_many", signing.sign_many),
            self._route("GET", sign + one, "object.get_signed", signing.get),
            self._route(
                "GET", info + "/authenticated" + one, "object.info", objects.info_authenticated
            ),
            # `/object/info/public/…` alone has no HEAD: it is taken for a bucket named `public`
            self._route("HEAD", info + one, "object.info", objects.info),
            *self._head_routes(),
            self._route("GET", info + "/public" + one, "object.info", objects.info_public),
            self._route("GET", info + one, "object.info", objects.info),
            self._route(
                "GET", "/object/authenticated" + one, "object.get", objects.get_authenticated
            ),
            self._route("GET", "/object/public" + one, "object.get", objects.get_public),
        ]

    def _head_routes(self) -> list[BaseRoute]:
        # before the GETs, which would answer HEAD as well
        objects, one = self._objects, "/{bucket}/{key:path}"
        return [
            self._route(
                "HEAD", "/object/authenticated" + one, "object.head", objects.head_authenticated
            ),
            self._route("HEAD", "/object/public" + one, "object.head", objects.head_public),
            self._route("HEAD", "/object" + one, "object.head", objects.head),
        ]

    def _object_routes(self) -> list[BaseRoute]:
        objects, uploads, one = self._objects, self._uploads, "/object/{bucket}/{key:path}"
        return [
            self._route("POST", one, "object.create", uploads.create),
            self._route("PUT", one, "object.replace", uploads.replace),
            self._route("GET", one, "object.get", objects.get),
            self._route("DELETE", one, "object.delete", objects.delete),
            self._route("DELETE", "/object/{bucket}", "object.delete_many", objects.delete_many),
        ]

    def _resumable_routes(self) -> list[BaseRoute]:
        tus, made = self._resumable, []
        for path in ("/upload/resumable/sign", "/upload/resumable"):
            one = path + "/{id}"
            made += [
                self._route("OPTIONS", path, "resumable.options", tus.options),
                self._route("OPTIONS", one, "resumable.options", tus.options),
                self._route("POST", path, "resumable.create", tus.spoken(tus.create)),
                self._route("HEAD", one, "resumable.head", tus.spoken(tus.head)),
                self._route("PATCH", one, "resumable.append", tus.spoken(tus.append)),
                self._route("DELETE", one, "resumable.terminate", tus.spoken(tus.terminate)),
            ]
        return made

    def _other_routes(self) -> list[BaseRoute]:
        purges = ("/cdn", "/cdn/", "/cdn/{bucket}", "/cdn/{bucket}/{key:path}")
        return [
            *(self._route("DELETE", path, "cdn.purge", self._cdn.purge) for path in purges),
            *(
                self._route(method, path, "s3", s3.refuse)
                for path, methods in s3.METHODS.items()
                for method in methods
            ),
        ]

    def _route(self, method: str, path: str, name: str, handler: Handler) -> BaseRoute:
        async def answer(request: Request) -> Response:
            head.check(request)
            if cors.is_preflight(request):
                return cors.preflight(request)
            await self._emptying.settle()
            try:
                return cors.opened(request, await handler(request))
            except StorageError as error:
                return cors.opened(request, error.response(named=self._named))

        return route(self._simulator, self, method, path, name=name, handler=answer)

    @property
    def _named(self) -> bool:
        return self._simulator.settings.current.supabase.error_codes

    async def _health(self, request: Request) -> Response:
        caller(request, self._simulator.clock(), schema=False)
        return json({"healthy": self._simulator.settings.current.supabase.healthy})


async def _status(_request: Request) -> Response:
    return Response()


async def _version(_request: Request) -> Response:
    return Response(f"simulated-{__version__}", media_type="text/plain")


async def _unknown(request: Request) -> Response:
    path = request.url.path.removeprefix(str(request.scope.get("root_path", "")))
    if request.url.query:
        path = f"{path}?{request.url.query}"
    message = f"Route {request.method}:{path} not found"
    if re.split(r"[/?]", path.lstrip("/"), maxsplit=1)[0] in _KNOWN:
        raise StorageError("404", "Not Found", message, "InvalidRequest", 404)
    return json({"message": message, "error": "Not Found", "statusCode": 404}, 404)
