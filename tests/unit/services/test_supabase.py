"""The Supabase Storage adapter: buckets, files in and out, signed addresses, errors."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill import errors
from gristmill.contract import Origin
from gristmill.services.supabase import (
    ByteRange,
    CopyObject,
    CreateObject,
    DownloadObject,
    EnsureBucket,
    GetObjectInfo,
    ListBuckets,
    ListFolder,
    ListObjects,
    RemoveObjects,
    SignUpload,
    SignUrl,
    SignUrls,
    StoredObject,
    UploadObject,
    UploadSigned,
    public_url,
    storage_url,
)
from gristmill.services.supabase.errors import role_of

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


DENIED = wire(403, "Unauthorized", "new row violates row-level security policy", "AccessDenied")


def asked(vendor):
    return [(request.method, request.target) for request in vendor.requests]


async def test_an_existing_bucket_is_used_as_it_is(vendor, supabase):
    vendor.says(200, {**BUCKET, "public": True}, {"x-simulated": "gristmill/0.1"})
    result = await supabase.execute(EnsureBucket("documents"))
    assert result.value is False, "it was not made now"
    assert result.origin is Origin.SIMULATED
    assert asked(vendor) == [("GET", "/storage/v1/bucket/documents")]
    headers = vendor.requests[0].headers
    assert headers["authorization"] == "Bearer sb_secret_test_not_a_real_key"
    assert headers["apikey"] == "sb_secret_test_not_a_real_key"


async def test_a_missing_bucket_is_made_private(vendor, supabase):
    vendor.says(400, NO_BUCKET).says(200, {"name": "documents"})
    assert (await supabase.execute(EnsureBucket("documents"))).value is True
    assert [method for method, _ in asked(vendor)] == ["GET", "POST"]
    assert vendor.requests[1].json() == {"id": "documents", "name": "documents", "public": False}


async def test_a_bucket_that_somebody_else_made_first_is_fine(vendor, supabase):
    vendor.says(400, NO_BUCKET).says(400, EXISTS)
    assert (await supabase.execute(EnsureBucket("documents"))).value is False


async def test_a_missing_bucket_that_may_not_be_made_says_who_may(vendor, supabase):
    vendor.says(400, NO_BUCKET).says(400, DENIED).says(400, NO_BUCKET)
    with pytest.raises(
        errors.Unauthorized, match="the bucket 'documents' does not exist"
    ) as caught:
        await supabase.execute(EnsureBucket("documents"))
    assert "SUPABASE_SERVICE_ROLE_KEY" in caught.value.advice
    assert "INSERT policy" in caught.value.advice
    assert caught.value.code == "NoSuchBucket"


async def test_a_bucket_that_the_key_cannot_see_is_proven_by_an_upload_without_content(
    vendor, supabase
):
    no_content = wire(400, "InvalidRequest", "No content provided", "InvalidRequest")
    vendor.says(400, NO_BUCKET).says(400, DENIED).says(400, no_content)
    assert (await supabase.execute(EnsureBucket("documents"))).value is False
    probe = vendor.requests[2]
    assert (probe.method, probe.target) == ("POST", "/storage/v1/object/documents/nothing")
    assert b"filename" not in probe.body, "a part without a file name carries no content"


@pytest.mark.parametrize("answers", [(503,), (400, 503), (400, 400, 503)])
async def test_a_failure_while_looking_for_a_bucket_is_no_proof_of_anything(
    vendor, supabase, answers
):
    for answer, body in zip(answers, (NO_BUCKET, DENIED, b""), strict=False):
        vendor.says(answer, body if answer == 400 else b"")
    with pytest.raises(errors.Unavailable):
        await supabase.execute(EnsureBucket("documents"))


@pytest.mark.parametrize("size", [0, 1, 65_536, 1_000_000, 1_048_576, 3_333_333])
async def test_a_file_of_any_size_arrives_whole_under_its_key(vendor, supabase, tmp_path, size):
    path = tmp_path / "paper.pdf"
    path.write_bytes((bytes(range(256)) * (size // 256 + 1))[:size])
    vendor.says(200, {"Key": "documents/a/paper.pdf", "Id": "0b7f"})
    upload = UploadObject("documents", "a/paper.pdf", path, "application/pdf")
    result = await supabase.execute(upload)
    (request,) = vendor.requests
    assert result.value == StoredObject("documents", "a/paper.pdf", "0b7f")
    assert asked(vendor) == [("POST", "/storage/v1/object/documents/a/paper.pdf")]
    assert b"\r\n\r\n" + path.read_bytes() + b"\r\n--" in request.body
    assert re.search(rb"Content-Type: application/pdf\r\n", request.body)
    assert request.headers["x-upsert"] == "true"
    assert int(request.headers["content-length"]) == len(request.body)


INFO = {
    "id": "0b7f", "name": "paper.pdf", "version": "v", "bucket_id": "documents", "size": 1,
    "content_type": "application/pdf", "cache_control": "max-age=3600",
    "etag": '"9dd4e461268c8034f5c8564e155c67a6"', "metadata": {"page": 1},
    "last_modified": "2026-11-23T09:00:00.000Z", "created_at": "2026-11-23T09:00:00.000Z",
}  # fmt: skip
KEY_EXISTS = {**EXISTS, "code": "KeyAlreadyExists"}
OTHERS = [
    {"size": 2},
    {"etag": '"9dd4e461268c8034f5c8564e155c67a7"'},
    {"etag": '"9dd4e461268c8034f5c8564e155c67a6-2"'},
    {"content_type": "text/plain"},
    {"metadata": {"page": 2}},
    {"metadata": {}},
]


@pytest.fixture
def create(tmp_path):
    path = tmp_path / "paper.pdf"
    path.write_bytes(b"x")
    return CreateObject("documents", "paper.pdf", path, "application/pdf", {"page": 1})


async def test_a_new_object_goes_under_a_free_key_only(vendor, supabase, create):
    vendor.says(200, {"Key": "documents/paper.pdf", "Id": "0b7f"})
    result = await supabase.execute(create)
    assert result.value == StoredObject("documents", "paper.pdf", "0b7f")
    assert vendor.requests[0].headers["x-upsert"] == "false"
    assert b'{"page": 1}' in vendor.requests[0].body


async def test_a_key_that_holds_the_very_object_already_was_a_lost_reply(vendor, supabase, create):
    vendor.says(400, KEY_EXISTS).says(200, INFO)
    assert (await supabase.execute(create)).value.id == "0b7f"


@pytest.mark.parametrize("other", OTHERS, ids=lambda other: str(other)[:30])
async def test_a_key_that_holds_another_object_is_refused(vendor, supabase, create, other):
    vendor.says(400, KEY_EXISTS).says(200, INFO | other)
    with pytest.raises(errors.Rejected, match="already exists"):
        await supabase.execute(create)


async def test_a_taken_key_that_may_not_be_looked_at_is_refused_with_the_first_reason(
    vendor, supabase, create
):
    vendor.says(400, KEY_EXISTS).says(400, NO_OBJECT)
    with pytest.raises(errors.Rejected, match="already exists"):
        await supabase.execute(create)


@pytest.mark.parametrize("metadata", [{"a": {1}}, {"a": float("nan")}, {"a": "x" * (1 << 20)}])
async def test_metadata_that_the_server_would_drop_without_a_word_is_not_sent(
    vendor, supabase, create, metadata
):
    upload = UploadObject("documents", "paper.pdf", create.path, "application/pdf", metadata)
    copy = CopyObject("documents", "a", "b", metadata=metadata)
    for operation in (upload, copy):
        with pytest.raises(errors.Rejected, match="not sent"):
            await supabase.execute(operation)
    assert vendor.connections == 0


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


@pytest.mark.parametrize(
    ("part", "header"),
    [
        (ByteRange(0, 5), "bytes=0-4"),
        (ByteRange(7), "bytes=7-"),
        (ByteRange(-3), "bytes=-3"),
    ],
)
async def test_a_part_is_asked_for_as_a_slice(vendor, supabase, tmp_path, part, header):
    vendor.says(206, b"grain", {"content-range": "bytes 0-4/12"})
    result = await supabase.execute(DownloadObject("documents", "a", tmp_path / "a", part))
    assert result.value == 5
    assert vendor.requests[0].headers["range"] == header


@pytest.mark.parametrize(("start", "stop"), [(3, 3), (4, 3), (-1, 3), (0, 0), (0, -1)])
def test_a_part_without_bytes_cannot_be_asked_for(start, stop):
    with pytest.raises(ValueError, match="no bytes"):
        ByteRange(start, stop)


async def test_a_server_that_sends_the_whole_instead_of_a_part_is_caught(
    vendor, supabase, tmp_path
):
    vendor.says(200, b"all of it")
    with pytest.raises(errors.InvalidResponse, match="whole"):
        await supabase.execute(DownloadObject("documents", "a", tmp_path / "a", ByteRange(0, 3)))
    assert list(tmp_path.iterdir()) == []


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


@pytest.mark.parametrize(
    "address",
    [
        "/https://elsewhere.example/object/sign/documents/a.pdf?token=abc",
        "//elsewhere.example/object/sign/documents/a.pdf?token=abc",
        "https://elsewhere.example/a.pdf",
        "/object/sign/documents/b.pdf?token=abc",
        "/object/public/documents/a.pdf",
        "",
    ],
)
async def test_a_signed_address_leads_to_the_object_it_was_asked_for_and_nowhere_else(
    vendor, supabase, address
):
    """People open it; the SDK makes an address of whatever the server says."""
    vendor.says(200, {"signedURL": address})
    with pytest.raises(errors.InvalidResponse):
        await supabase.execute(SignUrl("documents", "a.pdf", 60))
    vendor.script[:] = []
    vendor.says(200, [{"path": "a.pdf", "signedURL": address, "error": None}])
    with pytest.raises(errors.InvalidResponse):
        await supabase.execute(SignUrls("documents", ("a.pdf",), 60))


async def test_many_keys_are_removed_and_signed_a_thousand_at_a_time(vendor, supabase):
    keys = tuple(f"files/{number}" for number in range(2001))

    async def answer(request, _reader, writer):
        asked = request.json().get("prefixes") or request.json()["paths"]
        rows = [
            {
                "name": key,
                "path": key,
                "signedURL": f"/object/sign/documents/{key}?token=t",
                "error": None,
            }
            for key in asked
        ]
        body = json.dumps(rows).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        )
        await writer.drain()

    vendor.does(answer)
    assert (await supabase.execute(RemoveObjects("documents", keys))).value == keys
    signed = (await supabase.execute(SignUrls("documents", keys, 60))).value
    assert tuple(each.key for each in signed) == keys
    sizes = [len(r.json().get("prefixes") or r.json()["paths"]) for r in vendor.requests]
    assert sizes == [1000, 1000, 1, 1000, 1000, 1]


async def test_a_permission_to_upload_is_asked_for_and_used(vendor, supabase, create):
    vendor.says(200, {"url": "/object/upload/sign/documents/a.pdf?token=abc", "token": "abc"})
    for replace, header in ((False, None), (True, "true")):
        signed = (await supabase.execute(SignUpload("documents", "a.pdf", replace))).value
        assert vendor.requests[-1].headers.get("x-upsert") == header
    assert (signed.key, signed.token) == ("a.pdf", "abc")
    assert signed.url == f"{vendor.url}/storage/v1/object/upload/sign/documents/a.pdf?token=abc"
    vendor.script = []
    vendor.says(200, {"Key": "documents/a.pdf"})
    upload = UploadSigned("documents", "a.pdf", "abc", create.path, "application/pdf", {"by": "me"})
    assert (await supabase.execute(upload)).value == "a.pdf"
    assert asked(vendor)[-1] == ("PUT", "/storage/v1/object/upload/sign/documents/a.pdf?token=abc")
    assert b'{"by": "me"}' in vendor.requests[-1].body
    assert b"\r\n\r\nx\r\n--" in vendor.requests[-1].body


def test_a_thousand_of_the_longest_keys_fit_into_one_request():
    assert len(json.dumps({"prefixes": ["k" * 1024] * 1000})) < 1 << 20


def test_a_secret_address_does_not_show_when_it_is_printed():
    from gristmill.services.supabase import SignedUpload, SignedUrl

    signed = SignedUrl("a", "https://h/x?token=secret"), SignedUpload("a", "u?secret", "secret")
    upload = UploadSigned("b", "a", "secret", "path", "text/plain")
    assert "secret" not in repr((*signed, upload))


@pytest.mark.parametrize("limit", [0, -1, 1001])
@pytest.mark.parametrize("kind", [ListFolder, ListObjects])
async def test_a_page_that_the_server_would_cut_is_not_asked_for(vendor, supabase, kind, limit):
    with pytest.raises(errors.Rejected, match="not sent"):
        await supabase.execute(kind("documents", limit=limit))
    assert vendor.connections == 0


async def test_a_search_cannot_leave_the_folder_that_names_are_told_for(vendor, supabase):
    with pytest.raises(errors.Rejected, match="not sent"):
        await supabase.execute(ListFolder("documents", "a", search="b/c"))
    assert vendor.connections == 0


@given(
    bucket=st.text(st.sampled_from("aZ09_-!'() &$@=;:+,?*"), min_size=1, max_size=20).filter(
        lambda name: name == name.strip()
    ),
    key=st.text(st.sampled_from("aZ09_-!'()&$@=;:+,?* "), min_size=1, max_size=20),
    name=st.none() | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20),
)
async def test_a_public_address_is_the_one_that_the_sdk_makes(bucket, key, name):
    from storage3 import AsyncStorageClient
    from yarl import URL

    options = {} if name is None else {"download": name or True}
    sdk = AsyncStorageClient("https://h/storage/v1/", {}, http_client=object())
    theirs = await sdk.from_(bucket).get_public_url(key, options)
    ours = public_url("https://h", bucket, key, name)
    assert (URL(ours).path, URL(ours).query) == (URL(theirs).path, URL(theirs).query)


@pytest.mark.parametrize("key", ["", "/a", "a//b", "été.pdf", "50%", "a#b", "../b", "a/./b"])
async def test_a_key_that_would_arrive_changed_is_not_sent(vendor, supabase, key):
    with pytest.raises(errors.Rejected, match="not sent"):
        await supabase.execute(SignUrl("documents", key, 60))
    assert vendor.connections == 0


async def test_a_key_whose_signature_the_server_would_refuse_is_not_signed(vendor, supabase):
    for operation in (SignUrl("b", "a?", 1), SignUrls("b", ("a", "a?"), 1), SignUpload("b", "a?")):
        with pytest.raises(errors.Rejected, match="not sent") as caught:
            await supabase.execute(operation)
        assert "question mark" in caught.value.advice
    assert vendor.connections == 0


@pytest.mark.parametrize("bucket", ["", "..", "b/empty", "ä"])
async def test_a_bucket_that_is_none_is_not_asked_for(vendor, supabase, tmp_path, bucket):
    from gristmill.services import supabase as vendor_s

    for operation in (
        EnsureBucket(bucket),
        vendor_s.CheckHealth(bucket),
        vendor_s.CreateBucket(vendor_s.Bucket(bucket)),
        vendor_s.GetBucket(bucket),
        vendor_s.UpdateBucket(bucket, public=True),
        vendor_s.EmptyBucket(bucket),
        vendor_s.DeleteBucket(bucket),
        GetObjectInfo(bucket, "k"),
        ListObjects(bucket),
        DownloadObject(bucket, "k", tmp_path / "k"),
    ):
        with pytest.raises(errors.Rejected, match="not sent"):
            await supabase.execute(operation)
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
    (SignUrls("b", ("k",), 1), [{"path": "k"}]),
    (SignUpload("b", "k"), {"url": "/x"}),
    (GetObjectInfo("b", "k"), {"name": "k"}),
    (ListFolder("b"), {"objects": []}),
    (ListFolder("b"), [{"name": 3, "id": None}]),
    (ListObjects("b"), {"hasNext": True, "folders": [], "objects": []}),
    (ListObjects("b"), []),
    (CopyObject("b", "k", "l"), {"Key": "b/l"}),
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


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Not found</html>",
        b"",
        {"message": "Route GET:/x not found", "error": "Not Found", "statusCode": 404},
    ],
)
async def test_a_route_that_is_not_there_is_a_wrong_address(vendor, supabase, tmp_path, body):
    vendor.says(404, body)
    for operation in (ListBuckets(), DownloadObject("b", "k", tmp_path / "k")):
        with pytest.raises(errors.Misconfigured) as caught:
            await supabase.execute(operation)
        assert "SUPABASE_URL" in caught.value.advice


async def test_a_creation_that_fails_at_the_server_may_have_happened(vendor, supabase):
    from gristmill.services.supabase import Bucket, CreateBucket, MoveObject

    vendor.says(544, wire(544, "DatabaseTimeout", "timeout", "DatabaseTimeout"))
    for operation in (CreateBucket(Bucket("b")), MoveObject("b", "k", "l")):
        with pytest.raises(errors.OutcomeUnknown):
            await supabase.execute(operation)


def token(**claims):
    import base64

    part = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"eyJhbGciOiJIUzI1NiJ9.{part}.signature"


@pytest.mark.parametrize(
    ("key", "role"),
    [
        ("sb_secret_fake", "service_role"),
        ("sb_publishable_fake", "anon"),
        (token(role="authenticated"), "authenticated"),
        (token(sub="somebody"), "anon"),
        ("junk", None),
        ("a.b.c", None),
        ("", None),
    ],
)
def test_a_key_tells_its_role(key, role):
    assert role_of(key) == role


async def test_no_secret_of_an_error_answer_reaches_the_message(vendor, supabase):
    leaks = "key sb_secret_test_not_a_real_key, url https://x/y?token=abc.def or jwt eyJhbGciOiJI.eyJyb2xlIjoi.c2lnbmF0dXJl"
    vendor.says(400, wire(400, "Error", leaks, "InvalidRequest"))
    with pytest.raises(errors.Rejected) as caught:
        await supabase.execute(ListBuckets())
    assert str(caught.value).endswith("key ***, url https://x/y?token=*** or jwt ***.")
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("kind", [UploadObject, CreateObject])
async def test_a_content_type_begins_no_header_of_its_own(vendor, supabase, tmp_path, kind):
    path = tmp_path / "a.txt"
    path.write_bytes(b"x")
    vendor.says(200, {"Key": "b/k", "Id": "1"})
    with pytest.raises(errors.Rejected, match="no content type"):
        await supabase.execute(kind("b", "k", path, "text/plain\r\nX-Injected: 1"))
    assert vendor.requests == []
