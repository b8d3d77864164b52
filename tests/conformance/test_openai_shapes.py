"""Every answer, field by field, as the SDK's own types have it: its strict validation is on."""

import uuid

import pytest
from flavours import resolved
from openai import AsyncOpenAI
from openai_batches import line, lines_of, run, started, uploaded

from gristmill_simulators import environment

SMALL = "text-embedding-3-small"


async def test_models_have_the_shape_of_the_types(strict_openai: AsyncOpenAI):
    listed = [model.id async for model in strict_openai.models.list()]
    assert SMALL in listed
    assert (await strict_openai.models.retrieve(SMALL)).owned_by


@pytest.mark.parametrize("given", ["wheat", ["wheat", "rye"], [264, 264], [[264], [11]]], ids=str)
async def test_vectors_of_floats_have_the_shape_of_the_types(strict_openai: AsyncOpenAI, given):
    answer = await strict_openai.embeddings.create(
        model=SMALL, input=given, dimensions=8, encoding_format="float"
    )
    assert {len(each.embedding) for each in answer.data} == {8}
    assert answer.usage.total_tokens == answer.usage.prompt_tokens > 0


async def test_files_have_the_shape_of_the_types(strict_openai: AsyncOpenAI):
    made = await uploaded(strict_openai, [line(uuid.uuid4().hex, "a")])
    assert (await strict_openai.files.retrieve(made.id)).created_at == made.created_at
    waited = await strict_openai.files.wait_for_processing(made.id)
    assert waited.expires_at is not None
    page = await resolved(strict_openai.files.list(limit=1, purpose="batch"))
    assert page.data[0].id == made.id
    assert (await strict_openai.files.delete(made.id)).deleted


async def test_batches_have_the_shape_of_the_types(strict_openai: AsyncOpenAI):
    made = await started(strict_openai, [line("a", "wheat")], metadata={"by": "me"})
    assert made.metadata == {"by": "me"}
    page = await resolved(strict_openai.batches.list(limit=1))
    assert page.data[0].id == made.id
    assert (await strict_openai.batches.retrieve(made.id)).status


async def test_batches_of_every_end_have_the_shape_of_the_types(strict_openai, control):
    good = await run(strict_openai, [line("a", "wheat"), line("b", "")])
    assert (good.status, good.request_counts.failed) == ("completed", 1)
    assert len(await lines_of(strict_openai, good.error_file_id)) == 1
    bad = await run(strict_openai, [line("a", "wheat"), "no json"])
    assert (bad.status, bad.errors.data[0].code) == ("failed", "invalid_json_line")
    polls = {"transition": {"kind": "polls", "value": 5}}
    (await control.post("/settings", json=polls)).raise_for_status()
    waiting = await started(strict_openai, [line("a", "wheat")])
    assert (await strict_openai.batches.cancel(waiting.id)).status == "cancelling"


async def test_usage_and_costs_have_the_shape_of_the_types(strict_openai, clock):
    await strict_openai.embeddings.create(model=SMALL, input="wheat", encoding_format="float")
    admin = strict_openai.with_options(admin_api_key=environment.OPENAI_ADMIN_KEY)
    start = int(clock()) - 60
    usage = await admin.admin.organization.usage.embeddings(start_time=start, group_by=["model"])
    assert usage.data[0].results[0].model == SMALL
    costs = await admin.admin.organization.usage.costs(start_time=start, group_by=["line_item"])
    assert costs.data[0].results[0].amount.currency == "usd"
