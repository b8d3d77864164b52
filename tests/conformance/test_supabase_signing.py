"""Signed URLs for downloads, as storage3 makes them and as anybody opens them."""

from base64 import urlsafe_b64decode
from email.utils import formatdate
from typing import Any

import httpx
import orjson
import pytest
from storage_calls import ANON, SERVICE, TEXT, refusal, token

GATEWAY = "/supabase/storage/v1"
MISS = "Either the object does not exist or you do not have access to it"


@pytest.fixture
async def opened(docs, http: httpx.AsyncClient):
    """Opens `a.txt` of the bucket with a token of these claims, `{bucket}` filled in."""
    await docs.upload("a.txt", b"x", TEXT)

    async def get(claims: dict[str, Any], path: str = "sign/{bucket}/a.txt") -> httpx.Response:
        url = claims.get("url", "{bucket}/a.txt").format(bucket=docs.id)
        made = token(**claims | {"url": url})
        path = f"{GATEWAY}/object/{path.format(bucket=docs.id)}"
        return await http.get(path, params={"token": made})

    return get


def told(answer: httpx.Response) -> tuple[int, str, str]:
    """HTTP status, `code` and `message` of a refusal."""
    body = answer.json()
    return answer.status_code, body["code"], body["message"]


def parts(url: str) -> list[dict[str, Any]]:
    """Header and claims of the token in a signed URL."""
    signed = httpx.URL(url).params["token"].split(".")[:2]
    return [orjson.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in signed]


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


async def test_a_signed_url_names_its_object_its_purpose_and_its_end(docs):
    await docs.upload("dir/a.txt", b"x", TEXT)
    signed = await docs.create_signed_url("dir/a.txt", 60)
    assert signed["signedURL"] == signed["signedUrl"]
    header, claims = parts(signed["signedUrl"])
    assert header["alg"] == "HS256"
    assert "typ" not in header
    assert (claims["url"], claims["scope"]) == (f"{docs.id}/dir/a.txt", "download")
    assert claims["exp"] - claims["iat"] == 60
    assert "role" not in claims


async def test_an_answer_to_a_signed_url_expires_with_it_and_has_no_cache_control(docs, http):
    await docs.upload("a.txt", b"x", TEXT)
    url = (await docs.create_signed_url("a.txt", 60))["signedUrl"]
    end = formatdate(parts(url)[1]["exp"], usegmt=True)
    etag = (await http.get(url)).headers["etag"]
    for headers, status in [
        ({}, 200),
        ({"range": "bytes=0-0"}, 206),
        ({"if-none-match": etag}, 304),
    ]:
        answer = await http.get(url, headers=headers)
        assert (answer.status_code, answer.headers["expires"]) == (status, end)
        assert "cache-control" not in answer.headers


async def test_a_token_without_an_end_is_good_for_ever_and_its_date_is_none(opened, clock):
    clock.advance(10 * 365 * 86_400)
    answer = await opened({})
    assert (answer.content, answer.headers["expires"]) == (b"x", "Invalid Date")


async def test_a_signed_url_may_live_for_thousands_of_years(docs, http):
    await docs.upload("a.txt", b"x", TEXT)
    url = (await docs.create_signed_url("a.txt", 10**12))["signedUrl"]
    answer = await http.get(url)
    assert (answer.status_code, answer.content) == (200, b"x")


async def test_a_signed_url_shows_what_is_there_when_it_is_opened(docs, http):
    await docs.upload("a.txt", b"old", TEXT)
    url = (await docs.create_signed_url("a.txt", 60))["signedUrl"]
    await docs.update("a.txt", b"new", TEXT)
    assert (await http.get(url)).content == b"new"
    await docs.remove(["a.txt"])
    assert told(await http.get(url)) == (400, "NoSuchKey", "Object not found")


@pytest.mark.parametrize("many", [False, True])
async def test_the_sdk_adds_the_name_to_save_under_outside_the_signature(docs, http, many):
    await docs.upload("a.txt", b"x", TEXT)
    for download, expected in [
        (True, "attachment;"),
        ("b c.txt", "attachment; filename=b%20c.txt; filename*=UTF-8''b%20c.txt"),
    ]:
        options = {"download": download}
        if many:
            [signed] = await docs.create_signed_urls(["a.txt"], 60, options)
        else:
            signed = await docs.create_signed_url("a.txt", 60, options)
        answer = await http.get(signed["signedURL"])
        assert (answer.content, answer.headers["content-disposition"]) == (b"x", expected)
        assert "download" not in parts(signed["signedURL"])[1]


async def test_what_cannot_be_read_is_not_signed(storage, docs, anonymous):
    await docs.upload("a.txt", b"x", TEXT)
    missing = ("404", "not_found")
    assert await refusal(docs.create_signed_url("b.txt", 60)) == missing
    assert await refusal(storage.from_(docs.id + "-no").create_signed_url("a.txt", 60)) == missing
    assert await refusal(anonymous.from_(docs.id).create_signed_url("a.txt", 60)) == missing
    assert await refusal(docs.create_signed_url("é.txt", 60)) == ("400", "InvalidKey")


async def test_signing_many_reports_each_miss(docs):
    await docs.upload("a.txt", b"x", TEXT)
    found, missed, slashed = await docs.create_signed_urls(["a.txt", "b.txt", "/a.txt"], 60)
    assert "token=" in found["signedURL"]
    assert found["error"] is None
    for miss in (missed, slashed):  # a leading slash makes another key
        assert (miss["signedURL"], miss["error"]) == (None, MISS)
    assert [entry["path"] for entry in (found, missed, slashed)] == ["a.txt", "b.txt", "/a.txt"]


async def test_signing_many_in_a_missing_or_hidden_bucket_is_a_miss_each(storage, docs, anonymous):
    await docs.upload("a.txt", b"x", TEXT)
    for bucket in (storage.from_(docs.id + "-no"), anonymous.from_(docs.id)):
        [miss] = await bucket.create_signed_urls(["a.txt"], 60)
        assert (miss["signedURL"], miss["error"]) == (None, MISS)


@pytest.mark.parametrize(
    ("expires_in", "code", "message"),
    [
        (0, "InvalidRequest", "body/expiresIn must be >= 1"),
        ("abc", "InvalidRequest", "body/expiresIn must be integer"),
        (1.5, "InvalidRequest", "body/expiresIn must be integer"),
        (None, "InvalidRequest", "body must have required property 'expiresIn'"),
        (2**53, "InvalidParameter", "Invalid Parameter expiresIn"),  # beyond JavaScript's dates
    ],
)
@pytest.mark.parametrize("path", ["/docs/a.txt", "/docs"])
async def test_a_signed_url_lives_a_whole_number_of_seconds(http, path, expires_in, code, message):
    body = {"paths": ["a.txt"]} | ({} if expires_in is None else {"expiresIn": expires_in})
    answer = await http.post(f"{GATEWAY}/object/sign{path}", json=body, headers=SERVICE)
    assert told(answer) == (400, code, message)


async def test_between_one_and_a_thousand_urls_are_signed_at_once(http: httpx.AsyncClient):
    path = f"{GATEWAY}/object/sign/docs"
    for paths, message in [
        ([], "body/paths must NOT have fewer than 1 items"),
        (["a"] * 1001, "body/paths must NOT have more than 1000 items"),
    ]:
        body = {"expiresIn": 60, "paths": paths}
        answer = await http.post(path, json=body, headers=SERVICE)
        assert told(answer) == (400, "InvalidRequest", message)
    answer = await http.post(path, json={"expiresIn": "60", "paths": ["a"] * 1000}, headers=ANON)
    assert len(answer.json()) == 1000


@pytest.mark.parametrize(
    ("claims", "code", "message"),
    [
        ({"url": "{bucket}/b.txt"}, "InvalidSignature", "Invalid signature"),
        ({"scope": "upload"}, "InvalidSignature", "Token is not scoped for download"),
        ({"upsert": False}, "InvalidSignature", "Token is not scoped for download"),
        ({"scope": "all"}, "InvalidSignature", "Token is not scoped for download"),
        ({"exp": 1}, "InvalidJWT", '"exp" claim timestamp check failed'),
        # the order of the checks: the end, the purpose, the object
        ({"exp": 1, "scope": "upload"}, "InvalidJWT", '"exp" claim timestamp check failed'),
        (
            {"scope": "upload", "url": "{bucket}/b.txt"},
            "InvalidSignature",
            "Token is not scoped for download",
        ),
    ],
)
async def test_tokens_are_bound_to_what_they_were_made_for(opened, claims, code, message):
    assert told(await opened(claims)) == (400, code, message)


async def test_a_url_for_uploads_reads_nothing_and_one_for_downloads_writes_nothing(docs, http):
    await docs.upload("a.txt", b"x", TEXT)
    reading = httpx.URL((await docs.create_signed_url("a.txt", 60))["signedUrl"]).params["token"]
    writing = (await docs.create_signed_upload_url("b.txt"))["token"]
    path = f"{GATEWAY}/object/{{}}/{docs.id}/{{}}"
    read = await http.get(path.format("sign", "b.txt"), params={"token": writing})
    assert told(read) == (400, "InvalidSignature", "Token is not scoped for download")
    write = await http.put(
        path.format("upload/sign", "a.txt"), params={"token": reading}, content=b"y", headers=TEXT
    )
    assert told(write) == (400, "InvalidSignature", "Token is not scoped for upload")
    assert await docs.download("a.txt") == b"x"


async def test_without_a_good_token_a_signed_url_is_refused_in_the_servers_words(docs, http):
    path = f"{GATEWAY}/object/sign/{docs.id}/a.txt"
    without = await http.get(path, headers=SERVICE)  # a key is no help
    assert without.json() == {
        "statusCode": "400",
        "error": "Error",
        "message": "querystring must have required property 'token'",
        "code": "InvalidRequest",
    }
    garbage = await http.get(path, params={"token": "a.b"})
    assert garbage.json() == {
        "statusCode": "400",
        "error": "InvalidJWT",
        "message": "Invalid Compact JWS",
        "code": "InvalidJWT",
    }


@pytest.mark.parametrize("key", ["a+b&c=d.txt", "a,b;c:d@e$.txt", "it's (a) b!.txt"])
async def test_a_signed_url_opens_a_key_with_marks_in_it(docs, http, key):
    await docs.upload(key, b"x", TEXT)
    url = (await docs.create_signed_url(key, 60))["signedUrl"]
    assert (await http.get(url)).content == b"x"


async def test_a_key_with_a_question_mark_is_signed_wrong_alone_and_right_among_many(docs, http):
    await docs.upload("a?b.txt", b"x", TEXT)
    alone = (await docs.create_signed_url("a?b.txt", 60))["signedUrl"]
    assert told(await http.get(alone)) == (400, "InvalidSignature", "Invalid signature")
    path = f"{GATEWAY}/object/sign/{docs.id}"
    body = {"expiresIn": 60, "paths": ["a?b.txt"]}
    [signed] = (await http.post(path, json=body, headers=SERVICE)).json()
    made = signed["signedURL"].partition("?token=")[2]
    assert (await http.get(f"{path}/a%3Fb.txt", params={"token": made})).content == b"x"
