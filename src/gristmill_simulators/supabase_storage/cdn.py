"""`/cdn`: asks the cache in front of the storage to forget; nothing is cached here."""

from starlette.requests import Request
from starlette.responses import Response

from gristmill_simulators.simulator import Simulator
from gristmill_simulators.supabase_storage import errors
from gristmill_simulators.supabase_storage.access import caller
from gristmill_simulators.supabase_storage.errors import StorageError, json


class Cdn:
    """Purges everything, a bucket or an object, for the service role alone."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    async def purge(self, request: Request) -> Response:
        """Whether what is purged exists is asked by nobody. Raises StorageError."""
        _check(request)
        if not caller(request, self._simulator.clock()).service:
            raise errors.invalid_role()
        if not self._simulator.settings.current.supabase.cdn_purge:
            raise _no_endpoint()
        return json({"message": "success"})


def _check(request: Request) -> None:
    if request.path_params.get("key") == "":
        raise errors.schema("params/* must NOT have fewer than 1 characters")
    if request.query_params.get("transformations", "true") not in {"true", "false"}:
        raise errors.schema("querystring/transformations must be boolean")


def _no_endpoint() -> StorageError:
    message = "Missing Required Parameter CDN_PURGE_ENDPOINT_URL is not set"
    return StorageError("400", "MissingParameter", message, "MissingParameter")
