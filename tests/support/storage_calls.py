"""What the tests of Supabase Storage say again and again: headers, tokens, policies, refusals."""

from collections.abc import Awaitable
from typing import Any

import httpx
import pytest
from storage3.exceptions import StorageApiError

from gristmill_simulators import environment
from gristmill_simulators.jwt import sign

TEXT = {"content-type": "text/plain"}
SERVICE = {"authorization": f"Bearer {environment.SUPABASE_SERVICE_ROLE_KEY}"}
ANON = {"authorization": f"Bearer {environment.SUPABASE_ANON_KEY}"}

USER = "6c1e0f0a-2f4b-4c57-9a53-5d2f0b7a9e11"
OTHER_USER = "b2a94d3e-7a10-4d0e-8d5c-0c9f6a1e4f22"


def seen(error: pytest.ExceptionInfo[StorageApiError]) -> tuple[str, str]:
    """Status and code as storage3 reads them out of the body."""
    return str(error.value.status), error.value.code


async def refusal(call: Awaitable[Any]) -> tuple[str, str]:
    """The same of a call that must fail."""
    with pytest.raises(StorageApiError) as error:
        await call
    return seen(error)


def token(**claims: Any) -> str:
    """A token of the simulated project: `token(role="authenticated", sub=USER)`."""
    return sign(claims, environment.SUPABASE_JWT_SECRET)


def bearer(**claims: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {token(**claims)}"}


async def switch(control: httpx.AsyncClient, **switches: Any) -> None:
    """Turn the storage's switches, such as `healthy=False`."""
    answer = await control.post("/settings", json={"supabase": switches})
    answer.raise_for_status()


async def declare(control: httpx.AsyncClient, *policies: dict[str, Any]) -> None:
    """Row-level policies in place of those before; the fields are those of `Policy`."""
    await switch(control, policies=policies)
