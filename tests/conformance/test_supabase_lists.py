"""Lists of objects, as storage3 sees them."""

from storage3 import AsyncStorageClient
from storage_calls import TEXT


async def test_lists_show_one_level_folders_and_files_by_lower_cased_name(docs):
    for key in ("a.txt", "B.txt", "c_1.txt", "sub/x.txt", "sub/deep/y.txt", "zed/z.txt"):
        await docs.upload(key, b"x", TEXT)
    top = await docs.list()
    assert [entry["name"] for entry in top] == ["a.txt", "B.txt", "c_1.txt", "sub", "zed"]
    assert top[3]["id"] is None
    assert top[0]["metadata"]["size"] == 1
    assert [entry["name"] for entry in await docs.list("sub")] == ["deep", "x.txt"]
    assert [entry["name"] for entry in await docs.list("", {"search": "b"})] == ["B.txt"]
    options = {"limit": 2, "offset": 1, "sortBy": {"column": "name", "order": "desc"}}
    assert [entry["name"] for entry in await docs.list("", options)] == ["sub", "c_1.txt"]


async def test_lists_of_a_missing_bucket_are_empty(storage: AsyncStorageClient):
    assert await storage.from_("nope").list() == []


async def test_files_sort_by_time_after_the_folders(docs, clock):
    for key in ("b.txt", "sub/x.txt", "a.txt"):
        await docs.upload(key, b"x", TEXT)
        clock.advance(5)
    options = {"sortBy": {"column": "created_at", "order": "desc"}}
    assert [entry["name"] for entry in await docs.list("", options)] == ["sub", "a.txt", "b.txt"]
    assert [entry["name"] for entry in await docs.list("", {"search": "sub/x"})] == ["sub/x.txt"]
