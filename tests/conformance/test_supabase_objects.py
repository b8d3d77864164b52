"""Copying, moving, describing and deleting objects, as storage3 sees them."""

import hashlib
import uuid

import httpx
import pytest
from storage3 import AsyncStorageClient
from storage_calls import SERVICE, TEXT, refusal

JSON = {"content-type": "application/json"}


async def transfer(http: httpx.AsyncClient, how: str, docs, headers=None, **fields):
    """What the SDK has no arguments for."""
    body = {"bucketId": docs.id, "sourceKey": "a.txt", "destinationKey": "b.txt", **fields}
    headers = {**SERVICE, **(headers or {})}
    return (await http.post(f"/supabase/object/{how}", json=body, headers=headers)).json()


async def test_info_describes_an_object(docs):
    await docs.upload("dir/a.txt", b"hello", {**TEXT, "metadata": {"doc": "D-17"}})
    info = await docs.info("dir/a.txt")
    assert (info["name"], info["bucket_id"], info["size"]) == ("dir/a.txt", docs.id, 5)
    assert (info["content_type"], info["cache_control"]) == ("text/plain", "max-age=3600")
    assert info["metadata"] == {"doc": "D-17"}
    assert uuid.UUID(info["id"]) != uuid.UUID(info["version"])
    assert info["created_at"].endswith("Z")
    assert "last_modified" in info


async def test_info_has_an_etag_that_is_the_quoted_md5(docs, http):
    del http  # with another backend it may be something else
    await docs.upload("a.txt", b"hello", TEXT)
    md5 = hashlib.md5(b"hello", usedforsecurity=False).hexdigest()
    assert (await docs.info("a.txt"))["etag"] == f'"{md5}"'


async def test_an_object_exists_or_not(docs):
    await docs.upload("a.txt", b"x", TEXT)
    assert await docs.exists("a.txt") is True
    assert await docs.exists("b.txt") is False
    assert await refusal(docs.info("b.txt")) == ("404", "not_found")


async def test_to_ask_in_a_missing_bucket_is_an_error_not_a_no(storage: AsyncStorageClient):
    nowhere = storage.from_("no-such-bucket-anywhere")
    assert await refusal(nowhere.exists("a.txt")) == ("404", "Bucket not found")
    assert await refusal(nowhere.download("a.txt")) == ("404", "Bucket not found")


async def test_a_key_that_could_not_be_is_invalid_to_read_too(docs):
    assert await refusal(docs.info("été.txt")) == ("400", "InvalidKey")
    assert await refusal(docs.download("")) == ("400", "InvalidKey")


async def test_a_moved_object_keeps_its_id_and_gets_a_new_version(docs):
    await docs.upload("a.txt", b"x", {**TEXT, "metadata": {"doc": "D-17"}})
    before = await docs.info("a.txt")
    assert await docs.move("a.txt", "dir/b.txt") == {"message": "Successfully moved"}
    after = await docs.info("dir/b.txt")
    assert (after["id"], after["metadata"]) == (before["id"], {"doc": "D-17"})
    assert after["version"] != before["version"]
    assert after["created_at"] == before["created_at"]
    assert not await docs.exists("a.txt")
    assert await docs.download("dir/b.txt") == b"x"


async def test_an_object_moved_onto_itself_stays(docs):
    await docs.upload("a.txt", b"x", TEXT)
    await docs.move("a.txt", "a.txt")
    assert await docs.download("a.txt") == b"x"


async def test_a_copied_object_is_another_with_the_same_metadata(docs):
    await docs.upload("a.txt", b"x", {"content-type": "text/csv", "metadata": {"doc": "D-17"}})
    answer = await docs.copy("a.txt", "b.txt")
    assert answer["Key"] == f"{docs.id}/b.txt"
    source, copy = await docs.info("a.txt"), await docs.info("b.txt")
    assert answer["Id"] == answer["id"] == copy["id"] != source["id"]
    assert (copy["content_type"], copy["metadata"]) == ("text/csv", {"doc": "D-17"})
    assert await docs.download("a.txt") == await docs.download("b.txt") == b"x"


async def test_a_copy_outlives_its_source(docs):
    await docs.upload("a.txt", b"x", TEXT)
    await docs.copy("a.txt", "b.txt")
    await docs.remove(["a.txt"])
    assert await docs.download("b.txt") == b"x"


async def test_a_missing_source_is_neither_moved_nor_copied(docs):
    assert await refusal(docs.move("a.txt", "b.txt")) == ("404", "not_found")
    assert await refusal(docs.copy("a.txt", "b.txt")) == ("404", "not_found")


async def test_nothing_is_moved_or_copied_onto_what_exists(docs):
    await docs.upload("a.txt", b"one", TEXT)
    await docs.upload("b.txt", b"two", TEXT)
    assert await refusal(docs.move("a.txt", "b.txt")) == ("409", "Duplicate")
    assert await refusal(docs.copy("a.txt", "b.txt")) == ("409", "Duplicate")
    assert await docs.download("b.txt") == b"two"


async def test_the_two_duplicates_differ_in_their_code(docs, http):
    await docs.upload("a.txt", b"one", TEXT)
    await docs.upload("b.txt", b"two", TEXT)
    assert (await transfer(http, "move", docs))["code"] == "ResourceAlreadyExists"
    assert (await transfer(http, "copy", docs))["code"] == "KeyAlreadyExists"


async def test_a_target_must_be_a_legal_key(docs):
    await docs.upload("a.txt", b"x", TEXT)
    assert await refusal(docs.move("a.txt", "é.txt")) == ("400", "InvalidKey")
    assert await refusal(docs.copy("a.txt", "b#.txt")) == ("400", "InvalidKey")


async def test_with_upsert_a_copy_replaces_what_exists_and_keeps_its_id(docs, http):
    await docs.upload("a.txt", b"one", TEXT)
    await docs.upload("b.txt", b"two", TEXT)
    before = await docs.info("b.txt")
    inexact = await transfer(http, "copy", docs, {"x-upsert": "True"})
    assert inexact["code"] == "KeyAlreadyExists"
    answer = await transfer(http, "copy", docs, {"x-upsert": "true"})
    assert answer["Id"] == before["id"]
    assert await docs.download("b.txt") == b"one"


async def test_objects_are_moved_and_copied_into_another_bucket(docs, new_bucket, http):
    other = await new_bucket()
    await docs.upload("a.txt", b"x", TEXT)
    copied = await transfer(http, "copy", docs, destinationBucket=other.id)
    assert (copied["Key"], copied["bucket_id"]) == (f"{other.id}/b.txt", other.id)
    await transfer(http, "move", docs, destinationBucket=other.id, destinationKey="c.txt")
    assert [entry["name"] for entry in await other.list()] == ["b.txt", "c.txt"]
    assert await other.download("c.txt") == b"x"
    assert await docs.list() == []


@pytest.mark.parametrize("how", ["move", "copy"])
async def test_a_missing_target_bucket_is_a_related_resource(docs, http, how):
    await docs.upload("a.txt", b"x", TEXT)
    assert await transfer(http, how, docs, destinationBucket="nope") == {
        "statusCode": "404",
        "error": "InvalidRequest",
        "message": "The related resource does not exist",
        "code": "InvalidRequest",
    }
    assert await docs.download("a.txt") == b"x"


async def test_a_copy_may_leave_metadata_behind_and_take_other(docs, http):
    await docs.upload("a.txt", b"x", {**TEXT, "metadata": {"doc": "D-17"}})
    changed = {"copyMetadata": False, "metadata": {"mimetype": "text/csv"}}
    # {"doc": "D-17"} in base64, with another number
    await transfer(http, "copy", docs, {"x-metadata": "eyJkb2MiOiAiRC0xOCJ9"}, **changed)
    info = await docs.info("b.txt")
    assert (info["content_type"], info["metadata"]) == ("text/csv", {"doc": "D-18"})
    assert info["cache_control"] == "max-age=3600"
    kept = {"metadata": {"mimetype": "text/csv"}, "destinationKey": "c.txt"}
    await transfer(http, "copy", docs, {"x-metadata": "eyJkb2MiOiAiRC0xOCJ9"}, **kept)
    info = await docs.info("c.txt")
    assert (info["content_type"], info["metadata"]) == ("text/plain", {"doc": "D-17"})


async def test_removing_answers_with_the_rows_that_were_there(docs):
    await docs.upload("a.txt", b"x", {**TEXT, "metadata": {"doc": "D-17"}})
    removed = await docs.remove(["a.txt", "b.txt", "a.txt"])
    assert [row["name"] for row in removed] == ["a.txt"]
    assert removed[0]["bucket_id"] == docs.id
    assert removed[0]["user_metadata"] == {"doc": "D-17"}
    assert removed[0]["metadata"]["size"] == 1
    assert await refusal(docs.download("a.txt")) == ("404", "not_found")
    assert await docs.remove(["a.txt"]) == []


async def test_removing_takes_exact_keys_not_prefixes(docs):
    await docs.upload("dir/a.txt", b"x", TEXT)
    assert await docs.remove(["dir", "dir/", "/dir/a.txt"]) == []
    assert await docs.exists("dir/a.txt")


async def test_removing_nothing_is_an_error(docs):
    assert await refusal(docs.remove([])) == ("400", "Error")


async def test_removing_from_a_missing_bucket_removes_nothing(storage: AsyncStorageClient):
    assert await storage.from_("no-such-bucket-anywhere").remove(["a.txt"]) == []


async def test_one_object_is_deleted_once(docs, http: httpx.AsyncClient):
    await docs.upload("a.txt", b"x", TEXT)
    path = f"/supabase/object/{docs.id}/a.txt"
    done = await http.delete(path, headers=SERVICE)
    assert done.json() == {"message": "Successfully deleted"}
    again = await http.delete(path, headers=SERVICE)
    assert (again.status_code, again.json()["statusCode"]) == (400, "404")


@pytest.mark.parametrize(
    ("method", "path", "body", "message"),
    [
        ("POST", "bucket", {}, "body must have required property 'name'"),
        ("POST", "bucket", {"name": "x", "public": "yes"}, "body/public must be boolean"),
        (
            "POST",
            "bucket",
            {"name": "x", "type": "ODD"},
            "body/type must be equal to one of the allowed values",
        ),
        ("POST", "object/sign/docs/a", {"expiresIn": 0}, "body/expiresIn must be >= 1"),
        ("POST", "object/sign/docs/a", {"expiresIn": "abc"}, "body/expiresIn must be integer"),
        (
            "DELETE",
            "object/docs",
            {"prefixes": []},
            "body/prefixes must NOT have fewer than 1 items",
        ),
        ("DELETE", "object/docs", {"prefixes": [{}]}, "body/prefixes/0 must be string"),
        ("POST", "object/move", {"bucketId": "b"}, "body must have required property 'sourceKey'"),
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


async def test_a_body_is_checked_before_the_key_is(http: httpx.AsyncClient):
    junk = {"authorization": "Bearer junk"}
    answer = await http.post("/supabase/bucket", json={}, headers=junk)
    assert answer.json()["message"] == "body must have required property 'name'"


async def test_a_bare_string_passes_for_a_list_of_one(docs, http: httpx.AsyncClient):
    await docs.upload("a.txt", b"x", TEXT)
    path = f"/supabase/object/{docs.id}"
    answer = await http.request("DELETE", path, json={"prefixes": "a.txt"}, headers=SERVICE)
    assert [row["name"] for row in answer.json()] == ["a.txt"]


async def test_booleans_and_numbers_pass_for_strings_and_back(storage, http):
    body = {"name": 17, "public": "true", "file_size_limit": "1000"}
    await http.post("/supabase/bucket", json=body, headers=SERVICE)
    found = await storage.get_bucket("17")
    assert (found.public, found.file_size_limit) == (True, 1000)


@pytest.mark.parametrize(
    ("content", "headers", "status", "message"),
    [
        (b"{", JSON, 400, "Body is not valid JSON but content-type is set to 'application/json'"),
        (b"", JSON, 400, "Body cannot be empty when content-type is set to 'application/json'"),
        (b"[]", JSON, 400, "body must be object"),
        (b"{}", {"content-type": "text/plain"}, 400, "body must be object"),
        (b" " * (1024 * 1024 + 1), JSON, 413, "Request body is too large"),
    ],
)
async def test_a_body_that_is_no_json_object_is_refused(http, content, headers, status, message):
    path = "/supabase/object/list/docs"
    answer = await http.post(path, content=content, headers={**SERVICE, **headers})
    assert (answer.status_code, answer.json()["message"]) == (status, message)


async def test_a_request_that_needs_no_body_may_send_an_empty_one(docs, http):
    path = f"/supabase/bucket/{docs.id}"
    broken = await http.request("DELETE", path, content=b"{", headers={**SERVICE, **JSON})
    assert broken.json()["error"] == "FastifyError"
    done = await http.request("DELETE", path, content=b"", headers={**SERVICE, **JSON})
    assert done.json() == {"message": "Successfully deleted"}
