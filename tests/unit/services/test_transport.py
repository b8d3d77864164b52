"""What a broken connection means for money: sent or not, for all three adapters."""

import asyncio
import gzip
import socket
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aiohttp
import httpx
import pytest

from gristmill import errors
from gristmill.services.adapter import Endpoint
from gristmill.services.http import create_client
from gristmill.services.llamaparse import (
    CancelParse,
    DeleteFile,
    FindParseJob,
    GetParseResult,
    ListParseJobs,
    SubmitParse,
    UploadFile,
)
from gristmill.services.openai import Embed, ListModels, OpenAI
from gristmill.services.supabase import (
    CopyObject,
    CreateObject,
    DownloadObject,
    EnsureBucket,
    ListBuckets,
    ListObjects,
    RemoveObjects,
    SignUrl,
    UploadObject,
    UploadSigned,
)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "paper.pdf"
    path.write_bytes(b"%PDF-1.7 tiny")
    return path


@pytest.fixture(params=range(19))
def operation(request, file, tmp_path):
    return (
        Embed(texts=("a",), model="text-embedding-3-small", dimensions=4, tokens=(1,)),
        ListModels(),
        UploadFile(file, "paper.pdf", "doc-1"),
        SubmitParse("file", "fast", "latest", 3, "tag"),
        ListParseJobs(("pjb-1",)),
        FindParseJob("tag", datetime(2026, 1, 1, tzinfo=UTC)),
        GetParseResult("pjb-1", "agentic"),
        CancelParse("pjb-1"),
        DeleteFile("file"),
        EnsureBucket("documents"),
        ListBuckets(),
        UploadObject("documents", "a.pdf", file, "application/pdf"),
        DownloadObject("documents", "a.pdf", tmp_path / "copy.pdf"),
        RemoveObjects("documents", ("a.pdf",)),
        SignUrl("documents", "a.pdf", 60),
        CreateObject("documents", "a.pdf", file, "application/pdf"),
        UploadSigned("documents", "a.pdf", "token", file, "application/pdf"),
        CopyObject("documents", "a.pdf", "b.pdf"),
        ListObjects("documents"),
    )[request.param]


async def test_a_connection_that_breaks_after_sending_leaves_the_outcome_unknown(
    vendor, adapter_of, operation
):
    vendor.does(vendor.vanish)
    with pytest.raises(errors.OutcomeUnknown) as caught:
        await adapter_of(operation.service).execute(operation)
    assert not caught.value.no_effect


@pytest.mark.usefixtures("impatient")
async def test_a_silent_service_leaves_the_outcome_unknown(vendor, adapter_of, operation):
    vendor.does(vendor.stay_silent)
    with pytest.raises(errors.OutcomeUnknown, match="did not answer in time"):
        await adapter_of(operation.service).execute(operation)


async def test_an_answer_cut_in_its_body_leaves_the_outcome_unknown(vendor, adapter_of, operation):
    async def half(_request, _reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + b'{"data": [')
        await writer.drain()

    vendor.does(half)
    with pytest.raises(errors.OutcomeUnknown):
        await adapter_of(operation.service).execute(operation)


async def test_an_answer_reset_in_its_body_leaves_the_outcome_unknown(
    vendor, adapter_of, operation
):
    async def half(_request, _reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + b'{"data": [')
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.transport.abort()

    vendor.does(half)
    with pytest.raises(errors.OutcomeUnknown):
        await adapter_of(operation.service).execute(operation)


async def test_bytes_that_are_not_http_leave_the_outcome_unknown(vendor, adapter_of, operation):
    async def gibberish(_request, _reader, writer):
        writer.write(b"220 mail.example ready\r\n\r\n")
        await writer.drain()

    vendor.does(gibberish)
    with pytest.raises(errors.OutcomeUnknown):
        await adapter_of(operation.service).execute(operation)


async def test_a_body_with_broken_compression_is_an_invalid_answer(vendor, adapter_of, operation):
    vendor.says(200, b"not gzip at all", {"content-encoding": "gzip"})
    with pytest.raises(errors.InvalidResponse):
        await adapter_of(operation.service).execute(operation)


async def test_a_refused_connection_had_no_effect(adapter_of, operation):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        adapter = adapter_of(operation.service, base_url=f"http://127.0.0.1:{port}")
        with pytest.raises(errors.Unavailable, match="cannot be reached") as caught:
            await adapter.execute(operation)
    assert caught.value.no_effect


async def test_an_unknown_host_had_no_effect(adapter_of, operation):
    adapter = adapter_of(operation.service, base_url="http://no-such-host.invalid")
    with pytest.raises(errors.Unavailable):
        await adapter.execute(operation)


async def test_a_failed_tls_handshake_had_no_effect(vendor, adapter_of, operation):
    async def not_tls(_reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    vendor.accept = not_tls
    adapter = adapter_of(operation.service, base_url=vendor.url.replace("http:", "https:"))
    with pytest.raises(errors.Unavailable):
        await adapter.execute(operation)


async def test_a_cancelled_call_is_cancelled(vendor, adapter_of, operation):
    arrived = asyncio.Event()

    async def wait(_request, reader, _writer):
        arrived.set()
        await reader.read()

    vendor.does(wait)
    task = asyncio.create_task(adapter_of(operation.service).execute(operation))
    await arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_redirect_is_refused_and_the_key_does_not_travel(vendor, adapter_of, operation):
    vendor.says(307, b"", {"location": f"{vendor.url}/elsewhere"})
    with pytest.raises(errors.Rejected):
        await adapter_of(operation.service).execute(operation)
    assert len(vendor.requests) == 1


@pytest.mark.parametrize("service", ["openai", "llamaparse", "supabase"])
@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "schlüssel"])
async def test_an_unusable_key_is_said_before_anything_is_sent(vendor, adapter_of, service, key):
    adapter = adapter_of(service)
    object.__setattr__(adapter._endpoint, "key", key)
    assert not adapter.is_available()
    health = await adapter.get_health()
    assert (health.status, health.reason) == ("unconfigured", adapter.endpoint.problem)
    with pytest.raises(errors.Misconfigured):
        await adapter.execute(adapter._probe())
    assert vendor.connections == 0


@pytest.mark.parametrize("service", ["openai", "llamaparse", "supabase"])
async def test_an_address_without_a_scheme_is_said_before_anything_is_sent(adapter_of, service):
    adapter = adapter_of(service, base_url="api.cloud.eu.llamaindex.ai")
    assert "https://" in (await adapter.get_health()).reason


@pytest.mark.parametrize("service", ["openai", "llamaparse", "supabase"])
async def test_health_never_raises(vendor, http, adapter_of, service):
    adapter = adapter_of(service)
    for body in (b"", b"{}", b"[]", b"nonsense", b'{"data": 3, "items": 3}'):
        vendor.script = []
        vendor.says(200, body)
        assert (await adapter.get_health()).reason
    await http.aclose()
    assert (await adapter.get_health()).status == "unhealthy"


async def test_a_peer_that_stops_reading_does_not_hold_the_caller_for_ever(vendor):
    over = asyncio.Event()

    async def read_the_head_only(reader, _writer):
        await reader.readuntil(b"\r\n\r\n")
        await over.wait()

    vendor.accept = read_the_head_only
    async with create_client(read_timeout=0.05, connect_timeout=0.05) as http:
        with pytest.raises(httpx.WriteTimeout):
            await http.post(vendor.url, content=b"x" * 60_000_000)
    over.set()


async def test_a_body_that_is_sent_slowly_but_steadily_is_not_cut_off(vendor):
    async def pieces():
        for _ in range(100):  # longer in all than the 0.4 s for which nothing may happen
            await asyncio.sleep(0.005)
            yield b"x" * 1000

    vendor.says(200, b"thanks")
    async with create_client(read_timeout=0.1, connect_timeout=0.1) as http:
        assert (await http.post(vendor.url, content=pieces())).text == "thanks"
    assert len(vendor.requests[0].body) == 100_000


async def test_a_large_request_is_sent_piece_by_piece_and_whole(vendor, adapter_of):
    texts = tuple(f"{number} " + "grain " * 300 for number in range(1500))
    vendor.says(400, {"error": {"message": "enough", "code": None}})
    with pytest.raises(errors.Rejected):
        await adapter_of("openai").execute(Embed(texts, "text-embedding-3-small", 4, (200,) * 1500))
    (request,) = vendor.requests
    assert request.json()["input"] == list(texts)
    assert int(request.headers["content-length"]) == len(request.body) > 2_000_000
    assert "transfer-encoding" not in request.headers


async def test_a_full_pool_is_a_connection_that_was_not_made(vendor):
    arrived = asyncio.Event()

    async def stay_silent(_request, reader, _writer):
        arrived.set()
        await reader.read()

    vendor.does(stay_silent)
    async with create_client(max_connections=1, read_timeout=0.4, connect_timeout=5) as http:
        first = asyncio.create_task(http.get(vendor.url))
        await arrived.wait()
        with pytest.raises(httpx.ConnectTimeout):
            await http.get(vendor.url, timeout=httpx.Timeout(5, pool=0.02))
        assert len(vendor.requests) == 1
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


async def test_an_operation_of_another_service_is_a_mistake_of_the_caller(vendor, adapter_of):
    with pytest.raises(TypeError, match="openai does not know ListBuckets"):
        await adapter_of("openai").execute(ListBuckets())
    assert vendor.connections == 0


@pytest.fixture
def bounded(vendor):
    """OpenAI's adapter over a pool that takes 64 kB of an answer, and waits a moment for it."""

    @asynccontextmanager
    async def bounded(seconds: float = 60.0):
        async with create_client(answer_bytes=65_536, answer_seconds=seconds) as pool:
            yield OpenAI(Endpoint("openai", vendor.url, "sk-test"), pool)

    return bounded


async def test_an_answer_without_end_is_not_held_in_memory(vendor, bounded):
    vendor.says(200, b" " * 65_537)
    async with bounded() as openai:
        with pytest.raises(errors.InvalidResponse, match="more than 65,536 bytes"):
            await openai.execute(ListModels())


async def test_an_answer_that_inflates_is_not_held_in_memory_either(vendor, bounded):
    vendor.says(200, gzip.compress(b" " * 100_000_000), {"content-encoding": "gzip"})
    async with bounded() as openai:
        with pytest.raises(errors.InvalidResponse, match="more than 65,536 bytes"):
            await openai.execute(ListModels())


@pytest.mark.parametrize("coding", ["gzip, gzip", "gzip,gzip", "br", "ZSTD"])
async def test_codings_that_inflate_before_anybody_can_count_are_refused(vendor, bounded, coding):
    """A kilobyte that is gzip inside of gzip becomes a gigabyte in the first piece."""
    bomb = gzip.compress(gzip.compress(b" " * 10_000_000))
    vendor.says(200, bomb, {"content-encoding": coding})
    async with bounded() as openai:
        with pytest.raises(errors.InvalidResponse, match="coded as"):
            await openai.execute(ListModels())
    assert vendor.requests[0].headers["accept-encoding"] == "gzip, deflate"


async def test_a_long_error_is_told_by_its_status_and_the_rest_is_left(vendor, bounded):
    vendor.says(503, b" " * (8 << 20))
    async with bounded() as openai:
        with pytest.raises(errors.Unavailable, match="503"):
            await openai.execute(ListModels())


async def test_an_answer_that_drips_is_not_waited_for_for_ever(vendor, bounded):
    async def drips(_request, _reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.005)

    vendor.does(drips)
    async with bounded(seconds=0.05) as openai:
        with pytest.raises(errors.OutcomeUnknown, match="did not answer in time"):
            await openai.execute(ListModels())


async def test_no_cookie_is_kept(vendor, http):
    vendor.says(200, b"", {"set-cookie": "session=1; Path=/"})
    await http.get(vendor.url)
    await http.get(vendor.url)
    assert all("cookie" not in request.headers for request in vendor.requests)


async def test_connections_are_kept_and_shared_between_adapters(vendor, adapter_of):
    vendor.says(200, {"data": [], "items": []})
    await adapter_of("openai").execute(ListModels())
    await adapter_of("llamaparse").get_health()
    assert vendor.connections == 1


def test_aiohttp_still_names_its_errors_as_we_read_them():
    assert not issubclass(aiohttp.ServerDisconnectedError, aiohttp.ClientConnectorError)
    assert not issubclass(aiohttp.ClientConnectionResetError, aiohttp.ClientConnectorError)
    assert issubclass(aiohttp.ClientConnectorDNSError, aiohttp.ClientConnectorError)


@pytest.fixture(params=["llamaparse", "supabase"])
def large_upload(request, tmp_path):
    path = tmp_path / "large.pdf"
    path.write_bytes(b"x" * 20_000_000)
    if request.param == "llamaparse":
        return UploadFile(path, "large.pdf", "doc-1")
    return UploadObject("documents", "large.pdf", path, "application/pdf")


@pytest.mark.parametrize("closes", [True, False])
async def test_an_upload_that_is_refused_early_tells_the_refusal(
    vendor, adapter_of, large_upload, closes, caplog
):
    over = asyncio.Event()

    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n{}")
        await writer.drain()
        if closes:
            return
        await over.wait()

    vendor.accept = refuse
    # A connection closed on unread bytes is reset, and may lose the answer on its way.
    expected = (errors.Rejected, errors.OutcomeUnknown) if closes else errors.Rejected
    with pytest.raises(expected):
        await adapter_of(large_upload.service).execute(large_upload)
    over.set()
    await asyncio.sleep(0.01)
    assert caplog.records == [], "no task is left behind to complain"


async def test_an_upload_that_is_cancelled_leaves_nothing_behind(
    vendor, adapter_of, large_upload, caplog
):
    arrived, over = asyncio.Event(), asyncio.Event()

    async def stop_reading(reader, _writer):
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        await over.wait()

    vendor.accept = stop_reading
    task = asyncio.create_task(adapter_of(large_upload.service).execute(large_upload))
    await arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    over.set()
    await asyncio.sleep(0.01)
    assert caplog.records == []
