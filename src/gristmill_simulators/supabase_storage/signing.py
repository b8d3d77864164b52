"""Signed download URLs: tokens bound to one bucket and key, and to reading."""

import re
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response

from gristmill_simulators.environment import SUPABASE_JWT_SECRET
from gristmill_simulators.jwt import InvalidToken, sign, verify
from gristmill_simulators.simulator import Simulator
from gristmill_simulators.supabase_storage import body, errors, state
from gristmill_simulators.supabase_storage.access import Caller, caller
from gristmill_simulators.supabase_storage.download import Downloads, expiry
from gristmill_simulators.supabase_storage.errors import json
from gristmill_simulators.supabase_storage.names import check_bucket_name, check_key
from gristmill_simulators.supabase_storage.policies import Policies

_NO_ACCESS = "Either the object does not exist or you do not have access to it"
_LAST_EXPIRY = (2**53 - 1) // 1000  # in seconds since 1970; a JavaScript date ends there
_ROUTE = b"/object/sign/"
_LEFT_QUOTED = re.compile("%(?=2[346BCF]|3[ABDF]|40)", re.IGNORECASE)  # # $ & + , / : ; = ? @


class Signing:
    """Access control counts when a URL is signed; whoever holds the URL may read."""

    def __init__(self, simulator: Simulator, downloads: Downloads, policies: Policies) -> None:
        self._simulator = simulator
        self._downloads = downloads
        self._policies = policies

    async def sign(self, request: Request) -> Response:
        seconds = body.integer(await body.read(request), "expiresIn", None, 1)
        who = caller(request, self._simulator.clock())
        self._check_lifetime(seconds)
        bucket, key = request.path_params["bucket"], request.path_params["key"]
        check_bucket_name(bucket)
        check_key(key)
        if not self._sees(who, bucket, key):
            raise errors.no_object()
        return json({"signedURL": self._url(_signed_path(request), seconds)})

    async def sign_many(self, request: Request) -> Response:
        fields = await body.read(request)
        seconds = body.integer(fields, "expiresIn", None, 1)
        keys = body.texts(fields, "paths", 1000)
        who = caller(request, self._simulator.clock())
        self._check_lifetime(seconds)
        bucket = request.path_params["bucket"]
        check_bucket_name(bucket)
        answer: list[dict[str, Any]] = []
        for key in keys:
            found = self._sees(who, bucket, key)
            url = self._url(f"{bucket}/{key}", seconds) if found else None
            answer.append({"error": None if found else _NO_ACCESS, "path": key, "signedURL": url})
        return json(answer)

    async def get(self, request: Request) -> Response:
        bucket, key = request.path_params["bucket"], request.path_params["key"]
        token = request.query_params.get("token")
        if token is None:
            raise errors.missing("querystring", "token")
        check_bucket_name(bucket)
        claims = self._claims(token)
        if not _is_for_download(claims):
            raise errors.bad_signature("Token is not scoped for download")
        if claims.get("url") != f"{bucket}/{key}":
            raise errors.bad_signature()
        check_key(key)
        row = state.find_object(self._simulator.database, bucket, key)
        if row is None:
            raise errors.no_object()
        return self._downloads.send(request, row, expires=expiry(claims.get("exp")))

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            return verify(token, SUPABASE_JWT_SECRET, now=self._simulator.clock())
        except InvalidToken as error:
            raise errors.bad_signed_token(str(error)) from None

    def _check_lifetime(self, seconds: int) -> None:
        if self._simulator.clock() + seconds > _LAST_EXPIRY:
            raise errors.bad_parameter("expiresIn")

    def _sees(self, who: Caller, bucket: str, key: str) -> bool:
        row = state.find_object(self._simulator.database, bucket, key)
        return row is not None and self._policies.allows(who, "select", row)

    def _url(self, path: str, seconds: int) -> str:
        """`path` is bucket and key; like the server this quotes nothing."""
        now = int(self._simulator.clock())
        claims = {"url": path, "scope": "download", "iat": now, "exp": now + seconds}
        token = sign(claims, SUPABASE_JWT_SECRET, typ=None)
        return f"/object/sign/{path}?token={token}"


def _is_for_download(claims: dict[str, Any]) -> bool:
    """Older servers gave no scope; their tokens for uploads had `upsert`."""
    scope = claims.get("scope", "upload" if "upsert" in claims else "download")
    return bool(scope == "download")


def _signed_path(request: Request) -> str:
    """Bucket and key as the server signs them: by JavaScript's decodeURI.

    It leaves some marks quoted. A key with such a mark, sent quoted, gets a URL that is refused
    with InvalidSignature: the path of the GET is decoded in full. (a fault of the real server)
    """
    raw: bytes = request.scope["raw_path"].partition(_ROUTE)[2]
    return unquote(_LEFT_QUOTED.sub("%25", raw.decode("latin-1")))
