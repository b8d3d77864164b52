"""`/models`."""

from datetime import UTC, datetime

import openai as sdk
import pytest
from openai import AsyncOpenAI

SMALL = "text-embedding-3-small"
MODELS = {SMALL, "text-embedding-3-large", "text-embedding-ada-002"}


async def test_the_embedding_models_are_listed(openai: AsyncOpenAI):
    models = {model.id: model async for model in openai.models.list()}
    assert set(models) >= MODELS
    assert models[SMALL].object == "model"
    assert models[SMALL].owned_by
    assert models[SMALL].created > 1_600_000_000


async def test_a_model_is_retrieved_by_its_name(openai: AsyncOpenAI):
    model = await openai.models.retrieve("text-embedding-3-large")
    assert model.id == "text-embedding-3-large"


async def test_an_unknown_model_cannot_be_retrieved(openai: AsyncOpenAI):
    with pytest.raises(sdk.NotFoundError) as error:
        await openai.models.retrieve("text-embedding-9")
    assert error.value.code == "model_not_found"


async def test_models_of_the_vendor_cannot_be_deleted(openai: AsyncOpenAI, control):
    del control  # nobody tries that with a real key
    with pytest.raises(sdk.PermissionDeniedError) as error:
        await openai.models.delete(SMALL)
    assert error.value.type == "invalid_request_error"
    assert (await openai.models.retrieve(SMALL)).id == SMALL
    with pytest.raises(sdk.NotFoundError):
        await openai.models.delete("text-embedding-9")


async def test_a_shutdown_is_announced_and_then_happens(openai: AsyncOpenAI, control, clock):
    assert (await openai.models.retrieve(SMALL)).shutdown_date is None
    day = datetime.fromtimestamp(clock() + 86_400, UTC).date().isoformat()
    await control.post("/settings", json={"openai": {"shutdown_dates": {SMALL: day}}})
    assert (await openai.models.retrieve(SMALL)).shutdown_date == day
    await openai.embeddings.create(model=SMALL, input="a")
    clock.advance(86_400)
    with pytest.raises(sdk.NotFoundError, match="has been deprecated") as error:
        await openai.embeddings.create(model=SMALL, input="a")
    assert error.value.code == "model_not_found"
    assert SMALL not in {model.id async for model in openai.models.list()}
