"""Documents given by `source_url`: fetched from this machine, since there is no network here."""

import asyncio
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from gristmill_simulators.bodies import BodyTooLarge, store_raw
from gristmill_simulators.llamacloud.errors import LlamaCloudError
from gristmill_simulators.llamacloud.pool import Failed
from gristmill_simulators.loopback import is_loopback

_MAX_BYTES = 512 * 1000 * 1000
_SECONDS = 60.0


def check(url: str) -> None:
    """Raises LlamaCloudError (400) for an address that the simulator cannot reach."""
    if not is_loopback(url):
        raise LlamaCloudError(400, "The simulator fetches source_url from loopback addresses only")


def name_of(url: str) -> str:
    """The document's name, whose extension decides how it is read."""
    return unquote(PurePosixPath(urlsplit(url).path).name) or "index.html"


async def fetch(url: str, target: Path) -> Failed | None:
    """Store the document at `target`, or say why there is none."""
    import httpx  # noqa: PLC0415 — 0.1 s that most runs of the simulators never need

    try:
        async with asyncio.timeout(_SECONDS):
            return await _fetched(url, target)
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        return Failed(None, f"source_url could not be fetched: {type(error).__name__}")
    except BodyTooLarge:
        return Failed("DOCUMENT_TOO_LARGE", "the document at source_url is too large")


async def _fetched(url: str, target: Path) -> Failed | None:
    import httpx  # noqa: PLC0415 — as above

    async with (
        httpx.AsyncClient(trust_env=False, timeout=_SECONDS) as client,
        client.stream("GET", url) as answer,
    ):
        if answer.status_code != 200:
            return Failed(None, f"source_url could not be fetched: HTTP {answer.status_code}")
        stored = await store_raw(answer.aiter_bytes(), target.parent, _MAX_BYTES)
    stored.keep(target)
    return None
