"""Signed URLs, as storage3 sees them."""

import httpx
from storage_calls import TEXT

from gristmill_simulators import environment
from gristmill_simulators.jwt import sign


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


async def test_tokens_are_bound_to_what_they_were_made_for(docs, http: httpx.AsyncClient):
    await docs.upload("a.txt", b"x", TEXT)
    path = f"/supabase/storage/v1/object/sign/{docs.id}/a.txt"
    claims = {"url": f"{docs.id}/a.txt", "scope": "upload", "upsert": False}
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
    eternal = sign({"url": f"{docs.id}/a.txt"}, environment.SUPABASE_JWT_SECRET)
    assert (await http.get(path, params={"token": eternal})).content == b"x"
    named = await http.get(path, params={"token": eternal, "download": "é.txt"})
    assert named.headers["content-disposition"] == (
        "attachment; filename=%C3%A9.txt; filename*=UTF-8''%C3%A9.txt"
    )
