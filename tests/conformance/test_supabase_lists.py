"""Lists of objects, the old and the new one, as storage3 sees them."""

from base64 import b64decode, b64encode

import httpx
import pytest
from storage3 import AsyncStorageClient
from storage_calls import SERVICE, TEXT, refusal


async def fill(bucket, *keys: str) -> None:
    for key in keys:
        await bucket.upload(key, b"x", TEXT)


def names(entries) -> list[str]:
    return [entry["name"] for entry in entries]


async def test_a_list_is_one_level_with_folders_and_files_by_lower_cased_name(docs):
    keys = ("a.txt", "B.txt", "c_1.txt", "sub/x.txt", "sub/deep/y.txt", "zed/z.txt")
    await fill(docs, *keys)
    top = await docs.list()
    assert names(top) == ["a.txt", "B.txt", "c_1.txt", "sub", "zed"]
    assert names(await docs.list("sub")) == ["deep", "x.txt"]
    assert names(await docs.list("sub/")) == ["deep", "x.txt"]
    assert names(await docs.list("su")) == []


async def test_a_folder_has_a_name_and_nothing_else(docs):
    await fill(docs, "sub/x.txt")
    assert await docs.list() == [
        {
            "name": "sub",
            "id": None,
            "updated_at": None,
            "created_at": None,
            "last_accessed_at": None,
            "metadata": None,
        }
    ]


async def test_a_listed_file_shows_its_size_and_type(docs):
    await fill(docs, "a.txt")
    (entry,) = await docs.list()
    assert entry["metadata"]["size"] == entry["metadata"]["contentLength"] == 1
    assert entry["metadata"]["mimetype"] == "text/plain"
    assert entry["metadata"]["cacheControl"] == "max-age=3600"
    assert entry["metadata"]["httpStatusCode"] == 200
    assert entry["metadata"]["eTag"].strip('"')
    assert entry["id"] == (await docs.info("a.txt"))["id"]


async def test_a_list_is_paged_by_limit_and_offset(docs):
    await fill(docs, "a.txt", "b/1.txt", "b/2.txt", "c.txt", "d.txt")
    pages = [names(await docs.list("", {"limit": 2, "offset": at})) for at in (0, 2, 4)]
    assert pages == [["a.txt", "b"], ["c.txt", "d.txt"], []]


async def test_a_list_is_turned_round(docs):
    await fill(docs, "a.txt", "b.txt", "c/1.txt", "c/2.txt", "d/1.txt")
    options = {"limit": 3, "sortBy": {"column": "name", "order": "desc"}}
    assert names(await docs.list("", options)) == ["d", "c", "b.txt"]


async def test_turned_round_a_list_loses_the_last_key_of_a_folder_that_follows_a_file(docs):
    """So a folder of one is never seen. Ascending the same list has it."""
    await fill(docs, "a.txt", "b/1.txt", "c.txt")
    downwards = {"sortBy": {"column": "name", "order": "desc"}}
    assert names(await docs.list()) == ["a.txt", "b", "c.txt"]
    assert names(await docs.list("", downwards)) == ["c.txt", "a.txt"]
    page = await docs.list_v2({"with_delimiter": True, **downwards})
    assert page.folders == []


async def test_the_folder_of_a_list_is_found_in_any_case(docs):
    await fill(docs, "Sub/x.txt")
    assert names(await docs.list("sUB")) == ["x.txt"]


async def test_folders_that_differ_only_in_case_are_listed_as_one(docs):
    await fill(docs, "Sub/a.txt", "sub/b.txt")
    assert names(await docs.list()) == ["Sub"]
    assert names(await docs.list("sub")) == ["a.txt", "b.txt"]


async def test_a_search_is_for_the_beginning_of_a_name_in_any_case(docs):
    await fill(docs, "a.txt", "B.txt", "sub/b.txt")
    assert names(await docs.list("", {"search": "b"})) == ["B.txt"]
    assert names(await docs.list("", {"search": "S"})) == ["sub"]
    assert names(await docs.list("", {"search": "txt"})) == []
    assert names(await docs.list("sub", {"search": "B"})) == ["b.txt"]


async def test_a_search_with_a_slash_goes_down(docs):
    await fill(docs, "sub/x.txt", "sub/deep/y.txt")
    assert names(await docs.list("", {"search": "sub/"})) == ["sub/deep", "sub/x.txt"]


async def test_sorted_by_time_a_list_has_its_folders_first(docs, clock):
    for key in ("b.txt", "sub/x.txt", "a.txt", "dub/x.txt"):
        await fill(docs, key)
        clock.advance(5)
    newest = {"sortBy": {"column": "created_at", "order": "desc"}}
    assert names(await docs.list("", newest)) == ["sub", "dub", "a.txt", "b.txt"]
    await docs.update("b.txt", b"y", TEXT)
    touched = {"sortBy": {"column": "updated_at", "order": "asc"}}
    assert names(await docs.list("", touched)) == ["dub", "sub", "a.txt", "b.txt"]


async def test_lists_of_a_missing_bucket_are_empty(storage: AsyncStorageClient):
    nowhere = storage.from_("no-such-bucket-anywhere")
    assert await nowhere.list() == []
    page = await nowhere.list_v2()
    assert (page.objects, page.folders, page.hasNext) == ([], [], False)


async def test_a_key_with_two_slashes_lists_as_a_folder_without_a_name(docs, http):
    await http.post(f"/supabase/object/{docs.id}/dir//x", content=b"x", headers=SERVICE)
    assert names(await docs.list("dir")) == [""]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "body must have required property 'prefix'"),
        ({"prefix": {}}, "body/prefix must be string"),
        ({"prefix": "", "limit": 0}, "body/limit must be >= 1"),
        ({"prefix": "", "limit": "x"}, "body/limit must be integer"),
        ({"prefix": "", "offset": -1}, "body/offset must be >= 0"),
        ({"prefix": "", "sortBy": "name"}, "body/sortBy must be object"),
        ({"prefix": "", "sortBy": {}}, "body/sortBy must have required property 'column'"),
        (
            {"prefix": "", "sortBy": {"column": "size"}},
            "body/sortBy/column must be equal to one of the allowed values",
        ),
        (
            {"prefix": "", "sortBy": {"column": "name", "order": "up"}},
            "body/sortBy/order must be equal to one of the allowed values",
        ),
    ],
)
async def test_what_is_asked_of_a_list_is_checked(http: httpx.AsyncClient, body, message):
    answer = await http.post("/supabase/object/list/docs", json=body, headers=SERVICE)
    assert answer.json() == {
        "statusCode": "400",
        "error": "Error",
        "message": message,
        "code": "InvalidRequest",
    }


async def test_numbers_may_be_strings_and_unknown_fields_are_ignored(docs, http):
    await fill(docs, "1.txt", "2.txt", "3.txt")
    body = {"prefix": "", "limit": "2", "offset": "1", "colour": "blue"}
    answer = await http.post(f"/supabase/object/list/{docs.id}", json=body, headers=SERVICE)
    assert names(answer.json()) == ["2.txt", "3.txt"]


async def test_the_new_list_is_flat_and_in_byte_order(docs):
    await fill(docs, "a.txt", "B.txt", "sub/x.txt", "sub/deep/y.txt")
    page = await docs.list_v2()
    assert [entry.name for entry in page.objects] == [
        "B.txt",
        "a.txt",
        "sub/deep/y.txt",
        "sub/x.txt",
    ]
    assert (page.folders, page.hasNext, page.nextCursor) == ([], False, None)
    assert page.objects[0].metadata["size"] == 1


async def test_the_new_list_is_read_page_by_page_with_its_cursor(docs):
    keys = [f"{n}.txt" for n in range(5)]
    await fill(docs, *keys)
    found, cursor = [], {}
    for more in (True, True, False):
        page = await docs.list_v2({"limit": 2, **cursor})
        found += [entry.name for entry in page.objects]
        assert page.hasNext is more
        cursor = {"cursor": page.nextCursor}
    assert found == keys


async def test_the_prefix_of_the_new_list_is_any_beginning_of_a_key_in_its_case(docs):
    await fill(docs, "sub/x.txt", "subway.txt", "Sub/y.txt")
    page = await docs.list_v2({"prefix": "sub"})
    assert [entry.name for entry in page.objects] == ["sub/x.txt", "subway.txt"]


async def test_with_a_delimiter_the_new_list_gathers_folders(docs):
    await fill(docs, "dir/a.txt", "dir/sub/x.txt", "dir/sub/y.txt", "dir/zed/z.txt")
    page = await docs.list_v2({"prefix": "dir/", "with_delimiter": True})
    assert [(folder.key, folder.name) for folder in page.folders] == [
        ("sub", "dir/sub/"),
        ("zed", "dir/zed/"),
    ]
    assert [(entry.key, entry.name) for entry in page.objects] == [("a.txt", "dir/a.txt")]


async def test_folders_count_in_the_pages_of_the_new_list(docs):
    await fill(docs, "a.txt", "b/1.txt", "b/2.txt", "c.txt", "d/1.txt")
    seen, cursor = [], {}
    for _ in range(4):
        page = await docs.list_v2({"limit": 1, "with_delimiter": True, **cursor})
        seen += [entry.name for entry in (*page.folders, *page.objects)]
        cursor = {"cursor": page.nextCursor} if page.hasNext else {}
    assert seen == ["a.txt", "b/", "c.txt", "d/"]
    assert not cursor


async def test_the_new_list_keeps_its_order_from_page_to_page(docs):
    await fill(docs, "a.txt", "b.txt", "c.txt")
    sort = {"sortBy": {"column": "name", "order": "desc"}}
    first = await docs.list_v2({"limit": 2, **sort})
    second = await docs.list_v2({"limit": 2, "cursor": first.nextCursor})
    assert [entry.name for entry in (*first.objects, *second.objects)] == [
        "c.txt",
        "b.txt",
        "a.txt",
    ]


@pytest.mark.parametrize("delimited", [False, True])
async def test_the_new_list_pages_by_time(docs, clock, delimited):
    for key in ("c.txt", "a.txt", "sub/b.txt", "d.txt"):
        await fill(docs, key)
        clock.advance(5)
    ask = {"limit": 2, "with_delimiter": delimited, "sortBy": {"column": "created_at"}}
    first = await docs.list_v2(ask)
    second = await docs.list_v2({**ask, "cursor": first.nextCursor})
    assert [entry.name for entry in first.objects] == ["c.txt", "a.txt"]
    assert {entry.name for entry in (*second.folders, *second.objects)} == {
        "sub/" if delimited else "sub/b.txt",
        "d.txt",
    }


async def test_a_cursor_says_where_the_page_ended_and_how_it_was_sorted(docs, http):
    await fill(docs, "a.txt", "b.txt")
    path = f"/supabase/object/list-v2/{docs.id}"
    body = {"limit": 1, "sortBy": {"column": "name", "order": "asc"}}
    answer = (await http.post(path, json=body, headers=SERVICE)).json()
    assert b64decode(answer["nextCursor"]) == b"l:a.txt\no:asc\nc:name"
    assert answer["nextCursorKey"] == "a.txt"
    body["cursor"] = answer["nextCursor"]
    last = (await http.post(path, json=body, headers=SERVICE)).json()
    assert last.keys() == {"hasNext", "folders", "objects"}


@pytest.mark.parametrize("cursor", ["junk", b64encode(b"x:1").decode()])
async def test_a_made_up_cursor_is_refused(docs, cursor):
    assert await refusal(docs.list_v2({"cursor": cursor})) == ("400", "InvalidParameter")


async def test_next_to_an_object_the_delimited_list_skips_its_namesakes_at_a_page_break(docs):
    """The server goes on behind `a/`: what sorts between `a` and `a/` is on neither page."""
    await fill(docs, "a", "a.txt", "b")
    first = await docs.list_v2({"limit": 1, "with_delimiter": True})
    ask = {"limit": 1, "with_delimiter": True, "cursor": first.nextCursor}
    second = await docs.list_v2(ask)
    assert [entry.name for entry in second.objects] == ["b"]
