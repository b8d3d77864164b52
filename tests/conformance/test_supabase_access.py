"""Keys, roles, policies and refusals, as storage3 sees them."""

import time

import httpx
import pytest
from storage_calls import (
    ANON,
    OTHER_USER,
    SERVICE,
    TEXT,
    USER,
    bearer,
    declare,
    refusal,
    switch,
    token,
)

from gristmill_simulators import environment
from gristmill_simulators.jwt import sign

BUCKETS = "/supabase/storage/v1/bucket"
OWN_FOLDER = {"rows": "own_folder"}


@pytest.fixture
async def signed_in(storage_as):
    """The storage as a signed-in user sees it; what it may do is up to the policies."""
    return await storage_as(token(role="authenticated", sub=USER))


async def test_without_policies_each_verb_refuses_an_anonymous_caller_differently(docs, anonymous):
    await docs.upload("a.txt", b"x", TEXT)
    theirs = anonymous.from_(docs.id)
    assert docs.id not in [bucket.id for bucket in await anonymous.list_buckets()]
    assert await theirs.list() == []
    assert (await theirs.list_v2()).objects == []
    assert await theirs.remove(["a.txt"]) == []
    assert await theirs.exists("a.txt") is False
    for call, expected in [
        (theirs.upload("b.txt", b"x", TEXT), ("403", "Unauthorized")),
        (theirs.download("a.txt"), ("404", "not_found")),
        (theirs.info("a.txt"), ("404", "not_found")),
        (theirs.create_signed_url("a.txt", 60), ("404", "not_found")),
        (theirs.move("a.txt", "b.txt"), ("404", "not_found")),
        (theirs.copy("a.txt", "b.txt"), ("404", "not_found")),
        (anonymous.create_bucket(f"{docs.id}-2"), ("403", "Unauthorized")),
        (anonymous.get_bucket(docs.id), ("404", "Bucket not found")),
        (anonymous.update_bucket(docs.id, {"public": True}), ("404", "Bucket not found")),
        (anonymous.empty_bucket(docs.id), ("403", "Unauthorized")),
    ]:
        assert await refusal(call) == expected
    assert await docs.download("a.txt") == b"x"


async def test_deleting_one_object_without_the_right_is_denied_but_a_missing_one_is_missing(
    docs, http
):
    await docs.upload("a.txt", b"x", TEXT)
    path = f"/supabase/object/{docs.id}"
    denied = await http.delete(f"{path}/a.txt", headers=ANON)
    assert denied.status_code == 400
    assert denied.json() == {
        "statusCode": "403",
        "error": "Unauthorized",
        "message": "Access denied",
        "code": "AccessDenied",
    }
    missing = await http.delete(f"{path}/b.txt", headers=ANON)
    assert missing.json()["code"] == "NoSuchKey"


async def test_a_public_bucket_is_read_by_anybody_but_listed_and_written_by_policy(
    new_bucket, anonymous
):
    opened = await new_bucket(public=True)
    await opened.upload("a.txt", b"x", TEXT)
    theirs = anonymous.from_(opened.id)
    assert await theirs.download("a.txt") == b"x"
    assert (await theirs.info("a.txt"))["size"] == 1
    assert await theirs.list() == []
    assert await refusal(theirs.upload("b.txt", b"x", TEXT)) == ("403", "Unauthorized")
    assert await refusal(theirs.download("b.txt")) == ("404", "not_found")


async def test_a_public_object_needs_no_key_at_all(new_bucket, http: httpx.AsyncClient):
    opened = await new_bucket(public=True)
    await opened.upload("p.html", b"<p>x", {"content-type": "text/html"})
    answer = await http.get(f"/supabase/storage/v1/object/public/{opened.id}/p.html")
    assert answer.content == b"<p>x"
    assert answer.headers["content-type"] == "text/plain"
    assert (await http.get(f"/supabase/object/{opened.id}/p.html")).status_code == 200
    info = await http.get(f"/supabase/object/info/public/{opened.id}/p.html")
    assert info.json()["size"] == 4


async def test_to_nobody_a_private_bucket_does_not_exist(docs, http: httpx.AsyncClient):
    await docs.upload("a.txt", b"x", TEXT)
    for path, headers in (
        ("object", {}),
        ("object", {"authorization": "Bearer junk"}),
        ("object/info", {}),
        ("object/public", SERVICE),
        ("object/info/public", SERVICE),
    ):
        answer = await http.get(f"/supabase/{path}/{docs.id}/a.txt", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "NoSuchBucket")
    strict = await http.get(f"/supabase/object/authenticated/{docs.id}/a.txt")
    assert strict.json()["message"] == "headers must have required property 'authorization'"


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "headers must have required property 'authorization'"),
        ({"authorization": "Bearer junk"}, "Invalid Compact JWS"),
        ({"authorization": "Bearer " + sign({"role": "anon"}, "other")}, "signature verification"),
        (bearer(role="anon", exp=time.time() - 9), '"exp" claim timestamp check failed'),
        (
            # no algorithm, and below one that is not allowed
            {"authorization": "Bearer eyJhbGciOiJub25lIn0.e30."},
            '"alg" (Algorithm) Header Parameter value not allowed',
        ),
        (
            {"authorization": "Bearer eyJhbGciOiJIUzUxMiJ9.e30.AAAA"},
            '"alg" (Algorithm) Header Parameter value not allowed',
        ),
    ],
)
async def test_a_bad_key_is_refused_in_the_servers_words(http, headers, message):
    answer = await http.get(BUCKETS, headers=headers)
    assert answer.status_code == 400
    assert answer.json().keys() == {"statusCode", "error", "message", "code"}
    assert answer.json()["message"].startswith(message)


async def test_a_broken_key_is_403_unauthorized_to_the_sdk(storage_as):
    assert await refusal((await storage_as("junk")).list_buckets()) == ("403", "Unauthorized")


async def test_the_word_bearer_is_optional_and_may_be_written_in_any_case(http):
    key = environment.SUPABASE_SERVICE_ROLE_KEY
    for given in (key, f"bearer {key}", f"BEARER  {key}"):
        assert (await http.get(BUCKETS, headers={"authorization": given})).status_code == 200


async def test_a_token_without_a_role_is_anonymous(docs, http: httpx.AsyncClient):
    answer = await http.get(f"{BUCKETS}/{docs.id}", headers=bearer(sub=USER))
    assert answer.json()["code"] == "NoSuchBucket"
    assert (await http.get(BUCKETS, headers=bearer(sub=USER))).json() == []


async def test_a_role_the_database_does_not_know_is_its_error(http: httpx.AsyncClient):
    answer = await http.get("/supabase/bucket", headers=bearer(role="miller"))
    assert answer.status_code == 500
    assert answer.json()["error"] == "DatabaseError"
    assert answer.json()["message"] == "database error, code: 22023"


async def test_the_secret_key_acts_as_the_service_role(docs, account, storage_as):
    key = account["SUPABASE_SECRET_KEY"]
    assert (await (await storage_as(key)).get_bucket(docs.id)).id == docs.id


async def test_a_project_may_have_several_secret_keys_and_a_deleted_one_is_none(http, control):
    old, new = ({"apikey": key} for key in (environment.SUPABASE_SECRET_KEY, "sb_secret_new"))
    await switch(control, secret_keys=[old["apikey"], new["apikey"]])
    for headers in (old, new):
        assert (await http.get(BUCKETS, headers=headers)).status_code == 200
    await switch(control, secret_keys=[new["apikey"]])
    refused = await http.get(BUCKETS, headers=old)
    assert refused.json()["message"] == "Invalid Compact JWS"
    assert (await http.get(BUCKETS, headers=new)).status_code == 200


async def test_the_publishable_key_acts_as_the_anonymous_role(docs, account, storage_as):
    client = await storage_as(account["SUPABASE_PUBLISHABLE_KEY"])
    assert await refusal(client.get_bucket(docs.id)) == ("404", "Bucket not found")


async def test_an_opaque_key_means_nothing_to_the_server_behind_the_gateway(http):
    key = environment.SUPABASE_SECRET_KEY
    headers = {"apikey": key, "authorization": f"Bearer {key}"}
    assert (await http.get(BUCKETS, headers=headers)).status_code == 200
    direct = await http.get("/supabase/bucket", headers=headers)
    assert direct.json()["message"] == "Invalid Compact JWS"
    unknown = await http.get(BUCKETS, headers={"apikey": "sb_secret_of-another-project"})
    assert unknown.json()["message"] == "Invalid Compact JWS"


async def test_the_gateway_takes_a_key_from_apikey_and_the_server_does_not(http):
    headers = {"apikey": environment.SUPABASE_SERVICE_ROLE_KEY}
    assert (await http.get(BUCKETS, headers=headers)).status_code == 200
    direct = await http.get("/supabase/bucket", headers=headers)
    assert direct.json()["message"] == "headers must have required property 'authorization'"


async def test_a_users_token_counts_more_than_the_projects_key(http):
    headers = {"apikey": environment.SUPABASE_SECRET_KEY, **ANON}
    assert (await http.get(BUCKETS, headers=headers)).json() == []


async def test_a_policy_for_own_folders_lets_a_user_work_in_theirs_alone(docs, signed_in, control):
    await declare(control, OWN_FOLDER)
    await docs.upload(f"{OTHER_USER}/b.txt", b"x", TEXT)
    mine = signed_in.from_(docs.id)
    await mine.upload(f"{USER}/a.txt", b"x", TEXT)
    for elsewhere in (f"{OTHER_USER}/a.txt", "a.txt", USER):
        assert await refusal(mine.upload(elsewhere, b"x", TEXT)) == ("403", "Unauthorized")
    assert [entry["name"] for entry in await mine.list()] == [USER]
    assert await mine.download(f"{USER}/a.txt") == b"x"
    assert await refusal(mine.download(f"{OTHER_USER}/b.txt")) == ("404", "not_found")


async def test_who_uploads_owns_and_an_owner_policy_shows_each_their_own(
    docs, signed_in, storage_as, control
):
    await declare(control, {"actions": ["insert"]}, {"rows": "owner"})
    other = await storage_as(token(role="authenticated", sub=OTHER_USER))
    await signed_in.from_(docs.id).upload("a.txt", b"x", TEXT)
    await other.from_(docs.id).upload("b.txt", b"x", TEXT)
    listed = (await signed_in.from_(docs.id).list_v2()).objects
    assert [entry.name for entry in listed] == ["a.txt"]
    removed = await docs.remove(["a.txt"])
    assert (removed[0]["owner"], removed[0]["owner_id"]) == (USER, USER)


async def test_a_subject_that_is_no_uuid_is_an_owner_id_but_no_owner(docs, storage_as, control):
    await declare(control, {})
    worker = await storage_as(token(role="authenticated", sub="worker-7"))
    await worker.from_(docs.id).upload("a.txt", b"x", TEXT)
    removed = await docs.remove(["a.txt"])
    assert (removed[0]["owner"], removed[0]["owner_id"]) == ("", "worker-7")


async def test_a_right_to_insert_alone_uploads_but_never_upserts(docs, signed_in, control):
    await declare(control, {"actions": ["insert"]})
    mine = signed_in.from_(docs.id)
    await mine.upload("a.txt", b"x", TEXT)
    upsert = {**TEXT, "upsert": "true"}
    assert await refusal(mine.upload("a.txt", b"y", upsert)) == ("403", "Unauthorized")
    assert await refusal(mine.upload("new.txt", b"y", upsert)) == ("403", "Unauthorized")
    assert await refusal(mine.update("new.txt", b"y", TEXT)) == ("403", "Unauthorized")
    await declare(control, {"actions": ["insert", "select", "update"]})
    await mine.upload("a.txt", b"y", upsert)
    assert await docs.download("a.txt") == b"y"


async def test_a_move_needs_select_and_update_on_both_places(docs, signed_in, control):
    await docs.upload(f"{USER}/a.txt", b"x", TEXT)
    mine = signed_in.from_(docs.id)
    move = (f"{USER}/a.txt", f"{USER}/b.txt")
    await declare(control, {"actions": ["select"]})
    assert await refusal(mine.move(*move)) == ("404", "not_found")
    await declare(control, {"actions": ["select", "update"], "rows": "own_folder"})
    outside = mine.move(f"{USER}/a.txt", f"{OTHER_USER}/a.txt")
    assert await refusal(outside) == ("403", "Unauthorized")
    await mine.move(*move)
    assert await docs.exists(f"{USER}/b.txt")


async def test_a_copy_needs_select_on_its_source_and_insert_on_its_target(docs, signed_in, control):
    await docs.upload("a.txt", b"x", TEXT)
    mine = signed_in.from_(docs.id)
    await declare(control, {"actions": ["insert"]})
    assert await refusal(mine.copy("a.txt", "b.txt")) == ("404", "not_found")
    await declare(control, {"actions": ["select"]})
    assert await refusal(mine.copy("a.txt", "b.txt")) == ("403", "Unauthorized")
    await declare(control, {"actions": ["select", "insert"]})
    await mine.copy("a.txt", "b.txt")
    assert await docs.download("b.txt") == b"x"


async def test_to_sign_a_url_is_to_select_and_the_url_then_needs_no_right(
    docs, signed_in, control, http
):
    await docs.upload("a.txt", b"x", TEXT)
    mine = signed_in.from_(docs.id)
    assert await refusal(mine.create_signed_url("a.txt", 60)) == ("404", "not_found")
    (missed,) = await mine.create_signed_urls(["a.txt"], 60)
    assert missed["error"].startswith("Either the object does not exist")
    await declare(control, {"actions": ["select"]})
    url = (await mine.create_signed_url("a.txt", 60))["signedUrl"]
    await declare(control)
    assert (await http.get(url)).content == b"x"


async def test_a_right_to_delete_is_worth_nothing_without_the_right_to_select(
    docs, signed_in, control
):
    await docs.upload("a.txt", b"x", TEXT)
    mine = signed_in.from_(docs.id)
    await declare(control, {"actions": ["delete"]})
    assert await mine.remove(["a.txt"]) == []
    await declare(control, {"actions": ["delete", "select"]})
    assert [row["name"] for row in await mine.remove(["a.txt"])] == ["a.txt"]


async def test_a_policy_may_be_about_one_bucket_and_one_role(
    docs, new_bucket, signed_in, anonymous, control
):
    other = await new_bucket()
    await docs.upload("a.txt", b"x", TEXT)
    await other.upload("a.txt", b"x", TEXT)
    await declare(control, {"actions": ["select"], "roles": ["anon"], "bucket": docs.id})
    assert await anonymous.from_(docs.id).exists("a.txt")
    assert not await anonymous.from_(other.id).exists("a.txt")
    assert not await signed_in.from_(docs.id).exists("a.txt")


async def test_policies_on_buckets_are_apart_from_those_on_objects(docs, signed_in, control):
    await declare(control, {})
    assert await signed_in.list_buckets() == []
    await declare(control, {"table": "buckets", "actions": ["select", "insert"]})
    await signed_in.create_bucket("mine")
    assert {bucket.id for bucket in await signed_in.list_buckets()} == {"mine", docs.id}
    assert (await signed_in.get_bucket("mine")).owner == USER
    refused = refusal(signed_in.update_bucket("mine", {"public": True}))
    assert await refused == ("404", "Bucket not found")
    assert await refusal(signed_in.delete_bucket("mine")) == ("404", "Bucket not found")


async def test_a_page_of_this_machine_may_use_the_gateway_but_not_the_server_behind_it(http):
    asked = {
        "origin": "http://localhost:3000",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,x-upsert",
    }
    path = "/object/docs/a.txt"
    preflight = await http.options(f"/supabase/storage/v1{path}", headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert preflight.headers["access-control-allow-headers"] == "authorization,x-upsert"
    assert (await http.options(f"/supabase{path}", headers=asked)).status_code == 404
    answer = await http.get(BUCKETS, headers={**SERVICE, "origin": "http://localhost:3000"})
    assert answer.headers["access-control-allow-origin"] == "*"
    refused = await http.get(BUCKETS)
    assert refused.headers["access-control-allow-origin"] == "*"


async def test_older_servers_have_no_code_in_their_errors(storage, http, control):
    await switch(control, error_codes=False)
    answer = await http.get("/supabase/bucket/nope", headers=SERVICE)
    assert answer.json() == {
        "statusCode": "404",
        "error": "Bucket not found",
        "message": "Bucket not found",
    }
    assert await refusal(storage.get_bucket("nope")) == ("404", "Bucket not found")


async def test_the_service_says_that_it_lives(http: httpx.AsyncClient):
    assert (await http.get("/supabase/storage/v1/status")).content == b""
    assert (await http.get("/supabase/storage/v1/health", headers=ANON)).json() == {"healthy": True}
    assert (
        (await http.get("/supabase/storage/v1/version"))
        .headers["content-type"]
        .startswith("text/plain")
    )


async def test_health_without_a_key_is_a_broken_key(http: httpx.AsyncClient):
    answer = await http.get("/supabase/storage/v1/health")
    assert (answer.status_code, answer.json()["message"]) == (400, "Invalid Compact JWS")


async def test_a_server_without_its_database_is_unhealthy_in_a_200(http, control):
    await switch(control, healthy=False)
    answer = await http.get("/supabase/storage/v1/health", headers=ANON)
    assert (answer.status_code, answer.json()) == (200, {"healthy": False})
    assert (await http.get("/supabase/storage/v1/status")).status_code == 200


async def test_unknown_routes_are_real_404s(http: httpx.AsyncClient):
    known = await http.get("/supabase/storage/v1/object?x=1", headers=SERVICE)
    assert known.status_code == 404
    assert known.json() == {
        "statusCode": "404",
        "error": "Not Found",
        "message": "Route GET:/object?x=1 not found",
        "code": "InvalidRequest",
    }
    other = await http.get("/supabase/storage/v1/nothing")
    assert other.status_code == 404
    assert other.json() == {
        "message": "Route GET:/nothing not found",
        "error": "Not Found",
        "statusCode": 404,
    }
    options = await http.options("/supabase/object/public/b/a.txt")
    assert (options.status_code, options.json()["code"]) == (404, "InvalidRequest")


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"status": 544}, ("544", "DatabaseTimeout")),
        ({"status": 429}, ("429", "too_many_connections")),
        ({"status": 500}, ("500", "Internal")),
        ({"status": 400, "code": "LockTimeout"}, ("503", "acquiring_lock_timeout")),
        ({"status": 400, "code": "ResourceLocked"}, ("423", "ResourceLocked")),
        ({"status": 400, "code": "DatabaseReadOnly"}, ("503", "DatabaseReadOnly")),
        ({"status": 502}, ("502", "InternalError")),  # HTML, which the SDK cannot read
    ],
)
async def test_the_troubles_of_the_database_and_the_gateway_have_their_own_errors(
    docs, control, fault, expected
):
    answer = await control.post(
        "/faults", json={"route": "supabase.object.list", "kind": "status", **fault}
    )
    answer.raise_for_status()
    assert await refusal(docs.list()) == expected
    assert await docs.list() == []
