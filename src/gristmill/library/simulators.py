"""The control plane of running simulators."""

from types import TracebackType
from typing import Any, Self

import httpx
import orjson

from gristmill.errors import InvalidArgument, Misconfigured
from gristmill.telemetry.unheard import unheard

Json = dict[str, Any]


class Control:
    """The control plane of the simulators at `url`.

    Raises InvalidArgument with its sentence where it refuses, and Misconfigured where nothing, or
    something else, answers.
    """

    def __init__(self, url: str) -> None:
        self._address = url.rstrip("/").removesuffix("/_simulator")

    async def __aenter__(self) -> Self:
        self._http = httpx.AsyncClient(trust_env=False, timeout=60)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def get(self, path: str, **query: Any) -> Json:  # noqa: ANN401 — text or number
        return await self._ask("GET", path, params=query)

    async def post(self, path: str, value: object) -> Json:
        return await self._ask("POST", path, content=orjson.dumps(value))

    async def delete(self, path: str) -> Json:
        return await self._ask("DELETE", path)

    async def _ask(self, method: str, path: str, **request: Any) -> Json:  # noqa: ANN401 — httpx's
        where = f"{self._address}/_simulator/{path}".rstrip("/")
        try:
            with unheard():  # the path is what protects a home's simulators
                answer = await self._http.request(method, where, **request)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise _nothing_at(self._address, str(error)) from error
        if "x-simulated" not in answer.headers:
            raise _nothing_at(self._address, "what answers there is something else")
        value: Json = answer.json()
        if answer.is_error:
            raise InvalidArgument(value["error"])
        return value


def _nothing_at(address: str, reason: str) -> Misconfigured:
    return Misconfigured(
        f"No simulator answers at {address}: {reason}.",
        advice="gristmill simulate --port 9000 runs simulators at http://127.0.0.1:9000.",
    )
