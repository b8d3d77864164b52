"""Faults on a real socket: what a client sees when a vendor misbehaves."""

import json
import math
import time

import httpx
import llama_cloud
import openai as sdk
import pytest
from llama_cloud import AsyncLlamaCloud
from openai import AsyncOpenAI
from storage3 import AsyncStorageClient
from storage3.exceptions import StorageApiError

MODEL = "text-embedding-3-small"
EMBED = "openai.embeddings.create"
SUBMIT = "llamacloud.parsing.create"


@pytest.fixture
def flavour() -> str:
    """One client is enough: what is seen here is the socket."""
    return "async"


async def embed(openai: AsyncOpenAI, *texts: str, **options):
    return await openai.embeddings.create(model=MODEL, input=texts or ["a"], **options)


async def fault(control: httpx.AsyncClient, route: str, kind: str, **facts: object) -> None:
    answer = await control.post("/faults", json={"route": route, "kind": kind, **facts})
    assert answer.status_code == 200, answer.text


async def refused(control: httpx.AsyncClient, **facts: object) -> str:
    answer = await control.post("/faults", json=facts)
    assert answer.status_code == 422
    assert (await control.get("/faults")).json() == {"faults": []}
    return answer.json()["error"]


async def billed(control: httpx.AsyncClient) -> int:
    bill = (await control.get("/billed")).json()["openai"]
    return bill.get(MODEL, {"requests": 0})["requests"]


async def outcomes(openai: AsyncOpenAI, number: int) -> str:
    """`.` for an answer, `x` for a fault, in the order of the calls."""
    seen = ""
    for _ in range(number):
        try:
            await openai.models.list()
            seen += "."
        except sdk.InternalServerError:
            seen += "x"
    return seen


@pytest.mark.parametrize("code", ["insufficient_quota", "slow_down", "credit_balance_exhausted"])
async def test_a_status_fault_speaks_the_vendors_code(openai, control, code):
    await fault(control, EMBED, "status", status=429, code=code)
    with pytest.raises(sdk.RateLimitError) as error:
        await embed(openai)
    assert error.value.code == code
    await embed(openai)


async def test_each_vendor_says_a_status_in_its_own_words(openai, llama, storage, control):
    await fault(control, "*", "status", status=429, count=None)
    with pytest.raises(sdk.RateLimitError) as of_openai:
        await embed(openai)
    assert of_openai.value.body["code"] == "rate_limit_exceeded"
    with pytest.raises(llama_cloud.RateLimitError) as of_llama:
        await llama.parsing.list_versions()
    assert of_llama.value.body == {"detail": "Rate limit exceeded"}
    with pytest.raises(StorageApiError) as of_storage:
        await storage.list_buckets()
    assert of_storage.value.code == "too_many_connections"  # its name for the field `error`


async def test_a_fault_adds_the_headers_it_names(openai, control):
    await fault(control, EMBED, "status", status=503, headers={"retry-after": "7"})
    with pytest.raises(sdk.InternalServerError) as error:
        await embed(openai)
    assert error.value.response.headers["retry-after"] == "7"


@pytest.mark.parametrize("status", [413, 502, 520])
async def test_a_gateway_answers_in_html_and_nothing_is_done(openai, control, status):
    await fault(control, EMBED, "html", status=status)
    with pytest.raises(sdk.APIStatusError) as error:
        await embed(openai)
    assert error.value.status_code == status
    assert error.value.response.headers["content-type"].startswith("text/html")
    assert error.value.response.headers["x-simulated"].startswith("gristmill/")
    assert f"<title>{status} " in error.value.response.text
    assert await billed(control) == 0


async def test_a_gateways_page_reads_as_an_internal_error_of_storage(
    storage: AsyncStorageClient, control
):
    await fault(control, "supabase.bucket.list", "html")
    with pytest.raises(StorageApiError) as error:
        await storage.list_buckets()
    assert error.value.code == "InternalError"
    assert error.value.status == 502


async def test_a_connection_dropped_before_the_work_costs_nothing(openai, control):
    await fault(control, EMBED, "drop_before")
    with pytest.raises(sdk.APIConnectionError):
        await embed(openai)
    assert await billed(control) == 0


async def test_a_connection_dropped_after_the_work_is_billed(openai, control):
    await fault(control, EMBED, "drop_after")
    with pytest.raises(sdk.APIConnectionError):
        await embed(openai)
    assert await billed(control) == 1
    calls = (await control.get("/calls", params={"route": EMBED})).json()["calls"]
    assert calls[0]["status"] is None
    assert calls[0]["fault"] == "drop_after"


async def test_a_lost_answer_to_a_submission_makes_the_sdk_create_two_jobs(
    llama: AsyncLlamaCloud, control: httpx.AsyncClient
):
    file = await llama.files.create(file=("a.md", b"# a"), purpose="parse")
    await fault(control, SUBMIT, "drop_after")
    retrying = llama.with_options(max_retries=1)
    await retrying.parsing.create(tier="fast", version="latest", file_id=file.id)
    assert len([job async for job in llama.parsing.list()]) == 2


async def test_broken_json_is_a_whole_answer_that_no_parser_takes(openai, control):
    await fault(control, EMBED, "broken_json")
    with pytest.raises(json.JSONDecodeError):
        await embed(openai)
    assert await billed(control) == 1


async def test_a_cut_body_ends_before_its_announced_length(openai, control):
    await fault(control, EMBED, "cut_body")
    with pytest.raises(Exception, match=r"(?i)incomplete|connection|peer closed"):
        await embed(openai)
    assert await billed(control) == 1


@pytest.fixture
async def megabyte(storage: AsyncStorageClient) -> bytes:
    """An object that is streamed from disk in several pieces."""
    content = bytes(range(256)) * 4096
    await storage.create_bucket("docs")
    await storage.from_("docs").upload("a.bin", content)
    return content


async def test_half_of_a_streamed_download_can_look_whole(storage, control, megabyte):
    await fault(control, "supabase.object.get", "broken_json")
    received = await storage.from_("docs").download("a.bin")
    assert received == megabyte[: len(megabyte) // 2]


async def test_a_streamed_download_can_end_in_the_middle(storage, control, megabyte):
    await fault(control, "supabase.object.get", "cut_body")
    with pytest.raises(httpx.RemoteProtocolError, match="received 524288 bytes, expected 1048576"):
        await storage.from_("docs").download("a.bin")
    assert await storage.from_("docs").download("a.bin") == megabyte


async def test_a_streamed_download_can_drip(storage, control, megabyte):
    await fault(control, "supabase.object.get", "slow_body", seconds=0.1)
    began = time.monotonic()
    assert await storage.from_("docs").download("a.bin") == megabyte
    assert time.monotonic() - began >= 0.1


async def test_a_download_that_nobody_gets_leaves_no_file_open(storage, control, megabyte):
    await fault(control, "supabase.object.get", "drop_after")
    with pytest.raises(httpx.TransportError):
        await storage.from_("docs").download("a.bin")
    assert await storage.from_("docs").download("a.bin") == megabyte


async def test_a_slow_body_is_no_timeout_between_two_pieces(openai, control):
    await fault(control, EMBED, "slow_body", seconds=0.4)
    began = time.monotonic()
    impatient = openai.with_options(timeout=httpx.Timeout(5, read=0.3))
    assert len((await embed(impatient)).data) == 1
    assert time.monotonic() - began >= 0.4


async def test_a_delay_is_a_real_timeout_and_whoever_left_is_not_served(openai, control):
    await fault(control, EMBED, "delay", seconds=5)
    with pytest.raises(sdk.APITimeoutError):
        await embed(openai.with_options(timeout=0.05))
    assert await billed(control) == 0


async def test_an_answer_that_comes_too_late_is_billed(openai, control):
    await embed(openai)  # the first one loads the tokenizer
    await fault(control, EMBED, "delay_after", seconds=5)
    with pytest.raises(sdk.APITimeoutError):
        await embed(openai.with_options(timeout=0.3))
    assert await billed(control) == 2


async def test_one_vector_too_few(openai, control):
    await fault(control, EMBED, "vendor", what="wrong_count")
    assert [item.index for item in (await embed(openai, "a", "b", "c")).data] == [0, 1]


async def test_vectors_in_another_order_say_so_by_their_index(openai, control):
    straight = await embed(openai, "a", "b")
    await fault(control, EMBED, "vendor", what="wrong_order")
    turned = await embed(openai, "a", "b")
    assert [item.index for item in turned.data] == [1, 0]
    assert turned.data[1].embedding == straight.data[0].embedding


async def test_vectors_without_or_with_the_same_index(openai, control):
    await fault(control, EMBED, "vendor", what="no_index")
    assert [item.index for item in (await embed(openai, "a", "b")).data] == [None, None]
    await fault(control, EMBED, "vendor", what="same_index")
    assert [item.index for item in (await embed(openai, "a", "b")).data] == [0, 0]


async def test_an_answer_without_vectors_is_the_sdks_value_error(openai, control):
    await fault(control, EMBED, "vendor", what="empty_data")
    with pytest.raises(ValueError, match="No embedding data received"):
        await embed(openai)


@pytest.mark.parametrize("encoding", [{}, {"encoding_format": "float"}])
async def test_numbers_that_are_none_and_vectors_that_are_too_short_or_zero(
    openai, control, encoding
):
    for what in ("not_finite", "wrong_dimensions", "zero_vector"):
        await fault(control, EMBED, "vendor", what=what)
    not_finite = (await embed(openai, dimensions=8, **encoding)).data[0].embedding
    assert math.isnan(not_finite[0])
    assert all(map(math.isfinite, not_finite[1:]))
    assert len((await embed(openai, dimensions=8, **encoding)).data[0].embedding) == 7
    assert (await embed(openai, dimensions=8, **encoding)).data[0].embedding == [0.0] * 8


async def test_an_answer_without_usage(openai, control):
    await fault(control, EMBED, "vendor", what="no_usage")
    assert (await embed(openai)).usage is None


async def test_a_refusal_stays_what_it_is_under_a_vendors_misbehaviour(openai, control):
    await fault(control, EMBED, "vendor", what="wrong_count")
    with pytest.raises(sdk.BadRequestError):
        await embed(openai, "")


async def test_faults_hit_every_third_call_after_the_first_two_and_then_end(openai, control):
    await fault(control, "openai", "status", after=2, every=3, count=2)
    assert await outcomes(openai, 10) == "....x..x.."
    assert (await control.get("/faults")).json() == {"faults": []}


async def test_chances_are_the_same_for_the_same_seed(openai, control):
    seen = []
    for _ in range(2):
        await fault(control, "openai.models", "status", probability=0.5, seed=4, count=None)
        seen.append(await outcomes(openai, 12))
        await control.delete("/faults")
    assert seen[0] == seen[1]
    assert {*seen[0]} == {".", "x"}


async def test_a_call_that_a_fault_lets_pass_may_be_hit_by_the_next_one(openai, control):
    await fault(control, "openai", "html", after=1)
    await fault(control, "openai", "status", count=1)
    assert await outcomes(openai, 3) == "xx."
    hits = (await control.get("/calls", params={"fault": "*"})).json()["calls"]
    assert [call["fault"] for call in hits] == ["status", "html"]


async def test_faults_are_listed_with_what_is_left_of_them_and_removed(openai, control):
    await fault(control, "openai.*", "status", count=3)
    await fault(control, EMBED, "slow_body", seconds=1)
    assert await outcomes(openai, 1) == "x"
    first, second = (await control.get("/faults")).json()["faults"]
    assert (first["id"], first["count"], first["seen"], first["used"]) == (1, 2, 1, 1)
    assert second["seconds"] == 1
    assert "status" not in second
    assert (await control.delete("/faults/1")).json()["faults"] == [second]
    gone = await control.delete("/faults/1")
    assert (gone.status_code, gone.json()) == (404, {"error": "There is no fault 1, or no longer."})
    assert (await control.delete("/faults")).json() == {"faults": []}


async def test_a_fault_that_can_never_strike_is_refused_with_what_would(control):
    assert "Do you mean openai.embeddings.create?" in await refused(
        control, route="openai.embedding.create", kind="drop_after"
    )
    far = await refused(control, route="supabase.quota", kind="html")
    assert far.startswith("No route fits 'supabase.quota'. There are: supabase.status, ")
    unknown = await refused(control, route=SUBMIT, kind="vendor", what="wrong_count")
    assert unknown.startswith(f"{SUBMIT} knows no misbehaviour 'wrong_count'.")


async def test_a_fault_behind_one_without_end_is_refused_and_none_of_its_list_is_kept(control):
    both = [
        {"route": "openai.*", "kind": "status", "count": None},
        {"route": EMBED, "kind": "drop_after"},
    ]
    answer = await control.post("/faults", json=both)
    assert answer.json()["error"] == (
        "drop_after on openai.embeddings.create would never happen: fault 1"
        " (status on openai.*) takes every call. Remove that one first."
    )
    assert (await control.get("/faults")).json() == {"faults": []}


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"route": EMBED}, "kind is missing."),
        ({"kind": "html", "route": EMBED, "stauts": 502}, "There is no stauts. There are: route,"),
        ({"kind": "delay", "route": EMBED}, "The kind delay needs seconds."),
        ({"kind": "vendor", "route": EMBED}, "The kind vendor needs what."),
        ({"kind": "drop_after", "route": EMBED, "seconds": 1}, "has no seconds. It takes nothing."),
        ({"kind": "html", "route": EMBED, "code": "x"}, "no code. It takes: status, headers."),
        ({"kind": "html", "route": EMBED, "status": 200}, "status must be greater than or equal"),
        ({"kind": "html", "route": EMBED, "count": 0}, "count must be greater than or equal to 1"),
        ({"kind": "earthquake", "route": EMBED}, "kind must be 'status', 'html', 'delay'"),
        ({"kind": "html", "route": EMBED, "headers": {"a b": ""}}, "'a b' cannot be set."),
        (
            {"kind": "html", "route": EMBED, "headers": {"a": "\n"}},
            "'\\n' is no value of a header.",
        ),
        ({"kind": "html", "route": EMBED, "headers": {"Content-Length": "1"}}, "cannot be set."),
    ],
)
async def test_a_fault_that_makes_no_sense_is_refused_in_a_sentence(control, facts, sentence):
    assert sentence in await refused(control, **facts)


async def test_the_fault_of_a_list_that_makes_no_sense_is_named(control):
    answer = await control.post(
        "/faults", json=[{"route": EMBED, "kind": "html"}, {"route": EMBED}]
    )
    assert answer.json() == {"error": "Fault 2: kind is missing."}


async def test_a_body_that_is_no_json_is_refused_in_a_sentence(control):
    answer = await control.post("/faults", content=b"{")
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("The body is no JSON: ")


async def test_an_upload_may_be_stored_although_its_answer_is_lost(storage, control):
    await storage.create_bucket("docs")
    await fault(control, "supabase.object.create", "drop_after")
    with pytest.raises(httpx.TransportError):
        await storage.from_("docs").upload("a.bin", b"kept")
    assert await storage.from_("docs").download("a.bin") == b"kept"
