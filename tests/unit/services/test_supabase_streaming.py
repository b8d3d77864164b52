"""Files go to Supabase Storage and come back piece by piece: memory stays flat, the loop free."""

import asyncio
import errno
import gzip
import threading
import tracemalloc

import pytest

from gristmill import errors
from gristmill.services.http import create_client
from gristmill.services.supabase import DownloadObject, UploadObject
from gristmill.services.supabase import client as supabase_client
from gristmill.services.supabase.client import _FromDisk

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
        writer.transport.set_write_buffer_limits(0)  # draining leaves nothing behind
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (len(PIECE) * 700))
        for _ in range(700):
            writer.write(PIECE)
            await writer.drain()

    vendor.does(pour)
    result = await supabase.execute(DownloadObject("b", "k", tmp_path / "large"))
    assert result.value == (tmp_path / "large").stat().st_size == len(PIECE) * 700
    assert peak() < LITTLE


@pytest.mark.parametrize("number", [40, 50_000])
async def test_a_file_is_read_in_order_and_a_large_one_in_a_thread(number):
    threads = set()

    def form():
        for count in range(number):
            threads.add(threading.get_ident())
            yield count.to_bytes(4) * 10

    sent = b"".join([piece async for piece in _FromDisk(form(), number * 40)])
    assert sent == b"".join(count.to_bytes(4) * 10 for count in range(number))
    assert (threading.get_ident() in threads) == (number == 40)


@pytest.mark.parametrize("change", [-1, 1, -15_000_000, 5_000_000])
async def test_a_file_that_changes_its_size_while_it_is_sent_is_not_stored(
    vendor, supabase, tmp_path, change
):
    path, received = tmp_path / "large", []
    path.write_bytes(b"x" * 20_000_000)

    async def change_it(reader, _writer):
        head = await reader.readuntil(b"\r\n\r\n")
        with path.open("r+b") as file:
            file.truncate(20_000_000 + change)
        received.append(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        while piece := await reader.read(1 << 20):
            received[0] -= len(piece)

    vendor.accept = change_it
    with pytest.raises(errors.UnreadableSource, match="changed its size"):
        await supabase.execute(UploadObject("b", "k", path, "text/plain"))
    await asyncio.sleep(0.01)
    assert received[0] > 0, "the server never has a whole object"


async def test_a_disk_that_fails_in_the_middle_is_named(vendor, supabase, tmp_path, monkeypatch):
    path = tmp_path / "large"
    path.write_bytes(b"x" * 3_000_000)

    def broken(chunks):
        next(chunks)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(supabase_client, "_joined", broken)
    vendor.accept = swallow
    with pytest.raises(errors.UnreadableSource, match="Input/output error"):
        await supabase.execute(UploadObject("b", "k", path, "text/plain"))


def endless(status):
    """An answer that never ends."""

    async def pour(_request, _reader, writer):
        writer.transport.set_write_buffer_limits(0)
        writer.write(b"HTTP/1.1 %d X\r\nconnection: close\r\n\r\n" % status)
        while not writer.is_closing():
            writer.write(PIECE)
            await writer.drain()

    return pour


async def test_no_more_of_an_object_is_fetched_than_was_asked_for(vendor, supabase, tmp_path):
    """Whoever may write to the bucket would fill the disk."""
    vendor.does(endless(200))
    with pytest.raises(errors.TooLarge, match="more than the 1,000,000 bytes"):
        await supabase.execute(DownloadObject("b", "k", tmp_path / "large", most=1_000_000))
    assert list(tmp_path.iterdir()) == []


async def test_bytes_are_counted_as_they_are_written_not_as_they_travel(vendor, supabase, tmp_path):
    vendor.says(200, gzip.compress(bytes(8 << 20)), {"content-encoding": "gzip"})
    with pytest.raises(errors.TooLarge):
        await supabase.execute(DownloadObject("b", "k", tmp_path / "large", most=1_000_000))


async def test_an_object_of_just_the_size_that_was_asked_for_is_taken(vendor, supabase, tmp_path):
    vendor.says(200, b"grain" * 1000)
    result = await supabase.execute(DownloadObject("b", "k", tmp_path / "file", most=5000))
    assert result.value == (tmp_path / "file").stat().st_size == 5000


async def test_an_error_without_end_is_not_held_in_memory(vendor, supabase, tmp_path, peak):
    vendor.does(endless(503))
    with pytest.raises(errors.Unavailable, match="503"):
        await supabase.execute(DownloadObject("b", "k", tmp_path / "large"))
    assert peak() < LITTLE
