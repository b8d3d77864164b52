"""The LlamaCloud simulator seen through the official SDK with strict response validation."""

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import llama_cloud
import pytest
from llama_cloud import AsyncLlamaCloud

from gristmill_simulators import environment


async def uploaded(llama: AsyncLlamaCloud, name: str, content: bytes) -> str:
    file = await llama.files.create(file=(name, content), purpose="parse")
    return file.id


async def finished(llama: AsyncLlamaCloud, job_id: str, expand=("usage",)):
    for _ in range(400):
        got = await llama.parsing.get(job_id, expand=list(expand))
        if got.job.status not in {"PENDING", "RUNNING"}:
            return got
        await asyncio.sleep(0.01)
    raise AssertionError(f"job {job_id} did not end")


async def parsed(llama: AsyncLlamaCloud, name: str, content: bytes, expand=("usage",), **options):
    options = {"tier": "cost_effective", "version": "latest", **options}
    job = await llama.parsing.create(file_id=await uploaded(llama, name, content), **options)
    return await finished(llama, job.id, expand)


async def settings(control: httpx.AsyncClient, **changes) -> None:
    (await control.post("/settings", json=changes)).raise_for_status()


async def test_a_file_can_be_uploaded_looked_at_and_deleted(llama: AsyncLlamaCloud):
    made = await llama.files.create(
        file=("réport.pdf", b"%PDF-1.4"), purpose="parse", external_file_id="D-17"
    )
    found = await llama.files.retrieve(made.id)
    assert (found.name, found.file_type, found.purpose) == ("réport.pdf", "pdf", "parse")
    assert found.external_file_id == "D-17"
    await llama.files.delete(made.id)
    with pytest.raises(llama_cloud.NotFoundError):
        await llama.files.retrieve(made.id)


async def test_a_pdf_is_really_parsed_page_by_page(llama: AsyncLlamaCloud, pdf: bytes):
    expand = ["markdown", "text", "items", "metadata", "usage", "job_metadata", "markdown_full"]
    got = await parsed(llama, "grain.pdf", pdf, expand)
    assert got.job.status == "COMPLETED"
    assert [page.page_number for page in got.markdown.pages] == [1, 2, 3]
    assert [page.markdown for page in got.markdown.pages] == [
        "The first page speaks of wheat.",
        "",
        "The third page speaks of rye.",
    ]
    assert "wheat" in got.text.pages[0].text
    assert "rye" in got.markdown_full
    assert [item.type for item in got.items.pages[0].items] == ["text"]
    assert len(got.metadata.pages) == 3
    assert got.job_metadata["job_pages"] == 3
    assert got.job.usage.credits == 9.0


@pytest.mark.parametrize(
    ("ranges", "numbers"),
    [
        ({"target_pages": "1,3"}, [1, 3]),
        ({"target_pages": "2-3"}, [2, 3]),
        ({"max_pages": 1}, [1]),
        ({"max_pages": 1, "target_pages": "3"}, [3]),
        ({"max_pages": 50}, [1, 2, 3]),
    ],
)
async def test_only_the_wanted_pages_are_parsed_and_billed(llama, pdf, ranges, numbers):
    got = await parsed(llama, "a.pdf", pdf, ["text", "usage"], page_ranges=ranges)
    assert [page.page_number for page in got.text.pages] == numbers
    assert got.job.usage.credits == 3.0 * len(numbers)


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("broken.pdf", b"%PDF-1.7 and then nothing", "PDF_IS_BROKEN"),
        ("empty.pdf", b"", "NO_DATA_FOUND_IN_FILE"),
        ("notes.txt", b"plain text", "UNSUPPORTED_FILE_TYPE"),
        ("broken.docx", b"PK\x03\x04 no archive", "PDF_IS_BROKEN"),
    ],
)
async def test_a_file_that_cannot_be_read_fails_with_the_vendors_code(llama, name, content, code):
    got = await parsed(llama, name, content, ["usage", "text"])
    assert got.job.status == "FAILED"
    assert got.job.error_message.startswith(code)
    assert got.job.usage.credits is None
    assert got.text is None


async def test_the_sdks_own_helper_waits_for_the_result(llama: AsyncLlamaCloud, pdf: bytes):
    result = await llama.parsing.parse(
        file_id=await uploaded(llama, "a.pdf", pdf),
        tier="agentic",
        version="latest",
        expand=["markdown_full"],
        polling_interval=0.02,
        backoff="constant",
    )
    assert "wheat" in result.markdown_full


async def test_tags_tier_and_name_come_back_on_the_job(llama: AsyncLlamaCloud, pdf: bytes):
    got = await parsed(
        llama, "a.pdf", pdf, tier="fast", user_metadata={"doc": "D-17"}, client_name="tests"
    )
    assert got.job.user_metadata == {"doc": "D-17"}
    assert got.job.tier == "fast"
    assert got.job.usage.credits == 3.0


@pytest.mark.parametrize(
    ("options", "loc"),
    [
        ({"tier": "golden", "version": "latest"}, ["tier"]),
        ({"tier": "fast", "version": "2026-10-16"}, ["version"]),
        ({"tier": "fast", "version": "latest", "extra_body": {"pages": 3}}, ["pages"]),
        (
            {"tier": "fast", "version": "latest", "page_ranges": {"target_pages": "1,1"}},
            ["page_ranges", "target_pages"],
        ),
        (
            {"tier": "fast", "version": "latest", "page_ranges": {"target_pages": "0-2"}},
            ["page_ranges", "target_pages"],
        ),
        (
            {"tier": "fast", "version": "latest", "output_options": {"markdown": {"bold": True}}},
            ["output_options", "markdown", "bold"],
        ),
        (
            {
                "tier": "fast",
                "version": "latest",
                "webhook_configurations": [{"webhook_url": "ftp://example.org"}],
            },
            ["webhook_configurations", 0, "webhook_url"],
        ),
        ({"tier": "fast", "version": "latest", "source_url": "https://example.org/a.pdf"}, []),
    ],
)
async def test_a_bad_submission_is_refused_where_it_is_wrong(llama, options, loc):
    with pytest.raises(llama_cloud.UnprocessableEntityError) as error:
        await llama.parsing.create(file_id="some", **options)
    assert error.value.body["detail"][0]["loc"] == loc
    assert {"type", "loc", "msg", "input"} <= error.value.body["detail"][0].keys()


async def test_the_fast_tier_has_no_markdown(llama: AsyncLlamaCloud, pdf: bytes):
    job = await llama.parsing.create(
        tier="fast", version="latest", file_id=await uploaded(llama, "a.pdf", pdf)
    )
    with pytest.raises(llama_cloud.BadRequestError, match="fast"):
        await llama.parsing.get(job.id, expand=["markdown"])


async def test_keys_are_checked_with_both_texts(llama: AsyncLlamaCloud, http: httpx.AsyncClient):
    with pytest.raises(llama_cloud.AuthenticationError) as error:
        await llama.with_options(api_key="llx-simulated-other").parsing.list_versions()
    assert error.value.body["detail"].startswith("Invalid API Key")
    answer = await http.get("/llamacloud/api/v2/parse")
    assert (answer.status_code, answer.json()) == (401, {"detail": "Not authenticated"})


async def test_a_job_shows_running_until_it_was_looked_at_often_enough(llama, control, pdf):
    await settings(control, transition={"kind": "polls", "value": 2})
    job = await llama.parsing.create(
        tier="fast", version="latest", file_id=await uploaded(llama, "a.pdf", pdf)
    )
    await wait_until_parsed(control)
    seen = [(await llama.parsing.get(job.id, expand=["text"])) for _ in range(3)]
    assert [one.job.status for one in seen] == ["PENDING", "RUNNING", "COMPLETED"]
    assert seen[1].text is None
    assert seen[2].text.pages


async def test_a_job_can_take_a_given_time(llama, control, pdf, clock):
    await settings(control, transition={"kind": "seconds", "value": 60})
    job = await llama.parsing.create(
        tier="fast", version="latest", file_id=await uploaded(llama, "a.pdf", pdf)
    )
    await wait_until_parsed(control)
    assert (await llama.parsing.get(job.id)).job.status == "RUNNING"
    clock.advance(61)
    assert (await llama.parsing.get(job.id)).job.status == "COMPLETED"


async def test_credits_are_null_until_billing_has_settled(llama, control, pdf, clock):
    await settings(control, billing_delay_seconds=30)
    got = await parsed(llama, "a.pdf", pdf, ["usage"])
    assert got.job.status == "COMPLETED"
    assert got.job.usage.credits is None
    clock.advance(31)
    assert (await llama.parsing.get(got.job.id, expand=["usage"])).job.usage.credits == 9.0
    assert (await llama.parsing.get(got.job.id)).job.usage is None


async def test_the_same_bytes_and_options_cost_nothing_for_48_hours(llama, control, pdf, clock):
    first = await parsed(llama, "a.pdf", pdf)
    again = await parsed(llama, "a.pdf", pdf, ["usage", "text", "job_metadata"])
    other = await parsed(llama, "a.pdf", pdf, page_ranges={"max_pages": 1})
    forced = await parsed(llama, "a.pdf", pdf, disable_cache=True)
    clock.advance(48 * 3600 + 60)
    late = await parsed(llama, "a.pdf", pdf)
    costs = [one.job.usage.credits for one in (first, again, other, forced, late)]
    assert costs == [9.0, 0.0, 3.0, 9.0, 9.0]
    assert again.job_metadata["job_is_cache_hit"] is True
    assert len(again.text.pages) == 3
    bill = (await control.get("/billed")).json()["llamacloud"]
    assert (bill["credits"], bill["jobs"]) == (30.0, 5)


async def test_jobs_are_listed_by_id_status_and_time_in_pages(llama, pdf, clock):
    jobs = []
    for number in range(5):
        jobs.append((await parsed(llama, f"{number}.pdf", pdf)).job)
        clock.advance(1)
    broken = (await parsed(llama, "b.pdf", b"%PDF-")).job
    chosen = {jobs[0].id, jobs[3].id}
    assert {job.id async for job in llama.parsing.list(job_ids=list(chosen))} == chosen
    assert [job.id async for job in llama.parsing.list(status="FAILED")] == [broken.id]
    paged = [job.id async for job in llama.parsing.list(page_size=2)]
    assert sorted(paged) == sorted([*(job.id for job in jobs), broken.id])
    after = jobs[2].created_at
    newer = {job.id async for job in llama.parsing.list(created_at_on_or_after=after)}
    assert newer == {*(job.id for job in jobs[2:]), broken.id}
    long_ago = datetime.now(UTC) - timedelta(days=1)
    assert [job async for job in llama.parsing.list(created_at_on_or_before=long_ago)] == []


async def test_a_running_job_can_be_cancelled_but_not_deleted(llama, control, pdf):
    await settings(control, transition={"kind": "seconds", "value": 3600})
    job = await llama.parsing.create(
        tier="fast", version="latest", file_id=await uploaded(llama, "a.pdf", pdf)
    )
    with pytest.raises(llama_cloud.ConflictError):
        await llama.parsing.delete(job.id)
    await wait_until_parsed(control)
    assert (await llama.parsing.cancel(job.id)).status == "CANCELLED"
    with pytest.raises(llama_cloud.ConflictError):
        await llama.parsing.cancel(job.id)
    assert (await control.get("/billed")).json()["llamacloud"]["credits"] == 0


async def test_a_finished_job_can_be_deleted_once(llama: AsyncLlamaCloud, pdf: bytes):
    job = (await parsed(llama, "a.pdf", pdf)).job
    gone = await llama.parsing.delete(job.id)
    assert (gone.id, gone.project_id) == (job.id, job.project_id)
    with pytest.raises(llama_cloud.NotFoundError, match="Parse job not found"):
        await llama.parsing.get(job.id)


async def test_a_file_deleted_after_the_submission_is_still_parsed(llama, pdf):
    file_id = await uploaded(llama, "a.pdf", pdf)
    job = await llama.parsing.create(tier="fast", version="latest", file_id=file_id)
    await llama.files.delete(file_id)
    assert (await finished(llama, job.id)).job.status == "COMPLETED"
    with pytest.raises(llama_cloud.NotFoundError):
        await llama.parsing.create(tier="fast", version="latest", file_id=file_id)


async def test_versions_are_listed_with_the_latest_of_each_tier(llama: AsyncLlamaCloud):
    versions = await llama.parsing.list_versions()
    assert versions.latest.agentic == versions.agentic[0] == "2026-10-16"
    assert versions.latest.fast == "2026-06-15"


async def test_a_request_limit_refuses_without_saying_when_to_come_back(llama, control, clock):
    quotas = {"llamacloud_requests_per_minute": 20, "llamacloud_burst_seconds": 6}
    await settings(control, quotas=quotas)
    await llama.parsing.list_versions()
    await llama.parsing.list_versions()
    with pytest.raises(llama_cloud.RateLimitError) as error:
        await llama.parsing.list_versions()
    assert "retry-after" not in error.value.response.headers
    clock.advance(3.1)
    await llama.parsing.list_versions()


async def test_expand_may_be_joined_by_commas(llama, http: httpx.AsyncClient, pdf):
    job = (await parsed(llama, "a.pdf", pdf)).job
    headers = {"authorization": f"Bearer {environment.LLAMA_CLOUD_API_KEY}"}
    path = f"/llamacloud/api/v2/parse/{job.id}"
    answer = await http.get(path, params={"expand": "text_full,usage"}, headers=headers)
    assert "wheat" in answer.json()["text_full"]
    assert answer.json()["job"]["usage"] == {"credits": 9.0}


async def wait_until_parsed(control: httpx.AsyncClient) -> None:
    """Until the child process has read the file, whatever the job shows."""
    for _ in range(400):
        if (await control.get("/health")).json()["busy"] is False:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the document was not parsed")


async def test_a_look_at_a_list_counts_like_a_look_at_the_job(llama, control, pdf):
    await settings(control, transition={"kind": "polls", "value": 1})
    job = await llama.parsing.create(
        tier="fast", version="latest", file_id=await uploaded(llama, "a.pdf", pdf)
    )
    await wait_until_parsed(control)
    looks = [[one.status async for one in llama.parsing.list(job_ids=[job.id])] for _ in range(2)]
    assert looks == [["PENDING"], ["COMPLETED"]]


@pytest.mark.parametrize(
    "options",
    [
        {"tier": "fast", "agentic_options": {"custom_prompt": "x"}},
        {"tier": "fast", "processing_options": {"forms": "enrich"}},
        {"tier": "agentic", "fast_options": {}},
        {"tier": "cost_effective", "processing_options": {"cost_optimizer": {"enable": True}}},
        {"tier": "agentic", "http_proxy": "http://127.0.0.1:1"},
    ],
)
async def test_options_of_another_tier_are_refused(llama, options):
    with pytest.raises(llama_cloud.UnprocessableEntityError):
        await llama.parsing.create(version="latest", file_id="some", **options)


async def test_what_the_simulator_cannot_do_is_said_and_not_pretended(llama):
    with pytest.raises(llama_cloud.BadRequestError, match="source_url"):
        await llama.parsing.create(
            tier="fast", version="latest", source_url="https://example.org/a.pdf"
        )


async def test_accepted_webhooks_do_not_change_the_cached_result(llama, pdf):
    hook = {
        "webhook_url": "https://hooks.example.org/x",
        "webhook_events": ["parse.success", "parse.error"],
        "webhook_output_format": "json",
        "webhook_signing_secret": "simulated-secret",
    }
    await parsed(llama, "a.pdf", pdf)
    again = await parsed(llama, "a.pdf", pdf, webhook_configurations=[hook])
    assert again.job.usage.credits == 0


async def test_a_confidence_score_costs_five_credits_more_a_page(llama, pdf):
    options = {"confidence_score_effort": "high"}
    got = await parsed(llama, "a.pdf", pdf, tier="agentic", processing_options=options)
    assert got.job.usage.credits == 3 * (10 + 5)


async def test_a_spreadsheet_costs_one_credit_a_sheet(llama):
    got = await parsed(llama, "a.csv", b"a,b\n1,2\n", ["usage", "markdown"], tier="agentic_plus")
    assert got.job.usage.credits == 1
    assert got.markdown.pages[0].markdown.startswith("| a | b |")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"status": "LOST"}, 422),
        ({"page_size": "0"}, 422),
        ({"created_at_on_or_after": "yesterday"}, 422),
        ({"page_token": "???"}, 400),
    ],
)
async def test_a_bad_list_query_is_refused(http, query, status):
    headers = {"authorization": f"Bearer {environment.LLAMA_CLOUD_API_KEY}"}
    answer = await http.get("/llamacloud/api/v2/parse", params=query, headers=headers)
    assert answer.status_code == status
    assert "detail" in answer.json()


@pytest.mark.parametrize(
    ("data", "files", "status"),
    [
        ({"purpose": "fun"}, {"file": ("a.pdf", b"x")}, 422),
        ({}, {"file": ("a.pdf", b"x")}, 422),
        ({"purpose": "parse"}, {"other": (None, b"x")}, 422),
        ({"purpose": "parse"}, None, 400),
    ],
)
async def test_a_bad_upload_is_refused(http, data, files, status):
    headers = {"authorization": f"Bearer {environment.LLAMA_CLOUD_API_KEY}"}
    path = "/llamacloud/api/v1/beta/files"
    answer = await http.post(path, data=data, files=files, headers=headers)
    assert answer.status_code == status


async def test_a_result_that_is_gone_is_not_found(llama, server, pdf):
    job = (await parsed(llama, "a.pdf", pdf)).job
    for path in (server.simulator.folder / "llamacloud" / "results").iterdir():
        path.unlink()
    with pytest.raises(llama_cloud.NotFoundError, match="result"):
        await llama.parsing.get(job.id, expand=["text"])


async def test_unknown_routes_are_not_found(http):
    headers = {"authorization": f"Bearer {environment.LLAMA_CLOUD_API_KEY}"}
    answer = await http.post("/llamacloud/api/v2/extract", headers=headers)
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})
