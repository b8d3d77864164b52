"""Downloads, whole and in part, as storage3 sees them."""

import hashlib

import httpx
from storage_calls import SERVICE, TEXT


async def test_an_object_comes_back_as_it_was_uploaded(docs):
    content = bytes(range(256)) * 5000  # larger than one piece
    made = await docs.upload("a/b c.bin", content, {"content-type": "application/octet-stream"})
    assert made.full_path == f"{docs.id}/a/b c.bin"
    assert await docs.download("a/b c.bin") == content
    info = await docs.info("a/b c.bin")
    assert info["size"] == len(content)
    assert info["etag"] == f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
    assert info["cache_control"] == "max-age=3600"
    assert await docs.exists("a/b c.bin")


async def test_ranges_conditions_and_head(docs, http: httpx.AsyncClient):
    await docs.upload("a.txt", b"hello, world", TEXT)
    path = f"/supabase/storage/v1/object/{docs.id}/a.txt"

    async def get(**headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await http.get(path, headers={**SERVICE, **named})

    part = await get(range="bytes=0-4")
    assert (part.status_code, part.content) == (206, b"hello")
    assert part.headers["content-range"] == "bytes 0-4/12"
    assert (await get(range="bytes=-5")).content == b"world"
    assert (await get(range="bytes=7-")).content == b"world"
    bad = await get(range="bytes=999-1000")
    assert (bad.status_code, bad.json()["error"]) == (416, "invalid_range")
    whole = await get()
    assert whole.headers["content-length"] == "12"
    assert (await get(if_none_match=whole.headers["etag"])).status_code == 304
    head = await http.head(path, headers=SERVICE)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "12", b"")
    missing = await http.head(path + "x", headers=SERVICE)
    assert (missing.status_code, missing.content) == (400, b"")


async def test_stored_and_sent_bytes_are_counted(docs, control: httpx.AsyncClient):
    await docs.upload("a.txt", b"12345", TEXT)
    await docs.download("a.txt")
    await docs.download("a.txt")
    billed = (await control.get("/billed")).json()["supabase"]
    assert billed == {"objects": 1, "stored_bytes": 5, "egress_bytes": 10}
