"""OpenAI's error bodies: `{"error": {message, type, param, code}}`, indented by 4 spaces."""

import json
from collections.abc import Mapping

from starlette.responses import Response

from gristmill_simulators.operation import Refusal

_TYPE_OF_CODE = {
    "credit_balance_exhausted": "insufficient_quota",
    "insufficient_quota": "insufficient_quota",
    "organization_spend_limit_exceeded": "insufficient_quota",
    "organization_usage_limit_exceeded": "insufficient_quota",
    "project_spend_limit_exceeded": "insufficient_quota",
    "rate_limit_exceeded": "requests",
    "server_is_overloaded": "service_unavailable_error",
    "slow_down": "rate_limit_error",
}
_MESSAGES = {
    "insufficient_quota": "You exceeded your current quota, please check your plan and billing"
    " details. For more information on this error, read the docs.",
    "rate_limit_exceeded": "Rate limit reached for requests. Please try again in 1s.",
    "server_is_overloaded": "Our servers are currently overloaded. Please try again later.",
    "slow_down": "Your request rate grew too quickly. Please slow down.",
}


class OpenAIError(Refusal):
    """One refusal on the wire; `param` is null in every recording."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.code = code
        self.headers = dict(headers or {})

    def response(self) -> Response:
        error = {"message": self.message, "type": self.kind, "param": None, "code": self.code}
        return Response(
            json.dumps({"error": error}, indent=4) + "\n",
            self.status,
            {"content-type": "application/json; charset=utf-8", "vary": "Origin", **self.headers},
        )


class InvalidRequest(OpenAIError):
    """A 400 whose fault is in the request."""

    def __init__(self, message: str, *, kind: str = "invalid_request_error") -> None:
        code = None if kind == "invalid_request_error" else kind
        super().__init__(400, message, kind=kind, code=code)


def failure(status: int, code: str | None) -> OpenAIError:
    """The error a fault asks for: by code where the vendor has one, else by status."""
    if code in _TYPE_OF_CODE:
        message = _MESSAGES.get(code, _MESSAGES["insufficient_quota"])
        return OpenAIError(status, message, kind=_TYPE_OF_CODE[code], code=code)
    if status == 429:
        return failure(429, "rate_limit_exceeded")
    if status == 503:
        return failure(503, "server_is_overloaded")
    if status >= 500:
        message = "The server had an error while processing your request. Sorry about that!"
        return OpenAIError(status, message, kind="server_error", code=code)
    return OpenAIError(status, f"Simulated failure with status {status}.", code=code)


def no_key() -> OpenAIError:
    return OpenAIError(
        401,
        "You didn't provide an API key. You need to provide your API key in an Authorization"
        " header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
    )


def wrong_key(key: str) -> OpenAIError:
    masked = key if len(key) < 12 else f"{key[:8]}{'*' * 4}{key[-4:]}"
    return OpenAIError(
        401,
        f"Incorrect API key provided: {masked}. You can find your API key at"
        " https://platform.openai.com/account/api-keys.",
        code="invalid_api_key",
    )


def unknown_model(model: str) -> OpenAIError:
    message = f"The model `{model}` does not exist or you do not have access to it."
    return OpenAIError(404, message, code="model_not_found")


def unknown_route(method: str, path: str) -> OpenAIError:
    return OpenAIError(404, f"Invalid URL ({method} {path})")
