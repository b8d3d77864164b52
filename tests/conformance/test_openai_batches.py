"""`/batches`: from an uploaded file of requests to files of answers and errors."""

import base64
import contextlib
import json

import numpy as np
import openai as sdk
import pytest
from openai import AsyncOpenAI
from openai_batches import SMALL, ended, jsonl, line, lines_of, run, started, uploaded

WINDOW = 86_400


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look waits for what it has allowed, also on a busy machine."""
    monkeypatch.setattr("gristmill_simulators.openai.runner._PATIENCE", 30.0)


async def transition(control, kind: str, value: float) -> None:
    settings = {"transition": {"kind": kind, "value": value}}
    (await control.post("/settings", json=settings)).raise_for_status()


async def errors_of(openai: AsyncOpenAI, lines, **options) -> list:
    """Of a batch that fails; without the message's wording each is (code, line, param)."""
    batch = await run(openai, lines, **options)
    assert batch.status == "failed"
    assert batch.failed_at
    assert batch.output_file_id is batch.error_file_id is None
    assert batch.errors.object == "list"
    return batch.errors.data


def told(errors) -> list[tuple]:
    return [(error.code, error.line, error.param) for error in errors]


async def test_a_new_batch_is_validating_for_at_most_a_day(openai: AsyncOpenAI):
    batch = await started(openai, [line("a", "wheat")], metadata={"job": "nightly"})
    assert batch.id.startswith("batch_")
    assert (batch.object, batch.status, batch.endpoint) == ("batch", "validating", "/v1/embeddings")
    assert batch.completion_window == "24h"
    assert batch.metadata == {"job": "nightly"}
    assert batch.expires_at == batch.created_at + WINDOW
    assert batch.output_file_id is batch.error_file_id is batch.errors is None
    with contextlib.suppress(sdk.ConflictError):  # it may have ended already
        await openai.batches.cancel(batch.id)
    await openai.files.delete(batch.input_file_id)


async def test_a_batch_answers_every_line_under_its_custom_id(openai: AsyncOpenAI, control):
    del control  # may take a day
    batch = await run(openai, [line(f"row-{number}", f"sack {number}") for number in range(20)])
    assert batch.status == "completed"
    assert batch.request_counts.to_dict() == {"total": 20, "completed": 20, "failed": 0}
    assert batch.error_file_id is None
    answers = {each["custom_id"]: each for each in await lines_of(openai, batch.output_file_id)}
    assert set(answers) == {f"row-{number}" for number in range(20)}
    answer = answers["row-7"]
    assert list(answer) == ["id", "custom_id", "response", "error"]
    assert answer["id"].startswith("batch_req_")
    assert answer["error"] is None
    assert list(answer["response"]) == ["status_code", "request_id", "body"]
    assert answer["response"]["status_code"] == 200
    request = {"model": SMALL, "input": "sack 7", "encoding_format": "base64"}
    alone = await openai.post("/embeddings", body=request, cast_to=object)
    assert answer["response"]["body"] == alone


async def test_the_order_of_the_lines_is_not_kept(openai: AsyncOpenAI, control):
    del control
    names = [f"row-{number}" for number in range(20)]
    batch = await run(openai, [line(name, "a") for name in names])
    found = [each["custom_id"] for each in await lines_of(openai, batch.output_file_id)]
    assert sorted(found) == sorted(names)
    assert found != names


async def test_a_completed_batch_tells_model_times_and_usage(openai: AsyncOpenAI, control):
    del control
    batch = await run(openai, [line("a", [264] * 3), line("b", [264] * 100)])
    assert batch.model == SMALL
    assert batch.created_at <= batch.in_progress_at <= batch.finalizing_at <= batch.completed_at
    assert batch.failed_at is batch.expired_at is batch.cancelling_at is batch.cancelled_at is None
    assert batch.usage.input_tokens == batch.usage.total_tokens == 103
    assert batch.usage.output_tokens == batch.usage.input_tokens_details.cached_tokens == 0
    assert batch.usage.output_tokens_details.reasoning_tokens == 0


async def test_lines_may_ask_for_floats_and_dimensions(openai: AsyncOpenAI, control):
    del control
    small = line("cut", "rye", dimensions=8)
    batch = await run(openai, [line("f", "rye", encoding_format="float"), small])
    answers = {each["custom_id"]: each for each in await lines_of(openai, batch.output_file_id)}
    floats = answers["f"]["response"]["body"]["data"][0]["embedding"]
    cut = answers["cut"]["response"]["body"]["data"][0]["embedding"]
    assert len(floats) == 1536
    expected = np.float32(floats[:8]) / np.linalg.norm(floats[:8])
    assert np.allclose(np.frombuffer(base64.b64decode(cut), "<f4"), expected, atol=1e-6)


async def test_bad_lines_go_to_the_error_file_and_the_others_are_answered(openai, control):
    del control
    lines = [line("good", "a"), line("empty", ""), line("wide", "a", dimensions=4000)]
    batch = await run(openai, lines)
    assert batch.status == "completed"
    assert batch.request_counts.to_dict() == {"total": 3, "completed": 1, "failed": 2}
    (good,) = await lines_of(openai, batch.output_file_id)
    assert good["custom_id"] == "good"
    bad = {each["custom_id"]: each for each in await lines_of(openai, batch.error_file_id)}
    assert set(bad) == {"empty", "wide"}
    assert bad["empty"]["error"] is None
    assert bad["empty"]["response"]["status_code"] == 400
    message = "Invalid 'input': input cannot be an empty string."
    assert bad["empty"]["response"]["body"]["error"]["message"] == message


async def test_a_batch_of_bad_lines_completes_without_an_output(openai: AsyncOpenAI, control):
    del control
    batch = await run(openai, [line("a", ""), line("b", [])])
    assert (batch.status, batch.output_file_id) == ("completed", None)
    assert len(await lines_of(openai, batch.error_file_id)) == 2
    assert batch.usage.total_tokens == 0


async def test_output_and_errors_are_files_of_the_project(openai: AsyncOpenAI, control):
    del control
    batch = await run(openai, [line("a", "a"), line("b", "")])
    output = await openai.files.retrieve(batch.output_file_id)
    errors = await openai.files.retrieve(batch.error_file_id)
    assert output.purpose == errors.purpose == "batch_output"
    assert output.filename == f"{batch.id}_output.jsonl"
    assert errors.filename == f"{batch.id}_error.jsonl"
    assert output.bytes == len((await openai.files.content(output.id)).read())
    assert output.expires_at == output.created_at + 30 * WINDOW


async def test_output_files_may_be_given_their_own_expiry(openai: AsyncOpenAI, control, clock):
    del control
    expiry = {"anchor": "created_at", "seconds": 3600}
    batch = await run(openai, [line("a", "a")], output_expires_after=expiry)
    output = await openai.files.retrieve(batch.output_file_id)
    assert output.expires_at == output.created_at + 3600
    clock.advance(3600)
    with pytest.raises(sdk.NotFoundError):
        await openai.files.content(batch.output_file_id)


async def test_a_batch_costs_half_and_no_rate_limit(openai: AsyncOpenAI, control):
    await control.post("/settings", json={"quotas": {"openai_requests_per_minute": 1}})
    batch = await run(openai, [line(str(number), [264] * 50) for number in range(4)])
    assert batch.request_counts.completed == 4
    await openai.embeddings.create(model=SMALL, input=[[264] * 100])
    bill = (await control.get("/billed")).json()["openai"][SMALL]
    assert (bill["requests"], bill["batch_requests"]) == (5, 4)
    assert (bill["tokens"], bill["batch_tokens"]) == (300, 200)
    assert bill["nano_dollars"] == 100 * 20 + 200 * 10


async def test_each_look_takes_a_batch_one_state_further(openai: AsyncOpenAI, control):
    await transition(control, "polls", 4)
    batch = await started(openai, [line(str(number), "a") for number in range(8)])
    seen = []
    for _ in range(5):
        look = await openai.batches.retrieve(batch.id)
        seen.append((look.status, look.request_counts.completed))
    assert seen == [
        ("validating", 0),
        ("in_progress", 4),
        ("in_progress", 6),
        ("finalizing", 8),
        ("completed", 8),
    ]


async def test_time_takes_a_batch_from_state_to_state(openai: AsyncOpenAI, control, clock):
    await transition(control, "seconds", 100)
    batch = await started(openai, [line(str(number), "a") for number in range(10)])
    seen = []
    for seconds in (0, 50, 45, 5):
        clock.advance(seconds)
        look = await openai.batches.retrieve(batch.id)
        seen.append((look.status, look.request_counts.completed))
    assert seen == [("validating", 0), ("in_progress", 5), ("finalizing", 10), ("completed", 10)]
    assert look.in_progress_at == look.created_at + 50
    assert look.finalizing_at == look.created_at + 95
    assert look.completed_at == look.created_at + 100


async def test_a_cancelled_batch_keeps_and_bills_what_was_done(openai: AsyncOpenAI, control):
    await transition(control, "polls", 2)
    batch = await started(openai, [line(str(number), [264] * 10) for number in range(8)])
    assert (await openai.batches.retrieve(batch.id)).request_counts.completed == 4
    cancelling = await openai.batches.cancel(batch.id)
    assert (cancelling.status, cancelling.output_file_id) == ("cancelling", None)
    assert cancelling.cancelling_at
    assert (await openai.batches.retrieve(batch.id)).status == "cancelling"
    cancelled = await openai.batches.retrieve(batch.id)
    assert cancelled.status == "cancelled"
    assert cancelled.cancelled_at
    assert len(await lines_of(openai, cancelled.output_file_id)) == 4
    bill = (await control.get("/billed")).json()["openai"][SMALL]
    assert bill["batch_tokens"] == cancelled.usage.total_tokens == 40


async def test_only_a_batch_that_has_not_ended_can_be_cancelled(openai: AsyncOpenAI, control):
    await transition(control, "polls", 0)
    completed = await run(openai, [line("a", "a")])
    with pytest.raises(sdk.ConflictError) as error:
        await openai.batches.cancel(completed.id)
    message = "Cannot cancel a batch with status 'completed'."
    assert error.value.body["message"] == message
    cancelled = await started(openai, [line("a", "a")])
    await openai.batches.cancel(cancelled.id)
    cancelled = await ended(openai, cancelled)
    assert (await openai.batches.cancel(cancelled.id)).status == "cancelled"


async def test_a_batch_expires_after_a_day_and_names_what_was_not_run(
    openai: AsyncOpenAI, control, clock
):
    await transition(control, "polls", 2)
    batch = await started(openai, [line(str(number), "a") for number in range(4)])
    assert (await openai.batches.retrieve(batch.id)).request_counts.completed == 2
    clock.advance(WINDOW)
    expired = await openai.batches.retrieve(batch.id)
    assert expired.status == "expired"
    assert expired.expired_at >= expired.expires_at
    assert len(await lines_of(openai, expired.output_file_id)) == 2
    unfinished = await lines_of(openai, expired.error_file_id)
    assert len(unfinished) == 2
    assert unfinished[0]["response"] is None
    assert unfinished[0]["error"] == {
        "code": "batch_expired",
        "message": "This request could not be executed before the completion window expired.",
    }
    with pytest.raises(sdk.ConflictError):
        await openai.batches.cancel(batch.id)


async def test_an_unknown_batch_is_not_found(openai: AsyncOpenAI):
    for call in (openai.batches.retrieve, openai.batches.cancel):
        with pytest.raises(sdk.NotFoundError) as error:
            await call("batch_nobody_has_this")
        message = "No batch found with id 'batch_nobody_has_this'."
        assert error.value.body["message"] == message


async def test_batches_are_listed_newest_first_in_pages(openai: AsyncOpenAI, control):
    del control  # counts all batches of the account
    file = await uploaded(openai, [line("a", "a")])
    ids = []
    for _ in range(5):
        batch = await openai.batches.create(
            input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h"
        )
        ids.append(batch.id)
    assert [batch.id async for batch in openai.batches.list(limit=2)] == ids[::-1]
    page = await openai.batches.list(limit=2, after=ids[2])
    assert [batch.id for batch in page.data] == [ids[1], ids[0]]
    assert not page.has_more
    for limit in (0, 101):
        with pytest.raises(sdk.BadRequestError) as error:
            await openai.batches.list(limit=limit)
        assert error.value.param == "limit"


async def test_a_missing_input_file_fails_the_batch_not_the_request(openai: AsyncOpenAI, control):
    del control
    batch = await openai.batches.create(
        input_file_id="file-nobody-has", endpoint="/v1/embeddings", completion_window="24h"
    )
    assert batch.status == "validating"
    (error,) = (await ended(openai, batch)).errors.data
    assert (error.code, error.param, error.line) == ("invalid_request", "file_id", None)
    assert error.message.startswith("Cannot find file file-nobody-has, or organization org-")


async def test_a_file_of_another_purpose_fails_the_batch(openai: AsyncOpenAI, control):
    del control
    content = jsonl([line("a", "a")])
    file = await openai.files.create(file=("a.jsonl", content), purpose="user_data")
    batch = await openai.batches.create(
        input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h"
    )
    assert told((await ended(openai, batch)).errors.data) == [("invalid_request", None, "file_id")]


async def test_every_bad_line_is_named_by_its_number_and_nothing_runs(openai, control):
    good = line("good", "a")
    lines = [
        good,
        "{not json",
        *({key: value for key, value in good.items() if key != each} for each in good),
        line("no model", "a", model=None),
        line("no input", None),
        line("chat", "a", model="gpt-6-astra"),
    ]
    errors = await errors_of(openai, lines)
    assert told(errors) == [
        ("invalid_json_line", 2, None),
        *(("missing_required_parameter", 3 + n, name) for n, name in enumerate(good)),
        ("invalid_request", 7, "body.model"),
        ("invalid_request", 8, "body.input"),
        ("model_not_found", 9, "body.model"),
    ]
    assert errors[0].message == "This line is not parseable as valid JSON."
    assert errors[1].message == "Missing required parameter: 'custom_id'."
    assert errors[5].message == "Model parameter is required."
    assert errors[7].message == (
        "The provided model 'gpt-6-astra' is not supported by the Batch API."
    )
    assert (await control.get("/billed")).json()["openai"] == {}


async def test_a_custom_id_twice_fails_the_batch(openai: AsyncOpenAI, control):
    del control
    (error,) = await errors_of(openai, [line("a", "x"), line("b", "y"), line("a", "z")])
    assert told([error]) == [("duplicate_custom_id", 3, "custom_id")]
    assert "is a duplicate of another request" in error.message


async def test_a_batch_has_one_model(openai: AsyncOpenAI, control):
    del control
    (error,) = await errors_of(
        openai, [line("a", "x"), line("b", "y", model="text-embedding-3-large")]
    )
    assert told([error]) == [("mismatched_model", 2, "body.model")]


async def test_lines_must_ask_for_the_endpoint_of_the_batch(openai: AsyncOpenAI, control):
    del control
    elsewhere = line("a", "x") | {"url": "/v1/chat/completions"}
    reading = line("b", "x") | {"method": "GET"}
    (url, method) = await errors_of(openai, [elsewhere, reading])
    assert told([url, method]) == [("invalid_url", 1, "url"), ("invalid_method", 2, "method")]
    text = "The URL provided for this request does not match the batch endpoint."
    assert url.message == text


async def test_a_file_without_a_request_fails_the_batch(openai: AsyncOpenAI, control, server):
    del control
    file = await uploaded(openai, [line("a", "a")])
    (server.simulator.folder / "openai" / "files" / file.id).write_bytes(b"\n\n")
    batch = await openai.batches.create(
        input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h"
    )
    assert told((await ended(openai, batch)).errors.data) == [("empty_file", None, None)]


@pytest.mark.parametrize(
    ("limits", "code"),
    [({"batch_lines": 2}, "too_many_tasks"), ({"batch_inputs": 5}, "too_many_inputs")],
)
async def test_a_batch_has_at_most_so_many_lines_and_inputs(openai, control, limits, code):
    await control.post("/settings", json={"openai": limits})
    lines = [line(str(number), ["a", "b"]) for number in range(3)]
    assert told(await errors_of(openai, lines)) == [(code, None, None)]
    assert (await run(openai, lines[:2])).status == "completed"


async def test_queued_tokens_of_a_model_are_limited(openai: AsyncOpenAI, control):
    await control.post("/settings", json={"openai": {"batch_queue_tokens": 1_500}})
    await transition(control, "polls", 1)
    lines = [line("a", "x" * 4_000)]  # estimated at 1001 tokens
    first = await started(openai, lines)
    await openai.batches.retrieve(first.id)
    second = await openai.batches.retrieve((await started(openai, lines)).id)
    assert second.status == "failed"
    assert second.errors.data[0].code == "token_limit_exceeded"
    assert second.errors.data[0].message == (
        f"Enqueued token limit reached for {SMALL} in organization org-simulated. Limit: 1,500"
        " enqueued tokens. Please try again once some in_progress batches have been completed."
    )
    other = await started(openai, [line("a", "x" * 4_000, model="text-embedding-3-large")])
    assert (await openai.batches.retrieve(other.id)).status == "in_progress"
    assert (await ended(openai, first)).status == "completed"
    assert (await run(openai, lines)).status == "completed"


@pytest.mark.parametrize(
    ("changes", "param", "code"),
    [
        ({"endpoint": "/v1/else"}, "endpoint", "invalid_value"),
        ({"completion_window": "1h"}, "completion_window", "invalid_value"),
        ({"input_file_id": None}, "input_file_id", "missing_required_parameter"),
        ({"metadata": {"tags": ["a"]}}, "metadata.tags", "invalid_type"),
        ({"metadata": {"a": "x" * 513}}, "metadata.a", "string_above_max_length"),
        (
            {"metadata": {str(n): "" for n in range(17)}},
            "metadata",
            "object_above_max_properties",
        ),
    ],
)
async def test_a_bad_parameter_is_named_with_a_code(openai, changes, param, code):
    given = {
        "input_file_id": "file-nobody-has",
        "endpoint": "/v1/embeddings",
        "completion_window": "24h",
    }
    with pytest.raises(sdk.BadRequestError) as error:
        await openai.batches.create(**{**given, **changes})
    assert (error.value.param, error.value.code) == (param, code)


async def test_an_expiry_of_output_files_is_an_hour_to_30_days(openai: AsyncOpenAI, control):
    del control  # the bounds are published, the code is not
    for seconds in (3599, 2_592_001):
        with pytest.raises(sdk.BadRequestError) as error:
            await openai.batches.create(
                input_file_id="file-nobody-has",
                endpoint="/v1/embeddings",
                completion_window="24h",
                output_expires_after={"anchor": "created_at", "seconds": seconds},
            )
        assert error.value.param == "output_expires_after.seconds"


async def test_a_batch_of_another_endpoint_finds_no_model_here(openai: AsyncOpenAI, control):
    del control
    chat = line("a", "x", model="gpt-6-astra") | {"url": "/v1/chat/completions"}
    file = await uploaded(openai, [chat])
    batch = await openai.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    assert told((await ended(openai, batch)).errors.data) == [("model_not_found", 1, "body.model")]


async def test_batches_an_hour_are_limited(openai: AsyncOpenAI, control, clock):
    await control.post("/settings", json={"openai": {"batches_per_hour": 1}})
    await started(openai, [line("a", "a")])
    with pytest.raises(sdk.RateLimitError) as error:
        await started(openai, [line("a", "a")])
    assert "requests per hour: Limit 1, Used 1, Requested 1" in error.value.body["message"]
    clock.advance(3600)
    await started(openai, [line("a", "a")])


async def test_the_input_may_be_deleted_while_the_batch_runs(openai: AsyncOpenAI, control, server):
    await transition(control, "polls", 2)
    batch = await started(openai, [line(str(number), "a") for number in range(4)])
    await openai.batches.retrieve(batch.id)
    await openai.files.delete(batch.input_file_id)
    assert (await ended(openai, batch)).request_counts.completed == 4
    assert not (server.simulator.folder / "openai" / "files" / batch.input_file_id).exists()


async def test_many_batches_run_at_the_same_time(openai: AsyncOpenAI, control):
    del control
    batches = [await started(openai, [line("a", f"sack {n}")]) for n in range(10)]
    for batch in batches:
        done = await ended(openai, batch)
        (answer,) = await lines_of(openai, done.output_file_id)
        assert json.dumps(answer)
        assert done.status == "completed"
