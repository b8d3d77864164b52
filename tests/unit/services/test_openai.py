"""The OpenAI adapter: requests, vectors, usage, limits."""

import base64

import numpy as np
import pytest

from gristmill import errors
from gristmill.contract import Origin, Settled, Usage
from gristmill.services.openai import Embed, Embeddings, ListModels
from gristmill.services.openai.adapter import rate_limits

DIMENSIONS = 4
TEXTS = ("river", "mill", "stone")


def unit_vectors(count=3, dimensions=DIMENSIONS):
    vectors = np.random.default_rng(7).normal(size=(count, dimensions)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def answer_with(vectors, order=None, usage=9, **changes):
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(vectors[index].astype("<f4").tobytes()).decode(),
        }
        for index in order or range(len(vectors))
    ]
    body = {"object": "list", "data": data, "model": "text-embedding-3-small"}
    return {**body, "usage": {"prompt_tokens": usage, "total_tokens": usage}, **changes}


def embed(**changes):
    facts = {"texts": TEXTS, "model": "text-embedding-3-small", "dimensions": 4}
    facts |= changes
    return Embed(**{"tokens": (4,) * len(facts["texts"]), **facts})


async def test_vectors_come_back_as_one_float32_array_in_the_order_of_the_texts(vendor, openai):
    vectors = unit_vectors()
    vendor.says(200, answer_with(vectors, order=[2, 0, 1]), {"x-request-id": "req_1"})

    result = await openai.execute(embed())

    assert isinstance(result.value, Embeddings)
    assert result.value.vectors.dtype == np.float32
    assert result.value.vectors.shape == (3, 4)
    np.testing.assert_array_equal(result.value.vectors, vectors)
    assert result.settlement == Settled(Usage("text-embedding-3-small", "tokens", 9))
    assert (result.request_id, result.endpoint) == ("req_1", vendor.url)
    assert result.origin is Origin.REAL


async def test_the_request_asks_for_base64_and_carries_the_key(vendor, openai):
    vendor.says(200, answer_with(unit_vectors()))
    await openai.execute(embed())
    request = vendor.requests[0]
    assert (request.method, request.target) == ("POST", "/embeddings")
    assert request.headers["authorization"] == "Bearer sk-test-not-a-real-key"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-stainless-retry-count"] == "0"
    assert request.json() == {
        "model": "text-embedding-3-small",
        "input": list(TEXTS),
        "encoding_format": "base64",
        "dimensions": 4,
    }


async def test_dimensions_are_not_sent_to_the_model_that_refuses_them(vendor, openai):
    vectors = unit_vectors(dimensions=1536)
    vendor.says(200, answer_with(vectors, model="text-embedding-ada-002-v2"))
    result = await openai.execute(embed(model="text-embedding-ada-002", dimensions=1536))
    assert "dimensions" not in vendor.requests[0].json()
    assert result.value.model == "text-embedding-ada-002-v2"
    assert result.settlement == Settled(Usage("text-embedding-ada-002", "tokens", 9))


async def test_a_simulator_is_known_by_its_header(vendor, openai):
    vendor.says(200, answer_with(unit_vectors()), {"x-simulated": "gristmill/0.1"})
    assert (await openai.execute(embed())).origin is Origin.SIMULATED


async def test_latency_is_measured_with_the_given_clock(vendor, adapter_of):
    times = iter([10.0, 12.5])
    vendor.says(200, answer_with(unit_vectors()))
    result = await adapter_of("openai", clock=lambda: next(times)).execute(embed())
    assert result.latency == 2.5


async def test_without_a_bill_our_own_count_is_settled_and_the_result_says_so(vendor, openai):
    vendor.says(200, answer_with(unit_vectors(), usage=None))
    result = await openai.execute(embed())
    assert result.settlement == Settled(Usage("text-embedding-3-small", "tokens", 12))
    assert "usage" in result.notes


def broken_answers():
    good = unit_vectors()
    raw = [item["embedding"] for item in answer_with(good)["data"]]
    yield "one vector too few", answer_with(good[:2])
    yield "one vector too many", answer_with(unit_vectors(4))
    yield "an index twice", answer_with(good, order=[0, 1, 1])
    yield "no vectors", answer_with(good, data=[])
    yield "too short a vector", answer_with(good[:, :3])
    yield "not a number", answer_with(np.where(good == good[0, 0], np.nan, good))
    yield "infinite", answer_with(np.where(good == good[0, 0], np.inf, good))
    yield "not of length one", answer_with(good * np.float32(1.1))
    yield (
        "floats for base64",
        answer_with(
            good, data=[{"index": i, "embedding": [0.5] * DIMENSIONS} for i in range(len(raw))]
        ),
    )
    yield (
        "broken base64",
        answer_with(good, data=[{"index": i, "embedding": "*" * 24} for i in range(3)]),
    )
    yield "null vectors", answer_with(good, data=None)
    yield "an array instead of an object", []
    yield "no JSON", b'{"object": "li'
    yield "nothing", b""
    yield "a page", b"<html>hello</html>"


@pytest.mark.parametrize(("what", "body"), list(broken_answers()))
async def test_an_answer_that_breaks_the_contract_is_never_used(vendor, openai, what, body):
    vendor.says(200, body, {"x-request-id": "req_9"})
    with pytest.raises(errors.InvalidResponse) as caught:
        await openai.execute(embed())
    assert caught.value.request_id == "req_9"
    assert not caught.value.no_effect, what


UNSENDABLE = [
    # what is wrong, the error, the index that it names
    (embed(texts=("fine", "broken \ud800")), errors.InvalidInput, 1),
    (embed(texts=("fine", "", "fine too")), errors.InvalidInput, 1),
    (embed(texts=("long",), tokens=(8193,)), errors.InvalidInput, 0),
    (embed(texts=("a", "b", "c"), tokens=(8192, 1, 8193)), errors.InvalidInput, 2),
    (embed(texts=("a",) * 2049, tokens=(1,) * 2049), errors.TooLarge, None),
    (embed(texts=("a",) * 37, tokens=(8192,) * 36 + (5089,)), errors.TooLarge, None),
    (embed(texts=()), errors.Rejected, None),
    (embed(model="text-embedding-ada-002", dimensions=256), errors.Rejected, None),
]


@pytest.mark.parametrize("row", UNSENDABLE, ids=range(len(UNSENDABLE)))
async def test_what_cannot_succeed_is_refused_with_its_index_before_anything_is_sent(
    vendor, openai, row
):
    operation, expected, index = row
    with pytest.raises(errors.Rejected, match="nothing was sent") as caught:
        await openai.execute(operation)
    assert type(caught.value) is expected
    assert getattr(caught.value, "index", None) == index
    assert vendor.requests == []


@pytest.mark.parametrize(
    ("model", "dimensions"),
    [
        ("text-embedding-3-small", 1536),
        ("text-embedding-3-small", 512),
        ("text-embedding-3-large", 3072),
        ("text-embedding-3-large", 256),
        ("text-embedding-ada-002", 1536),
    ],
)
async def test_the_most_that_is_allowed_is_sent_for_every_model(vendor, openai, model, dimensions):
    vendor.says(200, answer_with(unit_vectors(37, dimensions), model=model))
    operation = embed(
        texts=tuple(map(str, range(37))),
        tokens=(8192,) * 36 + (5088,),  # 300,000
        model=model,
        dimensions=dimensions,
    )
    assert (await openai.execute(operation)).value.vectors.shape == (37, dimensions)


def test_every_text_has_a_count():
    with pytest.raises(ValueError, match="2 token counts for 3 texts"):
        embed(tokens=(1, 1))


async def test_the_worst_case_is_what_the_caller_counted():
    assert embed().worst_case() == Usage("text-embedding-3-small", "tokens", 12)
    assert ListModels().worst_case().is_free


async def test_models_are_listed(vendor, openai):
    vendor.says(200, {"object": "list", "data": [{"id": "a"}, {"id": "b"}]})
    assert (await openai.execute(ListModels())).value == ("a", "b")
    assert vendor.requests[0].target == "/models"


async def test_limits_are_read_from_the_headers(vendor, openai):
    headers = {
        "x-ratelimit-limit-requests": "3000",
        "x-ratelimit-remaining-requests": "2999",
        "x-ratelimit-reset-requests": "20ms",
        "x-ratelimit-limit-tokens": "1000000",
        "x-ratelimit-remaining-tokens": "999000",
        "x-ratelimit-reset-tokens": "7m12.5s",
    }
    vendor.says(200, answer_with(unit_vectors()), headers)
    requests, tokens = (await openai.execute(embed())).rate_limits
    assert (requests.name, requests.limit, requests.remaining) == ("requests", 3000, 2999)
    assert requests.reset == pytest.approx(0.02)
    assert (tokens.name, tokens.limit, tokens.remaining) == ("tokens", 1_000_000, 999_000)
    assert tokens.reset == pytest.approx(432.5)


def test_unreadable_limits_are_left_out():
    assert rate_limits({}) == ()
    (limit,) = rate_limits({"x-ratelimit-limit-tokens": "many", "x-ratelimit-reset-tokens": "soon"})
    assert (limit.limit, limit.remaining, limit.reset) == (None, None, None)
