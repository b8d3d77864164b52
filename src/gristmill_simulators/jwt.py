"""JSON Web Tokens signed with HS256, the only algorithm a Supabase project secret needs."""

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import orjson


class InvalidToken(Exception):
    """The token is refused; the message is the one Supabase Storage sends."""


def sign(claims: dict[str, Any], secret: str, *, typ: str | None = "JWT") -> str:
    """A compact token; `typ=None` leaves the header with `alg` alone, as storage does."""
    header = {"alg": "HS256"} if typ is None else {"alg": "HS256", "typ": typ}
    signed = _encode(orjson.dumps(header)) + "." + _encode(orjson.dumps(claims))
    return f"{signed}.{_signature(signed, secret)}"


def verify(token: str, secret: str, *, now: float) -> dict[str, Any]:
    """The claims of a valid token. Raises InvalidToken in the server's order and words."""
    signed, _, signature = token.rpartition(".")
    header, claims = _decode(signed)
    if header.get("alg") != "HS256":
        raise InvalidToken('"alg" (Algorithm) Header Parameter value not allowed')
    if not hmac.compare_digest(signature.encode(), _signature(signed, secret).encode()):
        raise InvalidToken("signature verification failed")
    check_expiry(claims, now)
    return claims


def check_expiry(claims: dict[str, Any], now: float) -> None:
    """A token without `exp` never expires."""
    if "exp" not in claims:
        return
    if not isinstance(claims["exp"], int | float):
        raise InvalidToken('"exp" claim must be a number')
    if claims["exp"] <= now:
        raise InvalidToken('"exp" claim timestamp check failed')


def _decode(signed: str) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        header, claims = (orjson.loads(_bytes(part)) for part in signed.split("."))
    except ValueError:
        raise InvalidToken("Invalid Compact JWS") from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise InvalidToken("Invalid Compact JWS")
    return header, claims


def _signature(signed: str, secret: str) -> str:
    return _encode(hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest())


def _encode(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))
