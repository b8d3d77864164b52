"""The Supabase Storage adapter: buckets, files in and out, signed addresses, errors."""

import json
import re

import pytest

from gristmill import errors
from gristmill.contract import Origin, Status
from gristmill.services.supabase import (
    Bucket,
    DownloadObject,
    EnsureBucket,
    ListBuckets,
    RemoveObjects,
    SignUrl,
    StoredObject,
    UploadObject,
    storage_url,
)

BUCKET = {
    "id": "documents", "name": "documents", "owner": "", "public": False,
    "file_size_limit": None, "allowed_mime_types": None,
    "created_at": "2026-11-23T09:00:00.000Z", "updated_at": "2026-11-23T09:00:00.000Z",
}  # fmt: skip


def wire(status, error, message, code):
    return {"statusCode": str(status), "error": error, "message": message, "code": code}


NO_BUCKET = wire(404, "Bucket not found", "Bucket not found", "NoSuchBucket")
NO_OBJECT = wire(404, "not_found", "Object not found", "NoSuchKey")
EXISTS = wire(409, "Duplicate", "The resource already exists", "BucketAlreadyExists")


def asked(vendor):
    return [(request.method, request.target) for request in vendor.requests]


async def test_an_existing_bucket_is_used_as_it_is(vendor, supabase):
    vendor.says(200, {**BUCKET, "public": True}, {"x-simulated": "gristmill/0.1"})
    result = await supabase.execute(EnsureBucket("documents"))
    assert result.value == Bucket("documents", public=True)
    assert result.origin is Origin.SIMULATED
    assert asked(vendor) == [("GET", "/storage/v1/bucket/documents")]
    headers = vendor.requests[0].headers
    assert headers["authorization"] == "Bearer sb_secret_test_not_a_real_key"
    assert headers["apikey"] == "sb_secret_test_not_a_real_key"


async def test_a_missing_bucket_is_made_private(vendor, supabase):
    vendor.says(400, NO_BUCKET).says(200, {"name": "documents"}).says(200, BUCKET)
    assert (await supabase.execute(EnsureBucket("documents"))).value.public is False
    assert [method for method, _ in asked(vendor)] == ["GET", "POST", "GET"]
    assert vendor.requests[1].json() == {"id": "documents", "name": "documents", "public": False}


async def test_a_bucket_that_somebody_else_made_first_is_fine(vendor, supabase):
    vendor.says(400, NO_BUCKET).says(400, EXISTS).says(200, BUCKET)
    assert (await supabase.execute(EnsureBucket("documents"))).value.name == "documents"


async def test_a_bucket_that_may_not_be_made_is_an_error(vendor, supabase):
    denied = wire(403, "Unauthorized", "new row violates row-level security policy", "AccessDenied")
    vendor.says(400, NO_BUCKET).says(400, denied)
    with pytest.raises(errors.Unauthorized) as caught:
        await supabase.execute(EnsureBucket("documents"))
    assert "service key" in caught.value.advice


async def test_a_file_is_streamed_under_its_key(vendor, supabase, tmp_path):
    path = tmp_path / "paper.pdf"
    path.write_bytes(bytes(range(256)) * 4000)
    vendor.says(200, {"Key": "documents/a/paper.pdf", "Id": "0b7f"})
    upload = UploadObject("documents", "a/paper.pdf", path, "application/pdf")
    result = await supabase.execute(upload)
    (request,) = vendor.requests
    assert result.value == StoredObject("documents", "a/paper.pdf", "0b7f")
    assert asked(vendor) == [("POST", "/storage/v1/object/documents/a/paper.pdf")]
    assert path.read_bytes() in request.body
    assert re.search(rb"Content-Type: application/pdf\r\n", request.body)
    assert request.headers["x-upsert"] == "true"
    assert int(request.headers["content-length"]) == len(request.body)


async def test_without_upsert_an_existing_object_stays(vendor, supabase, tmp_path):
    path = tmp_path / "paper.pdf"
    path.write_bytes(b"x")
    vendor.says(400, EXISTS)
    upload = UploadObject("documents", "paper.pdf", path, "application/pdf", upsert=False)
    with pytest.raises(errors.Rejected, match="already exists"):
        await supabase.execute(upload)
    assert vendor.requests[0].headers["x-upsert"] == "false"


async def test_a_file_that_cannot_be_read_is_said_before_anything_is_sent(
    vendor, supabase, tmp_path
):
    with pytest.raises(errors.UnreadableSource):
        await supabase.execute(UploadObject("b", "k", tmp_path / "gone", "text/plain"))
    assert vendor.connections == 0


async def test_a_download_goes_to_the_file_piece_by_piece(vendor, supabase, tmp_path):
    content = bytes(range(256)) * 20_000
    vendor.says(200, content, {"content-type": "application/pdf", "sb-request-id": "r-2"})
    result = await supabase.execute(DownloadObject("documents", "a.pdf", tmp_path / "copy.pdf"))
    assert (result.value, result.request_id) == (len(content), "r-2")
    assert (tmp_path / "copy.pdf").read_bytes() == content
    assert asked(vendor) == [("GET", "/storage/v1/object/documents/a.pdf")]
    assert [path.name for path in tmp_path.iterdir()] == ["copy.pdf"]


async def test_a_compressed_download_arrives_as_it_was_stored(vendor, supabase, tmp_path):
    import gzip

    vendor.says(200, gzip.compress(b"grain" * 999), {"content-encoding": "gzip"})
    result = await supabase.execute(DownloadObject("documents", "a.md", tmp_path / "a.md"))
    assert result.value == 5 * 999
    assert (tmp_path / "a.md").read_bytes() == b"grain" * 999


async def test_a_download_that_breaks_leaves_the_old_file_and_nothing_else(
    vendor, supabase, tmp_path
):
    async def half(_request, _reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5000000\r\n\r\n" + b"x" * 2_000_000)
        await writer.drain()

    target = tmp_path / "copy.pdf"
    target.write_bytes(b"old")
    for failure, expected in (
        (half, errors.OutcomeUnknown),
        (vendor.vanish, errors.OutcomeUnknown),
    ):
        vendor.script = []
        vendor.does(failure)
        with pytest.raises(expected):
            await supabase.execute(DownloadObject("documents", "a.pdf", target))
    vendor.script = []
    vendor.says(400, NO_OBJECT)
    with pytest.raises(errors.NotFound):
        await supabase.execute(DownloadObject("documents", "a.pdf", target))
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("copy.pdf", b"old")]


async def test_an_empty_object_is_an_empty_file(vendor, supabase, tmp_path):
    vendor.says(200, b"")
    result = await supabase.execute(DownloadObject("documents", "a", tmp_path / "a"))
    assert result.value == 0
    assert (tmp_path / "a").read_bytes() == b""


async def test_removal_answers_what_was_there(vendor, supabase):
    vendor.says(200, [{"name": "a.pdf", "bucket_id": "documents"}])
    result = await supabase.execute(RemoveObjects("documents", ("a.pdf", "gone.pdf")))
    assert result.value == ("a.pdf",)
    assert vendor.requests[0].json() == {"prefixes": ["a.pdf", "gone.pdf"]}


async def test_a_signed_address_is_whole(vendor, supabase):
    vendor.says(200, {"signedURL": "/object/sign/documents/a.pdf?token=abc"})
    result = await supabase.execute(SignUrl("documents", "a.pdf", 60))
    assert result.value == f"{vendor.url}/storage/v1/object/sign/documents/a.pdf?token=abc"
    assert vendor.requests[0].json()["expiresIn"] == "60"


@pytest.mark.parametrize("key", ["", "/a", "a//b", "été.pdf", "50%", "a#b", "../b", "a/./b"])
async def test_a_key_that_would_arrive_changed_is_not_sent(vendor, supabase, key):
    with pytest.raises(errors.Rejected, match="not sent"):
        await supabase.execute(SignUrl("documents", key, 60))
    assert vendor.connections == 0


@pytest.mark.parametrize(
    "address",
    [
        "https://abc.supabase.co",
        "https://abc.supabase.co/",
        "https://abc.supabase.co/storage/v1",
        "https://abc.supabase.co/storage/v1/",
    ],
)
def test_the_project_s_address_is_enough(address):
    assert storage_url(address) == "https://abc.supabase.co/storage/v1/"


BROKEN = [
    (EnsureBucket("b"), b""),
    (EnsureBucket("b"), b"{}"),
    (EnsureBucket("b"), b"[]"),
    (ListBuckets(), b'{"a": 1}'),
    (ListBuckets(), b"nothing"),
    (RemoveObjects("b", ("k",)), [{"id": 1}]),
    (RemoveObjects("b", ("k",)), b"<html>"),
    (SignUrl("b", "k", 1), {"url": "x"}),
    (SignUrl("b", "k", 1), {"signedURL": None}),
]


@pytest.mark.parametrize(("operation", "body"), BROKEN)
async def test_an_answer_that_breaks_the_contract_is_never_used(vendor, supabase, operation, body):
    vendor.says(200, body)
    with pytest.raises(errors.InvalidResponse):
        await supabase.execute(operation)


async def test_an_upload_answered_without_key_or_id_is_an_invalid_answer(
    vendor, supabase, tmp_path
):
    path = tmp_path / "a"
    path.write_bytes(b"x")
    for body in (b"", b"{}", {"Key": "b/a"}, {"Id": "1"}):
        vendor.script = []
        vendor.says(200, body)
        with pytest.raises(errors.InvalidResponse):
            await supabase.execute(UploadObject("b", "a", path, "text/plain"))


TABLE = [
    # HTTP, body, error, code
    (400, wire(400, "Error", "headers must have required property 'authorization'", "InvalidRequest"), errors.Unauthorized, "InvalidRequest"),
    (400, wire(403, "Unauthorized", "Invalid Compact JWS", "AccessDenied"), errors.Unauthorized, "AccessDenied"),
    (400, wire(403, "Unauthorized", "signature verification failed", "AccessDenied"), errors.Unauthorized, "AccessDenied"),
    (403, wire(403, "Unauthorized", "Access denied: Invalid role", "AccessDenied"), errors.Unauthorized, "AccessDenied"),
    (400, EXISTS, errors.Rejected, "BucketAlreadyExists"),
    (400, wire(400, "Invalid Input", "Bucket name invalid", "InvalidBucketName"), errors.Rejected, "InvalidBucketName"),
    (400, wire(413, "Payload too large", "The object exceeded the maximum allowed size", "EntityTooLarge"), errors.Rejected, "EntityTooLarge"),
    (400, wire(415, "invalid_mime_type", "mime type application/pdf is not supported", "InvalidMimeType"), errors.Rejected, "InvalidMimeType"),
    (400, NO_BUCKET, errors.NotFound, "NoSuchBucket"),
    (400, NO_OBJECT, errors.NotFound, "NoSuchKey"),
    (400, wire(400, "InvalidKey", "Invalid key: a", "InvalidKey"), errors.Rejected, "InvalidKey"),
    (400, wire(503, "acquiring_lock_timeout", "lock", "LockTimeout"), errors.Unavailable, "LockTimeout"),
    (400, wire(503, "x", "read only", "DatabaseReadOnly"), errors.Unavailable, "DatabaseReadOnly"),
    (400, wire(423, "x", "locked", "ResourceLocked"), errors.Unavailable, "ResourceLocked"),
    (429, wire(429, "too_many_connections", "too many clients", "SlowDown"), errors.Throttled, "SlowDown"),
    (544, wire(544, "DatabaseTimeout", "timeout", "DatabaseTimeout"), errors.Unavailable, "DatabaseTimeout"),
    (500, wire(500, "Internal", "Internal Server Error", "InternalError"), errors.Unavailable, "InternalError"),
    (413, b"<html>Request Entity Too Large</html>", errors.Rejected, None),
    (502, b"<html>Bad gateway</html>", errors.Unavailable, None),
    (504, b"", errors.Unavailable, None),
    (404, {"message": "Route GET:/x not found", "error": "Not Found", "statusCode": 404}, errors.NotFound, "Not Found"),
    # servers before July 2026 leave the code out
    (400, {"statusCode": "404", "error": "not_found", "message": "Object not found"}, errors.NotFound, "not_found"),
]  # fmt: skip


@pytest.mark.parametrize("row", TABLE)
async def test_every_error_of_the_vendor_is_named_after_its_effect(vendor, supabase, row):
    status, body, expected, code = row
    vendor.says(status, body)
    with pytest.raises(errors.ServiceError) as caught:
        await supabase.execute(SignUrl("documents", "a.pdf", 60))
    assert type(caught.value) is expected
    assert caught.value.code == code
    assert caught.value.service == "supabase"
    assert len(vendor.requests) == 1


async def test_no_secret_of_an_error_answer_reaches_the_message(vendor, supabase):
    leaks = "key sb_secret_test_not_a_real_key, url https://x/y?token=abc.def or jwt eyJhbGciOiJI.eyJyb2xlIjoi.c2lnbmF0dXJl"
    vendor.says(400, wire(400, "Error", leaks, "InvalidRequest"))
    with pytest.raises(errors.Rejected) as caught:
        await supabase.execute(ListBuckets())
    assert str(caught.value).endswith("key ***, url https://x/y?token=*** or jwt ***")
    assert caught.value.__suppress_context__


async def test_health_says_whether_the_key_is_wrong(vendor, supabase):
    vendor.says(200, json.dumps([BUCKET]).encode())
    assert (await supabase.get_health()).status is Status.HEALTHY
    vendor.script = []
    vendor.says(400, wire(403, "Unauthorized", "Invalid Compact JWS", "AccessDenied"))
    health = await supabase.get_health()
    assert health.status is Status.UNHEALTHY
    assert health.reason.startswith("The key is wrong.")
