"""Answers of LlamaParse that are not true: none is taken for the result of what was asked."""

import itertools
import json
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest

from gristmill import errors
from gristmill.services.llamaparse import (
    CancelParse,
    FindParseJob,
    GetParseItems,
    GetParseJob,
    GetParseResult,
    GetParseText,
    GetParseUsage,
    ListParseJobs,
    ListUsage,
    ParseStatus,
    SubmitParse,
    UploadFile,
)
from gristmill.services.llamaparse.adapter import MOST_LISTED

JOB = {
    "id": "pjb-1",
    "status": "COMPLETED",
    "error_message": None,
    "user_metadata": {"gristmill": "tag-1"},
    "usage": {"credits": 3.0},
}
SUBMIT = SubmitParse("file-1", "agentic", "2026-10-16", 7, "tag-1")
SINCE = datetime(2026, 11, 1, tzinfo=UTC)


def page(number, text="Grain."):
    return {"page_number": number, "markdown": text, "text": text, "items": [], "success": True}


def result_of(*pages, **job):
    said = {"pages": list(pages)}
    return {"job": {**JOB, **job}, "markdown": said, "text": said, "items": said}


@pytest.mark.parametrize(
    "operation",
    [
        GetParseResult("pjb-1", "agentic"),
        GetParseText("pjb-1"),
        GetParseItems("pjb-1"),
        GetParseUsage("pjb-1"),
        GetParseJob("pjb-1"),
    ],
    ids=lambda operation: operation.name,
)
async def test_another_job_than_the_one_asked_about_is_not_taken_for_it(
    vendor, llamaparse, operation
):
    vendor.says(200, result_of(page(1, "Somebody else's words."), id="pjb-2"))
    with pytest.raises(errors.InvalidResponse, match="another job") as caught:
        await llamaparse.execute(operation)
    assert "words" not in str(caught.value)


async def test_cancelling_one_job_is_not_answered_by_another(vendor, llamaparse):
    vendor.says(200, {**JOB, "id": "pjb-2"})
    with pytest.raises(errors.InvalidResponse, match="another job"):
        await llamaparse.execute(CancelParse("pjb-1"))


@pytest.mark.parametrize("status", ["PENDING", "RUNNING", "FAILED", "CANCELLED", "DREAMING"])
async def test_pages_of_a_job_that_is_not_completed_are_not_taken(vendor, llamaparse, status):
    vendor.says(200, result_of(page(1), status=status))
    assert (await llamaparse.execute(GetParseResult("pjb-1", "agentic"))).value.pages == ()


@pytest.mark.parametrize("missing", [None, {}, {"pages": None}], ids=json.dumps)
async def test_a_completed_job_without_its_pages_is_no_empty_document(vendor, llamaparse, missing):
    vendor.says(200, {**result_of(page(1)), "markdown": missing})
    with pytest.raises(errors.InvalidResponse):
        await llamaparse.execute(GetParseResult("pjb-1", "agentic"))


async def test_a_completed_job_may_say_that_there_is_no_page(vendor, llamaparse):
    vendor.says(200, result_of())
    assert (await llamaparse.execute(GetParseResult("pjb-1", "agentic"))).value.pages == ()


@pytest.mark.parametrize(
    "numbers", [(1, 1), (2, 3, 2), (0,), (-1,), (2**31,), (1.0,), (True,)], ids=str
)
async def test_pages_that_repeat_or_cannot_be_are_refused_whole(vendor, llamaparse, numbers):
    vendor.says(200, result_of(*map(page, numbers)))
    with pytest.raises(errors.InvalidResponse, match="page"):
        await llamaparse.execute(GetParseResult("pjb-1", "agentic"))


@pytest.mark.parametrize("name", ["", "../files/1", "pjb 1", "pjb\0", "j" * 300, None, 7], ids=repr)
async def test_a_name_that_cannot_be_asked_for_again_is_not_kept(
    vendor, llamaparse, tmp_path, name
):
    path = tmp_path / "a.pdf"
    path.write_bytes(b"%PDF")
    vendor.says(200, {**JOB, "id": name})
    for operation in (SUBMIT, UploadFile(path, "a.pdf", "doc-1")):
        with pytest.raises(errors.InvalidResponse):
            await llamaparse.execute(operation)


async def test_a_submit_answered_with_somebody_elses_job_is_not_adopted(vendor, llamaparse):
    vendor.says(200, {**JOB, "user_metadata": {"gristmill": "tag-of-another"}})
    with pytest.raises(errors.InvalidResponse, match="another"):
        await llamaparse.execute(SUBMIT)


async def test_a_list_brings_only_the_jobs_asked_for_each_once_as_said_last(vendor, llamaparse):
    strange = {**JOB, "id": "pjb-9"}
    running = {**JOB, "status": "RUNNING"}
    vendor.says(200, {"items": [strange, running], "next_page_token": "two"})
    vendor.says(200, {"items": [JOB, strange]})
    jobs = (await llamaparse.execute(ListParseJobs(("pjb-1",)))).value
    assert [(job.id, job.status) for job in jobs] == [("pjb-1", ParseStatus.COMPLETED)]


async def test_a_job_that_is_over_does_not_run_again_on_the_next_page(vendor, llamaparse):
    vendor.says(200, {"items": [JOB], "next_page_token": "two"})
    vendor.says(200, {"items": [{**JOB, "status": "RUNNING"}]})
    (job,) = (await llamaparse.execute(ListParseJobs(("pjb-1",)))).value
    assert job.status is ParseStatus.COMPLETED


@pytest.mark.parametrize(
    "operation", [ListParseJobs(("pjb-1",)), FindParseJob("none", SINCE)], ids=lambda o: o.name
)
async def test_a_list_whose_every_page_names_a_new_one_is_given_up(vendor, llamaparse, operation):
    tokens = itertools.count()

    async def go_on(_request, _reader, writer):
        body = json.dumps({"items": [], "next_page_token": f"page-{next(tokens)}"}).encode()
        writer.write(b"HTTP/1.1 200 X\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()

    vendor.does(go_on)
    with pytest.raises(errors.InvalidResponse, match="does not end"):
        await llamaparse.execute(operation)
    assert len(vendor.requests) <= MOST_LISTED


async def test_a_reason_of_any_length_is_cut_after_keys_are_masked(vendor, llamaparse):
    key = "llx-not-a-real-key-but-long-enough"
    reason = f"PDF_IS_BROKEN: {'x' * 1_970} {key}{'y' * 1_000_000}"
    vendor.says(200, {"items": [{**JOB, "status": "FAILED", "error_message": reason}]})
    (job,) = (await llamaparse.execute(ListParseJobs(("pjb-1",)))).value
    assert len(job.error) <= 2_000
    assert "llx-" not in job.error


PROJECT = [{"id": "p-1", "organization_id": "o-1", "name": "Default"}]
ROW = {
    "event_aggregation_key": "pjb-1",
    "event_type": "pages_parsed",
    "value": 2,
    "credits": 6.0,
    "day": "2026-11-02",
}


async def test_books_are_asked_for_by_their_organization_which_is_asked_for_once(
    vendor, llamaparse
):
    vendor.says(200, PROJECT)
    vendor.says(200, {"items": [ROW], "next_page_token": "more"})
    vendor.says(200, {"items": [], "next_page_token": None})
    first = await llamaparse.execute(ListUsage(SINCE.date()))
    last = await llamaparse.execute(ListUsage(SINCE.date(), first.value.following))
    assert (first.requests, last.requests) == (2, 1)
    assert (last.value.rows, last.value.following) == ((), None)
    asked = [parse_qs(urlsplit(request.target).query) for request in vendor.requests[1:]]
    since = {"organization_id": ["o-1"], "page_size": ["1000"], "day_on_or_after": ["2026-11-01"]}
    assert asked == [since, since | {"page_token": ["more"]}]


@pytest.mark.parametrize(
    "row",
    [{"credits": -1}, {"credits": "many"}, {"event_aggregation_key": None}, {"day": 3}],
    ids=str,
)
async def test_a_line_of_the_books_that_makes_no_sense_is_no_answer(vendor, llamaparse, row):
    vendor.says(200, PROJECT)
    vendor.says(200, {"items": [ROW | row]})
    with pytest.raises(errors.InvalidResponse):
        await llamaparse.execute(ListUsage(SINCE.date()))


async def test_a_key_that_is_under_no_organization_or_under_several_has_no_books(
    vendor, llamaparse
):
    vendor.says(200, [])
    vendor.says(200, [*PROJECT, PROJECT[0] | {"organization_id": "o-2"}])
    for _ in range(2):
        with pytest.raises(errors.InvalidResponse):
            await llamaparse.execute(ListUsage(SINCE.date()))
