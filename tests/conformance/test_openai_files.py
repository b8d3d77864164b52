"""`/files`."""

import asyncio
import uuid

import httpx
import openai as sdk
import pytest
from flavours import resolved
from openai import AsyncOpenAI
from openai_batches import jsonl, line, uploaded

from gristmill_simulators import environment

HEADERS = {"authorization": f"Bearer {environment.OPENAI_API_KEY}"}
HOUR, DAY = 3600, 86_400


async def test_a_file_is_uploaded_described_downloaded_and_deleted(openai: AsyncOpenAI):
    content = jsonl([line(uuid.uuid4().hex, "a")])
    file = await openai.files.create(file=("requests.jsonl", content), purpose="batch")
    assert file.id.startswith("file-")
    assert (file.object, file.purpose, file.filename) == ("file", "batch", "requests.jsonl")
    assert file.bytes == len(content)
    assert (await openai.files.retrieve(file.id)).id == file.id
    assert (await openai.files.content(file.id)).read() == content
    deleted = await openai.files.delete(file.id)
    assert (deleted.id, deleted.object, deleted.deleted) == (file.id, "file", True)
    with pytest.raises(sdk.NotFoundError):
        await openai.files.retrieve(file.id)


async def test_a_missing_file_is_named_with_the_parameter(openai: AsyncOpenAI):
    for call in (openai.files.retrieve, openai.files.content, openai.files.delete):
        with pytest.raises(sdk.NotFoundError) as error:
            await call("file-nobody-has-this-one")
        assert error.value.body["message"] == "No such File object: file-nobody-has-this-one"
        assert (error.value.param, error.value.code) == ("id", None)


async def test_a_batch_file_goes_away_after_30_days_others_stay(openai: AsyncOpenAI, clock):
    batch = await uploaded(openai, [line("a", "a")])
    other = await openai.files.create(file=("a.txt", b"text"), purpose="user_data")
    assert batch.expires_at - batch.created_at == 30 * DAY
    assert other.expires_at is None
    clock.advance(30 * DAY)
    assert [file.id async for file in openai.files.list()] == [other.id]
    with pytest.raises(sdk.NotFoundError):
        await openai.files.content(batch.id)


async def test_a_file_may_be_given_its_own_expiry(openai: AsyncOpenAI, clock):
    file = await openai.files.create(
        file=("a.txt", b"text"),
        purpose="user_data",
        expires_after={"anchor": "created_at", "seconds": HOUR},
    )
    assert file.expires_at == file.created_at + HOUR
    clock.advance(HOUR - 2)
    await openai.files.retrieve(file.id)
    clock.advance(2)
    with pytest.raises(sdk.NotFoundError):
        await openai.files.retrieve(file.id)


@pytest.mark.parametrize(
    ("seconds", "code"),
    [(HOUR - 1, "integer_below_min_value"), (30 * DAY + 1, "integer_above_max_value")],
)
async def test_an_expiry_is_an_hour_to_30_days(openai, control, seconds, code):
    del control  # the bounds are published, the code is not
    with pytest.raises(sdk.BadRequestError) as error:
        await openai.files.create(
            file=("a.txt", b"text"),
            purpose="user_data",
            expires_after={"anchor": "created_at", "seconds": seconds},
        )
    assert (error.value.code, error.value.param) == (code, "expires_after.seconds")


async def test_an_unknown_purpose_is_answered_with_the_known_ones(openai: AsyncOpenAI):
    with pytest.raises(sdk.BadRequestError) as error:
        await openai.files.create(file=("a.jsonl", b"{}"), purpose="vector_store")
    assert error.value.body["message"].startswith("'vector_store' is not one of ['fine-tune', ")
    assert error.value.body["message"].endswith(" - 'purpose'")
    assert error.value.param == "purpose"


@pytest.mark.parametrize(
    ("name", "content"), [("a.txt", b"{}\n"), ("a.jsonl", b""), ("a.jsonl", b"{broken json\n")]
)
async def test_a_batch_file_must_be_jsonl_by_name_and_first_line(openai, name, content):
    with pytest.raises(sdk.BadRequestError) as error:
        await openai.files.create(file=(name, content), purpose="batch")
    assert error.value.body["message"].startswith("Invalid file format")
    assert "jsonl" in error.value.body["message"].lower()


@pytest.mark.parametrize("purpose", ["assistants", "user_data"])
async def test_files_of_some_purposes_cannot_be_downloaded(openai: AsyncOpenAI, purpose):
    file = await openai.files.create(file=("a.txt", b"text"), purpose=purpose)
    try:
        with pytest.raises(sdk.BadRequestError) as error:
            await openai.files.content(file.id)
        message = f"Not allowed to download files of purpose: {purpose}"
        assert error.value.body["message"] == message
    finally:
        await openai.files.delete(file.id)


async def test_files_are_listed_newest_first_in_pages_and_by_purpose(openai, control):
    del control  # counts all files of the account
    files = [
        await openai.files.create(file=(f"{number}.txt", b"x"), purpose=purpose)
        for number, purpose in enumerate(["user_data", "evals"] * 3)
    ]
    ids = [file.id for file in files]
    assert [file.id async for file in openai.files.list(limit=2)] == ids[::-1]
    assert [file.id async for file in openai.files.list(limit=2, order="asc")] == ids
    page = await openai.files.list(purpose="evals", limit=2)
    assert [file.id for file in page.data] == [ids[5], ids[3]]
    assert page.has_more
    following = await resolved(page.get_next_page())
    assert [file.id for file in following.data] == [ids[1]]
    assert not following.has_more


async def test_a_list_tells_its_first_and_last_id(openai, http: httpx.AsyncClient):
    for number in range(3):
        await openai.files.create(file=(f"{number}.txt", b"x"), purpose="user_data")
    page = (await http.get("/openai/v1/files?limit=2", headers=HEADERS)).json()
    assert list(page) == ["object", "data", "first_id", "last_id", "has_more"]
    assert page["first_id"] == page["data"][0]["id"]
    assert page["last_id"] == page["data"][1]["id"]
    assert page["has_more"] is True


@pytest.mark.parametrize(
    ("options", "param"),
    [({"limit": 0}, "limit"), ({"limit": 10_001}, "limit"), ({"order": "up"}, "order")],
)
async def test_a_page_has_bounds(openai: AsyncOpenAI, control, options, param):
    del control  # the bounds are published, the refusal is not
    with pytest.raises(sdk.BadRequestError) as error:
        await openai.files.list(**options)
    assert error.value.param == param


async def test_a_client_can_wait_until_a_file_is_processed(openai: AsyncOpenAI, control):
    await control.post("/settings", json={"openai": {"file_looks": 2}})
    file = await uploaded(openai, [line("a", "a")])
    assert file.status == "uploaded"
    ready = await openai.files.wait_for_processing(file.id, poll_interval=0.001)
    assert ready.status == "processed"


async def test_a_file_above_the_limit_of_its_purpose_is_refused(openai: AsyncOpenAI, control):
    limits = {"file_bytes": 2_000_000, "batch_file_bytes": 1_000_000}
    await control.post("/settings", json={"openai": limits})
    filler = line("a", "x" * 1_000_000)
    with pytest.raises(sdk.APIStatusError) as error:
        await uploaded(openai, [filler])
    assert error.value.status_code == 413
    assert (await openai.files.create(file=("a.txt", jsonl([filler])), purpose="evals")).bytes
    with pytest.raises(sdk.APIStatusError) as error:
        await openai.files.create(file=("a.txt", b"x" * 2_000_001), purpose="evals")
    assert error.value.status_code == 413


async def test_a_project_holds_only_so_many_bytes(openai: AsyncOpenAI, control):
    await control.post("/settings", json={"openai": {"project_bytes": 10}})
    file = await openai.files.create(file=("a.txt", b"123456"), purpose="user_data")
    with pytest.raises(sdk.BadRequestError):
        await openai.files.create(file=("a.txt", b"12345"), purpose="user_data")
    await openai.files.delete(file.id)
    await openai.files.create(file=("a.txt", b"12345"), purpose="user_data")


async def test_uploads_a_minute_are_limited(openai: AsyncOpenAI, control, clock):
    await control.post("/settings", json={"openai": {"uploads_per_minute": 2}})
    calls = [openai.files.create(file=("a.txt", b"x"), purpose="user_data") for _ in range(3)]
    ends = await asyncio.gather(*calls, return_exceptions=True)
    (refused,) = [end for end in ends if isinstance(end, sdk.RateLimitError)]
    assert refused.code == "rate_limit_exceeded"
    assert refused.response.headers["retry-after"] == "30"
    clock.advance(30)
    await openai.files.create(file=("a.txt", b"x"), purpose="user_data")


@pytest.mark.parametrize(
    ("form", "param"),
    [({"data": {"purpose": "batch"}}, None), ({"files": {"file": ("a", b"x")}}, "purpose")],
)
async def test_an_upload_needs_a_form_with_a_file_and_a_purpose(http, form, param):
    answer = await http.post("/openai/v1/files", headers=HEADERS, **form)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


async def test_files_survive_a_name_in_any_script(openai: AsyncOpenAI):
    name = 'Mühle 밀 "q".jsonl'
    file = await openai.files.create(file=(name, b"{}"), purpose="batch")
    assert (await openai.files.content(file.id)).read() == b"{}"
    assert (await openai.files.delete(file.id)).deleted
