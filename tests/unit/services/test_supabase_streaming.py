"""Files go to Supabase Storage and come back piece by piece: memory stays flat, the loop free."""

import asyncio
import threading
import tracemalloc

import pytest

from gristmill.services.http import create_client
from gristmill.services.supabase import DownloadObject, UploadObject
from gristmill.services.supabase_client import _FromDisk

SIZE = 48 << 20
LITTLE = 8 << 20
PIECE = b"grain of " * 7282  # about 64 KiB


@pytest.fixture
async def http():
    async with create_client() as client:
        yield client


@pytest.fixture
async def peak(supabase):
    """The most bytes that were held since the test began."""
    await supabase._loaded()  # what imports take is another matter
    tracemalloc.start(1)
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


async def swallow(reader, writer):
    """Reads a request without keeping it, and answers an upload."""
    head = await reader.readuntil(b"\r\n\r\n")
    left = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while left:
        left -= len(await reader.read(min(left, 1 << 16)))
    body = b'{"Key": "b/k", "Id": "1"}'
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()


async def test_an_upload_holds_a_few_pieces_at_a_time(vendor, supabase, tmp_path, peak):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(SIZE)
    vendor.accept = swallow
    assert (await supabase.execute(UploadObject("b", "k", path, "text/plain"))).value.id == "1"
    assert peak() < LITTLE


async def test_a_download_holds_a_few_pieces_at_a_time(vendor, supabase, tmp_path, peak):
    async def pour(_request, _reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (len(PIECE) * 700))
        for _ in range(700):
            writer.write(PIECE)
            await writer.drain()

    vendor.does(pour)
    result = await supabase.execute(DownloadObject("b", "k", tmp_path / "large"))
    assert result.value == (tmp_path / "large").stat().st_size == len(PIECE) * 700
    assert peak() < LITTLE


async def test_a_file_is_read_in_a_thread_and_in_order():
    class Form:
        threads: set[int] = set()  # noqa: RUF012 — one form only

        def __iter__(self):
            for number in range(40):
                self.threads.add(threading.get_ident())
                yield bytes([number]) * 10

    pieces = [piece async for piece in _FromDisk(Form())]
    assert b"".join(pieces) == b"".join(bytes([number]) * 10 for number in range(40))
    assert threading.get_ident() not in Form.threads


async def test_a_disk_that_fails_in_the_middle_fails_the_upload_and_nothing_hangs():
    def form():
        yield b"x" * 10
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        async with asyncio.timeout(5):
            [piece async for piece in _FromDisk(form())]
