"""The Supabase Storage simulator seen through storage3, unmodified, over a real socket."""

import hashlib
import time

import httpx
import pytest
from storage3 import AsyncStorageClient
from storage3.exceptions import StorageApiError

from gristmill_simulators import environment
from gristmill_simulators.jwt import sign

TEXT = {"content-type": "text/plain"}
SERVICE = {"authorization": f"Bearer {environment.SUPABASE_SERVICE_ROLE_KEY}"}
ANON = {"authorization": f"Bearer {environment.SUPABASE_ANON_KEY}"}


@pytest.fixture
async def docs(storage: AsyncStorageClient):
    await storage.create_bucket("docs")
    return storage.from_("docs")


def seen(error: pytest.ExceptionInfo[StorageApiError]) -> tuple[str, str]:
    return str(error.value.status), error.value.code


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
        await storage.delete_bucket("docs")
    assert seen(error) == ("409", "ResourceNotEmpty")
    await docs.remove(["a.txt"])
    await storage.delete_bucket("docs")
    assert await storage.list_buckets() == []


async def test_an_object_comes_back_as_it_was_uploaded(docs):
    content = bytes(range(256)) * 5000  # larger than one piece
    made = await docs.upload("a/b c.bin", content, {"content-type": "application/octet-stream"})
    assert made.full_path == "docs/a/b c.bin"
    assert await docs.download("a/b c.bin") == content
    info = await docs.info("a/b c.bin")
    assert info["size"] == len(content)
    assert info["etag"] == f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
    assert info["cache_control"] == "max-age=3600"
    assert await docs.exists("a/b c.bin")


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


async def test_removing_answers_only_what_was_there(docs, http: httpx.AsyncClient):
    await docs.upload("a.txt", b"x", TEXT)
    removed = await docs.remove(["a.txt", "b.txt"])
    assert [row["name"] for row in removed] == ["a.txt"]
    with pytest.raises(StorageApiError) as error:
        await docs.download("a.txt")
    assert seen(error) == ("404", "not_found")
    again = await http.delete("/supabase/object/docs/a.txt", headers=SERVICE)
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


async def test_a_signed_url_opens_one_object_until_it_expires(docs, http, clock):
    await docs.upload("a b.txt", b"secret", TEXT)
    url = (await docs.create_signed_url("a b.txt", 60))["signedUrl"]
    assert (await http.get(url)).content == b"secret"
    other = await http.get(url.replace("a%20b.txt", "c.txt"))
    assert other.json()["code"] == "InvalidSignature"
    assert (await http.get(url + "x")).json()["message"] == "signature verification failed"
    clock.advance(61)
    late = await http.get(url)
    assert (late.status_code, late.json()["error"]) == (400, "InvalidJWT")
    assert late.json()["message"] == '"exp" claim timestamp check failed'


async def test_signing_many_reports_each_miss(docs):
    await docs.upload("a.txt", b"x", TEXT)
    found, missed = await docs.create_signed_urls(["a.txt", "b.txt"], 60)
    assert "token=" in found["signedURL"]
    assert missed["signedURL"] is None
    assert missed["error"].startswith("Either the object does not exist")


async def test_anonymous_callers_are_refused_differently_per_verb(docs, anonymous):
    await docs.upload("a.txt", b"x", TEXT)
    theirs = anonymous.from_("docs")
    assert await anonymous.list_buckets() == []
    assert await theirs.list() == []
    assert await theirs.remove(["a.txt"]) == []
    for call, expected in [
        (theirs.upload("b.txt", b"x", TEXT), ("403", "Unauthorized")),
        (theirs.download("a.txt"), ("404", "not_found")),
        (theirs.create_signed_url("a.txt", 60), ("404", "not_found")),
        (anonymous.create_bucket("mine"), ("403", "Unauthorized")),
        (anonymous.get_bucket("docs"), ("404", "Bucket not found")),
    ]:
        with pytest.raises(StorageApiError) as error:
            await call
        assert seen(error) == expected


async def test_a_public_bucket_is_read_by_anybody(storage, http: httpx.AsyncClient):
    await storage.create_bucket("open", options={"public": True})
    await storage.from_("open").upload("p.html", b"<p>x", {"content-type": "text/html"})
    answer = await http.get("/supabase/storage/v1/object/public/open/p.html")
    assert answer.content == b"<p>x"
    assert answer.headers["content-type"] == "text/plain"
    assert (await http.get("/supabase/object/open/p.html")).status_code == 200
    info = await http.get("/supabase/object/info/public/open/p.html")
    assert info.json()["size"] == 4


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "headers must have required property 'authorization'"),
        ({"authorization": "Bearer junk"}, "Invalid Compact JWS"),
        ({"authorization": "Bearer " + sign({"role": "anon"}, "other")}, "signature verification"),
        (
            {
                "authorization": "Bearer "
                + sign({"role": "anon", "exp": time.time() - 9}, environment.SUPABASE_JWT_SECRET)
            },
            '"exp" claim timestamp check failed',
        ),
    ],
)
async def test_a_bad_key_is_refused_in_the_servers_words(http, headers, message):
    answer = await http.get("/supabase/storage/v1/bucket", headers=headers)
    assert answer.status_code == 400
    assert answer.json().keys() == {"statusCode", "error", "message", "code"}
    assert answer.json()["message"].startswith(message)


async def test_ranges_conditions_and_head(docs, http: httpx.AsyncClient):
    await docs.upload("a.txt", b"hello, world", TEXT)
    path = "/supabase/storage/v1/object/docs/a.txt"

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


@pytest.mark.usefixtures("docs")
async def test_a_raw_upload_keeps_its_headers(http: httpx.AsyncClient):
    async def chunks():
        yield b"hello "
        yield b"world"

    headers = {**SERVICE, "content-type": "text/csv", "cache-control": "max-age=9"}
    made = await http.post("/supabase/object/docs/raw.csv", content=chunks(), headers=headers)
    assert made.json()["Key"] == "docs/raw.csv"
    got = await http.get("/supabase/object/docs/raw.csv", headers=SERVICE)
    assert got.content == b"hello world"
    assert got.headers["content-type"] == "text/csv"
    assert got.headers["cache-control"] == "max-age=9"


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


async def test_unknown_routes_are_real_404s(http: httpx.AsyncClient):
    known = await http.get("/supabase/storage/v1/render/image/x", headers=SERVICE)
    assert (known.status_code, known.json()["statusCode"]) == (404, "404")
    assert known.json()["message"] == "Route GET:/render/image/x not found"
    other = await http.get("/supabase/storage/v1/nothing")
    assert (other.status_code, other.json()["statusCode"]) == (404, 404)


async def test_stored_and_sent_bytes_are_counted(docs, control: httpx.AsyncClient):
    await docs.upload("a.txt", b"12345", TEXT)
    await docs.download("a.txt")
    await docs.download("a.txt")
    billed = (await control.get("/billed")).json()["supabase"]
    assert billed == {"objects": 1, "stored_bytes": 5, "egress_bytes": 10}


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


async def test_tokens_are_bound_to_what_they_were_made_for(docs, http: httpx.AsyncClient):
    await docs.upload("a.txt", b"x", TEXT)
    path = "/supabase/storage/v1/object/sign/docs/a.txt"
    claims = {"url": "docs/a.txt", "scope": "upload", "upsert": False}
    token = sign(claims, environment.SUPABASE_JWT_SECRET)
    wrong = await http.get(path, params={"token": token})
    assert wrong.json()["message"] == "Token is not scoped for download"
    without = await http.get(path)
    assert without.json()["message"] == "querystring must have required property 'token'"
    garbage = await http.get(path, params={"token": "a.b"})
    assert garbage.json() == {
        "statusCode": "400",
        "error": "InvalidJWT",
        "message": "Invalid Compact JWS",
        "code": "InvalidJWT",
    }
    eternal = sign({"url": "docs/a.txt"}, environment.SUPABASE_JWT_SECRET)
    assert (await http.get(path, params={"token": eternal})).content == b"x"
    named = await http.get(path, params={"token": eternal, "download": "é.txt"})
    assert named.headers["content-disposition"] == (
        "attachment; filename=%C3%A9.txt; filename*=UTF-8''%C3%A9.txt"
    )


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
    path = "/supabase/object/docs/a" if headers else "/supabase/object/list/docs"
    answer = await http.post(path, content=content, headers={**SERVICE, **headers})
    assert answer.json()["message"] == message
    assert await docs.list() == []


async def test_a_role_the_database_does_not_know_is_its_error(http: httpx.AsyncClient):
    token = sign({"role": "miller"}, environment.SUPABASE_JWT_SECRET)
    answer = await http.get("/supabase/bucket", headers={"authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["error"]) == (500, "DatabaseError")


async def test_the_service_says_that_it_lives(http: httpx.AsyncClient):
    assert (await http.get("/supabase/storage/v1/status")).content == b""
    assert (await http.get("/supabase/storage/v1/health", headers=ANON)).json() == {"healthy": True}


async def test_files_sort_by_time_after_the_folders(docs, clock):
    for key in ("b.txt", "sub/x.txt", "a.txt"):
        await docs.upload(key, b"x", TEXT)
        clock.advance(5)
    options = {"sortBy": {"column": "created_at", "order": "desc"}}
    assert [entry["name"] for entry in await docs.list("", options)] == ["sub", "a.txt", "b.txt"]
    assert [entry["name"] for entry in await docs.list("", {"search": "sub/x"})] == ["x.txt"]


async def test_user_metadata_comes_by_header_for_raw_bodies(docs, http: httpx.AsyncClient):
    encoded = {"x-metadata": "eyJkb2MiOiAiRC0xNyJ9"}
    await http.post("/supabase/object/docs/a", content=b"x", headers={**SERVICE, **encoded})
    assert (await docs.info("a"))["metadata"] == {"doc": "D-17"}
    broken = {"x-metadata": "%%", "x-upsert": "true"}
    await http.post("/supabase/object/docs/a", content=b"x", headers={**SERVICE, **broken})
    assert (await docs.info("a"))["metadata"] == {}
