"""Signed download URLs: tokens bound to one bucket and key, and to reading."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gristmill_simulators.environment import SUPABASE_JWT_SECRET
from gristmill_simulators.jwt import InvalidToken, sign, verify
from gristmill_simulators.simulator import Simulator
from gristmill_simulators.supabase_storage import body, errors, state
from gristmill_simulators.supabase_storage.access import Caller, caller
from gristmill_simulators.supabase_storage.download import Downloads
from gristmill_simulators.supabase_storage.errors import json
from gristmill_simulators.supabase_storage.policies import Policies

_NO_ACCESS = "Either the object does not exist or you do not have access to it"


class Signing:
    """Access control counts when a URL is signed; whoever holds the URL may read."""

    def __init__(self, simulator: Simulator, downloads: Downloads, policies: Policies) -> None:
        self._simulator = simulator
        self._downloads = downloads
        self._policies = policies

    async def sign(self, request: Request) -> Response:
        who = caller(request, self._simulator.clock())
        fields = await body.read(request)
        seconds = body.integer(fields, "expiresIn", None, 1)
        bucket, key = request.path_params["bucket"], request.path_params["key"]
        if not self._sees(who, bucket, key):
            raise errors.no_object()
        return json({"signedURL": self._url(bucket, key, seconds)})

    async def sign_many(self, request: Request) -> Response:
        who = caller(request, self._simulator.clock())
        fields = await body.read(request)
        seconds = body.integer(fields, "expiresIn", None, 1)
        bucket = request.path_params["bucket"]
        answer: list[dict[str, Any]] = []
        for key in body.texts(fields, "paths", 1000):
            found = self._sees(who, bucket, key)
            url = self._url(bucket, key, seconds) if found else None
            answer.append({"error": None if found else _NO_ACCESS, "path": key, "signedURL": url})
        return json(answer)

    async def get(self, request: Request) -> Response:
        claims = self._claims(request)
        bucket, key = request.path_params["bucket"], request.path_params["key"]
        if claims.get("scope", "download") != "download" or "upsert" in claims:
            raise errors.bad_signature("Token is not scoped for download")
        if claims.get("url") != f"{bucket}/{key}":
            raise errors.bad_signature()
        row = state.find_object(self._simulator.database, bucket, key)
        if row is None:
            raise errors.no_object()
        return self._downloads.send(request, row)

    def _claims(self, request: Request) -> dict[str, Any]:
        token = request.query_params.get("token")
        if token is None:
            raise errors.missing("querystring", "token")
        try:
            return verify(token, SUPABASE_JWT_SECRET, now=self._simulator.clock())
        except InvalidToken as error:
            raise errors.bad_signed_token(str(error)) from None

    def _sees(self, who: Caller, bucket: str, key: str) -> bool:
        row = state.find_object(self._simulator.database, bucket, key)
        return row is not None and self._policies.allows(who, "select", row)

    def _url(self, bucket: str, key: str, seconds: int) -> str:
        now = int(self._simulator.clock())
        claims = {"url": f"{bucket}/{key}", "scope": "download", "iat": now, "exp": now + seconds}
        token = sign(claims, SUPABASE_JWT_SECRET, typ=None)
        return f"/object/sign/{bucket}/{key}?token={token}"
