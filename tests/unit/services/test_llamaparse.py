"""The LlamaParse adapter: upload, submit, find, read, delete, errors."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill import errors
from gristmill.contract import Open, Origin, Status, Usage
from gristmill.services.llamaparse import (
    CancelParse,
    DeleteFile,
    DeleteParse,
    FindParseJob,
    GetParseResult,
    GetParseUsage,
    ListParseJobs,
    ParsedPage,
    ParseJob,
    ParseStatus,
    SubmitParse,
    UploadFile,
    Webhook,
)
from gristmill.services.llamaparse.answers import read_credits

JOB = {
    "id": "pjb-1",
    "project_id": "p",
    "status": "PENDING",
    "error_message": None,
    "user_metadata": {"gristmill": "tag-1"},
}
SUBMIT = SubmitParse("file-1", "agentic", "2026-10-16", 7, "tag-1")


def query_of(request):
    return parse_qs(urlsplit(request.target).query)


async def test_a_file_is_streamed_with_its_name_and_our_id(vendor, llamaparse, tmp_path):
    path = tmp_path / "on-disk-name.bin"
    path.write_bytes(b"%PDF " + bytes(range(256)) * 4000)
    vendor.says(201, {"id": "file-1", "name": "Bericht.pdf", "project_id": "p"})

    result = await llamaparse.execute(UploadFile(path, "Bericht.pdf", "doc-7"))

    (request,) = vendor.requests
    assert (request.method, request.target) == ("POST", "/api/v1/beta/files")
    assert result.value.id == "file-1"
    assert path.read_bytes() in request.body
    assert b'filename="Bericht.pdf"' in request.body
    assert re.search(rb'name="purpose"\r\n\r\nparse\r\n', request.body)
    assert re.search(rb'name="external_file_id"\r\n\r\ndoc-7\r\n', request.body)
    assert request.headers["authorization"] == "Bearer llx-test-not-a-real-key"


async def test_a_file_is_never_held_in_memory_whole(vendor, llamaparse, tmp_path, monkeypatch):
    path = tmp_path / "large.pdf"
    path.write_bytes(b"x" * 300_000)
    monkeypatch.setattr(type(path), "read_bytes", lambda _: pytest.fail("read whole"))
    vendor.says(201, {"id": "file-1"})
    await llamaparse.execute(UploadFile(path, "large.pdf", "doc-7"))


async def test_a_file_that_cannot_be_read_is_said_before_anything_is_sent(
    vendor, llamaparse, tmp_path
):
    with pytest.raises(errors.UnreadableSource, match=r"gone\.pdf cannot be read"):
        await llamaparse.execute(UploadFile(tmp_path / "gone.pdf", "gone.pdf", "doc-7"))
    assert vendor.connections == 0


async def test_a_submit_bounds_its_pages_and_can_be_found_again(vendor, llamaparse):
    vendor.says(200, JOB)
    result = await llamaparse.execute(SUBMIT)
    assert vendor.requests[0].target == "/api/v2/parse"
    assert vendor.requests[0].json() == {
        "file_id": "file-1",
        "tier": "agentic",
        "version": "2026-10-16",
        "client_name": "gristmill",
        "user_metadata": {"gristmill": "tag-1"},
        "page_ranges": {"max_pages": 7},
        "disable_cache": False,
    }
    assert result.value == ParseJob("pjb-1", ParseStatus.PENDING, "tag-1", None)
    assert result.settlement == Open("pjb-1")
    assert (result.origin, result.endpoint) == (Origin.REAL, vendor.url)


async def test_a_submit_can_name_pages_and_a_webhook(vendor, llamaparse):
    vendor.says(200, {**JOB, "user_metadata": {"gristmill": "t"}})
    webhook = Webhook("https://hooks.example.org/parse", "a-fake-signing-secret")
    await llamaparse.execute(
        SubmitParse("f", "fast", "latest", 2, "t", target_pages="8-9", webhook=webhook)
    )
    body = vendor.requests[0].json()
    assert body["page_ranges"] == {"max_pages": 2, "target_pages": "8-9"}
    (hook,) = body["webhook_configurations"]
    assert hook["webhook_output_format"] == "json"
    assert hook["webhook_signing_secret"] == "a-fake-signing-secret"
    assert "parse.success" in hook["webhook_events"]
    assert "a-fake-signing-secret" not in repr(webhook)


def test_a_submit_is_billed_by_page_and_may_not_be_repeated():
    assert SUBMIT.worst_case() == Usage("agentic", "pages", 7)
    assert not SUBMIT.idempotent
    assert GetParseResult("j", "fast").worst_case().is_free


async def test_jobs_are_listed_over_all_pages(vendor, llamaparse):
    vendor.says(200, {"items": [JOB], "next_page_token": "two", "total_size": None})
    vendor.says(200, {"items": [{**JOB, "id": "pjb-2", "status": "DREAMING"}]})
    result = await llamaparse.execute(ListParseJobs(("pjb-1", "pjb-2")))
    assert [job.id for job in result.value] == ["pjb-1", "pjb-2"]
    assert result.value[1].status is ParseStatus.UNKNOWN
    assert not result.value[1].status.is_final
    first, second = map(query_of, vendor.requests)
    assert first["job_ids"] == second["job_ids"] == ["pjb-1", "pjb-2"]
    assert "page_token" not in first
    assert second["page_token"] == ["two"]


async def test_a_list_that_runs_in_a_circle_ends(vendor, llamaparse):
    vendor.says(200, {"items": [JOB], "next_page_token": "again"})
    with pytest.raises(errors.InvalidResponse, match="circle"):
        await llamaparse.execute(ListParseJobs(("pjb-1",)))


async def test_a_job_is_found_by_our_tag_among_those_made_since(vendor, llamaparse):
    other = {**JOB, "id": "pjb-0", "user_metadata": None}
    vendor.says(200, {"items": [other, JOB], "next_page_token": None})
    result = await llamaparse.execute(FindParseJob("tag-1", datetime(2026, 11, 1, tzinfo=UTC)))
    assert [job.id for job in result.value] == ["pjb-1"]
    assert query_of(vendor.requests[0])["created_at_on_or_after"] == ["2026-11-01T00:00:00+00:00"]


async def test_pages_come_in_order_with_the_reasons_of_failed_ones(vendor, llamaparse):
    pages = [
        {"page_number": 2, "error": "blank scan", "success": False},
        {"page_number": 1, "markdown": "# Grain", "success": True},
    ]
    done = {**JOB, "status": "COMPLETED", "usage": {"credits": 20.1}}
    vendor.says(200, {"job": done, "markdown": {"pages": pages}})
    result = await llamaparse.execute(GetParseResult("pjb-1", "agentic"))
    assert result.value.pages == (
        ParsedPage(1, "# Grain"),
        ParsedPage(2, "", "blank scan"),
    )
    assert result.value.credits == Decimal("20.1")
    assert result.value.job.status is ParseStatus.COMPLETED
    assert query_of(vendor.requests[0])["expand"] == ["markdown", "usage"]


async def test_the_fast_tier_is_asked_for_text(vendor, llamaparse):
    done = {**JOB, "status": "COMPLETED"}
    vendor.says(200, {"job": done, "text": {"pages": [{"page_number": 1, "text": "Grain"}]}})
    result = await llamaparse.execute(GetParseResult("pjb-1", "fast"))
    assert result.value.pages == (ParsedPage(1, "Grain"),)
    assert result.value.credits is None
    assert query_of(vendor.requests[0])["expand"] == ["text", "usage"]


async def test_a_job_that_still_runs_has_no_pages(vendor, llamaparse):
    vendor.says(200, {"job": {**JOB, "status": "RUNNING"}, "markdown": None})
    assert (await llamaparse.execute(GetParseResult("pjb-1", "agentic"))).value.pages == ()


async def test_no_bill_is_told_from_a_bill_of_nothing(vendor, llamaparse):
    vendor.says(200, {"job": {**JOB, "usage": {"credits": None}}})
    vendor.says(200, {"job": {**JOB, "usage": {"credits": 0}}})
    assert (await llamaparse.execute(GetParseUsage("pjb-1"))).value is None
    assert (await llamaparse.execute(GetParseUsage("pjb-1"))).value == Decimal(0)


@given(st.floats(min_value=0, max_value=1e9))
def test_credits_keep_every_digit_as_written(credits_):
    assert str(read_credits({"usage": {"credits": credits_}})) == str(Decimal(repr(credits_)))


async def test_cancel_and_delete_ask_the_right_addresses(vendor, llamaparse):
    vendor.says(200, {**JOB, "status": "CANCELLED"})
    vendor.says(200, {"id": "pjb-1", "project_id": "p"})
    vendor.says(204)
    cancelled = await llamaparse.execute(CancelParse("pjb-1"))
    await llamaparse.execute(DeleteParse("pjb-1"))
    await llamaparse.execute(DeleteFile("file/1"))
    assert cancelled.value.status is ParseStatus.CANCELLED
    assert [(request.method, request.target) for request in vendor.requests] == [
        ("POST", "/api/v2/parse/pjb-1/cancel"),
        ("DELETE", "/api/v2/parse/pjb-1"),
        ("DELETE", "/api/v1/beta/files/file%2F1"),
    ]


DONE = {**JOB, "status": "COMPLETED"}
BROKEN = [
    (SUBMIT, b""),
    (SUBMIT, b"{}"),
    (SUBMIT, b"[]"),
    (SUBMIT, {**JOB, "id": None}),
    (SUBMIT, b'{"id": "pjb-1", "sta'),
    (ListParseJobs(("a",)), {"items": None}),
    (GetParseResult("pjb-1", "agentic"), {"markdown": {"pages": []}}),
    (
        GetParseResult("pjb-1", "agentic"),
        {"job": DONE, "markdown": {"pages": [{"page_number": "1", "markdown": ""}]}},
    ),
    (
        GetParseResult("pjb-1", "agentic"),
        {"job": DONE, "markdown": {"pages": [{"page_number": 1, "markdown": None}]}},
    ),
    (GetParseUsage("pjb-1"), {"job": {**JOB, "usage": {"credits": "many"}}}),
    (GetParseUsage("pjb-1"), {"job": {**JOB, "usage": {"credits": -1}}}),
    (GetParseUsage("pjb-1"), {"job": {**JOB, "usage": {"credits": True}}}),
    (CancelParse("a"), "cancelled"),
]


@pytest.mark.parametrize(("operation", "body"), BROKEN)
async def test_an_answer_that_breaks_the_contract_is_never_used(
    vendor, llamaparse, operation, body
):
    vendor.says(200, body)
    with pytest.raises(errors.InvalidResponse):
        await llamaparse.execute(operation)


async def test_retry_after_is_passed_on(vendor, llamaparse):
    vendor.says(429, {"detail": "slow"}, {"retry-after": "120"})
    with pytest.raises(errors.Throttled) as caught:
        await llamaparse.execute(SUBMIT)
    assert caught.value.retry_after == 120


async def test_a_job_s_own_error_is_passed_on_without_secrets(vendor, llamaparse):
    failed = {**JOB, "status": "FAILED", "error_message": "no access to ?token=abc123secret"}
    vendor.says(200, {"job": failed})
    job = (await llamaparse.execute(GetParseResult("pjb-1", "agentic"))).value.job
    assert (job.status, job.error) == (ParseStatus.FAILED, "no access to ?token=***")


async def test_health_asks_for_a_list_of_files_because_it_looks_at_the_key(vendor, llamaparse):
    vendor.says(200, {"items": [], "next_page_token": None})
    assert (await llamaparse.get_health()).status is Status.HEALTHY
    assert vendor.requests[0].target == "/api/v1/beta/files?page_size=1"
    vendor.script = []
    vendor.says(401, {"detail": "Invalid API Key"})
    assert (await llamaparse.get_health()).reason.startswith("The key is wrong.")
