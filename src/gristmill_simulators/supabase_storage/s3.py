"""`/s3`: refuses everybody, in XML, as a server does for which no S3 keys were made."""

from xml.sax.saxutils import escape

from starlette.requests import Request
from starlette.responses import Response

METHODS = {
    "/s3": ("GET",),
    "/s3/": ("GET",),
    "/s3/{bucket}": ("GET", "HEAD", "PUT", "POST", "DELETE"),
    "/s3/{bucket}/{key:path}": ("GET", "HEAD", "PUT", "POST", "DELETE"),
}

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_UNSIGNED = "Missing signature"
_SIGNED = "Missing S3 Protocol Access Key ID or Secret Key Environment variables"


async def refuse(request: Request) -> Response:
    """403 AccessDenied, and why: no signature, or a signature that no key could have made."""
    path = request.scope["raw_path"].decode("latin-1").partition("/s3")[2]
    resource = escape("/".join(filter(None, path.split("/"))))
    told = f"<Resource>{resource}</Resource>" if resource else "<Resource/>"
    message = _SIGNED if _is_signed(request) else _UNSIGNED
    xml = (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
        f'<Error xmlns="{_NAMESPACE}">{told}<Code>AccessDenied</Code>'
        f"<Message>{message}</Message></Error>"
    )
    return Response(xml, 403, {"content-type": "application/xml; charset=utf-8"})


def _is_signed(request: Request) -> bool:
    by_header = request.headers.get("authorization", "").startswith("AWS4-HMAC-SHA256 ")
    return by_header or "X-Amz-Credential" in request.query_params
