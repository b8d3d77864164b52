"""A health probe of Supabase Storage is free, and its failures are told apart."""

import pytest

from gristmill.contract import Status
from gristmill.services.adapter import Endpoint
from gristmill.services.supabase import Supabase
from gristmill_simulators import environment

KEY = "The key is wrong."
FORBIDDEN = "The key is not allowed to do this."
LIMIT = "It is rate limited."
OUTAGE = "It is down or cannot be reached."
SETTING = "It is misconfigured."
STRANGER = "What answers there is broken, or another service."


def wire(status, error, message, code):
    return {"statusCode": str(status), "error": error, "message": message, "code": code}


def refused(message):
    return wire(403, "Unauthorized", message, "AccessDenied")


NO_BUCKET = wire(404, "Bucket not found", "Bucket not found", "NoSuchBucket")
NO_CONTENT = wire(400, "InvalidRequest", "No content provided", "InvalidRequest")
BUSY = wire(429, "too_many_connections", "", "SlowDown")
SLOW = wire(544, "DatabaseTimeout", "timed out", "DatabaseTimeout")
BUCKET = {"id": "b", "name": "b", "owner": "", "public": False, "file_size_limit": None,
    "allowed_mime_types": None, "created_at": "2026-11-23T09:00:00.000Z",
    "updated_at": "2026-11-23T09:00:00.000Z",
}  # fmt: skip

ANSWERS = [
    # HTTP, body, status, how the reason begins, what else it says
    (400, refused("Invalid Compact JWS"), Status.UNHEALTHY, KEY, "SUPABASE_SERVICE_ROLE_KEY"),
    (400, refused("signature verification failed"), Status.UNHEALTHY, KEY, "another project"),
    (400, refused('"exp" claim timestamp check failed'), Status.UNHEALTHY, KEY, "has expired"),
    (403, refused("Access denied"), Status.UNHEALTHY, FORBIDDEN, "service key"),
    (429, BUSY, Status.DEGRADED, LIMIT, "by itself"),
    (544, SLOW, Status.UNHEALTHY, OUTAGE, "too slow"),
    (502, b"<html>", Status.UNHEALTHY, OUTAGE, "by itself"),
    (200, {"healthy": False}, Status.UNHEALTHY, OUTAGE, "paused"),
    (404, b"<html>Not found</html>", Status.UNCONFIGURED, SETTING, "SUPABASE_URL"),
    (200, b"<html>Welcome</html>", Status.UNHEALTHY, STRANGER, ""),
    (200, {"status": "ok"}, Status.UNHEALTHY, STRANGER, ""),
]


@pytest.mark.parametrize("row", ANSWERS)
async def test_each_failure_has_a_sentence_of_its_own_and_says_what_to_do(vendor, supabase, row):
    status, body, expected, sentence, words = row
    vendor.says(status, body)
    health = await supabase.get_health()
    assert health.status is expected
    assert health.reason.startswith(sentence)
    assert words in health.reason
    assert (health.error_count, health.response_time) == (1, None)


async def test_a_good_answer_is_healthy_and_asked_for_once_without_paying(vendor, supabase):
    vendor.says(200, {"healthy": True})
    health = await supabase.get_health()
    assert (health.status, health.last_error) == (Status.HEALTHY, None)
    assert [(r.method, r.target) for r in vendor.requests] == [("GET", "/storage/v1/health")]


async def test_a_connection_that_breaks_or_is_not_made_is_an_outage(vendor, supabase, adapter_of):
    vendor.does(vendor.vanish)
    assert (await supabase.get_health()).reason.startswith(OUTAGE)
    nobody = adapter_of("supabase", base_url="http://127.0.0.1:9")
    assert (await nobody.get_health()).reason.startswith(OUTAGE)


@pytest.fixture
def with_bucket(vendor, http):
    """An adapter that was told its bucket, with the key of a role."""

    def build(role):
        key = environment.supabase_key(role)
        return Supabase(Endpoint("supabase", vendor.url, key), http, bucket="b")

    return build


async def test_a_bucket_that_is_there_is_healthy(vendor, with_bucket):
    vendor.says(200, {"healthy": True}).says(200, BUCKET)
    assert (await with_bucket("anon").get_health()).status is Status.HEALTHY


async def test_a_missing_bucket_that_the_key_will_make_is_healthy(vendor, with_bucket):
    vendor.says(200, {"healthy": True}).says(400, NO_BUCKET)
    assert (await with_bucket("service_role").get_health()).status is Status.HEALTHY


async def test_a_bucket_that_is_there_unseen_is_healthy(vendor, with_bucket):
    vendor.says(200, {"healthy": True}).says(400, NO_BUCKET).says(400, NO_CONTENT)
    assert (await with_bucket("anon").get_health()).status is Status.HEALTHY


async def test_a_missing_bucket_that_the_key_cannot_make_is_a_wrong_setting(vendor, with_bucket):
    vendor.says(200, {"healthy": True}).says(400, NO_BUCKET).says(400, NO_BUCKET)
    health = await with_bucket("anon").get_health()
    assert health.status is Status.UNCONFIGURED
    assert health.reason.startswith(SETTING)
    assert "the bucket 'b' does not exist" in health.reason
    assert "only service_role may create buckets" in health.reason
