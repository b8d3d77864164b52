"""Copying, moving, describing and deleting objects, as storage3 sees them."""

import httpx
import pytest
from storage3.exceptions import StorageApiError
from storage_calls import SERVICE, TEXT, seen


async def test_removing_answers_only_what_was_there(docs, http: httpx.AsyncClient):
    await docs.upload("a.txt", b"x", TEXT)
    removed = await docs.remove(["a.txt", "b.txt"])
    assert [row["name"] for row in removed] == ["a.txt"]
    with pytest.raises(StorageApiError) as error:
        await docs.download("a.txt")
    assert seen(error) == ("404", "not_found")
    again = await http.delete(f"/supabase/object/{docs.id}/a.txt", headers=SERVICE)
    assert (again.status_code, again.json()["statusCode"]) == (400, "404")


async def test_objects_are_moved_and_copied(docs):
    await docs.upload("a.txt", b"x", TEXT)
    await docs.copy("a.txt", "b.txt")
    await docs.move("a.txt", "c.txt")
    assert [entry["name"] for entry in await docs.list()] == ["b.txt", "c.txt"]
    assert await docs.download("c.txt") == b"x"
    with pytest.raises(StorageApiError) as error:
        await docs.move("a.txt", "d.txt")
    assert seen(error) == ("404", "not_found")
    with pytest.raises(StorageApiError) as error:
        await docs.move("b.txt", "c.txt")
    assert seen(error) == ("409", "Duplicate")


@pytest.mark.parametrize(
    ("method", "path", "body", "message"),
    [
        ("POST", "bucket", {}, "body must have required property 'name'"),
        ("POST", "object/list/docs", {}, "body must have required property 'prefix'"),
        (
            "POST",
            "object/list/docs",
            {"prefix": "", "sortBy": {"column": "size"}},
            "body/sortBy/column must be equal to one of the allowed values",
        ),
        ("POST", "object/sign/docs/a", {"expiresIn": 0}, "body/expiresIn must be >= 1"),
        ("POST", "object/sign/docs/a", {"expiresIn": "abc"}, "body/expiresIn must be integer"),
        (
            "DELETE",
            "object/docs",
            {"prefixes": []},
            "body/prefixes must NOT have fewer than 1 items",
        ),
    ],
)
async def test_schema_errors_name_the_property(http, method, path, body, message):
    answer = await http.request(method, f"/supabase/{path}", json=body, headers=SERVICE)
    assert answer.status_code == 400
    assert answer.json() == {
        "statusCode": "400",
        "error": "Error",
        "message": message,
        "code": "InvalidRequest",
    }


@pytest.mark.parametrize(
    ("content", "headers", "message"),
    [
        (b"{", {}, "Body is not valid JSON but content-type is set to 'application/json'"),
        (b"[]", {}, "body must be object"),
        (b" " * (1024 * 1024 + 1), {}, "Request body is too large"),
        (b"--x\r\n", {"content-type": "multipart/form-data; boundary=x"}, "No content provided"),
    ],
)
async def test_bodies_that_cannot_be_read_say_so(docs, http, content, headers, message):
    path = f"/supabase/object/{docs.id}/a" if headers else "/supabase/object/list/docs"
    headers = {"content-type": "application/json", **headers}
    answer = await http.post(path, content=content, headers={**SERVICE, **headers})
    assert answer.json()["message"] == message
    assert await docs.list() == []
