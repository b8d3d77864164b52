"""`/models`: list, retrieve, and the refusal to delete what is not one's own."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gristmill_simulators.openai import errors
from gristmill_simulators.openai.wire import answer
from gristmill_simulators.simulator import Simulator

_CREATED = {
    "text-embedding-3-small": 1705948997,
    "text-embedding-3-large": 1705953180,
    "text-embedding-ada-002": 1671217299,
}


def is_shut_down(model: str, dates: Mapping[str, str], now: float) -> bool:
    """`dates`: ISO dates by model; the day itself, in UTC, is the first without the model."""
    date = dates.get(model)
    return date is not None and date <= datetime.fromtimestamp(now, UTC).date().isoformat()


class Models:
    """The three embedding models; an account of the vendor lists many more."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    async def list_all(self, _request: Request) -> Response:
        data = [self._model(model) for model in _CREATED if not self._gone(model)]
        return answer({"object": "list", "data": data})

    async def retrieve(self, request: Request) -> Response:
        return answer(self._model(self._found(request)))

    async def delete(self, request: Request) -> Response:
        self._found(request)
        raise errors.OpenAIError(
            403,
            "You have insufficient permissions for this operation. You need to be this role:"
            " Owner.",
        )

    def _found(self, request: Request) -> str:
        model: str = request.path_params["model"]
        if model not in _CREATED:
            raise errors.unknown_model(model)
        if self._gone(model):
            raise errors.shut_down_model(model)
        return model

    def _gone(self, model: str) -> bool:
        return is_shut_down(model, self._dates(), self._simulator.clock())

    def _dates(self) -> Mapping[str, str]:
        return self._simulator.settings.current.openai.shutdown_dates

    def _model(self, model: str) -> dict[str, Any]:
        return {
            "id": model,
            "object": "model",
            "created": _CREATED[model],
            "owned_by": "openai-internal" if model.endswith("002") else "system",
            "shutdown_date": self._dates().get(model),
        }
