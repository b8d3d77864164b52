"""The life of a parse job: its statuses, its list, its cancellation and deletion."""

import asyncio
from datetime import UTC, datetime, timedelta

import llama_cloud
import pytest
from llama_calls import (
    HEADERS,
    finished,
    markdown,
    parsed,
    submitted,
    switch,
    tell,
    until_idle,
)
from llama_cloud import AsyncLlamaCloud

LENIENT = {"_strict_response_validation": False}  # as applications use the SDK


async def status(llama: AsyncLlamaCloud, job_id: str) -> str:
    return (await llama.parsing.get(job_id)).job.status


async def test_a_job_shows_running_until_it_was_looked_at_often_enough(llama, control):
    await tell(control, transition={"kind": "polls", "value": 2})
    job_id = await submitted(llama, "a.md", markdown(), tier="fast")
    await until_idle(control)
    seen = [await llama.parsing.get(job_id, expand=["text"]) for _ in range(3)]
    assert [one.job.status for one in seen] == ["PENDING", "RUNNING", "COMPLETED"]
    assert seen[1].text is None
    assert seen[2].text.pages


async def test_a_look_at_a_list_counts_like_a_look_at_the_job(llama, control):
    await tell(control, transition={"kind": "polls", "value": 1})
    job_id = await submitted(llama, "a.md", markdown())
    await until_idle(control)
    looks = [[one.status async for one in llama.parsing.list(job_ids=[job_id])] for _ in range(2)]
    assert looks == [["PENDING"], ["COMPLETED"]]


async def test_a_job_can_take_a_given_time(llama, control, clock):
    await tell(control, transition={"kind": "seconds", "value": 60})
    job_id = await submitted(llama, "a.md", markdown())
    await until_idle(control)
    assert await status(llama, job_id) == "RUNNING"
    clock.advance(61)
    assert await status(llama, job_id) == "COMPLETED"


async def test_one_file_can_take_longer_than_the_others(llama, control, clock):
    await switch(control, scripts=[{"files": "slow-*", "seconds": 60}])
    slow = await submitted(llama, "slow-1.md", markdown())
    quick = await parsed(llama, "quick.md", markdown())
    await until_idle(control)
    assert (quick.job.status, await status(llama, slow)) == ("COMPLETED", "RUNNING")
    clock.advance(61)
    assert await status(llama, slow) == "COMPLETED"


@pytest.mark.parametrize("stuck", ["PENDING", "RUNNING"])
async def test_a_stuck_job_stays_until_it_is_cancelled(llama, control, clock, stuck):
    await switch(control, scripts=[{"files": "*", "stuck": stuck}])
    job_id = await submitted(llama, "a.md", markdown())
    clock.advance(72 * 3600)
    assert await status(llama, job_id) == stuck
    assert (await llama.parsing.cancel(job_id)).status == "CANCELLED"


@pytest.mark.parametrize("code", ["PDF_IS_PROTECTED", "TOO_MANY_PAGES", "TIMEOUT"])
async def test_a_file_can_be_told_to_fail_with_any_code(llama, control, code):
    await switch(control, scripts=[{"files": "bad*", "fail": code}])
    got = await parsed(llama, "bad.md", markdown())
    assert got.job.status == "FAILED"
    assert got.job.error_message.startswith(code)
    assert (await parsed(llama, "good.md", markdown())).job.status == "COMPLETED"


async def test_a_job_that_takes_longer_than_its_own_timeout_fails_then(llama, control, clock):
    await tell(control, transition={"kind": "seconds", "value": 600})
    timeouts = {"base_in_seconds": 60, "extra_time_per_page_in_seconds": 30}
    job_id = await submitted(llama, "a.md", markdown(), processing_control={"timeouts": timeouts})
    await until_idle(control)
    clock.advance(89)
    assert await status(llama, job_id) == "RUNNING"
    clock.advance(2)
    got = await llama.parsing.get(job_id)
    assert (got.job.status, got.job.error_message.split(":")[0]) == ("FAILED", "TIMEOUT")


async def test_a_job_without_a_timeout_fails_after_30_minutes(llama, control, clock):
    await tell(control, transition={"kind": "seconds", "value": 7200})
    job_id = await submitted(llama, "a.md", markdown())
    await until_idle(control)
    clock.advance(1801)
    assert await status(llama, job_id) == "FAILED"


async def test_jobs_are_listed_by_id_status_and_time_in_pages(llama, clock):
    jobs = []
    for number in range(5):
        jobs.append((await parsed(llama, f"{number}.md", markdown())).job)
        clock.advance(1)
    broken = (await parsed(llama, "b.pdf", b"%PDF-")).job
    chosen = {jobs[0].id, jobs[3].id}
    assert {job.id async for job in llama.parsing.list(job_ids=list(chosen))} == chosen
    assert [job.id async for job in llama.parsing.list(status="FAILED")] == [broken.id]
    paged = [job.id async for job in llama.parsing.list(page_size=2)]
    assert paged == [broken.id, *(job.id for job in reversed(jobs))]
    after = jobs[2].created_at
    newer = {job.id async for job in llama.parsing.list(created_at_on_or_after=after)}
    assert newer == {*(job.id for job in jobs[2:]), broken.id}
    long_ago = datetime.now(UTC) - timedelta(days=1)
    assert [job async for job in llama.parsing.list(created_at_on_or_before=long_ago)] == []


async def test_a_filter_by_status_finds_what_is_behind_other_pages(llama, control):
    del control  # counts all jobs of the account
    old = (await parsed(llama, "old.pdf", b"%PDF-")).job
    for number in range(3):
        await parsed(llama, f"{number}.md", markdown())
    page = await llama.parsing.list(status="FAILED", page_size=1)
    assert [job.id for job in page.items] == [old.id]
    assert page.next_page_token is None


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"status": "LOST"}, 422),
        ({"page_size": "0"}, 422),
        ({"created_at_on_or_after": "yesterday"}, 422),
        ({"page_token": "???"}, 400),
        ({"organization_id": "mine"}, 422),
    ],
)
async def test_a_bad_list_query_is_refused(http, query, status):
    answer = await http.get("/llamacloud/api/v2/parse", params=query, headers=HEADERS)
    assert answer.status_code == status
    assert "detail" in answer.json()


async def test_a_running_job_can_be_cancelled_but_not_deleted(llama, control):
    await tell(control, transition={"kind": "seconds", "value": 3600})
    job_id = await submitted(llama, "a.md", markdown())
    with pytest.raises(llama_cloud.ConflictError):
        await llama.parsing.delete(job_id)
    await until_idle(control)
    assert (await llama.parsing.cancel(job_id)).status == "CANCELLED"
    with pytest.raises(llama_cloud.ConflictError):
        await llama.parsing.cancel(job_id)
    assert (await llama.parsing.delete(job_id)).id == job_id


async def test_a_finished_job_can_be_deleted_once(llama: AsyncLlamaCloud):
    job = (await parsed(llama, "a.md", markdown())).job
    gone = await llama.parsing.delete(job.id)
    assert (gone.id, gone.project_id) == (job.id, job.project_id)
    with pytest.raises(llama_cloud.NotFoundError):
        await llama.parsing.get(job.id)
    with pytest.raises(llama_cloud.NotFoundError):
        await llama.parsing.delete(job.id)


async def test_a_finished_job_cannot_be_cancelled(llama: AsyncLlamaCloud):
    job = (await parsed(llama, "a.md", markdown())).job
    with pytest.raises(llama_cloud.APIStatusError) as error:
        await llama.parsing.cancel(job.id)
    assert 400 <= error.value.status_code < 500


async def test_an_unknown_job_is_not_found(llama: AsyncLlamaCloud):
    for call in (llama.parsing.get, llama.parsing.cancel, llama.parsing.delete):
        with pytest.raises(llama_cloud.NotFoundError):
            await call("pjb-0000000000000000000000000000")


async def test_the_asynchronous_helper_returns_a_failed_job_and_the_other_raises(llama, flavour):
    job_id = await submitted(llama, "broken.pdf", b"%PDF-1.7 and then nothing")
    wait = llama.parsing.wait_for_completion(job_id, polling_interval=0.05, backoff="constant")
    if flavour == "async":
        assert (await wait).status == "FAILED"
    else:
        with pytest.raises(Exception, match="PDF_IS_BROKEN"):
            await wait


async def test_the_helper_outlives_a_500_of_its_poll_only_with_retries(llama, control):
    job_id = await submitted(llama, "a.md", markdown())
    await until_idle(control)
    fault = {"route": "llamacloud.parsing.get", "kind": "status", "status": 500}
    await control.post("/faults", json=fault)
    with pytest.raises(llama_cloud.InternalServerError, match="Correlation id"):
        await llama.parsing.get(job_id)
    await control.post("/faults", json=fault)
    assert (await llama.with_options(max_retries=1).parsing.get(job_id)).job.id == job_id


async def misbehave(control, route: str, what: str) -> None:
    fault = {"route": f"llamacloud.parsing.{route}", "kind": "vendor", "what": what}
    (await control.post("/faults", json=fault)).raise_for_status()


async def test_an_unknown_status_fails_a_strict_client_only(llama, control):
    job_id = await submitted(llama, "a.md", markdown())
    await misbehave(control, "get", "unknown_status")
    with pytest.raises(llama_cloud.APIResponseValidationError):
        await llama.parsing.get(job_id)
    lenient = llama.with_options(_extra_kwargs=LENIENT)
    await misbehave(control, "get", "unknown_status")
    assert (await lenient.parsing.get(job_id)).job.status == "PAUSED"


async def test_an_item_of_an_unknown_type_arrives_unless_the_client_is_strict(llama, control):
    job_id = (await parsed(llama, "a.md", markdown("# Wheat"))).job.id
    await misbehave(control, "get", "unknown_item")
    with pytest.raises(llama_cloud.APIResponseValidationError):
        await llama.parsing.get(job_id, expand=["items"])
    await misbehave(control, "get", "unknown_item")
    lenient = llama.with_options(_extra_kwargs=LENIENT)
    got = await lenient.parsing.get(job_id, expand=["items"])
    strange = got.items.pages[0].items[-1]  # a dict or, once the SDK has seen such types, a model
    assert (strange if isinstance(strange, dict) else strange.to_dict())["type"] == "hologram"


async def test_jobs_wait_their_turn_and_all_end(llama, control):
    del control  # costs many parses
    ids = await asyncio.gather(*(submitted(llama, "a.md", markdown()) for _ in range(6)))
    ends = [(await finished(llama, job_id)).job.status for job_id in ids]
    assert ends == ["COMPLETED"] * 6
