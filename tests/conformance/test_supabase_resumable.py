"""Resumable uploads (TUS 1.0.0), spoken as tus-js-client speaks it."""

from base64 import b64encode
from collections.abc import AsyncIterator

import httpx
import pytest
from storage_calls import SERVICE, USER, bearer, declare, token
from tls import TLS

PIECE = {"tus-resumable": "1.0.0", "content-type": "application/offset+octet-stream"}


@pytest.fixture
def flavour() -> str:
    """The storage's SDK has no TUS client: it only makes the buckets here."""
    return "async"


@pytest.fixture
async def tus(account) -> AsyncIterator[httpx.AsyncClient]:
    """A client of `/upload/resumable` with the service's key."""
    key = account["SUPABASE_SERVICE_ROLE_KEY"]
    headers = {"authorization": f"Bearer {key}", "tus-resumable": "1.0.0"}
    url = f"{account['SUPABASE_URL']}/storage/v1"
    async with httpx.AsyncClient(
        base_url=url, headers=headers, trust_env=False, verify=TLS
    ) as client:
        yield client


def metadata(bucket: str, key: str, **more: str) -> dict[str, str]:
    pairs = {"bucketName": bucket, "objectName": key, "contentType": "text/plain", **more}
    text = ",".join(f"{name} {b64encode(value.encode()).decode()}" for name, value in pairs.items())
    return {"upload-metadata": text}


async def begin(tus, bucket: str, key: str, length: int, path="/upload/resumable", **headers: str):
    given = {**metadata(bucket, key), "upload-length": str(length), **headers}
    return await tus.post(path, headers=given)


async def send(tus, made: httpx.Response, at: int, data: bytes, **headers: str) -> httpx.Response:
    given = {**PIECE, "upload-offset": str(at), **headers}
    return await tus.patch(made.headers["location"], content=data, headers=given)


async def test_pieces_become_an_object_when_the_last_one_is_there(docs, tus):
    more = metadata(docs.id, "a.txt", cacheControl="3600", metadata='{"doc": "D-17"}')
    made = await begin(tus, docs.id, "a.txt", 11, **more)
    assert made.status_code == 201
    assert made.headers["location"].startswith("http")
    first = await send(tus, made, 0, b"hello ")
    assert (first.status_code, first.headers["upload-offset"]) == (204, "6")
    assert not await docs.exists("a.txt")
    assert (await send(tus, made, 6, b"world")).headers["upload-offset"] == "11"
    assert await docs.download("a.txt") == b"hello world"
    info = await docs.info("a.txt")
    assert info["metadata"] == {"doc": "D-17"}
    assert (info["content_type"], info["cache_control"]) == ("text/plain", "max-age=3600")


async def test_head_says_where_to_go_on_and_a_wrong_offset_is_a_conflict(docs, tus):
    made = await begin(tus, docs.id, "a.txt", 6)
    await send(tus, made, 0, b"abc")
    seen = (await tus.head(made.headers["location"])).headers
    assert (seen["upload-offset"], seen["upload-length"]) == ("3", "6")
    assert seen["cache-control"] == "no-store"
    assert (await send(tus, made, 0, b"abc")).status_code == 409


async def test_the_first_bytes_may_come_with_the_creation(docs, tus):
    headers = {**metadata(docs.id, "a.txt"), **PIECE, "upload-length": "3"}
    made = await tus.post("/upload/resumable", content=b"abc", headers=headers)
    assert (made.status_code, made.headers["upload-offset"]) == (201, "3")
    assert await docs.download("a.txt") == b"abc"


async def test_a_terminated_upload_is_gone(docs, tus):
    made = await begin(tus, docs.id, "a.txt", 3)
    assert (await tus.delete(made.headers["location"])).status_code == 204
    assert (await tus.head(made.headers["location"])).status_code in {404, 410}


async def test_options_name_the_version_and_the_extensions(tus):
    answer = await tus.options("/upload/resumable")
    assert answer.status_code == 204
    assert answer.headers["tus-version"] == "1.0.0"
    assert "creation-with-upload" in answer.headers["tus-extension"]
    assert int(answer.headers["tus-max-size"]) > 0


async def test_a_second_object_of_a_name_is_a_duplicate_unless_it_says_upsert(docs, tus):
    await docs.upload("a.txt", b"old", {"content-type": "text/plain"})
    assert (await begin(tus, docs.id, "a.txt", 3)).status_code == 409
    upsert = {"x-upsert": "true"}
    made = await begin(tus, docs.id, "a.txt", 3, **upsert)
    assert (await send(tus, made, 0, b"new", **upsert)).status_code == 204
    assert await docs.download("a.txt") == b"new"


async def test_refusals_have_their_true_status_and_plain_text(docs, tus):
    missing = await begin(tus, "no-such-bucket", "a.txt", 3)
    assert (missing.status_code, missing.text) == (404, "Bucket not found")
    bare = await tus.post("/upload/resumable", headers={"upload-length": "3"})
    assert (bare.status_code, bare.text) == (400, "Metadata header is required")
    assert (await begin(tus, docs.id, "a#b", 3)).status_code == 400
    tus.headers.pop("tus-resumable")
    assert (await begin(tus, docs.id, "a.txt", 3)).status_code == 412


async def test_limits_of_the_bucket_are_kept_at_creation(new_bucket, tus):
    small = await new_bucket(file_size_limit=10, allowed_mime_types=["text/plain"])
    assert (await begin(tus, small.id, "a.txt", 11)).status_code == 413
    kind = metadata(small.id, "a.pdf", contentType="application/pdf")
    assert (await begin(tus, small.id, "a.pdf", 3, **kind)).status_code == 415
    assert (await begin(tus, small.id, "a.txt", 10)).status_code == 201


@pytest.mark.usefixtures("server")
async def test_a_piece_of_another_content_type_is_refused(docs, tus):
    made = await begin(tus, docs.id, "a.txt", 3)
    answer = await send(tus, made, 0, b"abc", **{"content-type": "text/plain"})
    assert answer.status_code == 415


async def test_policies_are_asked_at_creation_and_at_the_end(docs, tus, control):
    user = bearer(role="authenticated", sub=USER)
    assert (await begin(tus, docs.id, "a.txt", 3, **user)).status_code == 403
    await declare(control, {"actions": ["insert"], "bucket": docs.id})
    made = await begin(tus, docs.id, "a.txt", 3, **user)
    await declare(control)
    assert (await send(tus, made, 0, b"abc", **user)).status_code == 403


async def test_an_expired_upload_is_gone(docs, tus, clock):
    made = await begin(tus, docs.id, "a.txt", 3)
    clock.advance(86_401)
    assert (await tus.head(made.headers["location"])).status_code == 410


async def test_a_signature_stands_for_the_key(docs, tus, clock):
    now = int(clock())
    claims = {"url": f"{docs.id}/a.txt", "scope": "upload", "upsert": False, "iat": now}
    signature = {"x-signature": token(**claims, exp=now + 60)}
    del tus.headers["authorization"]
    sign = "/upload/resumable/sign"
    assert (await begin(tus, docs.id, "b.txt", 3, sign, **signature)).status_code == 400
    assert (await begin(tus, docs.id, "a.txt", 3, sign)).text == "Missing x-signature header"
    reading = {"x-signature": token(**(claims | {"scope": "download"}))}
    refused = await begin(tus, docs.id, "a.txt", 3, sign, **reading)
    assert (refused.status_code, refused.text) == (400, "Token is not scoped for upload")
    made = await begin(tus, docs.id, "a.txt", 3, sign, **signature)
    assert (await send(tus, made, 0, b"abc", **signature)).status_code == 204
    assert await docs.download("a.txt") == b"abc"


@pytest.mark.usefixtures("server")  # not published: nobody looks whether the object is there
async def test_a_token_of_a_signed_upload_is_a_signature_that_replaces(docs, tus):
    signed = await docs.create_signed_upload_url("a.txt")
    await docs.upload("a.txt", b"old", {"content-type": "text/plain"})
    del tus.headers["authorization"]
    sign, signature = "/upload/resumable/sign", {"x-signature": signed["token"]}
    made = await begin(tus, docs.id, "a.txt", 3, sign, **signature)
    assert (await send(tus, made, 0, b"new", **signature)).status_code == 204
    assert await docs.download("a.txt") == b"new"


@pytest.mark.usefixtures("server")
async def test_every_request_says_upsert_anew(docs, tus):
    made = await begin(tus, docs.id, "a.txt", 3, **{"x-upsert": "true"})
    await docs.upload("a.txt", b"old", {"content-type": "text/plain"})
    assert (await send(tus, made, 0, b"new")).status_code == 409
    assert (await send(tus, made, 0, b"new", **{"x-upsert": "true"})).status_code == 204


@pytest.mark.usefixtures("server")
async def test_an_upload_says_when_it_expires_until_it_is_complete(docs, tus):
    made = await begin(tus, docs.id, "a.txt", 3)
    part = await send(tus, made, 0, b"a")
    last = await send(tus, made, 1, b"bc")
    assert made.headers["upload-expires"] == part.headers["upload-expires"]
    assert "upload-expires" not in last.headers
    assert last.headers["tus-complete"] == "1"


@pytest.mark.usefixtures("server")
async def test_a_length_is_told_once_now_or_later(docs, tus):
    given = metadata(docs.id, "a.txt")
    both = {**given, "upload-length": "3", "upload-defer-length": "1"}
    for headers in (given, both):
        assert (await tus.post("/upload/resumable", headers=headers)).status_code == 400
    made = await tus.post("/upload/resumable", headers={**given, "upload-defer-length": "1"})
    assert (await send(tus, made, 0, b"a", **{"upload-length": "3"})).status_code == 204
    assert (await send(tus, made, 1, b"bc", **{"upload-length": "3"})).status_code == 400
    assert (await send(tus, made, 1, b"bc")).headers["upload-offset"] == "3"


@pytest.mark.usefixtures("server")
async def test_a_bucket_s_limit_of_nothing_is_no_limit_for_resumable_uploads(new_bucket, tus):
    nothing = await new_bucket(file_size_limit=0)
    assert (await begin(tus, nothing.id, "a.txt", 3)).status_code == 201


@pytest.mark.usefixtures("server")
async def test_two_writers_at_once_are_one_too_many(docs, tus):
    made = await begin(tus, docs.id, "a.txt", 6)
    answers: list[int] = []

    async def slowly() -> AsyncIterator[bytes]:
        yield b"abc"
        while (await tus.head(made.headers["location"])).headers["upload-offset"] != "3":
            pass
        answers.append((await send(tus, made, 3, b"def")).status_code)
        yield b"def"

    assert (await send(tus, made, 0, slowly())).status_code == 204
    assert answers == [423]


async def test_the_server_behind_the_gateway_speaks_it_too(docs, http):
    given = {**SERVICE, **PIECE, **metadata(docs.id, "a.txt"), "upload-length": "3"}
    made = await http.post("/supabase/upload/resumable", content=b"abc", headers=given)
    assert made.status_code == 201
    assert await docs.download("a.txt") == b"abc"


async def test_a_reset_forgets_uploads_under_way(docs, tus, control):
    made = await begin(tus, docs.id, "a.txt", 3)
    await control.post("/reset")
    assert (await tus.head(made.headers["location"])).status_code == 404
