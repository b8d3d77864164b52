"""The size of a request's head, which the server's HTTP parser limits before any route is found."""

from starlette.requests import Request
from starlette.responses import Response

from gristmill_simulators.operation import Refusal
from gristmill_simulators.supabase_storage.errors import json

_MOST_BYTES = 16 * 1024


class HeadTooLarge(Refusal):
    """A true 431, in the framework's words and not in those of storage."""

    def response(self) -> Response:
        message = "Exceeded maximum allowed HTTP header size"
        error = "Request Header Fields Too Large"
        return json({"error": error, "message": message, "statusCode": 431}, 431)


def check(request: Request) -> None:
    """Raises HeadTooLarge for 16 KiB or more of address, names and values together."""
    address = len(request.url.path) + len(request.url.query)
    fields = sum(len(name) + len(value) for name, value in request.headers.raw)
    if address + fields >= _MOST_BYTES:
        raise HeadTooLarge
