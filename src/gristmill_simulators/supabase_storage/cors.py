"""What browsers ask of another origin: the gateway's business, as its plugin does it by default."""

from starlette.requests import Request
from starlette.responses import Response

from gristmill_simulators.supabase_storage.access import is_gateway

_METHODS = "GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT"
_ASKED_METHOD = "access-control-request-method"
_ASKED_HEADERS = "access-control-request-headers"


def is_preflight(request: Request) -> bool:
    """Does the gateway answer this without asking the server? A plain OPTIONS goes through."""
    headers = request.headers
    asks = request.method == "OPTIONS" and "origin" in headers and _ASKED_METHOD in headers
    return asks and is_gateway(request)


def preflight(request: Request) -> Response:
    headers = {
        "access-control-allow-origin": "*",
        "access-control-allow-methods": _METHODS,
        "access-control-allow-headers": request.headers.get(_ASKED_HEADERS, ""),
    }
    return Response(headers=headers)


def opened(request: Request, response: Response) -> Response:
    """The answer, readable by every page that was let in, if it comes through the gateway."""
    if is_gateway(request):
        response.headers["access-control-allow-origin"] = "*"
    return response
