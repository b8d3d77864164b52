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
    """Raises TusError 412 for a client of no version or another one."""
    if request.headers.get("tus-resumable") != VERSION:
        raise TusError(412, "Tus-Resumable Required\n")


def number(request: Request, name: str) -> int | None:
    """A header that counts bytes. Raises TusError 400 if it does not."""
    given = request.headers.get(name)
    if given is None:
        return None
    if not (given.isascii() and given.isdigit()):
        raise TusError(400, f"Invalid {name}\n")
    return int(given)


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
