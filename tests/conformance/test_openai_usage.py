"""What an administrator's key sees: usage and costs, to reconcile one's own books with."""

import openai as sdk
import pytest
from openai import AsyncOpenAI
from openai_batches import line, run

from gristmill_simulators import environment

SMALL, LARGE = "text-embedding-3-small", "text-embedding-3-large"
DAY = 86_400


@pytest.fixture
def admin(openai: AsyncOpenAI) -> AsyncOpenAI:
    return openai.with_options(admin_api_key=environment.OPENAI_ADMIN_KEY)


def midnight(now: float) -> int:
    return int(now) // DAY * DAY


async def test_usage_counts_tokens_and_requests_by_day(openai, admin, clock):
    start = midnight(clock())
    await openai.embeddings.create(model=SMALL, input=[[264] * 10])
    await openai.embeddings.create(model=LARGE, input=[[264] * 20])
    clock.advance(DAY)
    await openai.embeddings.create(model=SMALL, input=[[264] * 5])
    page = await admin.admin.organization.usage.embeddings(start_time=start)
    assert (page.object, page.has_more, page.next_page) == ("page", False, None)
    told = [
        (bucket.start_time, [(r.input_tokens, r.num_model_requests) for r in bucket.results])
        for bucket in page.data
    ]
    assert told == [(start, [(30, 2)]), (start + DAY, [(5, 1)])]
    assert page.data[0].end_time == start + DAY
    assert page.data[0].results[0].object == "organization.usage.embeddings.result"
    assert page.data[0].results[0].model is None


async def test_usage_is_grouped_and_filtered(openai, admin, clock):
    start = midnight(clock())
    for model, tokens in ((SMALL, 10), (SMALL, 1), (LARGE, 20)):
        await openai.embeddings.create(model=model, input=[[264] * tokens])
    usage = admin.admin.organization.usage
    page = await usage.embeddings(start_time=start, group_by=["model", "project_id", "user_id"])
    found = {result.model: result for result in page.data[0].results}
    assert {model: one.input_tokens for model, one in found.items()} == {SMALL: 11, LARGE: 20}
    assert found[SMALL].project_id.startswith("proj_")
    assert found[SMALL].user_id
    assert found[SMALL].api_key_id is None
    only = await usage.embeddings(start_time=start, models=[LARGE])
    assert [result.input_tokens for result in only.data[0].results] == [20]
    foreign = await usage.embeddings(start_time=start, project_ids=["proj_of_others"])
    assert [bucket.results for bucket in foreign.data] == [[]]


async def test_usage_comes_in_pages_of_buckets(openai, admin, clock):
    start = midnight(clock())
    usage = admin.admin.organization.usage
    for _ in range(3):
        await openai.embeddings.create(model=SMALL, input="a")
        clock.advance(DAY)
    first = await usage.embeddings(start_time=start, end_time=start + 3 * DAY, limit=2)
    assert [bucket.start_time for bucket in first.data] == [start, start + DAY]
    assert first.has_more
    rest = await usage.embeddings(
        start_time=start, end_time=start + 3 * DAY, limit=2, page=first.next_page
    )
    assert [bucket.start_time for bucket in rest.data] == [start + 2 * DAY]
    assert not rest.has_more


async def test_buckets_may_be_hours_or_minutes_and_empty(openai, admin, clock):
    start = int(clock()) // 3600 * 3600 + 3600
    clock.advance(start - clock())
    usage = admin.admin.organization.usage
    await openai.embeddings.create(model=SMALL, input="a")
    clock.advance(121)
    await openai.embeddings.create(model=SMALL, input="a")
    minutes = await usage.embeddings(start_time=start, bucket_width="1m")
    assert [len(bucket.results) for bucket in minutes.data] == [1, 0, 1]
    assert minutes.data[0].end_time == start + 60
    (hour,) = (await usage.embeddings(start_time=start, bucket_width="1h")).data
    assert hour.results[0].num_model_requests == 2


async def test_costs_are_dollars_and_halved_for_batches(openai, admin, clock):
    start = midnight(clock())
    await openai.embeddings.create(model=LARGE, input=[[264] * 1000])
    batch = line("a", [264] * 1000, model=LARGE)
    assert (await run(openai, [batch])).status == "completed"
    usage = admin.admin.organization.usage
    (bucket,) = (await usage.costs(start_time=start, group_by=["line_item"])).data
    amounts = {result.line_item: result.amount.value for result in bucket.results}
    assert amounts == {f"{LARGE}, input": 130e-6, f"{LARGE}, batch input": 65e-6}
    assert bucket.results[0].amount.currency == "usd"
    assert (bucket.results[0].quantity, bucket.results[0].quantity_unit) == (1000, "tokens")
    (bucket,) = (await usage.costs(start_time=start)).data
    (total,) = bucket.results
    assert total.amount.value == pytest.approx(195e-6)
    assert total.line_item is None


async def test_usage_shows_up_as_late_as_billing_is(openai, admin, control, clock):
    await control.post("/settings", json={"billing_delay_seconds": 300})
    start = midnight(clock())
    await openai.embeddings.create(model=SMALL, input="a")
    usage = admin.admin.organization.usage
    page = await usage.embeddings(start_time=start)
    assert [bucket.results for bucket in page.data] == [[]]
    clock.advance(300)
    page = await usage.embeddings(start_time=start)
    assert sum(len(bucket.results) for bucket in page.data) == 1


async def test_a_projects_key_sees_no_bills(openai: AsyncOpenAI):
    project = openai.with_options(admin_api_key=openai.api_key)
    with pytest.raises(sdk.APIStatusError) as error:
        await project.admin.organization.usage.costs(start_time=0)
    assert error.value.status_code in {401, 403}
    assert "Missing scopes: api.usage.read" in error.value.body["message"]


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"limit": 32}, "limit"),
        ({"limit": 169, "bucket_width": "1h"}, "limit"),
        ({"bucket_width": "1w"}, "bucket_width"),
        ({"group_by": ["colour"]}, "group_by"),
        ({"page": "page_?"}, "page"),
    ],
)
async def test_a_bad_question_about_usage_is_named(admin, control, options, param):
    del control
    with pytest.raises(sdk.BadRequestError) as error:
        await admin.admin.organization.usage.embeddings(start_time=0, **options)
    assert error.value.param == param
