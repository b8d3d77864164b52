"""Who is asking: the gateway's exchange of keys, then the JWT, checked with the project secret."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from gristmill_simulators.environment import (
    SUPABASE_ANON_KEY,
    SUPABASE_JWT_SECRET,
    SUPABASE_PUBLISHABLE_KEY,
    SUPABASE_SECRET_KEY,
    SUPABASE_SERVICE_ROLE_KEY,
)
from gristmill_simulators.jwt import InvalidToken, verify
from gristmill_simulators.simulator import Simulator
from gristmill_simulators.supabase_storage.errors import StorageError, denied, missing

GATEWAY = "/storage/v1"  # the prefix that the gateway takes off; the server knows no such path

_ROLES = {"anon", "authenticated", "service_role"}


@dataclass(frozen=True, slots=True)
class Caller:
    """A Postgres role, and `auth.uid()`: the token's `sub`, `""` without one.

    `valid` is False for somebody without a good token on a route that does not insist on one.
    """

    role: str
    sub: str = ""
    claims: Mapping[str, Any] = field(default_factory=dict)
    valid: bool = True

    @property
    def service(self) -> bool:
        """Row-level security does not bind this caller."""
        return self.role == "service_role"

    @property
    def owner(self) -> str:
        """What becomes `owner` and `owner_id` of the rows this caller makes."""
        return self.sub


NOBODY = Caller("anon", valid=False)


def caller(request: Request, now: float, *, schema: bool = True) -> Caller:
    """The caller of a protected route. Raises StorageError as the server words it.

    `schema=False` is for routes (`/health`, TUS) that do not declare the header: there a missing
    token is a broken one.
    """
    token = _token(request)
    if token is None and schema:
        raise missing("headers", "authorization")
    return _known(_claims(token or "", now))


def optional_caller(request: Request, now: float) -> Caller:
    """The caller of a route that also serves public buckets to anybody."""
    try:
        claims = _claims(_token(request) or "", now)
    except StorageError:
        return NOBODY
    return _known(claims)


def is_gateway(request: Request) -> bool:
    """Does the request come through the gateway, or straight to the server behind it?"""
    return str(request.scope.get("root_path", "")).endswith(GATEWAY)


def _claims(token: str, now: float) -> dict[str, Any]:
    try:
        return verify(token, SUPABASE_JWT_SECRET, now=now)
    except InvalidToken as error:
        raise denied(str(error)) from None


def _known(claims: dict[str, Any]) -> Caller:
    role = claims.get("role") or "anon"
    if role not in _ROLES:
        message = "database error, code: 22023"
        raise StorageError("500", "DatabaseError", message, "DatabaseError", 500)
    return Caller(role, str(claims.get("sub") or ""), claims)


def _token(request: Request) -> str | None:
    given = request.headers.get("authorization")
    if is_gateway(request):
        given = _exchanged(given, request.headers.get("apikey"), _secret_keys(request))
    if given is None:
        return None
    scheme, _, token = given.partition(" ")
    return token.strip() if token and scheme.lower() == "bearer" else given


def _secret_keys(request: Request) -> Collection[str]:
    simulator: Simulator = request.app.state.simulator
    return simulator.settings.current.supabase.secret_keys or (SUPABASE_SECRET_KEY,)


def _exchanged(
    authorization: str | None, apikey: str | None, secret_keys: Collection[str]
) -> str | None:
    """The gateway's rule: a user's token passes, an opaque key becomes the role's token."""
    if authorization is not None and not authorization.startswith("Bearer sb_"):
        return authorization
    if apikey is None:
        return authorization
    if apikey in secret_keys:
        return SUPABASE_SERVICE_ROLE_KEY
    return SUPABASE_ANON_KEY if apikey == SUPABASE_PUBLISHABLE_KEY else apikey
