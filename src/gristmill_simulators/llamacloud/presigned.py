"""URLs that anybody who has them may GET for a while, as those of an object store."""

import hashlib
import hmac
import math
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from gristmill_simulators.llamacloud.moments import moment
from gristmill_simulators.llamacloud.query import is_number
from gristmill_simulators.simulator import Simulator

_KEY = b"simulated-signing-key-that-protects-nothing"
_REFUSAL = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    "<Error><Code>AccessDenied</Code><Message>{message}</Message></Error>"
)

PATH = "/presigned/{kind}/{id}/{name}"


class Presigner:
    """Signs paths for a time and knows its own signature again."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def url(
        self, request: Request, kind: str, id_: str, name: str, seconds: float | None = None
    ) -> dict[str, Any]:
        """`{url, expires_at, form_fields}` for what `kind` and `name` say of a file or job."""
        if seconds is None:
            seconds = self._simulator.settings.current.llamacloud.presigned_seconds
        expires = math.ceil(self._simulator.clock() + seconds)
        path = f"/presigned/{kind}/{id_}/{quote(name, safe='')}"
        query = f"X-Expires={expires}&X-Signature={_signature(kind, id_, name, expires)}"
        root = f"{request.url.scheme}://{request.url.netloc}{request.scope.get('root_path', '')}"
        url = f"{root}{path}?{query}"
        return {"url": url, "expires_at": moment(expires), "form_fields": None}

    def refusal(self, request: Request) -> Response | None:
        """Why this URL opens nothing (403), in the XML of an object store; None when it does."""
        path, query = request.path_params, request.query_params
        expires = query.get("X-Expires", "")
        if not is_number(expires):
            return denied("Access Denied")
        expected = _signature(path["kind"], path["id"], path["name"], int(expires))
        if not hmac.compare_digest(expected.encode(), query.get("X-Signature", "").encode()):
            return denied("The request signature we calculated does not match")
        if int(expires) <= self._simulator.clock():
            return denied("Request has expired")
        return None


def denied(message: str) -> Response:
    return Response(_REFUSAL.format(message=message), 403, media_type="application/xml")


def gone() -> Response:
    body = _REFUSAL.replace("AccessDenied", "NoSuchKey")
    return Response(
        body.format(message="The specified key does not exist."), 404, media_type="application/xml"
    )


def download(path: Any, name: str) -> Response:  # noqa: ANN401 — a path of any kind
    """A file's bytes, with ranges."""
    return FileResponse(path, filename=name)


def _signature(kind: str, id_: str, name: str, expires: int) -> str:
    message = "\n".join((kind, id_, name, str(expires))).encode()
    return hmac.new(_KEY, message, hashlib.sha256).hexdigest()
