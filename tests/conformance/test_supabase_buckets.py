"""Buckets, as storage3 sees them."""

import uuid

import httpx
import pytest
from storage3 import AsyncStorageClient
from storage_calls import ANON, SERVICE, TEXT, refusal, switch

BUCKETS = "/supabase/storage/v1/bucket"


async def test_a_bucket_comes_back_as_it_was_made(storage: AsyncStorageClient, new_bucket):
    made = await new_bucket(public=True, file_size_limit=1000, allowed_mime_types=["text/*"])
    found = await storage.get_bucket(made.id)
    assert (found.id, found.name, found.public) == (made.id, made.id, True)
    assert (found.file_size_limit, found.allowed_mime_types) == (1000, ["text/*"])
    assert found.created_at == found.updated_at
    assert made.id in [bucket.id for bucket in await storage.list_buckets()]


async def test_a_bucket_is_private_and_without_limits_unless_told(storage, docs):
    found = await storage.get_bucket(docs.id)
    assert (found.public, found.file_size_limit, found.allowed_mime_types) == (False, None, None)


async def test_a_bucket_is_made_once(storage: AsyncStorageClient, docs):
    assert await refusal(storage.create_bucket(docs.id)) == ("409", "Duplicate")


@pytest.mark.parametrize("name", ["a/b", "a" * 101, " a", "a ", "é", "a#b", "x--table-s3", ""])
async def test_a_bucket_name_must_be_of_the_allowed_characters(storage: AsyncStorageClient, name):
    assert await refusal(storage.create_bucket(name)) == ("400", "Invalid Input")


async def test_a_bucket_name_may_have_capitals_and_inner_blanks(storage: AsyncStorageClient):
    name = f"My Files ({uuid.uuid4().hex})"
    await storage.create_bucket(name)
    assert (await storage.get_bucket(name)).id == name
    await storage.delete_bucket(name)


async def test_a_missing_bucket_is_not_found_got_changed_emptied_or_deleted(storage):
    name = f"test-{uuid.uuid4().hex}"
    for call in (
        storage.get_bucket(name),
        storage.update_bucket(name, {"public": True}),
        storage.empty_bucket(name),
        storage.delete_bucket(name),
    ):
        assert await refusal(call) == ("404", "Bucket not found")


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ("10b", 10),
        ("1KB", 1000),
        ("1.5MB", 1_500_000),
        ("0.01gb", 10_000_000),
        ("2000", 2000),
        (0, 0),
        (None, None),
        ("1234KB", 1_230_000),  # three digits are kept
    ],
)
async def test_a_size_limit_is_a_number_or_a_decimal_unit(storage, new_bucket, given, size):
    bucket = await new_bucket(file_size_limit=given)
    assert (await storage.get_bucket(bucket.id)).file_size_limit == size


@pytest.mark.parametrize("given", ["1MiB", "many", -1, 1.5])
async def test_a_malformed_size_limit_is_refused(storage, given):
    call = storage.create_bucket(f"test-{uuid.uuid4().hex}", options={"file_size_limit": given})
    assert await refusal(call) == ("400", "Error")


async def test_a_malformed_size_limit_is_told_both_ways_to_write_it(http: httpx.AsyncClient):
    body = {"name": "x", "file_size_limit": "1MiB"}
    answer = await http.post(BUCKETS, json=body, headers=SERVICE)
    name = "body/file_size_limit"
    pattern = r"^[0-9]+(?:\.[0-9]+)?(?:[gG][bB]|[mM][bB]|[kK][bB]|[bB])$"
    assert answer.json()["message"] == (
        f'{name} must be integer, {name} must match pattern "{pattern}",'
        f" {name} must match a schema in anyOf"
    )


async def test_a_bucket_cannot_allow_more_than_the_project_does(storage):
    options = {"file_size_limit": 10**15}
    call = storage.create_bucket(f"test-{uuid.uuid4().hex}", options=options)
    assert await refusal(call) == ("413", "Payload too large")


async def test_the_projects_own_limit_is_a_setting(storage, new_bucket, control):
    await switch(control, global_file_size_limit=1000)
    bucket = await new_bucket(file_size_limit="1KB")
    call = storage.update_bucket(bucket.id, {"file_size_limit": 1001})
    assert await refusal(call) == ("413", "Payload too large")
    without = await new_bucket()
    assert await refusal(without.upload("a", b"x" * 1001, TEXT)) == ("413", "Payload too large")


@pytest.mark.parametrize("given", ["no mime", "text", "text/", "a/b/c"])
async def test_a_malformed_content_type_is_refused(storage, given):
    options = {"allowed_mime_types": [given]}
    call = storage.create_bucket(f"test-{uuid.uuid4().hex}", options=options)
    assert await refusal(call) == ("415", "invalid_mime_type")


@pytest.mark.parametrize("trap", ["*", "*/*"])
async def test_an_asterisk_for_every_content_type_is_accepted_and_lets_nothing_in(new_bucket, trap):
    bucket = await new_bucket(allowed_mime_types=[trap])
    assert await refusal(bucket.upload("a.txt", b"x", TEXT)) == ("415", "invalid_mime_type")


async def test_an_empty_list_of_content_types_lets_everything_in(new_bucket):
    bucket = await new_bucket(allowed_mime_types=[])
    await bucket.upload("a.bin", b"x", {"content-type": "application/x-anything"})
    assert await bucket.exists("a.bin")


async def test_an_update_changes_what_it_names_and_nothing_else(storage, new_bucket):
    made = await new_bucket(file_size_limit=1000, allowed_mime_types=["text/plain"])
    answer = await storage.update_bucket(made.id, {"public": True})
    assert answer == {"message": "Successfully updated"}
    found = await storage.get_bucket(made.id)
    assert (found.public, found.file_size_limit) == (True, 1000)
    await storage.update_bucket(made.id, {"file_size_limit": None, "allowed_mime_types": None})
    found = await storage.get_bucket(made.id)
    assert (found.public, found.file_size_limit, found.allowed_mime_types) == (True, None, None)


async def test_an_update_must_name_something(docs, http: httpx.AsyncClient):
    answer = await http.put(f"{BUCKETS}/{docs.id}", json={"name": "x"}, headers=SERVICE)
    assert answer.json() == {
        "statusCode": "400",
        "error": "Error",
        "message": "body must have required property 'public', body must have required property"
        " 'file_size_limit', body must have required property 'allowed_mime_types',"
        " body must match a schema in anyOf",
        "code": "InvalidRequest",
    }


async def test_a_bucket_with_objects_cannot_be_deleted(storage: AsyncStorageClient, new_bucket):
    bucket = await new_bucket()
    await bucket.upload("a.txt", b"x", TEXT)
    assert await refusal(storage.delete_bucket(bucket.id)) == ("409", "ResourceNotEmpty")


async def test_an_empty_bucket_is_deleted(storage: AsyncStorageClient):
    name = f"test-{uuid.uuid4().hex}"
    await storage.create_bucket(name)
    assert await storage.delete_bucket(name) == {"message": "Successfully deleted"}
    assert await refusal(storage.get_bucket(name)) == ("404", "Bucket not found")


async def test_a_refused_caller_still_learns_that_a_bucket_is_not_empty(docs, anonymous):
    assert await refusal(anonymous.delete_bucket(docs.id)) == ("404", "Bucket not found")
    await docs.upload("a.txt", b"x", TEXT)
    assert await refusal(anonymous.delete_bucket(docs.id)) == ("409", "ResourceNotEmpty")


async def test_emptying_a_bucket_is_acknowledged_as_queued(storage: AsyncStorageClient, docs):
    answer = await storage.empty_bucket(docs.id)
    assert answer["message"].startswith("Empty bucket has been queued.")


async def test_emptying_takes_its_time_and_spares_what_came_later(storage, docs, control, clock):
    await switch(control, empty_bucket_lag_seconds=60)
    await docs.upload("before.txt", b"x", TEXT)
    await storage.empty_bucket(docs.id)
    clock.advance(30)
    await docs.upload("after.txt", b"x", TEXT)
    assert len(await docs.list()) == 2
    assert await refusal(storage.delete_bucket(docs.id)) == ("409", "ResourceNotEmpty")
    clock.advance(31)
    assert [entry["name"] for entry in await docs.list()] == ["after.txt"]


async def test_without_a_queue_a_bucket_is_empty_at_once(storage, docs, control):
    await docs.upload("a/b.txt", b"x", TEXT)
    await storage.empty_bucket(docs.id)
    assert await docs.list() == []
    assert (await control.get("/billed")).json()["supabase"]["stored_bytes"] == 0


async def test_emptying_is_for_the_service_role_and_refused_with_a_true_403(docs, http):
    answer = await http.post(f"{BUCKETS}/{docs.id}/empty", headers=ANON)
    assert answer.status_code == 403
    assert answer.json() == {
        "statusCode": "403",
        "error": "Unauthorized",
        "message": "Access denied: Invalid role",
        "code": "AccessDenied",
    }


async def test_a_bucket_with_too_many_objects_is_not_emptied(storage, docs, control):
    await switch(control, empty_bucket_most=1)
    for key in ("a", "b"):
        await docs.upload(key, b"x", TEXT)
    assert await refusal(storage.empty_bucket(docs.id)) == ("409", "InvalidRequest")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"search": "E"}, ["Rye", "wheat"]),
        ({"search": "E", "sortColumn": "name", "sortOrder": "desc"}, ["wheat", "Rye"]),
        ({"sortColumn": "created_at", "sortOrder": "desc"}, ["oats", "wheat", "Rye"]),
        ({"sortColumn": "created_at", "limit": "2", "offset": "1"}, ["wheat", "oats"]),
        ({"offset": "3"}, []),
    ],
)
async def test_buckets_are_searched_sorted_and_paged(storage, http, clock, query, expected):
    for name in ("Rye", "wheat", "oats"):
        await storage.create_bucket(name)
        clock.advance(5)
    found = await http.get(BUCKETS, params=query, headers=SERVICE)
    assert [bucket["id"] for bucket in found.json()] == expected


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"limit": "0"}, "querystring/limit must be >= 1"),
        ({"limit": "x"}, "querystring/limit must be integer"),
        ({"offset": "-1"}, "querystring/offset must be >= 0"),
        (
            {"sortColumn": "public"},
            "querystring/sortColumn must be equal to one of the allowed values",
        ),
        ({"sortOrder": "up"}, "querystring/sortOrder must be equal to one of the allowed values"),
    ],
)
async def test_a_query_for_buckets_is_checked(http, query, message):
    answer = await http.get(BUCKETS, params=query, headers=SERVICE)
    assert answer.json()["message"] == message


@pytest.mark.usefixtures("docs")
@pytest.mark.parametrize(
    ("headers", "shown"),
    [
        ({}, True),
        ({"x-client-info": "supabase-py/2.34.1; platform=Linux"}, True),
        ({"x-client-info": "supabase-py/2.17.9"}, False),
        ({"user-agent": "supabase-py/storage3 v0.12.1"}, True),
        ({"user-agent": "supabase-py/storage3 v0.12.0"}, False),
    ],
)
async def test_the_type_of_buckets_is_listed_to_clients_that_can_take_it(http, headers, shown):
    listed = (await http.get(BUCKETS, headers={**SERVICE, **headers})).json()
    assert (listed[0].get("type") == "STANDARD") is shown
    one = await http.get(f"{BUCKETS}/{listed[0]['id']}", headers=SERVICE)
    assert "type" not in one.json()


async def test_a_buckets_name_may_differ_from_its_id(storage: AsyncStorageClient):
    id_, name = (f"test-{uuid.uuid4().hex}" for _ in range(2))
    assert await storage.create_bucket(id_, name) == {"name": name}
    found = await storage.get_bucket(id_)
    assert (found.id, found.name) == (id_, name)
    await storage.delete_bucket(id_)
