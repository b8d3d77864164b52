"""Webhooks of LlamaParse: what is sent, when, how it is signed, and what becomes of refusals."""

import asyncio
import hashlib
import hmac
import uuid
from collections.abc import AsyncIterator

import llama_cloud
import orjson
import pytest
from llama_calls import (
    HEADERS,
    deliveries,
    markdown,
    parsed,
    submitted,
    switch,
    tell,
    until_idle,
)
from llama_cloud import AsyncLlamaCloud
from receiver import Receiver

SECRET = "a-fake-secret-of-at-least-32-bytes-for-tests"
BEGINNING = ["parse.pending", "parse.running"]


@pytest.fixture
async def receiver(server) -> AsyncIterator[Receiver]:
    del server  # there before anything is sent to it
    async with Receiver() as receiver:
        yield receiver


def hook(receiver: Receiver, **more) -> dict:
    options = {"webhook_output_format": "json", **more}
    return {"webhook_configurations": [{"webhook_url": receiver.url, **options}]}


def signed(secret: str, body: bytes) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


async def test_a_webhook_without_a_choice_is_told_everything_in_order(llama, receiver):
    job = (await parsed(llama, "a.md", markdown(), **hook(receiver))).job
    assert await receiver.events(3) == [*BEGINNING, "parse.success"]
    assert {delivery.event["data"]["job_id"] for delivery in receiver.received} == {job.id}


async def test_only_the_events_asked_for_are_sent(llama, control, receiver):
    events = ["parse.success", "parse.error"]
    await parsed(llama, "a.md", markdown(), **hook(receiver, webhook_events=events))
    await until_idle(control)
    assert await receiver.events(1) == ["parse.success"]
    assert len(receiver.received) == 1


async def test_an_event_names_the_job_and_has_no_content(llama, receiver, clock):
    job_id = await submitted(llama, "a.md", markdown("wheat"), **hook(receiver))
    await receiver.events(1)
    event = orjson.loads(receiver.received[0].body)
    assert event["data"] == {"id": job_id, "job_id": job_id}
    assert uuid.UUID(event["event_id"])
    assert event["timestamp"] == pytest.approx(clock(), abs=0.001)
    assert b"wheat" not in receiver.received[0].body


async def test_the_default_body_is_json_inside_a_json_string(llama, receiver):
    hooks = {"webhook_configurations": [{"webhook_url": receiver.url}]}
    await submitted(llama, "a.md", markdown(), **hooks)
    await receiver.events(1)
    outer = orjson.loads(receiver.received[0].body)
    assert isinstance(outer, str)
    assert orjson.loads(outer)["event_type"] == "parse.pending"


async def test_headers_name_the_event_and_carry_the_clients_own(llama, receiver):
    mine = {"Authorization": "Bearer fake", "X-Attempt": 1}
    await submitted(llama, "a.md", markdown(), **hook(receiver, webhook_headers=mine))
    await receiver.events(1)
    delivery = receiver.received[0]
    assert delivery.headers["content-type"] == "application/json"
    assert delivery.headers["user-agent"] == "llamaindex-webhook-service/1.0"
    assert delivery.headers["x-webhook-event-id"] == delivery.event["event_id"]
    assert delivery.headers["x-webhook-event-type"] == "parse.pending"
    assert (delivery.headers["authorization"], delivery.headers["x-attempt"]) == (
        "Bearer fake",
        "1",
    )
    assert "lc-signature" not in delivery.headers


@pytest.mark.parametrize("form", ["json", "string"])
async def test_a_secret_signs_the_exact_bytes_of_the_body(llama, receiver, form):
    options = {"webhook_signing_secret": SECRET, "webhook_output_format": form}
    await submitted(llama, "a.md", markdown(), **hook(receiver, **options))
    await receiver.events(1)
    delivery = receiver.received[0]
    assert delivery.headers["lc-signature"] == signed(SECRET, delivery.body)


async def test_in_string_format_the_inner_bytes_may_be_what_is_signed(llama, control, receiver):
    await switch(control, webhook_string_signed="inner")
    options = {"webhook_signing_secret": SECRET, "webhook_output_format": "string"}
    await submitted(llama, "a.md", markdown(), **hook(receiver, **options))
    await receiver.events(1)
    inner = orjson.loads(receiver.received[0].body).encode()
    assert receiver.received[0].headers["lc-signature"] == signed(SECRET, inner)


@pytest.mark.parametrize("forged", ["wrong", "missing"])
async def test_a_signature_can_be_wrong_or_missing(llama, control, receiver, forged):
    await switch(control, webhook_signature=forged)
    await submitted(llama, "a.md", markdown(), **hook(receiver, webhook_signing_secret=SECRET))
    await receiver.events(1)
    delivery = receiver.received[0]
    given = delivery.headers.get("lc-signature")
    assert (given is None) == (forged == "missing")
    assert given != signed(SECRET, delivery.body)


async def test_a_failed_job_is_told_as_an_error(llama, receiver):
    await parsed(llama, "a.pdf", b"%PDF-1.7 and nothing", **hook(receiver))
    assert await receiver.events(3) == [*BEGINNING, "parse.error"]


async def test_a_job_with_failed_pages_is_told_as_a_partial_success(llama, control, receiver, pdf):
    await switch(control, scripts=[{"files": "*", "failed_pages": [2]}])
    allowed = {"job_failure_conditions": {"allowed_page_failure_ratio": 1}}
    await parsed(llama, "a.pdf", pdf, processing_control=allowed, **hook(receiver))
    assert await receiver.events(3) == [*BEGINNING, "parse.partial_success"]


async def test_a_cancelled_job_is_told_so_and_never_as_a_success(llama, control, receiver, clock):
    await tell(control, transition={"kind": "seconds", "value": 60})
    job_id = await submitted(llama, "a.md", markdown(), **hook(receiver))
    await receiver.events(2)
    await until_idle(control)
    await llama.parsing.cancel(job_id)
    clock.advance(61)
    await llama.parsing.get(job_id)
    await until_idle(control)
    assert await receiver.events(3) == [*BEGINNING, "parse.cancelled"]
    assert len(receiver.received) == 3


async def test_a_result_from_the_cache_is_told_as_well(llama, control, receiver, pdf):
    del control  # the vendor cannot reach this machine
    await parsed(llama, "a.pdf", pdf)
    await submitted(llama, "a.pdf", pdf, **hook(receiver))
    assert await receiver.events(2) == ["parse.pending", "parse.success"]


async def test_the_end_is_told_when_a_look_shows_it(llama, control, receiver, clock):
    await tell(control, transition={"kind": "seconds", "value": 60})
    job_id = await submitted(llama, "a.md", markdown(), **hook(receiver))
    assert await receiver.events(2) == BEGINNING
    await until_idle(control)
    assert len(receiver.received) == 2
    clock.advance(61)
    assert (await llama.parsing.get(job_id)).job.status == "COMPLETED"
    assert (await receiver.events(3))[2] == "parse.success"


async def test_the_end_is_told_after_as_many_looks_as_it_takes(llama, control, receiver):
    await tell(control, transition={"kind": "polls", "value": 1})
    job_id = await submitted(llama, "a.md", markdown(), **hook(receiver))
    await until_idle(control)
    await llama.parsing.get(job_id)
    assert len(receiver.received) == 2
    await llama.parsing.get(job_id)
    assert (await receiver.events(3))[2] == "parse.success"


async def test_a_refused_event_is_tried_three_times_with_the_same_bytes(llama, control, receiver):
    await switch(control, webhook_waits=[0, 0])
    receiver.statuses = [500, 404, 302]
    events = ["parse.success"]
    await submitted(llama, "a.md", markdown(), **hook(receiver, webhook_events=events))
    await receiver.events(3)
    await until_idle(control)
    assert len(receiver.received) == 3
    assert len({delivery.body for delivery in receiver.received}) == 1
    calls = await deliveries(control)
    assert [(call["status"], call["units"]["attempt"]) for call in calls] == [
        (500, 1),
        (404, 2),
        (302, 3),
    ]


async def test_a_retry_may_be_an_event_of_its_own(llama, control, receiver):
    await switch(control, webhook_waits=[0, 0], webhook_retries_reuse_event=False)
    receiver.statuses = [500]
    events = ["parse.success"]
    await submitted(llama, "a.md", markdown(), **hook(receiver, webhook_events=events))
    await receiver.events(2)
    first, second = (delivery.event for delivery in receiver.received)
    assert first["event_id"] != second["event_id"]
    assert first["data"] == second["data"]


@pytest.mark.parametrize("status", [200, 201, 204, 299])
async def test_any_2xx_is_a_success(llama, control, receiver, status):
    receiver.statuses = [status]
    await submitted(llama, "a.md", markdown(), **hook(receiver, webhook_events=["parse.pending"]))
    await until_idle(control)
    assert [call["status"] for call in await deliveries(control)] == [status]


async def test_a_redirect_is_not_followed(llama, control, receiver):
    await switch(control, webhook_waits=[])
    receiver.statuses = [307]
    await submitted(llama, "a.md", markdown(), **hook(receiver, webhook_events=["parse.pending"]))
    await until_idle(control)
    assert [delivery.path for delivery in receiver.received] == ["/hook"]


async def test_an_endpoint_that_hangs_or_is_not_there_keeps_no_job_waiting(
    llama, control, receiver
):
    await switch(control, webhook_waits=[], webhook_timeout_seconds=0.05)
    receiver.statuses = [0, 0, 0]
    nowhere = {"webhook_url": "http://127.0.0.1:9/hook"}
    hooks = [*hook(receiver)["webhook_configurations"], nowhere]
    got = await parsed(llama, "a.md", markdown(), webhook_configurations=hooks)
    assert got.job.status == "COMPLETED"
    await until_idle(control)
    errors = {call["units"]["error"] for call in await deliveries(control)}
    assert errors == {"TimeoutError", "ConnectError"}


async def test_an_event_can_come_twice(llama, control, receiver):
    await switch(control, webhook_duplicates=1)
    await submitted(llama, "a.md", markdown(), **hook(receiver, webhook_events=["parse.success"]))
    await receiver.events(2)
    assert receiver.received[0].body == receiver.received[1].body


async def test_events_can_come_in_another_order(llama, control, receiver):
    await switch(control, webhook_reorder=True)
    await submitted(llama, "a.md", markdown(), **hook(receiver))
    assert await receiver.events(3) == ["parse.success", *BEGINNING]


async def test_an_event_can_come_before_its_result_can_be_read(llama, control, receiver, clock):
    await switch(control, webhook_early_seconds=5)
    job_id = await submitted(
        llama, "a.md", markdown(), **hook(receiver, webhook_events=["parse.success"])
    )
    await receiver.events(1)
    early = await llama.parsing.get(job_id, expand=["markdown"])
    assert (early.job.status, early.markdown) == ("RUNNING", None)
    clock.advance(6)
    assert (await llama.parsing.get(job_id, expand=["markdown"])).markdown.pages


async def test_a_job_may_have_several_webhooks_or_only_its_first_counts(llama, control, receiver):
    async with Receiver() as second:
        one = hook(receiver, webhook_events=["parse.pending"])["webhook_configurations"]
        two = hook(second, webhook_events=["parse.pending"])["webhook_configurations"]
        await submitted(llama, "a.md", markdown(), webhook_configurations=one + two)
        await asyncio.gather(receiver.events(1), second.events(1))
        await switch(control, webhooks_used="first")
        await submitted(llama, "a.md", markdown(), webhook_configurations=one + two)
        await receiver.events(2)
        await until_idle(control)
        assert len(second.received) == 1


async def test_saved_webhooks_are_told_by_their_id(llama, control, receiver):
    del control  # the vendor cannot reach this machine
    saved = await llama.webhook_configs.create(
        webhook_url=receiver.url, webhook_signing_secret=SECRET, webhook_output_format="json"
    )
    await submitted(llama, "a.md", markdown(), webhook_configuration_ids=[saved.id])
    assert await receiver.events(3) == [*BEGINNING, "parse.success"]
    delivery = receiver.received[0]
    assert delivery.headers["lc-signature"] == signed(SECRET, delivery.body)
    with pytest.raises(llama_cloud.NotFoundError):
        await submitted(llama, "a.md", markdown(), webhook_configuration_ids=["whc-unknown"])


async def test_a_simulated_event_never_leaves_this_machine_unless_allowed(llama, control):
    url = "https://user:word@hooks.example.org/lp"
    await submitted(llama, "a.md", markdown(), webhook_configurations=[{"webhook_url": url}])
    await until_idle(control)
    calls = await deliveries(control)
    assert {call["status"] for call in calls} == {None}
    assert all("withheld" in call["units"]["error"] for call in calls)
    assert {call["path"] for call in calls} == {"https://****:****@hooks.example.org/lp"}


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/x", "http://localhost/x", "http://10.1.2.3/x", "http://printer/x"]
)
async def test_local_addresses_can_be_refused_as_the_vendor_does(llama, control, url):
    await switch(control, refuse_local_webhooks=True)
    with pytest.raises(llama_cloud.UnprocessableEntityError, match="public"):
        await submitted(llama, "a.md", markdown(), webhook_configurations=[{"webhook_url": url}])
    with pytest.raises(llama_cloud.UnprocessableEntityError):
        await llama.webhook_configs.create(webhook_url=url)


async def test_a_saved_webhook_hides_its_secrets(llama: AsyncLlamaCloud):
    saved = await llama.webhook_configs.create(
        webhook_url="https://user:word@hooks.example.org/lp",
        webhook_headers={"Authorization": "Bearer fake"},
        webhook_signing_secret=SECRET,
        webhook_events=["parse.success"],
    )
    found = await llama.webhook_configs.retrieve(saved.id)
    assert found.has_secret is True
    shown = found.to_json()
    assert not any(secret in shown for secret in (SECRET, "Bearer fake", "user:word"))
    assert list(found.webhook_headers) == ["Authorization"]
    await llama.webhook_configs.delete(saved.id)


async def test_a_saved_webhook_can_be_changed_and_deleted(llama: AsyncLlamaCloud):
    saved = await llama.webhook_configs.create(webhook_url="https://hooks.example.org/lp")
    assert (saved.has_secret, saved.webhook_events) == (False, None)
    changed = await llama.webhook_configs.update(
        saved.id, webhook_signing_secret=SECRET, webhook_events=["parse.error"]
    )
    assert changed.has_secret is True
    assert changed.webhook_events == ["parse.error"]
    assert changed.webhook_url == saved.webhook_url
    await llama.webhook_configs.delete(saved.id)
    with pytest.raises(llama_cloud.NotFoundError):
        await llama.webhook_configs.retrieve(saved.id)


async def test_a_new_secret_signs_the_jobs_that_come_after(llama, control, receiver):
    del control  # the vendor cannot reach this machine
    saved = await llama.webhook_configs.create(
        webhook_url=receiver.url, webhook_signing_secret=SECRET, webhook_events=["parse.pending"]
    )
    await llama.webhook_configs.update(saved.id, webhook_signing_secret="another-fake-secret")
    await submitted(llama, "a.md", markdown(), webhook_configuration_ids=[saved.id])
    await receiver.events(1)
    delivery = receiver.received[0]
    assert delivery.headers["lc-signature"] == signed("another-fake-secret", delivery.body)


async def test_a_webhook_that_subscribes_to_nothing_is_refused(llama: AsyncLlamaCloud):
    url = "https://hooks.example.org/lp"
    with pytest.raises(llama_cloud.UnprocessableEntityError):
        await llama.webhook_configs.create(webhook_url=url, webhook_events=[])
    saved = await llama.webhook_configs.create(webhook_url=url)
    with pytest.raises(llama_cloud.UnprocessableEntityError):
        await llama.webhook_configs.update(saved.id, webhook_events=[])
    await llama.webhook_configs.delete(saved.id)


async def test_saved_webhooks_are_listed_at_once_or_in_pages(llama, http):
    made = [
        (await llama.webhook_configs.create(webhook_url=f"https://example.org/{number}")).id
        for number in range(3)
    ]
    assert [one.id async for one in llama.webhook_configs.list_paginated(page_size=2)] == made
    page = await llama.webhook_configs.list_paginated(page_size=2, include_total=True)
    assert (len(page.items), page.total_size) == (2, 3)
    # the method of the SDK is deprecated
    every = await http.get("/llamacloud/api/v1/beta/webhook-configs", headers=HEADERS)
    assert [one["id"] for one in every.json()] == made


async def test_an_unknown_event_is_refused(llama: AsyncLlamaCloud):
    hooks = [{"webhook_url": "https://example.org/x", "webhook_events": ["parse.done"]}]
    with pytest.raises(llama_cloud.UnprocessableEntityError) as error:
        await submitted(llama, "a.md", markdown(), webhook_configurations=hooks)
    loc = ["webhook_configurations", 0, "webhook_events", 0]
    assert error.value.body["detail"][0]["loc"] == loc
