"""Faults on a real socket: what a client sees when a vendor misbehaves."""

import json

import httpx
import llama_cloud
import openai as sdk
import pytest
from llama_cloud import AsyncLlamaCloud
from openai import AsyncOpenAI

MODEL = "text-embedding-3-small"
EMBED = "openai.embeddings.create"


@pytest.fixture
def flavour() -> str:
    """One client is enough: what is seen here is the socket."""
    return "async"


async def embed(openai: AsyncOpenAI) -> None:
    await openai.embeddings.create(model=MODEL, input="a")


async def billed(control: httpx.AsyncClient) -> int:
    bill = (await control.get("/billed")).json()["openai"]
    return bill.get(MODEL, {"requests": 0})["requests"]


@pytest.mark.parametrize("code", ["insufficient_quota", "slow_down", "credit_balance_exhausted"])
async def test_a_status_fault_speaks_the_vendors_code(openai, control, code):
    await control.post(
        "/faults", json={"route": EMBED, "kind": "status", "status": 429, "code": code}
    )
    with pytest.raises(sdk.RateLimitError) as error:
        await embed(openai)
    assert error.value.code == code
    await embed(openai)


async def test_a_connection_dropped_before_the_work_costs_nothing(openai, control):
    await control.post("/faults", json={"route": EMBED, "kind": "drop_before"})
    with pytest.raises(sdk.APIConnectionError):
        await embed(openai)
    assert await billed(control) == 0


async def test_a_connection_dropped_after_the_work_is_billed(openai, control):
    await control.post("/faults", json={"route": EMBED, "kind": "drop_after"})
    with pytest.raises(sdk.APIConnectionError):
        await embed(openai)
    assert await billed(control) == 1
    calls = (await control.get("/calls", params={"route": EMBED})).json()["calls"]
    assert calls[0]["status"] is None


async def test_broken_json_is_a_whole_answer_that_no_parser_takes(openai, control):
    await control.post("/faults", json={"route": EMBED, "kind": "broken_json"})
    with pytest.raises(json.JSONDecodeError):
        await embed(openai)


async def test_a_cut_body_ends_before_its_announced_length(openai, control):
    await control.post("/faults", json={"route": EMBED, "kind": "cut_body"})
    with pytest.raises((sdk.APIConnectionError, httpx.RemoteProtocolError, Exception)) as error:
        await embed(openai)
    assert "incomplete" in repr(error.value.__cause__ or error.value).lower() or isinstance(
        error.value, sdk.APIConnectionError
    )
    assert await billed(control) == 1


async def test_a_delay_is_a_real_timeout(openai, control):
    await control.post("/faults", json={"route": EMBED, "kind": "delay", "seconds": 5})
    with pytest.raises(sdk.APITimeoutError):
        await openai.with_options(timeout=0.05).embeddings.create(model=MODEL, input="a")


async def test_a_lost_answer_to_a_submission_makes_the_sdk_create_two_jobs(
    llama: AsyncLlamaCloud, control: httpx.AsyncClient
):
    file = await llama.files.create(file=("a.md", b"# a"), purpose="parse")
    await control.post("/faults", json={"route": "llamacloud.parsing.create", "kind": "drop_after"})
    retrying = llama.with_options(max_retries=1)
    await retrying.parsing.create(tier="fast", version="latest", file_id=file.id)
    assert len([job async for job in llama.parsing.list()]) == 2


async def test_a_gateway_error_is_html_as_from_a_gateway(llama, control):
    await control.post("/faults", json={"route": "llamacloud.*", "kind": "status", "status": 502})
    with pytest.raises(llama_cloud.InternalServerError) as error:
        await llama.parsing.list_versions()
    assert error.value.response.headers["content-type"].startswith("text/html")
    assert error.value.response.headers["x-simulated"].startswith("gristmill/")


async def test_faults_are_listed_counted_and_cleared(control):
    await control.post("/faults", json={"route": "openai.*", "kind": "delay", "count": 3})
    assert [f["count"] for f in (await control.get("/faults")).json()["faults"]] == [3]
    assert (await control.delete("/faults")).json() == {"faults": []}
    bad = await control.post("/faults", json={"route": "x", "kind": "earthquake"})
    assert bad.status_code == 422
