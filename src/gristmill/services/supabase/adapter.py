"""Supabase Storage.

Rules of the vendor relied on here, with their source:

- Nearly every error is HTTP 400; the true status is the string `statusCode` in the body, the stable
  name is `code`, which servers before July 2026 leave out; `error` is an older label. A real 404
  is a route that is not there, so the address is wrong. (source of the server)
- A key may hold A-Z a-z 0-9 and `_ / ! . * ' ( ) space & $ @ = ; : + , ? -` only. (server source)
- The signature of a key with `?` does not fit its own address. (measured against the server)
- `x-upsert` counts only as the exact text `true`. With it an upload replaces, and may be repeated;
  the object's id stays. Without it there is no atomic creation either. (server source)
- Row-level security answers a forbidden upload with 403, but hides what may not be read: info and
  sign say 404, lists and bulk deletes are empty. A role without policies on `storage.buckets` sees
  no bucket and still uses them. (measured against the server)
- An upload looks for its bucket before its content, whoever asks. (measured against the server)
- The MD5 of an object stored in one piece is its ETag; after an upload in parts it is opaque.
  (server source)
- Metadata that is no JSON object or too large is dropped without an error. (measured)
- 544 is the database's time-out; 429 has no Retry-After. (server source)
- Deleting many keys answers with those that were there. (server source)
- `/health` accepts any valid key, costs nothing, and answers 200 with `healthy: false` when the
  database is away. (server source)
- API requests are not metered; stored bytes and egress are. (price list)

Files are sent with one request, which the server takes up to 5 GB. The vendor advises its resumable
protocol above 6 MB. That is left out: the SDK has no client for it, going on after a break needs an
upload's address kept between attempts, which an adapter without state cannot do, and pieces of 6
MiB each cost a round trip. A broken upload is repeated whole, which is harmless with
`UploadObject`; the limit on a document's size bounds what that costs.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import httpx

from gristmill.contract import Operation
from gristmill.errors import ServiceError
from gristmill.services import failures
from gristmill.services.adapter import PROBE_SECONDS, Adapter, Endpoint, Handler
from gristmill.services.supabase import buckets, files, objects
from gristmill.services.supabase.client import ErrorAnswer, Sdk
from gristmill.services.supabase.errors import classify
from gristmill.services.supabase.keys import checked_bucket, checked_key
from gristmill.services.supabase.operations import CheckHealth

_HANDLERS: Mapping[type[Operation[Any]], Handler] = {
    **buckets.HANDLERS,
    **files.HANDLERS,
    **objects.HANDLERS,
}


class Supabase(Adapter[Sdk]):
    """Executes the operations of this package.

    The endpoint's address is the project's, with or without `/storage/v1`. With `bucket`, health
    also tells whether that one can be used.
    """

    service = "supabase"
    sdk_modules = ("storage3",)

    def __init__(
        self,
        endpoint: Endpoint,
        http: httpx.AsyncClient,
        *,
        bucket: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        probe_seconds: float = PROBE_SECONDS,
    ) -> None:
        super().__init__(endpoint, http, clock=clock, probe_seconds=probe_seconds)
        self._bucket = bucket

    def _build(self) -> Sdk:
        from storage3 import AsyncStorageClient  # noqa: PLC0415 — `_loaded` did it off the loop

        return Sdk(
            AsyncStorageClient,
            storage_url(self._endpoint.base_url),
            self._endpoint.key,
            self._http,
        )

    def _handlers(self) -> Mapping[type[Operation[Any]], Handler]:
        return _HANDLERS

    def _probe(self) -> Operation[Any]:
        return CheckHealth(self._bucket)

    def _error_answer(self, error: Exception) -> httpx.Response | None:
        return error.response if isinstance(error, ErrorAnswer) else None

    def _classify(self, answer: failures.Answer) -> ServiceError:
        return classify(answer)


def storage_url(address: str) -> str:
    """The address of the storage API, for a project's address or for itself."""
    root = address.rstrip("/").removesuffix("/storage/v1")
    return f"{root}/storage/v1/"


def public_url(address: str, bucket: str, key: str, download_as: str | None = None) -> str:
    """Where everybody reads an object of a public bucket, for ever; nobody is asked.

    `address` is the project's. With `download_as` a browser saves the object under that name, ""
    is the key's last part.

    Raises:
        Rejected: storage takes no such key or bucket.
    """
    path = f"{quote(checked_bucket(bucket), safe='')}/{quote(checked_key(key), safe='/')}"
    query = "" if download_as is None else f"?download={quote(download_as, safe='')}"
    return f"{storage_url(address)}object/public/{path}{query}"
