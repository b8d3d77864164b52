"""The routes under `/openai/v1`."""

import asyncio
import sqlite3
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from gristmill_simulators.environment import OPENAI_API_KEY
from gristmill_simulators.openai import errors, misbehaviours, request, state
from gristmill_simulators.openai.limiter import ORGANIZATION, Limiter
from gristmill_simulators.operation import Handler, call_of, route
from gristmill_simulators.simulator import Simulator

A = TypeVar("A")
R = TypeVar("R")

_INLINE_BYTES = 2048  # a larger body leaves the loop; a thread costs more than a short text
_MODELS_CREATED = {
    "text-embedding-3-small": 1705948997,
    "text-embedding-3-large": 1705953180,
    "text-embedding-ada-002": 1671217299,
}
_COMMON = {
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "X-Request-ID",
    "openai-version": "2020-10-01",
    "strict-transport-security": "max-age=31536000; includeSubDomains; preload",
    "x-content-type-options": "nosniff",
}


class OpenAI:
    """One organisation with one project and one key."""

    name = "openai"
    misbehaviours = misbehaviours.EMBEDDINGS
    units = ("inputs", "prompt_tokens")

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._limiter = Limiter(simulator.settings.current.quotas)
        state.restore(self._limiter, simulator.database)
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embeddings")
        self._warm = False

    def routes(self) -> list[BaseRoute]:
        return [
            self._route("POST", "/embeddings", "embeddings.create", self._embeddings),
            self._route("GET", "/models", "models.list", self._list_models),
            self._route("GET", "/models/{model}", "models.retrieve", self._retrieve_model),
            self._route("*", "/{path:path}", "unknown", self._unknown),
        ]

    def failure(self, status: int, code: str | None) -> Response:
        return self._stamped(errors.failure(status, code).response(), _new_id())

    def billed(self) -> dict[str, Any]:
        return state.billed(self._simulator.database)

    def busy(self) -> bool:
        return False

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        self._threads.shutdown()

    def reset(self, connection: sqlite3.Connection) -> None:
        state.reset(connection)

    def forget(self) -> None:
        """Start with full buckets, after the stored state was deleted."""
        self._limiter = Limiter(self._simulator.settings.current.quotas)

    def _route(self, method: str, path: str, name: str, handler: Handler) -> BaseRoute:
        async def identified(request: Request) -> Response:
            call = call_of(request)
            call.request_id = _new_id()
            try:
                _authorize(request)
                response = await handler(request)
            except errors.OpenAIError as error:
                response = error.response()
            return self._stamped(response, call.request_id)

        return route(self._simulator, self, method, path, name=name, handler=identified)

    @staticmethod
    def _stamped(response: Response, request_id: str) -> Response:
        response.headers["x-request-id"] = request_id
        for name, value in _COMMON.items():
            response.headers.setdefault(name, value)
        return response

    async def _embeddings(self, incoming: Request) -> Response:
        began = time.perf_counter()
        body = await incoming.body()
        large = len(body) > _INLINE_BYTES or not self._warm
        fields, tokens = await self._run(large, _read, body)
        headers = self._admit(fields.get("model"), tokens)
        try:
            embedding, answered = await self._run(large, _compute, fields)
        except errors.OpenAIError as error:
            error.headers = headers
            raise
        self._warm = True
        await state.bill(self._simulator.database, embedding.model, embedding.tokens)
        units = {"inputs": len(embedding.texts), "prompt_tokens": embedding.tokens}
        call_of(incoming).units.update(units)
        headers |= _about(embedding.model, time.perf_counter() - began)
        return Response(answered, 200, headers, media_type="application/json")

    async def _run(self, large: bool, work: Callable[[A], R], argument: A) -> R:
        if not large:
            return work(argument)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, work, argument)

    def _admit(self, model: object, tokens: int) -> dict[str, str]:
        if not isinstance(model, str) or model not in request.NATIVE_DIMENSIONS:
            return {}  # no bucket to charge, and the recorded 404s have no such headers
        now = self._simulator.clock()
        self._limiter.configure(self._simulator.settings.current.quotas)
        self._limiter.admit(model, tokens, now)
        state.remember(self._limiter, self._simulator.database)
        return self._limiter.headers(model, now)

    async def _list_models(self, _incoming: Request) -> Response:
        return _json({"object": "list", "data": [_model(model) for model in _MODELS_CREATED]})

    async def _retrieve_model(self, incoming: Request) -> Response:
        model = incoming.path_params["model"]
        if model not in _MODELS_CREATED:
            raise errors.unknown_model(model)
        return _json(_model(model))

    async def _unknown(self, incoming: Request) -> Response:
        raise errors.unknown_route(incoming.method, incoming.url.path)


def _authorize(incoming: Request) -> None:
    scheme, _, key = incoming.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise errors.no_key()
    if key != OPENAI_API_KEY:
        raise errors.wrong_key(key)


def _read(body: bytes) -> tuple[dict[str, Any], int]:
    fields = request.parse(body)
    return fields, request.charge(fields)


def _compute(fields: dict[str, Any]) -> tuple[request.Embedding, bytes]:
    from gristmill_simulators.openai import answer  # noqa: PLC0415 — numpy, not at start-up

    embedding = request.checked(fields)
    return embedding, answer.body(embedding)


def _about(model: str, seconds: float) -> dict[str, str]:
    return {
        "openai-model": request.echoed_model(model),
        "openai-organization": ORGANIZATION,
        "openai-processing-ms": str(int(seconds * 1000)),
        "openai-project": "proj_simulated",
    }


def _model(model: str) -> dict[str, Any]:
    created = _MODELS_CREATED[model]
    owner = "openai-internal" if model.endswith("002") else "system"
    return {"id": model, "object": "model", "created": created, "owned_by": owner}


def _json(value: object) -> Response:
    layout = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    return Response(orjson.dumps(value, option=layout), media_type="application/json")


def _new_id() -> str:
    return f"req_{uuid.uuid4().hex}"
