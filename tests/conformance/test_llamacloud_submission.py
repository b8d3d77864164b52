"""Submitting parse jobs to LlamaCloud: by file, by upload, by address, with saved options."""

import asyncio
import json

import httpx
import llama_cloud
import pytest
from llama_calls import HEADERS, finished, markdown, parsed, switch, uploaded
from llama_cloud import AsyncLlamaCloud

from gristmill_simulators import environment

FAST = {"tier": "fast", "version": "latest"}


async def test_a_document_can_be_uploaded_and_parsed_in_one_call(llama: AsyncLlamaCloud):
    job = await llama.parsing.create(
        tier="cost_effective", version="latest", upload_file=("notes.md", markdown("# Wheat"))
    )
    assert job.status == "PENDING"
    got = await finished(llama, job.id, ["markdown_full"])
    assert got.job.name == "notes.md"
    assert got.markdown_full.startswith("# Wheat")


async def test_the_sdk_drops_tags_from_an_upload_unless_they_are_in_the_configuration(llama):
    options = {**FAST, "user_metadata": {"doc": "D-17"}}
    dropped = await llama.parsing.create(upload_file=("a.md", markdown()), **options)
    assert dropped.user_metadata is None
    kept = await llama.parsing.create(
        upload_file=("a.md", markdown()),
        extra_body={"configuration": json.dumps(options)},
        **FAST,
    )
    assert kept.user_metadata == {"doc": "D-17"}
    await finished(llama, kept.id)


@pytest.mark.parametrize(
    ("fields", "loc"),
    [
        ({}, ["body", "configuration"]),
        ({"configuration": "tier=fast"}, ["body"]),
        ({"configuration": '{"tier": "fast"}'}, ["version"]),
        ({"configuration": '{"tier": "fast", "version": "latest", "file_id": "x"}'}, ["file_id"]),
    ],
)
async def test_an_upload_with_a_bad_configuration_is_refused(http, fields, loc):
    answer = await http.post(
        "/llamacloud/api/v2/parse/upload",
        data=fields,
        files={"file": ("a.md", b"x")},
        headers=HEADERS,
    )
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == loc


async def test_an_upload_without_a_document_is_refused(http):
    form = {"configuration": (None, json.dumps(FAST))}
    answer = await http.post("/llamacloud/api/v2/parse/upload", files=form, headers=HEADERS)
    assert answer.json()["detail"][0]["loc"] == ["body", "file"]


@pytest.mark.parametrize(
    ("options", "loc"),
    [
        ({"tier": "golden", "version": "latest"}, ["tier"]),
        ({"tier": "fast", "version": "2026-10-16"}, ["version"]),
        ({**FAST, "extra_body": {"pages": 3}}, ["pages"]),
        ({**FAST, "page_ranges": {"target_pages": "1,1"}}, ["page_ranges", "target_pages"]),
        ({**FAST, "page_ranges": {"target_pages": "0-2"}}, ["page_ranges", "target_pages"]),
        ({**FAST, "page_ranges": {"max_pages": 0}}, ["page_ranges", "max_pages"]),
        ({**FAST, "crop_box": {"top": 1.5}}, ["crop_box", "top"]),
        (
            {**FAST, "output_options": {"markdown": {"bold": True}}},
            ["output_options", "markdown", "bold"],
        ),
        (
            {**FAST, "processing_control": {"timeouts": {"base_in_seconds": 7201}}},
            ["processing_control", "timeouts", "base_in_seconds"],
        ),
        (
            {**FAST, "processing_control": {"timeouts": {"extra_time_per_page_in_seconds": 301}}},
            ["processing_control", "timeouts", "extra_time_per_page_in_seconds"],
        ),
        (
            {**FAST, "webhook_configurations": [{"webhook_url": "ftp://example.org"}]},
            ["webhook_configurations", 0, "webhook_url"],
        ),
        ({**FAST, "webhook_configuration_ids": ["whc-1"] * 5}, ["webhook_configuration_ids"]),
        ({**FAST, "source_url": "https://example.org/a.pdf"}, []),
    ],
)
async def test_a_bad_submission_is_refused_where_it_is_wrong(llama, options, loc):
    with pytest.raises(llama_cloud.UnprocessableEntityError) as error:
        await llama.parsing.create(file_id="some", **options)
    assert error.value.body["detail"][0]["loc"] == loc
    assert {"type", "loc", "msg", "input"} <= error.value.body["detail"][0].keys()


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


async def test_a_rule_for_single_pages_needs_tier_and_version_together(llama):
    rule = {"parsing_conf": {"tier": "agentic_plus"}, "table_in_page": True}
    with pytest.raises(llama_cloud.UnprocessableEntityError) as error:
        await llama.parsing.create(
            tier="agentic",
            version="latest",
            file_id="some",
            processing_options={"auto_mode_configuration": [rule]},
        )
    loc = ["processing_options", "auto_mode_configuration", 0, "parsing_conf"]
    assert error.value.body["detail"][0]["loc"] == loc


@pytest.mark.parametrize("missing", ["tier", "version"])
async def test_tier_and_version_must_be_given(http, missing):
    body = {"file_id": "some", **FAST}
    del body[missing]
    answer = await http.post("/llamacloud/api/v2/parse", json=body, headers=HEADERS)
    assert answer.status_code == 422
    assert (answer.json()["detail"][0]["loc"], answer.json()["detail"][0]["type"]) == (
        [missing],
        "missing",
    )


async def test_an_unknown_file_is_not_found(llama: AsyncLlamaCloud):
    with pytest.raises(llama_cloud.NotFoundError):
        await llama.parsing.create(file_id="00000000-0000-4000-8000-000000000000", **FAST)


async def test_tags_tier_and_name_come_back_on_the_job(llama: AsyncLlamaCloud):
    got = await parsed(
        llama, "a.md", markdown(), tier="fast", user_metadata={"doc": "D-17"}, client_name="tests"
    )
    assert got.job.user_metadata == {"doc": "D-17"}
    assert (got.job.tier, got.job.name) == ("fast", "a.md")


async def test_two_submissions_with_the_same_idempotency_key_are_two_jobs(llama, http):
    del http  # not known of the vendor, only assumed
    file_id = await uploaded(llama, "a.md", markdown())
    headers = {"Idempotency-Key": "once"}
    jobs = [
        await llama.parsing.create(file_id=file_id, extra_headers=headers, **FAST) for _ in range(2)
    ]
    assert jobs[0].id != jobs[1].id


async def test_a_document_is_fetched_from_its_address(llama, control):
    del control  # the vendor cannot reach this machine
    file_id = await uploaded(llama, "page.html", b"<h1>Wheat</h1>")
    url = (await llama.files.content(file_id)).url
    job = await llama.parsing.create(tier="agentic", version="latest", source_url=url)
    got = await finished(llama, job.id, ["markdown_full"])
    assert (got.job.name, got.markdown_full) == ("page.html", "# Wheat")


async def test_a_document_that_is_not_at_its_address_fails_the_job(llama, server):
    url = f"{server.base_url}/nowhere.pdf"
    job = await llama.parsing.create(source_url=url, **FAST)
    got = await finished(llama, job.id)
    assert got.job.status == "FAILED"
    assert "404" in got.job.error_message


async def test_an_address_beyond_this_machine_is_refused_by_the_simulator(llama, control):
    del control  # the vendor fetches it
    with pytest.raises(llama_cloud.BadRequestError, match="source_url"):
        await llama.parsing.create(source_url="https://example.org/a.pdf", **FAST)


async def test_saved_options_give_tier_version_and_pages_to_a_job(llama: AsyncLlamaCloud):
    saved = await llama.configurations.create(
        name="two pages",
        parameters={
            "product_type": "parse_v2",
            "tier": "fast",
            "version": "latest",
            "page_ranges": {"max_pages": 2},
        },
    )
    job = await llama.parsing.create(
        tier="fast",
        version="configured",
        configuration_id=saved.id,
        file_id=await uploaded(llama, "a.md", markdown()),
    )
    got = await finished(llama, job.id, ["raw_parameters"])
    assert got.job.tier == "fast"
    assert saved.parameters.page_ranges.max_pages == 2
    await llama.configurations.delete(saved.id)
    with pytest.raises(llama_cloud.NotFoundError):
        await llama.configurations.retrieve(saved.id)


async def test_configured_without_saved_options_is_refused(llama: AsyncLlamaCloud):
    with pytest.raises(llama_cloud.UnprocessableEntityError):
        await llama.parsing.create(tier="fast", version="configured", file_id="some")
    with pytest.raises(llama_cloud.NotFoundError):
        await llama.parsing.create(
            tier="fast", version="configured", configuration_id="cfg-none", file_id="some"
        )


async def test_saved_options_can_be_changed_and_listed(llama, control):
    del control  # changes the account
    options = {"product_type": "parse_v2", "tier": "fast", "version": "latest"}
    saved = await llama.configurations.create(name="first", parameters=options)
    await llama.configurations.create(name="second", parameters=options)
    agentic = {**options, "tier": "agentic"}
    changed = await llama.configurations.update(saved.id, parameters=agentic)
    assert (changed.name, changed.parameters.tier) == ("first", "agentic")
    names = [one.name async for one in llama.configurations.list(page_size=1)]
    assert names == ["first", "second"]


async def test_versions_are_listed_with_the_latest_of_each_tier(llama: AsyncLlamaCloud):
    versions = await llama.parsing.list_versions()
    for tier in ("agentic", "agentic_plus", "cost_effective", "fast"):
        assert getattr(versions.latest, tier) in getattr(versions, tier)


async def test_keys_are_checked_with_both_texts(llama: AsyncLlamaCloud, http: httpx.AsyncClient):
    with pytest.raises(llama_cloud.AuthenticationError) as error:
        await llama.with_options(api_key="llx-simulated-other").parsing.list_versions()
    assert error.value.body["detail"].startswith("Invalid API Key")
    answer = await http.get("/llamacloud/api/v2/parse")
    assert (answer.status_code, answer.json()) == (401, {"detail": "Not authenticated"})


async def test_a_project_may_have_several_keys_and_a_deleted_one_is_refused(llama, control):
    new = llama.with_options(api_key="llx-new")
    await switch(control, api_keys=[llama.api_key, "llx-new"])
    assert (await llama.parsing.list_versions()).fast
    assert (await new.parsing.list_versions()).fast
    await switch(control, api_keys=["llx-new"])
    with pytest.raises(llama_cloud.AuthenticationError, match="Invalid API Key"):
        await llama.parsing.list_versions()
    assert (await new.parsing.list_versions()).fast


async def test_a_key_of_another_region_is_invalid_and_the_error_speaks_of_regions(llama, control):
    await switch(control, region="eu")
    with pytest.raises(llama_cloud.AuthenticationError, match="region"):
        await llama.parsing.list_versions()
    european = llama.with_options(api_key=environment.LLAMA_CLOUD_EU_API_KEY)
    assert (await european.parsing.list_versions()).fast


async def test_version_1_is_gone_and_unknown_routes_are_not_found(http):
    old = await http.post("/llamacloud/api/v1/parsing/upload", headers=HEADERS)
    assert old.status_code == 410
    job = await http.get("/llamacloud/api/v1/parsing/job/1/result/markdown", headers=HEADERS)
    assert job.status_code == 404
    answer = await http.post("/llamacloud/api/v2/extract", headers=HEADERS)
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


async def test_a_lost_answer_leaves_a_job_that_its_tag_finds(llama, control):
    file_id = await uploaded(llama, "a.md", markdown())
    drop = {"route": "llamacloud.parsing.create", "kind": "drop_after"}
    await control.post("/faults", json=drop)
    with pytest.raises(llama_cloud.APIConnectionError):
        await llama.parsing.create(file_id=file_id, user_metadata={"tag": "lost"}, **FAST)
    tags = [job.user_metadata async for job in llama.parsing.list()]
    assert tags == [{"tag": "lost"}]


async def test_a_blind_retry_of_a_lost_submission_makes_two_jobs(llama, control):
    file_id = await uploaded(llama, "a.md", markdown())
    drop = {"route": "llamacloud.parsing.create", "kind": "drop_after"}
    await control.post("/faults", json=drop)
    retrying = llama.with_options(max_retries=1)
    await retrying.parsing.create(file_id=file_id, **FAST)
    assert len([job async for job in llama.parsing.list()]) == 2
    calls = (await control.get("/calls", params={"route": drop["route"]})).json()["calls"]
    assert [call["retry_count"] for call in calls] == [0, 1]


async def test_many_jobs_at_once_all_get_their_own_result(llama, control):
    del control  # costs many parses
    texts = [f"Document {number} of many" for number in range(8)]
    results = await asyncio.gather(
        *(parsed(llama, "a.md", markdown(text), ["text_full"]) for text in texts)
    )
    assert all(text in got.text_full for text, got in zip(texts, results, strict=True))
