"""OpenAI's error bodies: `{"error": {message, type, param, code}}`, indented by 4 spaces."""

import json
from collections.abc import Mapping
from typing import NamedTuple

from starlette.responses import Response

from gristmill_simulators.openai.account import ORGANIZATION
from gristmill_simulators.operation import Refusal

KEYS_PAGE = "https://platform.openai.com/account/api-keys"
LIMITS_PAGE = "https://platform.openai.com/account/rate-limits"

_BILLING = (
    "You exceeded your current quota, please check your plan and billing details. For more"
    " information on this error, read the docs:"
    " https://platform.openai.com/docs/guides/error-codes/api-errors."
)
_SERVER_FAULT = (
    "The server had an error while processing your request. Sorry about that! You can retry your"
    " request, or contact us through our help center at help.openai.com if the error persists."
)


class _Known(NamedTuple):
    status: int
    kind: str
    message: str


# Types and statuses: guide "Error codes" and recorded answers. Texts that are only described
# there (slow_down, the spend limits) are our own.
_BY_CODE = {
    "invalid_api_key": _Known(
        401,
        "invalid_request_error",
        f"Incorrect API key provided: sk-wrong****-key. You can find your API key at {KEYS_PAGE}.",
    ),
    "mismatched_organization": _Known(
        401,
        "invalid_request_error",
        "OpenAI-Organization header should match organization for API key",
    ),
    "mismatched_project": _Known(
        401, "invalid_request_error", "OpenAI-Project header should match project for API key"
    ),
    "ip_not_authorized": _Known(
        401,
        "invalid_request_error",
        "Your IP address is not on the allow list of your project or organization.",
    ),
    "no_organization": _Known(
        401,
        "invalid_request_error",
        "You must be a member of an organization to use the API.",
    ),
    "missing_scope": _Known(
        403,
        "invalid_request_error",
        "You have insufficient permissions for this operation. Missing scopes: model.request.",
    ),
    "unsupported_country_region_territory": _Known(
        403, "request_forbidden", "Country, region, or territory not supported"
    ),
    "model_not_found": _Known(
        404,
        "invalid_request_error",
        "The model `text-embedding-9` does not exist or you do not have access to it.",
    ),
    "max_tokens_per_request": _Known(
        400,
        "max_tokens_per_request",
        "Requested 416735 tokens, max 300000 tokens per request",
    ),
    "rate_limit_exceeded": _Known(
        429,
        "requests",
        f"Rate limit reached for text-embedding-3-small in organization {ORGANIZATION} on"
        " requests per min (RPM): Limit 500, Used 500, Requested 1. Please try again in 120ms."
        f" Visit {LIMITS_PAGE} to learn more.",
    ),
    "slow_down": _Known(
        429,
        "rate_limit_error",
        "Your request rate grew too quickly. Please reduce it and increase it gradually.",
    ),
    "insufficient_quota": _Known(429, "insufficient_quota", _BILLING),
    "credit_balance_exhausted": _Known(429, "insufficient_quota", _BILLING),
    "organization_spend_limit_exceeded": _Known(
        429, "insufficient_quota", "Your organization has reached its monthly spend limit."
    ),
    "project_spend_limit_exceeded": _Known(
        429, "insufficient_quota", "Your project has reached its monthly spend limit."
    ),
    "organization_usage_limit_exceeded": _Known(
        429, "insufficient_quota", "Your organization has reached its monthly usage limit."
    ),
    "billing_hard_limit_reached": _Known(
        400, "invalid_request_error", "Billing hard limit has been reached"
    ),
    "billing_not_active": _Known(
        429,
        "billing_not_active",
        "Your account is not active, please check your billing details on our website.",
    ),
    "server_is_overloaded": _Known(
        503,
        "service_unavailable_error",
        "Our servers are currently overloaded. Please try again later.",
    ),
}
_CODE_OF_STATUS = {
    401: "invalid_api_key",
    403: "unsupported_country_region_territory",
    404: "model_not_found",
    429: "rate_limit_exceeded",
    503: "server_is_overloaded",
}
_BY_STATUS = {
    408: "Request timed out.",
    409: "The resource was changed by another request. Please try again.",
    413: "The request is too large.",
}
_GATEWAY = {502: "Bad Gateway", 504: "Gateway Time-out", 520: "Web server is unknown"}


class OpenAIError(Refusal):
    """One refusal on the wire. `param` names the field where the vendor does."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.code = code
        self.param = param
        self.headers = dict(headers or {})

    def body(self) -> dict[str, object]:
        """The envelope, as in the body of an answer and in a line of a batch's error file."""
        return {
            "error": {
                "message": self.message,
                "type": self.kind,
                "param": self.param,
                "code": self.code,
            }
        }

    def response(self) -> Response:
        return Response(
            json.dumps(self.body(), indent=4) + "\n",
            self.status,
            {"content-type": "application/json; charset=utf-8", "vary": "Origin", **self.headers},
        )


class InvalidRequest(OpenAIError):
    """A 400 whose fault is in the request; `param` and `code` are null for embeddings."""

    def __init__(
        self,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(400, message, kind=kind, code=code, param=param)


def known(code: str, headers: Mapping[str, str] | None = None) -> OpenAIError:
    """The error of a code, with its own status, type and text."""
    status, kind, message = _BY_CODE[code]
    return OpenAIError(status, message, kind=kind, code=code, headers=headers)


def failure(status: int, code: str | None, server_error_type: str = "server_error") -> Response:
    """What a fault asks for: by code where the vendor has it, else by status.

    A code keeps its own status unless another one than 500, the faults' default, is asked for.
    Gateways in front of the service (502, 504, 520) answer in HTML.
    """
    if status in _GATEWAY and code is None:
        return _html(status)
    if code is None:
        code = _CODE_OF_STATUS.get(status)
    if code not in _BY_CODE:
        return _by_status(status, code, server_error_type).response()
    error = known(code)
    error.status = error.status if status == 500 else status
    return error.response()


def _by_status(status: int, code: str | None, server_error_type: str) -> OpenAIError:
    if status >= 500:
        return OpenAIError(status, _SERVER_FAULT, kind=server_error_type, code=code)
    message = _BY_STATUS.get(status, f"Simulated failure with status {status}.")
    return OpenAIError(status, message, code=code)


def _html(status: int) -> Response:
    title = f"{status} {_GATEWAY[status]}"
    text = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n<hr><center>cloudflare</center>\r\n"
        "</body>\r\n</html>\r\n"
    )
    return Response(text, status, media_type="text/html")


def no_key() -> OpenAIError:
    return OpenAIError(
        401,
        "You didn't provide an API key. You need to provide your API key in an Authorization"
        " header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY), or as the password field"
        " (with blank username) if you're accessing the API from your browser and are prompted for"
        f" a username and password. You can obtain an API key from {KEYS_PAGE}.",
    )


def wrong_key(key: str) -> OpenAIError:
    masked = "*" * len(key) if len(key) < 12 else f"{key[:8]}{'*' * 4}{key[-4:]}"
    return OpenAIError(
        401,
        f"Incorrect API key provided: {masked}. You can find your API key at {KEYS_PAGE}.",
        code="invalid_api_key",
    )


def missing_scope(scope: str, status: int) -> OpenAIError:
    return OpenAIError(
        status,
        f"You have insufficient permissions for this operation. Missing scopes: {scope}. Check that"
        " you have the correct role in your organization (Reader, Writer, Owner) and project"
        " (Member, Owner), and if you're using a restricted API key, that it has the necessary"
        " scopes.",
        code="missing_scope",
    )


def unknown_model(model: str) -> OpenAIError:
    message = f"The model `{model}` does not exist or you do not have access to it."
    return OpenAIError(404, message, code="model_not_found")


def shut_down_model(model: str) -> OpenAIError:
    return OpenAIError(
        404,
        f"The model `{model}` has been deprecated, learn more here:"
        " https://platform.openai.com/docs/deprecations",
        code="model_not_found",
    )


def unknown_route(method: str, path: str) -> OpenAIError:
    return OpenAIError(404, f"Invalid URL ({method} {path})")


def wrong_method(method: str, path: str) -> OpenAIError:
    return OpenAIError(405, f"Invalid method for URL ({method} {path})")
