"""A webhook request: its body in both formats, its headers, `LC-Signature`. Pure."""

import hashlib
import hmac
from typing import Any

import orjson

from gristmill_simulators.llamacloud.switches import Switches

_USER_AGENT = "llamaindex-webhook-service/1.0"


def envelope(
    delivery: dict[str, Any], hook: dict[str, Any], switches: Switches
) -> tuple[bytes, dict[str, str]]:
    """Body and headers of one delivery; the signature is over the exact bytes of the body."""
    inner = orjson.dumps(
        {
            "event_id": delivery["event_id"],
            "event_type": delivery["event"],
            "timestamp": delivery["timestamp"],
            "data": {"id": delivery["job_id"], "job_id": delivery["job_id"]},
        }
    )
    is_json = hook.get("webhook_output_format") == "json"
    body = inner if is_json else orjson.dumps(inner.decode())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": _USER_AGENT,
        "X-Webhook-Event-ID": delivery["event_id"],
        "X-Webhook-Event-Type": delivery["event"],
        **{name: str(value) for name, value in (hook.get("webhook_headers") or {}).items()},
    }
    secret = hook.get("webhook_signing_secret")
    if secret and switches.webhook_signature != "missing":
        wrong = switches.webhook_signature == "wrong"
        signed = inner if switches.webhook_string_signed == "inner" else body
        headers["LC-Signature"] = signature(secret + ("-wrong" if wrong else ""), signed)
    return body, headers


def signature(secret: str, body: bytes) -> str:
    """`sha256=` and the HMAC-SHA256 of the bytes in hexadecimal."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
