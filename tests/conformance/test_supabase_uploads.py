"""Uploads, raw and multipart, as storage3 sees them."""

import httpx
import pytest
from storage3 import AsyncStorageClient
from storage3.exceptions import StorageApiError
from storage_calls import SERVICE, TEXT, seen


async def test_a_second_upload_is_a_duplicate_unless_it_says_upsert(docs):
    await docs.upload("a.txt", b"one", TEXT)
    first = await docs.info("a.txt")
    with pytest.raises(StorageApiError) as error:
        await docs.upload("a.txt", b"two", TEXT)
    assert seen(error) == ("409", "Duplicate")
    await docs.upload("a.txt", b"three", {**TEXT, "upsert": "true"})
    second = await docs.info("a.txt")
    assert await docs.download("a.txt") == b"three"
    assert first["id"] == second["id"]
    assert first["version"] != second["version"]


async def test_update_creates_what_is_absent_and_user_metadata_is_kept(docs):
    await docs.update("new.txt", b"x", {**TEXT, "metadata": {"doc": "D-17"}})
    assert (await docs.info("new.txt"))["metadata"] == {"doc": "D-17"}
    await docs.update("new.txt", b"y", TEXT)
    assert (await docs.info("new.txt"))["metadata"] == {}


@pytest.mark.parametrize("key", ["été.txt", "a#b", "a%25b", "[x]"])
async def test_keys_outside_the_allowed_set_are_refused(docs, key):
    with pytest.raises(StorageApiError) as error:
        await docs.upload(key, b"x", TEXT)
    assert seen(error) == ("400", "InvalidKey")


async def test_limits_of_the_bucket_are_kept(storage: AsyncStorageClient):
    options = {"file_size_limit": 10, "allowed_mime_types": ["text/plain", "image/*"]}
    await storage.create_bucket("small", options=options)
    small = storage.from_("small")
    await small.upload("a.txt", b"0123456789", TEXT)
    with pytest.raises(StorageApiError) as error:
        await small.upload("b.txt", b"0123456789a", TEXT)
    assert seen(error) == ("413", "Payload too large")
    with pytest.raises(StorageApiError) as error:
        await small.upload("c.pdf", b"x", {"content-type": "application/pdf"})
    assert seen(error) == ("415", "invalid_mime_type")
    await small.upload("d.png", b"x", {"content-type": "image/png"})
    assert [entry["name"] for entry in await small.list()] == ["a.txt", "d.png"]


async def test_a_raw_upload_keeps_its_headers(docs, http: httpx.AsyncClient):
    async def chunks():
        yield b"hello "
        yield b"world"

    headers = {**SERVICE, "content-type": "text/csv", "cache-control": "max-age=9"}
    made = await http.post(f"/supabase/object/{docs.id}/raw.csv", content=chunks(), headers=headers)
    assert made.json()["Key"] == f"{docs.id}/raw.csv"
    got = await http.get(f"/supabase/object/{docs.id}/raw.csv", headers=SERVICE)
    assert got.content == b"hello world"
    assert got.headers["content-type"] == "text/csv"
    assert got.headers["cache-control"] == "max-age=9"


async def test_user_metadata_comes_by_header_for_raw_bodies(docs, http: httpx.AsyncClient):
    encoded = {"x-metadata": "eyJkb2MiOiAiRC0xNyJ9"}
    await http.post(f"/supabase/object/{docs.id}/a", content=b"x", headers={**SERVICE, **encoded})
    assert (await docs.info("a"))["metadata"] == {"doc": "D-17"}
    broken = {"x-metadata": "%%", "x-upsert": "true"}
    await http.post(f"/supabase/object/{docs.id}/a", content=b"x", headers={**SERVICE, **broken})
    assert (await docs.info("a"))["metadata"] == {}
