"""Keys, roles and refusals, as storage3 sees them."""

import time

import httpx
import pytest
from storage3.exceptions import StorageApiError
from storage_calls import ANON, SERVICE, TEXT, seen

from gristmill_simulators import environment
from gristmill_simulators.jwt import sign


async def test_anonymous_callers_are_refused_differently_per_verb(docs, anonymous):
    await docs.upload("a.txt", b"x", TEXT)
    theirs = anonymous.from_(docs.id)
    assert await anonymous.list_buckets() == []
    assert await theirs.list() == []
    assert await theirs.remove(["a.txt"]) == []
    for call, expected in [
        (theirs.upload("b.txt", b"x", TEXT), ("403", "Unauthorized")),
        (theirs.download("a.txt"), ("404", "not_found")),
        (theirs.create_signed_url("a.txt", 60), ("404", "not_found")),
        (anonymous.create_bucket("mine"), ("403", "Unauthorized")),
        (anonymous.get_bucket(docs.id), ("404", "Bucket not found")),
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


async def test_a_role_the_database_does_not_know_is_its_error(http: httpx.AsyncClient):
    token = sign({"role": "miller"}, environment.SUPABASE_JWT_SECRET)
    answer = await http.get("/supabase/bucket", headers={"authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["error"]) == (500, "DatabaseError")


async def test_the_service_says_that_it_lives(http: httpx.AsyncClient):
    assert (await http.get("/supabase/storage/v1/status")).content == b""
    assert (await http.get("/supabase/storage/v1/health", headers=ANON)).json() == {"healthy": True}


async def test_unknown_routes_are_real_404s(http: httpx.AsyncClient):
    known = await http.get("/supabase/storage/v1/render/image/x", headers=SERVICE)
    assert (known.status_code, known.json()["statusCode"]) == (404, "404")
    assert known.json()["message"] == "Route GET:/render/image/x not found"
    other = await http.get("/supabase/storage/v1/nothing")
    assert (other.status_code, other.json()["statusCode"]) == (404, 404)
