"""What TUS 1.0.0 says on the wire: its headers, its refusals in plain text with true statuses."""

import binascii
from base64 import b64decode
from email.utils import formatdate

from starlette.requests import Request
from starlette.responses import Response

from gristmill_simulators.operation import Refusal

VERSION = "1.0.0"
CONTENT_TYPE = "application/offset+octet-stream"
EXTENSIONS = "creation,creation-with-upload,creation-defer-length,termination,expiration"
LENGTH_REQUIRED = "Upload-Length or Upload-Defer-Length header required\n"
_DIGITS = 18  # as many as fit into a number of the database
EXPOSED = (
    "Location,Upload-Offset,Upload-Length,Upload-Metadata,Upload-Defer-Length,Upload-Expires,"
    "Tus-Resumable,Tus-Version,Tus-Extension,Tus-Max-Size"
)


class TusError(Refusal):
    """A status and one line of text."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message

    def response(self) -> Response:
        return answer(self.status, text=self.message)


def answer(status: int, headers: dict[str, str] | None = None, text: str = "") -> Response:
    always = {"Tus-Resumable": VERSION, "Access-Control-Expose-Headers": EXPOSED}
    kind = "text/plain" if text else None
    return Response(text, status, {**always, **(headers or {})}, media_type=kind)


def check_version(request: Request) -> None:
    """Raises TusError: 412 for a client of no version, 400 for one of another."""
    given = request.headers.get("tus-resumable")
    if not given:
        raise TusError(412, "Tus-Resumable Required\n")
    if given != VERSION:
        raise TusError(400, "Invalid tus-resumable\n")


def number(request: Request, name: str) -> int | None:
    """A header that counts bytes. Raises TusError 400 if it does not."""
    given = request.headers.get(name)
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= _DIGITS):
        raise TusError(400, f"Invalid {name}\n")
    return int(given)


def new_length(request: Request) -> int | None:
    """The length of a new upload, None if it is told later. Raises TusError 400."""
    length, deferred = number(request, "upload-length"), request.headers.get("upload-defer-length")
    if deferred not in {None, "1"}:
        raise TusError(400, "Invalid upload-defer-length\n")
    if (length is None) == (deferred is None):
        raise TusError(400, LENGTH_REQUIRED)
    return length


def metadata(request: Request) -> dict[str, str]:
    """`Upload-Metadata`: pairs of a name and base64, between commas. Raises TusError 400."""
    given = request.headers.get("upload-metadata")
    if not given:
        raise TusError(400, "Metadata header is required")
    found: dict[str, str] = {}
    for pair in given.split(","):
        name, _, value = pair.strip().partition(" ")
        try:
            found[name] = b64decode(value.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise TusError(400, "Invalid upload-metadata\n") from None
    return found


def expires(moment: float) -> str:
    """`Upload-Expires`, as HTTP writes dates."""
    return formatdate(moment, usegmt=True)
