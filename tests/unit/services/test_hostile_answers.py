"""Whatever a vendor answers becomes a result or one of our errors, for every operation there is."""

import base64
import json
import struct
from copy import deepcopy
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from gristmill.contract import Operation
from gristmill.errors import GristmillError
from gristmill.services import failures, llamaparse, openai, supabase
from gristmill.services.openai import Embed, ListModels

FILE = Path(__file__)
NOW = "2026-11-23T09:00:00.000Z"
JOB = {
    "id": "pjb-1", "status": "COMPLETED", "error_message": None, "usage": {"credits": 3.0},
    "user_metadata": {"gristmill": "tag"},
}  # fmt: skip
JOBS = {"items": [JOB], "next_page_token": None}
VERSIONS = {tier: ["2026-10-16"] for tier in ("fast", "cost_effective", "agentic", "agentic_plus")}
BUCKET = {
    "id": "b", "name": "b", "owner": "", "public": False, "file_size_limit": 7,
    "allowed_mime_types": ["a/b"], "created_at": NOW, "updated_at": NOW,
}  # fmt: skip
INFO = {
    "id": "i", "name": "k", "version": "v", "bucket_id": "b", "size": 4, "content_type": "a/b",
    "cache_control": "", "etag": '"x"', "metadata": {}, "last_modified": NOW, "created_at": NOW,
}  # fmt: skip
ROW = {
    "name": "k", "id": "i", "updated_at": NOW, "created_at": NOW, "last_accessed_at": NOW,
    "metadata": {"size": 1, "mimetype": "a/b", "eTag": "x"},
}  # fmt: skip
FOLDER = {**ROW, "name": "f/", "id": None}
VECTOR = base64.b64encode(struct.pack("<4f", 0.5, 0.5, 0.5, 0.5)).decode()
SIGNED = "/object/sign/b/k?token=t"
LINK = {"path": "k", "error": None, "signedURL": SIGNED}


def _result(content, said):
    return {"job": JOB, content: {"pages": [{"page_number": 1, content: said}]}}


PROJECT = {"id": "p-1", "name": "Default", "organization_id": "o-1"}
BOOKED = {
    "event_aggregation_key": "pjb-1", "event_type": "e", "value": 1, "credits": 2.0,
    "day": "2026-01-01",
}  # fmt: skip
# An operation, and an honest answer to it.
ASKED: list[tuple[Operation, object]] = [
    (
        Embed(("a",), "text-embedding-3-small", 4, (1,)),
        {"data": [{"index": 0, "embedding": VECTOR}], "model": "m", "usage": {"prompt_tokens": 1}},
    ),
    (ListModels(), {"data": [{"id": "m"}]}),
    (llamaparse.UploadFile(FILE, "f.pdf", "x"), {"id": "f1"}),
    (llamaparse.SubmitParse("file", "agentic", "2026-10-16", 3, "tag"), JOB),
    (llamaparse.GetParseJob("pjb-1"), {"job": JOB}),
    (llamaparse.ListParseJobs(("pjb-1",)), JOBS),
    (llamaparse.FindParseJob("tag", datetime(2026, 11, 1, tzinfo=UTC)), JOBS),
    (llamaparse.GetParseResult("pjb-1", "agentic"), _result("markdown", "x")),
    (llamaparse.GetParseText("pjb-1"), _result("text", "x")),
    (llamaparse.GetParseItems("pjb-1"), _result("items", [{"type": "text"}])),
    (llamaparse.GetParseMetadata("pjb-1"), _result("metadata", None)),
    (llamaparse.GetParseUsage("pjb-1"), {"job": JOB}),
    (llamaparse.ListParseUsage("pjb-1"), {"items": [BOOKED]}),
    (llamaparse.ListUsage(date(2026, 1, 1)), {"items": [BOOKED], "next_page_token": "more"}),
    (llamaparse.ListParseVersions(), {**VERSIONS, "latest": dict.fromkeys(VERSIONS, "2026-10-16")}),
    (llamaparse.ListProjects(), [PROJECT]),
    (llamaparse.CancelParse("pjb-1"), JOB),
    (llamaparse.DeleteParse("pjb-1"), {"id": "pjb-1"}),
    (llamaparse.DeleteFile("f1"), {}),
    (llamaparse.CountFiles(), {"items": []}),
    (supabase.CheckHealth("b"), {"healthy": True, **BUCKET}),
    (supabase.EnsureBucket("b"), BUCKET),
    (supabase.CreateBucket(supabase.Bucket("b")), {"name": "b"}),
    (supabase.GetBucket("b"), BUCKET),
    (supabase.ListBuckets(), [BUCKET]),
    (supabase.UpdateBucket("b", public=True), {"message": "x"}),
    (supabase.EmptyBucket("b"), {"message": "x"}),
    (supabase.DeleteBucket("b"), {"message": "x"}),
    (supabase.UploadObject("b", "k", FILE, "a/b"), {"Key": "b/k", "Id": "i"}),
    (supabase.CreateObject("b", "k", FILE, "a/b"), {"Key": "b/k", "Id": "i"}),
    (supabase.GetObjectInfo("b", "k"), INFO),
    (supabase.ObjectExists("b", "k"), INFO),
    (supabase.ListFolder("b"), [ROW, FOLDER]),
    (
        supabase.ListObjects("b"),
        {"hasNext": True, "nextCursor": "c", "folders": [FOLDER], "objects": [ROW]},
    ),
    (supabase.MoveObject("b", "k", "l"), {"message": "m"}),
    (supabase.MoveObject("b", "k", "l", "c"), {"message": "m"}),
    (supabase.CopyObject("b", "k", "l"), {"Id": "i", "Key": "b/l"}),
    (supabase.RemoveObjects("b", ("k",)), [ROW]),
    (supabase.SignUrl("b", "k", 60), {"signedURL": SIGNED}),
    (supabase.SignUrls("b", ("k",), 60), [LINK]),
    (
        supabase.SignUpload("b", "k"),
        {"url": "/object/upload/sign/b/k?token=t", "token": "t"},
    ),
    (supabase.UploadSigned("b", "k", "t", FILE, "a/b"), {"Key": "b/k"}),
]
LONG = "9" * 5000  # digits; Python refuses to read a number of more than 4,300

DEEP = b"[" * 100_000 + b"]" * 100_000

ANSWERS = [
    (200, DEEP),
    (200, b"1e999"),
    (400, DEEP),
    (400, b'{"statusCode": 1e999, "error": {}, "code": []}'),
    (
        400,
        b'{"error": {"message": ["x"], "type": {}, "code": []}, "detail": [{"loc": 1}, {"loc": {}}]}',
    ),
    (
        400,
        json.dumps({"error": {"message": f"Invalid 'input[{LONG}]': again in {LONG}s."}}).encode(),
    ),
]
VALUES = [None, [[]], float("inf"), LONG]


@pytest.fixture
def adapter_of(adapter_of):
    """The vendors' books are asked for by an organization, which is known here already."""

    def known(service):
        adapter = adapter_of(service)
        if service == "llamaparse":
            adapter._organization = "o-1"
        return adapter

    return known


@pytest.mark.parametrize("place", [(), (0,), (0, "organization_id")], ids=str)
@pytest.mark.parametrize("value", [*VALUES, {}, "a/b"], ids=lambda value: str(value)[:8])
async def test_a_lie_about_the_organization_is_one_of_our_errors(vendor, adapter_of, place, value):
    adapter = adapter_of("llamaparse")
    adapter._organization = None
    vendor.says(200, _with([PROJECT], place, value))
    with pytest.raises(GristmillError):
        await adapter.execute(llamaparse.ListParseUsage("pjb-1"))


@pytest.mark.parametrize(("operation", "honest"), ASKED, ids=lambda each: getattr(each, "name", ""))
async def test_an_honest_answer_is_a_result(vendor, adapter_of, operation, honest):
    vendor.says(200, honest)
    await adapter_of(operation.service).execute(operation)


@pytest.mark.parametrize(("operation", "honest"), ASKED, ids=lambda each: getattr(each, "name", ""))
async def test_a_lie_in_any_place_is_a_result_or_one_of_our_errors(
    vendor, adapter_of, operation, honest
):
    adapter = adapter_of(operation.service)
    for place in _places(honest):
        for value in VALUES:
            await _answered(vendor, adapter, operation, 200, _with(honest, place, value))


@pytest.mark.parametrize("operation", [asked for asked, _ in ASKED], ids=lambda each: each.name)
async def test_a_body_that_no_reader_foresees_is_one_of_our_errors(vendor, adapter_of, operation):
    adapter = adapter_of(operation.service)
    for status, body in ANSWERS:
        await _answered(vendor, adapter, operation, status, body)


@pytest.mark.parametrize("service", ["openai", "llamaparse", "supabase"])
@pytest.mark.parametrize("text", ["1e300", LONG, "Fri, 31 Dec 9999 23:59:59 -2359"])
async def test_nobody_is_told_to_wait_for_longer_than_a_day(vendor, adapter_of, service, text):
    probe = next(asked for asked, _ in ASKED if asked.service == service)
    vendor.says(429, b"{}", {"retry-after": text, "retry-after-ms": "1e308"})
    with pytest.raises(GristmillError) as caught:
        await adapter_of(service).execute(probe)
    assert caught.value.retry_after == failures.LONGEST_WAIT


async def test_a_limit_or_a_bill_beyond_all_sense_teaches_nothing(vendor, openai):
    operation, honest = ASKED[0]
    nonsense = {f"x-ratelimit-{part}-tokens": LONG for part in ("limit", "remaining", "reset")}
    vendor.says(200, {**honest, "usage": {"prompt_tokens": 2**63}}, nonsense)
    result = await openai.execute(operation)
    (limit,) = result.rate_limits
    assert (limit.limit, limit.remaining, limit.reset) == (None, None, None)
    assert result.settlement.usage.quantity == 1
    assert "own count" in result.notes["usage"]


def test_every_operation_is_asked_here():
    kinds = {
        kind
        for module in (openai, llamaparse, supabase)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Operation)
    }
    assert kinds - {type(asked) for asked, _ in ASKED} == {supabase.DownloadObject}  # has no JSON


async def _answered(vendor, adapter, operation, status, body):
    vendor.script.clear()
    vendor.says(status, body)
    try:
        await adapter.execute(operation)
    except GristmillError as error:
        assert len(str(error)) < 1_000  # noqa: PT017 — any error of ours is right


def _places(value, place=()):
    yield place
    children = enumerate(value) if isinstance(value, list) else ()
    for key, child in value.items() if isinstance(value, dict) else children:
        yield from _places(child, (*place, key))


def _with(honest, place, value):
    whole = {"root": deepcopy(honest)}
    path = ("root", *place)
    part = whole
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return whole["root"]
