"""What an answer of OpenAI carries beside its body."""

import re

import httpx
import pytest
from openai import AsyncOpenAI

from gristmill_simulators import environment

SMALL = "text-embedding-3-small"
HEADERS = {"authorization": f"Bearer {environment.OPENAI_API_KEY}"}


async def test_a_success_names_model_account_version_and_time(openai: AsyncOpenAI):
    answer = await openai.embeddings.with_raw_response.create(model=SMALL, input="a")
    headers = answer.headers
    assert headers["content-type"] == "application/json"
    assert headers["openai-model"] == SMALL
    assert headers["openai-organization"]
    assert headers["openai-project"].startswith("proj_")
    assert headers["openai-version"] == "2020-10-01"
    assert headers["openai-processing-ms"].isdigit()
    assert headers["access-control-expose-headers"] == "X-Request-ID"


async def test_every_answer_has_its_own_request_id(openai: AsyncOpenAI):
    seen = set()
    for _ in range(2):
        answer = await openai.embeddings.with_raw_response.create(model=SMALL, input="a")
        assert re.fullmatch(r"req_[0-9a-f]{32}", answer.headers["x-request-id"])
        assert answer.request_id == answer.headers["x-request-id"]
        seen.add(answer.request_id)
    assert len(seen) == 2


async def test_the_limits_are_told_as_numbers_and_go_durations(openai: AsyncOpenAI):
    answer = await openai.embeddings.with_raw_response.create(model=SMALL, input="a" * 400)
    for kind, cost in (("requests", 1), ("tokens", 101)):
        limit = int(answer.headers[f"x-ratelimit-limit-{kind}"])
        remaining = int(answer.headers[f"x-ratelimit-remaining-{kind}"])
        assert remaining < limit or cost < limit / 1000
        duration = answer.headers[f"x-ratelimit-reset-{kind}"]
        assert re.fullmatch(r"(\d+h)?(\d+m)?(\d+(\.\d+)?s)?|\d+ms", duration)


async def test_an_answer_is_chunked_and_gzipped_for_who_offers_it(http: httpx.AsyncClient):
    body = {"model": SMALL, "input": ["wheat"] * 40}
    answers = {}
    for coding in ("gzip, deflate", "identity", "gzip;q=0, br"):
        answer = await http.post(
            "/openai/v1/embeddings", json=body, headers=HEADERS | {"accept-encoding": coding}
        )
        assert answer.headers["transfer-encoding"] == "chunked"
        assert "content-length" not in answer.headers
        answers[coding] = answer
    assert answers["gzip, deflate"].headers["content-encoding"] == "gzip"
    assert "content-encoding" not in answers["identity"].headers
    assert "content-encoding" not in answers["gzip;q=0, br"].headers
    assert len({answer.content for answer in answers.values()}) == 1


async def test_compression_may_be_switched_off(openai: AsyncOpenAI, control):
    assert "content-encoding" in (await openai.models.with_raw_response.list()).headers
    await control.post("/settings", json={"openai": {"compress": False}})
    assert "content-encoding" not in (await openai.models.with_raw_response.list()).headers


@pytest.mark.parametrize("edge", [True, False])
async def test_the_edges_decoration_is_there_or_not(openai: AsyncOpenAI, control, edge):
    await control.post("/settings", json={"openai": {"edge_headers": edge}})
    headers = (await openai.embeddings.with_raw_response.create(model=SMALL, input="a")).headers
    names = {"server", "cf-ray", "cf-cache-status", "alt-svc", "via", "set-cookie"}
    assert names & set(headers) == (names if edge else set())


async def test_the_answer_says_that_it_is_simulated(openai: AsyncOpenAI, control):
    del control
    headers = (await openai.embeddings.with_raw_response.create(model=SMALL, input="a")).headers
    assert headers["x-simulated"].startswith("gristmill/")


async def test_the_sdks_own_retries_are_seen_in_the_recorded_calls(openai: AsyncOpenAI, control):
    fault = {"route": "openai.embeddings.create", "kind": "status", "status": 503, "count": 2}
    await control.post("/faults", json={**fault, "headers": {"retry-after-ms": "1"}})
    await openai.with_options(max_retries=2).embeddings.create(model=SMALL, input="a")
    calls = (await control.get("/calls", params={"vendor": "openai"})).json()["calls"]
    told = [(call["status"], call["retry_count"]) for call in calls]
    assert told == [(503, 0), (503, 1), (200, 2)]
    assert calls[2]["units"] == {"inputs": 1, "prompt_tokens": 1}
