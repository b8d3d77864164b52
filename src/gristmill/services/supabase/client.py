"""The official SDK of Supabase Storage over our HTTP pool, one client for each call.

The SDK hides the answer's headers, buffers downloads in memory, reads uploads on the event loop
and drops the body's `code`. So each call gives it an HTTP client of its own, a few lines around
the shared one, which remembers the answer, raises errors before the SDK reads them, sends files
piece by piece from a thread, and can send a body to a file. Paths, quoting, headers and forms stay
the SDK's.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast

import httpx

from gristmill.errors import InvalidResponse, Rejected, TooLarge, UnreadableSource
from gristmill.services import failures
from gristmill.services.supabase.errors import Fields, read_fields, wrong_address
from gristmill.services.supabase.keys import checked_bucket

if TYPE_CHECKING:
    from storage3 import AsyncStorageClient
    from storage3._async.file_api import AsyncBucketProxy

T = TypeVar("T")

SERVICE = "supabase"

_DOWNLOAD_PIECE = 1 << 20  # bytes handed to the disk at once
_UPLOAD_CHUNKS = 16  # of 64 KiB each, taken from the disk at once
_LARGE = 1 << 20  # bytes; below, a thread costs more than the reading


class ErrorAnswer(Exception):
    """The server said no. The SDK never sees this answer."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(f"HTTP {response.status_code}")
        self.response = response

    @property
    def fields(self) -> Fields:
        return read_fields(self.response.status_code, self.response.text)


class Client:
    """What the SDK uses of an HTTP client, one method; remembers the last good answer.

    `headers` are added to each request, for what the SDK has no argument for.
    """

    def __init__(self, http: httpx.AsyncClient, headers: Mapping[str, str]) -> None:
        self._http = http
        self._headers = headers
        self.answer: httpx.Response | None = None

    async def request(self, method: str, url: str, **arguments: Any) -> httpx.Response:  # noqa: ANN401 — the SDK's choice
        request = self._built(method, url, arguments)
        if arguments.get("files"):
            response = await self._sent_from_disk(request)
        else:
            response = await self._http.send(request)
        _check(response)
        self.answer = response
        return response

    def _built(self, method: str, url: str, arguments: dict[str, Any]) -> httpx.Request:
        request = self._http.build_request(method, url, **arguments)
        request.headers.update(self._headers)
        return request

    async def _sent_from_disk(self, request: httpx.Request) -> httpx.Response:
        length = int(request.headers["content-length"])
        form = _FromDisk(cast("httpx.SyncByteStream", request.stream), length)
        request.stream = form
        try:
            return await self._http.send(request)
        except httpx.TransportError:
            if form.problem is None:
                raise
            raise UnreadableSource(f"The file {form.problem} while it was uploaded.") from None


class DownloadClient(Client):
    """Sends the body to a file and hands the SDK an empty one."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        headers: Mapping[str, str],
        file: IO[bytes],
        most: int | None,
    ) -> None:
        super().__init__(http, headers)
        self._file = file
        self._most = most
        self.size = 0

    async def request(self, method: str, url: str, **arguments: Any) -> httpx.Response:  # noqa: ANN401 — the SDK's choice
        response = await self._http.send(self._built(method, url, arguments), stream=True)
        try:
            _check(response)
            self._check_part(response)
            async for chunk in response.aiter_bytes(_DOWNLOAD_PIECE):
                self.size += len(chunk)
                self._check_size()
                await asyncio.to_thread(self._file.write, chunk)
        finally:
            await response.aclose()
        self.answer = _without_body(response)
        return self.answer

    def _check_part(self, response: httpx.Response) -> None:
        if "range" in self._headers and response.status_code != 206:
            said = "asked for a part of an object, it sends the whole"
            raise failures.failure(InvalidResponse, SERVICE, said, status=response.status_code)

    def _check_size(self) -> None:
        if self._most is not None and self.size > self._most:
            said = f"the object has more than the {self._most:,} bytes that were asked for"
            raise failures.failure(TooLarge, SERVICE, said)


def _check(response: httpx.Response) -> None:
    if not response.is_success:
        raise wrong_address(response.status_code, response.text) or ErrorAnswer(response)


class _FromDisk(httpx.AsyncByteStream):
    """A form of `length` bytes whose file is read in a thread; httpx would hold up the loop.

    A file that changes or fails meanwhile breaks the connection, before a byte too many would be
    taken for the next request; then `problem` says why.
    """

    def __init__(self, form: httpx.SyncByteStream, length: int) -> None:
        self._form = form
        self._length = length
        self.problem: str | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks, left = iter(self._form), self._length
        while piece := await self._next(chunks):
            left -= len(piece)
            if left < 0:
                break
            yield piece
        if left:
            self.problem = self.problem or "changed its size"
            raise OSError(self.problem)

    async def _next(self, chunks: Iterator[bytes]) -> bytes:
        try:
            if self._length <= _LARGE:
                return _joined(chunks)
            return await asyncio.to_thread(_joined, chunks)
        except OSError as error:
            self.problem = f"could not be read ({error.strerror or error})"
            raise


def _joined(chunks: Iterator[bytes]) -> bytes:
    return b"".join(islice(chunks, _UPLOAD_CHUNKS))


def _without_body(response: httpx.Response) -> httpx.Response:
    headers = response.headers.copy()
    headers.pop("content-encoding", None)
    return httpx.Response(
        response.status_code, headers=headers, request=response.request, content=b""
    )


class Call:
    """One use of the SDK, and the answer it was read from."""

    def __init__(self, storage: "AsyncStorageClient", client: Client) -> None:
        self.storage = storage
        self._client = client

    def bucket(self, name: str) -> "AsyncBucketProxy":
        return self.storage.from_(checked_bucket(name))

    @property
    def response(self) -> httpx.Response:
        if self._client.answer is None:
            raise RuntimeError("the SDK returned without asking")
        return self._client.answer

    async def asked(self, call: Awaitable[T]) -> T:
        """The SDK's answer; its complaints about values are told apart by who made them."""
        try:
            return await call
        except (*failures.UNREADABLE, _complaint()) as error:
            if self._client.answer is None:
                raise failures.failure(Rejected, SERVICE, f"not sent: {error}") from None
            with failures.reading(SERVICE, self._client.answer):
                raise ValueError(str(error)) from None

    async def request(self, method: str, *path: str, **arguments: Any) -> Any:  # noqa: ANN401 — any JSON
        """A route that the SDK lacks, through its own request method, with its headers; the JSON.

        `arguments` are that method's: `json`, `query_params`, `files`.
        """
        request = self.storage.from_("")._request  # noqa: SLF001 — has no public face
        response = await self.asked(request(cast("Any", method), list(path), **arguments))
        with failures.reading(SERVICE, response):
            return response.json()


def _complaint() -> type[Exception]:
    from storage3.utils import StorageException  # noqa: PLC0415 — loaded by now

    return StorageException


class Sdk:
    """Makes one `Call` after the other, all with the same address and key."""

    def __init__(
        self, kind: "type[AsyncStorageClient]", url: str, key: str, http: httpx.AsyncClient
    ) -> None:
        self._kind = kind
        self._url = url
        self._http = http
        self.key = key

    def own_address(self, url: str, *route: str) -> str:
        """`url`, if it leads to that route of this very storage: people open what is signed.

        Raises ValueError: the SDK makes an address of whatever the server answers.
        """
        try:
            here, there = httpx.URL(self._url), httpx.URL(url)
        except httpx.InvalidURL:
            raise ValueError("an address that cannot be one") from None
        place = here.scheme, here.userinfo, here.netloc, here.path + "/".join(route)
        if place != (there.scheme, there.userinfo, there.netloc, there.path):
            raise ValueError("an address of something else")
        return url

    def call(self, headers: Mapping[str, str] | None = None) -> Call:
        return self._with(Client(self._http, headers or {}))

    def download(
        self, file: IO[bytes], headers: Mapping[str, str], most: int | None
    ) -> tuple[Call, DownloadClient]:
        client = DownloadClient(self._http, headers, file, most)
        return self._with(client), client

    def _with(self, client: Client) -> Call:
        storage = self._kind(
            self._url,
            {"apiKey": self.key, "Authorization": f"Bearer {self.key}"},
            http_client=cast("httpx.AsyncClient", client),
        )
        return Call(storage, client)
