"""`POST /embeddings`: limit, check, embed, bill."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeGuard, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from gristmill_simulators.openai import errors, models, request, spending, state
from gristmill_simulators.openai.limiter import Limiter
from gristmill_simulators.openai.switches import Switches
from gristmill_simulators.openai.wire import Streamed
from gristmill_simulators.operation import call_of
from gristmill_simulators.simulator import Simulator

R = TypeVar("R")

_INLINE_BYTES = 2048  # a larger body leaves the loop; a thread costs more than a short text


class Embeddings:
    """The limiter of the synchronous route, and the thread that embeds."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._limiter = self._new_limiter()
        state.restore(self._limiter, simulator.database)
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embeddings")
        self._warm = False

    def close(self) -> None:
        self._threads.shutdown()

    def forget(self) -> None:
        """Start with full buckets."""
        self._limiter = self._new_limiter()

    async def create(self, incoming: Request) -> Response:
        _check_content_type(incoming)
        settings = self._simulator.settings.current
        body = await incoming.body()
        large = len(body) > _INLINE_BYTES or not self._warm
        fields, charge = await self._run(large, lambda: _read(body))
        self._check_model(fields.get("model"))
        if settings.openai.check_order == "limit_first":
            self._admit(fields, charge)
        embedding = await self._checked(fields, charge, settings.openai, large=large)
        if settings.openai.check_order == "validation_first":
            self._admit(fields, charge)
        noise = settings.openai.repeat_noise
        answered = await self._run(large, lambda: _embedded(embedding, noise))
        self._warm = True
        headers = await self._settle(embedding, charge)
        units = {"inputs": len(embedding.texts), "prompt_tokens": embedding.tokens}
        call_of(incoming).units.update(units)
        headers["openai-model"] = request.echoed_model(embedding.model)
        return Streamed(answered, 200, headers, media_type="application/json")

    async def _checked(
        self, fields: dict[str, Any], charge: int, switches: Switches, *, large: bool
    ) -> request.Embedding:
        try:
            return await self._run(large, lambda: request.checked(fields, switches))
        except errors.InvalidRequest as error:
            if _is_known(fields.get("model")):
                error.headers = await self._refused(fields["model"], charge, switches)
            raise

    async def _refused(self, model: str, charge: int, switches: Switches) -> dict[str, str]:
        """A bad request counts against the limits, too; whoever checks it first charges it now."""
        now = self._simulator.clock()
        if switches.check_order == "validation_first":
            self._limiter.charge(model, charge, now)
            state.remember(self._limiter, self._simulator.database)
        if switches.bill_bad_requests:
            await state.bill(self._simulator.database, model, charge, now)
        return self._limiter.headers(model, now)

    async def _settle(self, embedding: request.Embedding, charge: int) -> dict[str, str]:
        """Bill what was embedded; the headers show what is left."""
        now = self._simulator.clock()
        self._limiter.settle(embedding.model, charge, embedding.tokens, now)
        headers = self._limiter.headers(embedding.model, now)
        await state.bill(self._simulator.database, embedding.model, embedding.tokens, now)
        return headers

    def _check_model(self, model: object) -> None:
        dates = self._simulator.settings.current.openai.shutdown_dates
        if isinstance(model, str) and models.is_shut_down(model, dates, self._simulator.clock()):
            raise errors.shut_down_model(model)

    def _admit(self, fields: dict[str, Any], charge: int) -> None:
        model = fields.get("model")
        if not _is_known(model):
            return  # no bucket to charge, and the recorded 404s have no such headers
        now = self._simulator.clock()
        settings = self._simulator.settings.current
        self._limiter.configure(settings.quotas, settings.openai)
        if spending.limited(settings.openai):
            spending.check(self._simulator.database, settings, now)
        try:
            self._limiter.admit(model, charge, now)
        finally:
            state.remember(self._limiter, self._simulator.database)

    def _new_limiter(self) -> Limiter:
        settings = self._simulator.settings.current
        return Limiter(settings.quotas, settings.openai)

    async def _run(self, large: bool, work: Callable[[], R]) -> R:
        if not large:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _is_known(model: object) -> TypeGuard[str]:
    return isinstance(model, str) and model in request.NATIVE_DIMENSIONS


def _check_content_type(incoming: Request) -> None:
    given = incoming.headers.get("content-type", "application/json")
    if given.partition(";")[0].strip().lower() != "application/json":
        raise errors.InvalidRequest(
            f"Unsupported content type: '{given}'. This API method only accepts 'application/json'"
            f" requests, but you specified the header 'Content-Type: {given}'. Please try again"
            " with a supported content type.",
            code="unsupported_content_type",
        )


def _read(body: bytes) -> tuple[dict[str, Any], int]:
    fields = request.parse(body)
    return fields, request.charge(fields)


def _embedded(embedding: request.Embedding, noise: float) -> bytes:
    from gristmill_simulators.openai import answer  # noqa: PLC0415 — numpy, not at start-up

    return answer.body(embedding, noise)
