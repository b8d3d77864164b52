"""Who is asking: the JWT of the request, checked with the project secret."""

from dataclasses import dataclass

from starlette.requests import Request

from gristmill_simulators.environment import SUPABASE_JWT_SECRET
from gristmill_simulators.jwt import InvalidToken, verify
from gristmill_simulators.supabase_storage.errors import StorageError, denied, missing

_ROLES = {"anon", "authenticated", "service_role"}


@dataclass(frozen=True, slots=True)
class Caller:
    """`service` is the role that row-level security does not bind; `valid` that a JWT was good."""

    service: bool
    owner: str = ""
    valid: bool = True


NOBODY = Caller(service=False, valid=False)


def caller(request: Request, now: float) -> Caller:
    """The caller of a protected route. Raises StorageError as the server words it."""
    token = _token(request)
    if token is None:
        raise missing("headers", "authorization")
    try:
        claims = verify(token, SUPABASE_JWT_SECRET, now=now)
    except InvalidToken as error:
        raise denied(str(error)) from None
    role = claims.get("role", "anon")
    if role not in _ROLES:
        message = "database error, code: 22023"
        raise StorageError("500", "DatabaseError", message, "DatabaseError", 500)
    return Caller(role == "service_role", str(claims.get("sub") or ""))


def optional_caller(request: Request, now: float) -> Caller:
    """The caller of a route that also serves public buckets to anybody."""
    try:
        return caller(request, now)
    except StorageError:
        return NOBODY


def _token(request: Request) -> str | None:
    given = request.headers.get("authorization") or request.headers.get("apikey")
    if given is None:
        return None
    scheme, _, token = given.partition(" ")
    return token.strip() if token and scheme.lower() == "bearer" else given
