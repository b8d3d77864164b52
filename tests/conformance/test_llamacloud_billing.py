"""What a parse costs, when the bill is there, and where it is seen; limits of plans."""

import llama_cloud
import pytest
from llama_calls import finished, markdown, parsed, submitted, switch, tell, until_idle, uploaded
from pdfs import pdf as pdf_of

USAGE = "/api/v1/beta/usage-metrics"


async def usage(llama, path: str = USAGE, **params) -> dict:
    """The SDK has no method for it; this is its documented way to call anything."""
    (project,) = await llama.projects.list()
    whose = {"organization_id": project.organization_id}
    return await llama.get(path, cast_to=object, options={"params": whose | params})


async def billed(control) -> dict:
    return (await control.get("/billed")).json()["llamacloud"]


@pytest.mark.parametrize(
    ("tier", "credits_"),
    [("fast", 1), ("cost_effective", 3), ("agentic", 10), ("agentic_plus", 45)],
)
async def test_a_page_costs_what_its_tier_says(llama, control, tier, credits_):
    del control  # a real bill comes late
    got = await parsed(llama, "a.pdf", pdf_of("one", "two"), tier=tier)
    assert got.job.usage.credits == 2 * credits_


async def test_only_wanted_pages_are_billed(llama, control, pdf):
    del control  # a real bill comes late
    got = await parsed(llama, "a.pdf", pdf, page_ranges={"target_pages": "1,3"})
    assert got.job.usage.credits == 6.0


async def test_a_confidence_score_costs_five_credits_more_a_page(llama, control, pdf):
    del control  # a real bill comes late
    options = {"confidence_score_effort": "high"}
    got = await parsed(llama, "a.pdf", pdf, tier="agentic", processing_options=options)
    assert got.job.usage.credits == 3 * (10 + 5)


async def test_an_enriched_form_page_costs_ten_credits_more(llama, control):
    del control  # a real bill comes late
    document = pdf_of("Name: ________", "no form at all")
    options = {"forms": "enrich"}
    got = await parsed(llama, "a.pdf", document, tier="agentic", processing_options=options)
    assert got.job.usage.credits == 2 * 10 + 10


async def test_a_spreadsheet_costs_one_credit_a_sheet(llama, control):
    del control  # a real bill comes late
    got = await parsed(llama, "a.csv", b"a,b\n1,2\n", ["usage", "markdown"], tier="agentic_plus")
    assert got.job.usage.credits == 1
    assert got.markdown.pages[0].markdown.startswith("| a | b |")


async def test_the_cost_optimizer_bills_easy_pages_like_a_cheaper_tier(llama, control):
    del control  # a real bill comes late
    table = "| a | b |\n| --- | --- |\n| 1 | 2 |"
    options = {"cost_optimizer": {"enable": True}}
    expand = ["usage", "metadata"]
    hard = await parsed(
        llama, "a.md", markdown(table), expand, tier="agentic", processing_options=options
    )
    easy = await parsed(
        llama, "b.md", markdown("words"), expand, tier="agentic", processing_options=options
    )
    assert (hard.job.usage.credits, easy.job.usage.credits) == (10, 3)
    assert hard.metadata.pages[0].cost_optimized is False
    assert easy.metadata.pages[0].cost_optimized is True


async def test_credits_are_null_until_billing_has_settled(llama, control, pdf, clock):
    await tell(control, billing_delay_seconds=30)
    got = await parsed(llama, "a.pdf", pdf)
    assert got.job.status == "COMPLETED"
    assert got.job.usage.credits is None
    assert (await usage(llama, event_aggregation_key=got.job.id))["items"] == []
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
    bill = await billed(control)
    assert (bill["credits"], bill["jobs"]) == (30.0, 5)


async def test_a_parse_without_the_cache_leaves_nothing_in_it(llama, control, pdf):
    del control  # a real bill comes late
    await parsed(llama, "a.pdf", pdf, disable_cache=True)
    assert (await parsed(llama, "a.pdf", pdf)).job.usage.credits == 9.0


async def test_webhooks_and_tags_do_not_change_what_is_cached(llama, control, pdf):
    del control  # a real bill comes late
    hook = {"webhook_url": "https://hooks.example.org/x", "webhook_events": ["parse.success"]}
    await parsed(llama, "a.pdf", pdf)
    again = await parsed(
        llama, "b.pdf", pdf, webhook_configurations=[hook], user_metadata={"doc": "D-17"}
    )
    assert again.job.usage.credits == 0


async def test_a_hit_may_show_null_credits(llama, control, pdf):
    await switch(control, cache_hit_credits=None)
    await parsed(llama, "a.pdf", pdf)
    assert (await parsed(llama, "a.pdf", pdf)).job.usage.credits is None


async def test_a_failed_job_costs_nothing_or_all_its_pages(llama, control, pdf):
    script = [{"files": "bad*", "fail": "TIMEOUT"}]
    await switch(control, scripts=script)
    assert (await parsed(llama, "bad.pdf", pdf)).job.usage.credits is None
    await switch(control, bill_failed_jobs=True)
    assert (await parsed(llama, "bad.pdf", pdf)).job.usage.credits == 9.0
    assert (await billed(control))["credits"] == 9.0


async def test_a_cancelled_job_costs_nothing_or_all_its_pages(llama, control):
    await tell(control, transition={"kind": "seconds", "value": 600})
    for policy, cost in ((False, None), (True, 3.0)):
        await switch(control, bill_cancelled_jobs=policy)
        job_id = await submitted(llama, "a.md", markdown())
        await until_idle(control)
        await llama.parsing.cancel(job_id)
        assert (await llama.parsing.get(job_id, expand=["usage"])).job.usage.credits == cost
    assert (await billed(control))["credits"] == 3.0


async def test_failed_pages_are_billed_or_not(llama, control, pdf):
    await switch(control, scripts=[{"files": "*", "failed_pages": [2]}])
    allowed = {"job_failure_conditions": {"allowed_page_failure_ratio": 1}}
    costs = []
    for policy in (True, False):
        await switch(control, bill_failed_pages=policy)
        got = await parsed(llama, "a.pdf", pdf, processing_control=allowed)
        costs.append(got.job.usage.credits)
    assert costs == [9.0, 6.0]


async def test_usage_rows_of_a_job_add_up_to_its_credits(llama, control, pdf):
    del control  # a real bill comes late
    options = {"confidence_score_effort": "high"}
    got = await parsed(llama, "a.pdf", pdf, tier="agentic", processing_options=options)
    await parsed(llama, "b.md", markdown())
    rows = (await usage(llama, event_aggregation_key=got.job.id))["items"]
    assert [(row["event_type"], row["value"], row["credits"]) for row in rows] == [
        ("pages_parsed", 3, 30.0),
        ("confidence_score_high", 3, 15.0),
    ]
    assert sum(row["credits"] for row in rows) == got.job.usage.credits
    assert {row["event_aggregation_type"] for row in rows} == {"pdf"}
    assert {row["project_id"] for row in rows} == {got.job.project_id}


async def test_usage_rows_come_in_pages_and_by_kind_and_day(llama, control, clock):
    del control  # a real bill comes late
    for number in range(3):
        await parsed(llama, f"{number}.md", markdown())
        clock.advance(24 * 3600)
    page = await usage(llama, page_size=2, include_total="true")
    assert (len(page["items"]), page["total_size"]) == (2, 3)
    rest = await usage(llama, page_size=2, page_token=page["next_page_token"])
    assert (len(rest["items"]), rest["next_page_token"]) == (1, None)
    day = page["items"][1]["day"]
    assert len((await usage(llama, day_on_or_after=day))["items"]) == 2
    assert (await usage(llama, event_types="form_parsing_pages"))["items"] == []


async def test_a_bill_is_not_seen_before_the_end_of_its_job(llama, control, clock):
    await tell(control, transition={"kind": "seconds", "value": 60})
    job_id = await submitted(llama, "a.md", markdown())
    await until_idle(control)
    assert (await usage(llama, event_aggregation_key=job_id))["items"] == []
    clock.advance(61)
    assert len((await usage(llama, event_aggregation_key=job_id))["items"]) == 1


async def test_usage_is_that_of_an_organization_which_has_to_be_named(llama):
    with pytest.raises(llama_cloud.UnprocessableEntityError, match="organization_id"):
        await llama.get(USAGE, cast_to=object)


async def test_the_project_of_a_key_says_which_organization_it_is_under(llama):
    (project,) = await llama.projects.list()
    assert (await llama.projects.get(project.id)) == project
    assert project.organization_id != project.id
    with pytest.raises(llama_cloud.NotFoundError):
        await llama.projects.get("00000000-0000-4000-8000-000000000000")


async def test_usage_is_summed_by_what_one_asks_for(llama, control):
    del control  # a real bill comes late
    await parsed(llama, "a.md", markdown(), tier="agentic")
    await parsed(llama, "b.md", markdown())
    await parsed(llama, "c.md", markdown())
    answer = await usage(llama, f"{USAGE}/aggregate", group_by="tier")
    assert answer["group_by"] == ["tier"]
    assert [
        (bucket["dimensions"]["tier"], bucket["total_value"], bucket["total_credits"])
        for bucket in answer["buckets"]
    ] == [("agentic", 1, 10.0), ("cost_effective", 2, 6.0)]
    with pytest.raises(llama_cloud.UnprocessableEntityError):
        await usage(llama, f"{USAGE}/aggregate", group_by="weather")


async def test_an_account_without_credits_may_not_submit_but_may_read(llama, control):
    await switch(control, credits=5)
    file_id = await uploaded(llama, "a.md", markdown())
    options = {"tier": "agentic", "version": "latest", "file_id": file_id}
    job = await llama.parsing.create(**options)
    await finished(llama, job.id)
    for arguments in (options, {**options, "file_id": llama_cloud.omit, "upload_file": b"x"}):
        with pytest.raises(llama_cloud.APIStatusError) as error:
            await llama.parsing.create(**arguments)
        assert error.value.status_code == 402
    assert (await llama.parsing.get(job.id, expand=["text"])).text.pages


async def test_the_free_plan_takes_20_requests_a_minute_and_does_not_say_when_to_come_back(
    llama, control, clock
):
    await switch(control, plan="free")
    for _ in range(20):
        await llama.parsing.list_versions()
    with pytest.raises(llama_cloud.RateLimitError) as error:
        await llama.parsing.list_versions()
    assert "retry-after" not in error.value.response.headers
    assert not [name for name in error.value.response.headers if "ratelimit" in name]
    clock.advance(3.1)
    await llama.parsing.list_versions()


async def test_a_paid_plan_takes_250_uploads_in_five_seconds(llama, control, http, clock):
    await switch(control, plan="pro")
    headers = {"authorization": "Bearer llx-simulated-key-that-opens-nothing"}
    statuses = [
        (await http.post("/llamacloud/api/v1/beta/files", headers=headers)).status_code
        for _ in range(251)
    ]
    assert statuses == [400] * 250 + [429]
    clock.advance(5)
    file = await llama.files.create(file=("a.md", b"x"), purpose="parse")
    assert file.id


async def test_a_request_limit_can_be_set_by_hand(llama, control, clock):
    quotas = {"llamacloud_requests_per_minute": 20, "llamacloud_burst_seconds": 6}
    await tell(control, quotas=quotas)
    await llama.parsing.list_versions()
    await llama.parsing.list_versions()
    with pytest.raises(llama_cloud.RateLimitError):
        await llama.parsing.list_versions()
    clock.advance(3.1)
    await llama.parsing.list_versions()
