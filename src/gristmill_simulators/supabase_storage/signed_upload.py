"""Signed upload URLs: the permission to write one object, for whoever holds the token."""

from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from gristmill_simulators.environment import SUPABASE_JWT_SECRET
from gristmill_simulators.jwt import InvalidToken, sign, verify
from gristmill_simulators.simulator import Simulator
from gristmill_simulators.supabase_storage import body, errors, user_metadata
from gristmill_simulators.supabase_storage.access import Caller, caller
from gristmill_simulators.supabase_storage.errors import json
from gristmill_simulators.supabase_storage.upload import Uploads


class Grant(NamedTuple):
    """What a token allows: to write as `who`, over an older object if `upsert`."""

    who: Caller
    upsert: bool


class SignedUploads:
    """Policies count when a token is made; whoever holds it writes as the superuser.

    Nothing remembers that a token was used: one without upsert works once because the object is
    there the second time.
    """

    def __init__(self, simulator: Simulator, uploads: Uploads) -> None:
        self._simulator = simulator
        self._uploads = uploads

    async def sign(self, request: Request) -> Response:
        await body.skip(request)
        who = caller(request, self._simulator.clock())
        bucket, key = request.path_params["bucket"], request.path_params["key"]
        upsert = request.headers.get("x-upsert") == "true"
        # the key itself is not looked at: an impossible one is refused when it is used
        metadata = user_metadata.from_header(request.headers.get("x-metadata"))
        self._uploads.probe(who, bucket, key, metadata, upsert=upsert)
        url = f"{bucket}/{key}"
        token = self._token(who, url, upsert=upsert)
        return json({"url": f"/object/upload/sign/{url}?token={token}", "token": token})

    async def put(self, request: Request) -> Response:
        token = request.query_params.get("token")
        if token is None:
            raise errors.missing("querystring", "token")
        bucket, key = request.path_params["bucket"], request.path_params["key"]
        grant = granted(token, bucket, key, self._simulator.clock())
        await self._uploads.store(request, grant.who, upsert=grant.upsert)
        return json({"Key": f"{bucket}/{key}"})

    def _token(self, who: Caller, url: str, *, upsert: bool) -> str:
        now = int(self._simulator.clock())
        lifetime = self._simulator.settings.current.supabase.signed_upload_lifetime_seconds
        owner = {"owner": who.owner} if who.owner else {}
        claims = {
            "url": url,
            "upsert": upsert,
            "scope": "upload",
            "iat": now,
            "exp": now + lifetime,
        }
        return sign(owner | claims, SUPABASE_JWT_SECRET, typ=None)


def granted(token: str, bucket: str, key: str, now: float) -> Grant:
    """What the token of a signed upload allows for this object; `now` in seconds since 1970.

    Raises StorageError: InvalidJWT for a token that is broken, foreign or late, InvalidSignature
    for one of another purpose or object. Tokens without a scope, as older servers made them, are
    known by their `upsert`.
    """
    try:
        claims = verify(token, SUPABASE_JWT_SECRET, now=now)
    except InvalidToken as error:
        raise errors.bad_signed_token(str(error)) from None
    if claims.get("scope", "upload" if "upsert" in claims else None) != "upload":
        raise errors.bad_signature("Token is not scoped for upload")
    if claims.get("url") != f"{bucket}/{key}":
        raise errors.bad_signature()
    who = Caller("service_role", str(claims.get("owner") or ""))
    return Grant(who, bool(claims.get("upsert")))
