"""Signed upload URLs: one object that whoever holds the token may write."""

from base64 import urlsafe_b64decode

import httpx
import orjson
import pytest
from storage3.types import CreateSignedUploadUrlOptions
from storage_calls import ANON, SERVICE, TEXT, USER, bearer, declare, refusal, switch, token

UPSERT = CreateSignedUploadUrlOptions(upsert="true")


def claims_of(token: str) -> tuple[dict, dict]:
    """The token's header and claims."""
    parts = (part + "=" * (-len(part) % 4) for part in token.split(".")[:2])
    header, claims = (orjson.loads(urlsafe_b64decode(part)) for part in parts)
    return header, claims


async def put(http: httpx.AsyncClient, path: str, **arguments) -> dict[str, str]:
    """A raw body to `/object/upload/sign/…`, with no key at all; the answer's JSON."""
    answer = await http.put(f"/supabase/object/upload/sign/{path}", content=b"x", **arguments)
    return answer.json()


async def sign(http: httpx.AsyncClient, path: str, **headers: str) -> dict[str, str]:
    answer = await http.post(f"/supabase/object/upload/sign/{path}", headers=headers)
    return answer.json()


async def test_a_token_lets_somebody_without_rights_upload_once(docs, anonymous):
    stranger = anonymous.from_(docs.id)
    assert await refusal(stranger.upload("dir/a b.txt", b"x", TEXT)) == ("403", "Unauthorized")
    signed = await docs.create_signed_upload_url("dir/a b.txt")
    upload = stranger.upload_to_signed_url
    made = await upload("dir/a b.txt", signed["token"], b"hello", {**TEXT, "metadata": {"by": 1}})
    assert made.full_path == f"{docs.id}/dir/a b.txt"
    assert await docs.download("dir/a b.txt") == b"hello"
    info = await docs.info("dir/a b.txt")
    assert (info["content_type"], info["cache_control"]) == ("text/plain", "max-age=3600")
    assert info["metadata"] == {"by": 1}
    again = upload("dir/a b.txt", signed["token"], b"other", TEXT)
    assert await refusal(again) == ("409", "Duplicate")
    assert await docs.download("dir/a b.txt") == b"hello"


async def test_a_token_made_with_upsert_replaces_as_often_as_it_is_used(docs):
    await docs.upload("a.txt", b"one", TEXT)
    before = await docs.info("a.txt")
    signed = await docs.create_signed_upload_url("a.txt", UPSERT)
    for content in (b"two", b"three"):
        await docs.upload_to_signed_url("a.txt", signed["token"], content, TEXT)
        assert await docs.download("a.txt") == content
    after = await docs.info("a.txt")
    assert after["id"] == before["id"]
    assert after["version"] != before["version"]


async def test_the_uploader_cannot_turn_upsert_on(docs):
    signed = await docs.create_signed_upload_url("a.txt")
    await docs.upload("a.txt", b"one", TEXT)
    options = {**TEXT, "headers": {"x-upsert": "true"}}
    late = docs.upload_to_signed_url("a.txt", signed["token"], b"two", options)
    assert await refusal(late) == ("409", "Duplicate")


async def test_what_exists_is_signed_for_upsert_only(docs):
    await docs.upload("a.txt", b"one", TEXT)
    assert await refusal(docs.create_signed_upload_url("a.txt")) == ("409", "Duplicate")
    inexact = CreateSignedUploadUrlOptions(upsert="True")
    assert await refusal(docs.create_signed_upload_url("a.txt", inexact)) == ("409", "Duplicate")
    assert (await docs.create_signed_upload_url("a.txt", UPSERT))["token"]


async def test_to_sign_in_a_missing_bucket_misses_a_related_resource(storage, http):
    nowhere = storage.from_("no-such-bucket-anywhere")
    missing = await refusal(nowhere.create_signed_upload_url("a.txt"))
    assert missing == ("404", "InvalidRequest")
    assert await sign(http, "nowhere/a.txt", **SERVICE) == {
        "statusCode": "404",
        "error": "InvalidRequest",
        "message": "The related resource does not exist",
        "code": "InvalidRequest",
    }


async def test_a_bucket_that_went_away_after_signing_is_not_found(storage, new_bucket):
    gone = await new_bucket()
    signed = await gone.create_signed_upload_url("a.txt")
    await storage.delete_bucket(gone.id)
    late = gone.upload_to_signed_url("a.txt", signed["token"], b"x", TEXT)
    assert await refusal(late) == ("404", "Bucket not found")
    await storage.create_bucket(gone.id)  # for the fixture, which deletes it


async def test_a_token_is_bound_to_its_bucket_and_key(docs, new_bucket):
    other = await new_bucket()
    signed = await docs.create_signed_upload_url("a.txt")
    for bucket, key in ((docs, "b.txt"), (other, "a.txt")):
        wrong = bucket.upload_to_signed_url(key, signed["token"], b"x", TEXT)
        assert await refusal(wrong) == ("400", "InvalidSignature")


async def test_tokens_of_another_purpose_or_origin_are_told_apart(docs, http):
    path = f"{docs.id}/a.txt"
    reading = await put(http, path, params={"token": token(url=path, scope="download")})
    assert reading == {
        "statusCode": "400",
        "error": "InvalidSignature",
        "message": "Token is not scoped for upload",
        "code": "InvalidSignature",
    }
    bare = await put(http, path, params={"token": token(url=path)})
    assert bare["message"] == "Token is not scoped for upload"
    garbage = await put(http, path, params={"token": "a.b"})
    assert (garbage["error"], garbage["message"]) == ("InvalidJWT", "Invalid Compact JWS")
    forged = token(url=path, scope="upload", upsert=True)[:-4] + "AAAA"
    refused = await put(http, path, params={"token": forged})
    assert refused["message"] == "signature verification failed"
    without = await put(http, path)
    assert without["message"] == "querystring must have required property 'token'"
    # as servers before scopes made them
    old = await put(http, path, params={"token": token(url=path, upsert=False)})
    assert old == {"Key": path}


async def test_a_signed_upload_url_ends_with_its_time(docs, http, clock, control):
    signed = await docs.create_signed_upload_url("a.txt")
    clock.advance(7201)
    late = await http.put(signed["signed_url"], content=b"x")
    assert (late.status_code, late.json()["error"]) == (400, "InvalidJWT")
    assert late.json()["message"] == '"exp" claim timestamp check failed'
    await switch(control, signed_upload_lifetime_seconds=60)
    _, claims = claims_of((await docs.create_signed_upload_url("a.txt"))["token"])
    assert claims["exp"] - claims["iat"] == 60


async def test_policies_and_owner_are_those_of_the_signer(docs, http, control):
    path, user = f"{docs.id}/a.txt", bearer(role="authenticated", sub=USER)
    refused = await sign(http, path, **user)
    assert refused["message"] == "new row violates row-level security policy"
    await declare(control, {"actions": ["insert"], "bucket": docs.id})
    over = await sign(http, path, **user, **{"x-upsert": "true"})
    assert over["code"] == "AccessDenied"  # an upsert needs SELECT and UPDATE too
    signed = await sign(http, path, **user)
    await declare(control)
    assert await put(http, path, params={"token": signed["token"]}) == {"Key": path}
    (row,) = await docs.remove(["a.txt"])
    assert row["owner_id"] == USER


async def test_the_answer_has_a_relative_url_and_a_token_that_says_what_it_is_for(docs, http):
    path = f"{docs.id}/a b.txt"
    signed = await sign(http, path, **SERVICE)
    assert signed["url"] == f"/object/upload/sign/{path}?token={signed['token']}"
    header, claims = claims_of(signed["token"])
    assert header == {"alg": "HS256"}
    assert set(claims) == {"url", "upsert", "scope", "iat", "exp"}  # no owner without a `sub`
    assert (claims["url"], claims["scope"], claims["upsert"]) == (path, "upload", False)
    made = await http.put(f"/supabase/storage/v1{signed['url']}", content=b"x", headers=TEXT)
    assert made.json() == {"Key": path}


async def test_a_raw_body_may_be_put_to_a_signed_url(docs, http):
    signed = await docs.create_signed_upload_url("a.csv")
    headers = {"content-type": "text/csv", "cache-control": "max-age=9"}
    await http.put(signed["signed_url"], content=b"a,b", headers=headers)
    info = await docs.info("a.csv")
    assert (info["content_type"], info["cache_control"]) == ("text/csv", "max-age=9")


async def test_limits_of_the_bucket_hold_for_signed_uploads(new_bucket):
    small = await new_bucket(file_size_limit=10, allowed_mime_types=["text/plain"])
    key = (await small.create_signed_upload_url("a.txt"))["token"]
    large = small.upload_to_signed_url("a.txt", key, b"x" * 11, TEXT)
    assert await refusal(large) == ("413", "Payload too large")
    pdf = {"content-type": "application/pdf"}
    assert await refusal(small.upload_to_signed_url("a.txt", key, b"x", pdf)) == (
        "415",
        "invalid_mime_type",
    )
    await small.upload_to_signed_url("a.txt", key, b"x" * 10, TEXT)  # refusals do not use it up


async def test_an_impossible_key_is_signed_and_refused_when_used(docs, http):
    signed = await sign(http, f"{docs.id}/é.txt", **SERVICE)
    refused = await put(http, f"{docs.id}/é.txt", params={"token": signed["token"]})
    assert refused["code"] == "InvalidKey"


@pytest.mark.parametrize("headers", [{}, ANON])
async def test_who_may_not_upload_may_not_sign_either(docs, http, headers):
    refused = await sign(http, f"{docs.id}/a.txt", **headers)
    assert refused["message"] in {
        "headers must have required property 'authorization'",
        "new row violates row-level security policy",
    }
