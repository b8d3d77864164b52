"""Who asks, and whether he may: keys, organisation, project, the client's own request id."""

import base64
import binascii

from starlette.requests import Request

from gristmill_simulators.environment import OPENAI_ADMIN_KEY, OPENAI_API_KEY
from gristmill_simulators.openai import errors
from gristmill_simulators.openai.account import ORGANIZATION, PROJECT
from gristmill_simulators.openai.switches import Switches

_CLIENT_REQUEST_ID = "x-client-request-id"
_LONGEST_ID = 512  # characters, ASCII only (API reference, overview)


def authorize(request: Request, switches: Switches, *, scope: str, admin: bool) -> None:
    """Raises OpenAIError: 401 for the key, its organisation or project, 403 for its rights."""
    key = _key(request)
    if not key:
        raise errors.no_key()
    if key not in {*(switches.api_keys or (OPENAI_API_KEY,)), OPENAI_ADMIN_KEY}:
        raise errors.wrong_key(key)
    if (key == OPENAI_ADMIN_KEY) is not admin:
        raise errors.missing_scope(scope, switches.missing_scope_status)
    if request.headers.get("openai-organization") not in {None, "", ORGANIZATION}:
        raise errors.known("mismatched_organization")
    if request.headers.get("openai-project") not in {None, "", PROJECT}:
        raise errors.known("mismatched_project")


def client_request_id(request: Request) -> str | None:
    """What the client calls its request. Raises InvalidRequest: not ASCII, or too long."""
    given = request.headers.get(_CLIENT_REQUEST_ID)
    if given is not None and not (given.isascii() and len(given) <= _LONGEST_ID):
        raise errors.InvalidRequest(
            "Invalid 'X-Client-Request-Id' header: expected at most 512 ASCII characters."
        )
    return given


def _key(request: Request) -> str:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        return _password(value)
    return ""


def _password(encoded: str) -> str:
    try:
        return base64.b64decode(encoded).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
