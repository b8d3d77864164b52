"""Buckets, as storage3 sees them."""

import httpx
import pytest
from storage3 import AsyncStorageClient
from storage3.exceptions import StorageApiError
from storage_calls import SERVICE, TEXT, seen


async def test_buckets_are_created_once_listed_and_found(storage: AsyncStorageClient):
    options = {"public": True, "file_size_limit": "1KB", "allowed_mime_types": ["text/*"]}
    await storage.create_bucket("open", options=options)
    await storage.create_bucket("closed")
    found = await storage.get_bucket("open")
    assert (found.public, found.file_size_limit) == (True, 1000)
    assert found.allowed_mime_types == ["text/*"]
    assert [bucket.id for bucket in await storage.list_buckets()] == ["closed", "open"]
    with pytest.raises(StorageApiError) as error:
        await storage.create_bucket("open")
    assert seen(error) == ("409", "Duplicate")
    with pytest.raises(StorageApiError) as error:
        await storage.create_bucket("a/b")
    assert seen(error) == ("400", "Invalid Input")
    with pytest.raises(StorageApiError) as error:
        await storage.get_bucket("nope")
    assert seen(error) == ("404", "Bucket not found")


async def test_a_bucket_with_objects_cannot_be_deleted(storage: AsyncStorageClient, docs):
    await docs.upload("a.txt", b"x", TEXT)
    with pytest.raises(StorageApiError) as error:
        await storage.delete_bucket(docs.id)
    assert seen(error) == ("409", "ResourceNotEmpty")
    await docs.remove(["a.txt"])
    await storage.delete_bucket(docs.id)
    assert await storage.list_buckets() == []


async def test_buckets_are_changed_searched_and_sorted(storage, http: httpx.AsyncClient):
    for name in ("Rye", "wheat", "oats"):
        await storage.create_bucket(name)
    await storage.update_bucket("oats", {"public": True, "allowed_mime_types": ["text/plain"]})
    assert (await storage.get_bucket("oats")).allowed_mime_types == ["text/plain"]
    query = {"search": "E", "sortColumn": "name", "sortOrder": "desc", "limit": "5"}
    found = await http.get("/supabase/bucket", params=query, headers=SERVICE)
    assert [bucket["id"] for bucket in found.json()] == ["wheat", "Rye"]
    bad = await http.get("/supabase/bucket", params={"limit": "0"}, headers=SERVICE)
    assert bad.json()["message"] == "querystring/limit must be >= 1"
    empty = await http.put("/supabase/bucket/oats", json={}, headers=SERVICE)
    assert empty.json()["message"].endswith("body must match a schema in anyOf")
    for limits, status in (
        ({"file_size_limit": "501MiB"}, "400"),
        ({"file_size_limit": "9GB"}, "413"),
    ):
        made = await http.post("/supabase/bucket", json={"name": "x", **limits}, headers=SERVICE)
        assert made.json()["statusCode"] == status
    odd = {"name": "x", "allowed_mime_types": ["no mime"]}
    assert (await http.post("/supabase/bucket", json=odd, headers=SERVICE)).json()["code"] == (
        "InvalidMimeType"
    )
