"""Identifiers in the vendor's shapes; clients are to take them as opaque."""

import secrets
import string
import uuid

_LETTERS = string.ascii_lowercase + string.digits


def new_id(prefix: str) -> str:
    """`pjb-…` for jobs, `whc-…` for webhooks, `cfg-…` for configurations."""
    return f"{prefix}-" + "".join(secrets.choice(_LETTERS) for _ in range(28))


def new_file_id() -> str:
    return str(uuid.uuid4())
