"""The control plane: what it tells of itself, the settings, the record of calls."""

import time

import httpx
import openai as sdk
import pytest
from llama_calls import submitted, until_idle
from openai import AsyncOpenAI

MODEL = "text-embedding-3-small"


@pytest.fixture
def flavour() -> str:
    """One client is enough: what is seen here are the simulators' own means."""
    return "async"


async def refused(control: httpx.AsyncClient, settings: object) -> str:
    before = (await control.get("/settings")).json()
    answer = await control.post("/settings", json=settings)
    assert answer.status_code == 422
    assert (await control.get("/settings")).json() == before
    return answer.json()["error"]


async def calls(control: httpx.AsyncClient, **query: object) -> list[dict]:
    answer = await control.get("/calls", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["calls"]


async def test_the_index_names_every_route_the_addresses_and_the_variables(http, server):
    index = (await http.get("/_simulator")).json()
    served = {route.path for route in server.app.routes if getattr(route, "methods", None)}
    paths = {route["path"].replace("{id}", "{id:int}") for route in index["routes"]}
    assert served - paths == {"/_simulator/", "/_simulator/{path:path}"}
    assert all(route["does"] for route in index["routes"])
    assert index["vendors"]["openai"] == server.openai_base_url
    assert index["environment"]["SUPABASE_URL"] == server.supabase_url


async def test_a_browser_gets_the_index_as_a_page(http):
    answer = await http.get("/_simulator/", headers={"accept": "text/html,*/*"})
    assert answer.headers["content-type"].startswith("text/html")
    assert "<code>POST /_simulator/faults</code>" in answer.text
    assert "<code>export</code> lines" in answer.text
    assert "export OPENAI_BASE_URL=" in answer.text


async def test_the_variables_come_as_shell_lines_with_the_address_that_was_asked(control):
    at_a_name = {"host": "mill.localhost:9000"}
    lines = (await control.get("/env", headers=at_a_name)).text.splitlines()
    assert "export OPENAI_BASE_URL=http://mill.localhost:9000/openai/v1" in lines


async def test_every_name_of_a_route_can_be_used_in_a_fault(control):
    known = (await control.get("/routes")).json()
    names = {route["name"] for route in known["routes"]}
    faults = [{"route": name, "kind": "html"} for name in sorted(names)]
    assert (await control.post("/faults", json=faults)).status_code == 200
    create = next(route for route in known["routes"] if route["name"] == "openai.embeddings.create")
    assert (create["method"], create["path"]) == ("POST", "/openai/v1/embeddings")


async def test_every_misbehaviour_that_is_offered_can_be_asked_for(control):
    for offered in (await control.get("/routes")).json()["misbehaviours"]:
        fault = {"route": offered["route"], "kind": "vendor", "what": offered["what"]}
        assert (await control.post("/faults", json=fault)).status_code == 200


async def test_what_is_not_there_is_told_with_where_to_look(control):
    answer = await control.put("/faults", json={})
    assert answer.status_code == 404
    assert answer.json()["error"] == (
        "There is no PUT /_simulator/faults. GET /_simulator lists what there is."
    )


async def test_settings_change_where_they_are_named_and_go_back_to_their_defaults(control):
    default = (await control.get("/settings")).json()
    await control.post("/settings", json={"quotas": {"openai_tokens_per_minute": 1000}})
    changed = (await control.post("/settings", json={"quotas": {"openai_tier": "1"}})).json()
    assert changed["quotas"]["openai_tokens_per_minute"] == 1000
    assert changed["quotas"] | default["quotas"] == default["quotas"]
    assert (await control.delete("/settings")).json() == default


async def test_a_latency_is_a_number_or_a_model_and_null_takes_it_away(control):
    lognormal = {"kind": "lognormal", "median": 0.1, "p95": 0.5}
    models = {"openai": 0.1, "supabase.object.*": lognormal}
    latency = (await control.post("/settings", json={"latency": models})).json()["latency"]
    assert latency["openai"] == {"kind": "constant", "seconds": 0.1, "per": {}, "seed": None}
    assert latency["supabase.object.*"]["p95"] == 0.5
    left = await control.post("/settings", json={"latency": {"openai": None}})
    assert list(left.json()["latency"]) == ["supabase.object.*"]


async def test_latency_grows_with_the_inputs_of_a_request(openai: AsyncOpenAI, control):
    model = {"seconds": 0, "per": {"inputs": 0.05}}
    await control.post("/settings", json={"latency": {"openai.embeddings": model}})
    began = time.monotonic()
    await openai.embeddings.create(model=MODEL, input=["a", "b"])
    assert time.monotonic() - began >= 0.1


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"quotas": {"openai_tpm": 5}}, "There is no quotas.openai_tpm. There are: openai_tier, "),
        ({"quota": {}}, "There is no quota. There are: transition, "),
        (
            {"quotas": {"openai_tokens_per_minute": -5}},
            "quotas.openai_tokens_per_minute must be greater than 0, not -5.",
        ),
        ({"quotas": 5}, "quotas must be a JSON object."),
        ({"transition": {"kind": "later"}}, "transition.kind must be 'at_once', 'polls' or"),
        ({"latency": {"opnai": 1}}, "No route fits 'opnai'. There are: "),
        (
            {"latency": {"openai": {"seconds": 1, "per": {"pages": 1}}}},
            "openai has no unit 'pages'. It has: megabytes, inputs, prompt_tokens.",
        ),
        (
            {"latency": {"openai": {"kind": "lognormal", "median": 2, "p95": 1}}},
            "latency.openai.lognormal: p95 must not be below median.",
        ),
        (
            {"latency": {"openai": {"kind": "gamma"}}},
            "latency.openai.kind must be one of 'constant', 'uniform', 'lognormal', not 'gamma'.",
        ),
        (
            {"latency": {"openai": {"seconds": 1, "sed": 4}}},
            "There is no latency.openai.constant.sed. There are: per, seed, kind, seconds.",
        ),
        (
            {"llamacloud": {"scripts": [{"file": "a", "files": "a"}]}},
            "There is no llamacloud.scripts.0.file. There are: files, fail, ",
        ),
        ([], "The body must be a JSON object."),
    ],
)
async def test_a_setting_that_makes_no_sense_is_refused_in_a_sentence(control, settings, sentence):
    assert (await refused(control, settings)).startswith(sentence)


async def test_the_schema_of_the_settings_says_what_they_mean(control):
    schema = (await control.get("/settings/schema")).json()
    quotas = schema["$defs"]["Quotas"]["properties"]
    assert all(field["description"] for field in quotas.values())


async def test_calls_are_found_by_route_status_and_method(openai, storage, control):
    await openai.models.list()
    with pytest.raises(sdk.BadRequestError):
        await openai.embeddings.create(model=MODEL, input="")
    await storage.list_buckets()
    assert len(await calls(control)) == 3
    assert [call["method"] for call in await calls(control, status=400)] == ["POST"]
    assert [call["route"] for call in await calls(control, route="openai.models")] == [
        "openai.models.list"
    ]
    assert len(await calls(control, vendor="supabase", method="GET")) == 1
    first = (await calls(control, limit=1))[0]["id"]
    assert len(await calls(control, after=first)) == 2
    assert [call["id"] - first for call in await calls(control, last=2)] == [1, 2]


async def test_a_call_tells_how_many_bytes_went_each_way(storage, control):
    await storage.create_bucket("docs")
    await storage.from_("docs").upload("a", b"x" * 5000)
    await storage.from_("docs").download("a")
    up, down = await calls(control, route="supabase.object.*")
    assert up["request_bytes"] > 5000
    assert (down["request_bytes"], down["response_bytes"]) == (0, 5000)


async def test_headers_are_recorded_on_request_with_secrets_masked(openai, storage, control):
    await openai.models.list()
    await control.post("/settings", json={"record_headers": True})
    await openai.with_options(default_headers={"x-job": "7", "x-token": "t"}).models.list()
    await storage.list_buckets()
    without, of_openai, of_storage = await calls(control)
    assert "headers" not in without
    assert of_openai["headers"]["x-job"] == "7"
    assert of_openai["headers"]["x-token"] == "***"
    assert of_openai["headers"]["authorization"] == "Bearer ***"
    assert of_storage["headers"]["apikey"] == "***"


async def test_calls_are_forgotten_and_bills_are_not(openai, control):
    await openai.embeddings.create(model=MODEL, input="a")
    last = (await calls(control))[-1]["id"]
    await control.delete("/calls")
    assert await calls(control) == []
    assert (await control.get("/calls/summary")).json() == {}
    assert (await control.get("/billed")).json()["openai"][MODEL]["requests"] == 1
    await openai.models.list()
    assert len(await calls(control, after=last)) == 1


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"limit": "many"}, "limit must be a valid integer, not 'many'."),
        ({"routes": "openai"}, "There is no routes. There are: vendor, route, "),
        ({"vendor": "opnai"}, "No route fits 'opnai'. There are: "),
        ({"route": "openai.model"}, "No route fits 'openai.model'. Do you mean openai.models.list"),
    ],
)
async def test_a_question_about_calls_that_makes_no_sense_is_refused(control, query, sentence):
    answer = await control.get("/calls", params=query)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith(sentence)


async def test_a_parse_takes_longer_for_each_of_its_pages(llama, control, clock, pdf):
    transition = {"kind": "seconds", "value": 10, "per_page": 5}
    await control.post("/settings", json={"transition": transition})
    job_id = await submitted(llama, "a.pdf", pdf, tier="fast")
    await until_idle(control)
    clock.advance(24)
    assert (await llama.parsing.get(job_id)).job.status == "RUNNING"
    clock.advance(1)
    assert (await llama.parsing.get(job_id)).job.status == "COMPLETED"


async def test_a_webhooks_delivery_is_found_among_the_calls_by_its_name(llama, control):
    hook = {"webhook_url": "https://hooks.example.org/x", "webhook_events": ["parse.success"]}
    await submitted(llama, "a.md", b"# a", webhook_configurations=[hook])
    await until_idle(control)
    assert len(await calls(control, route="llamacloud.webhooks")) == 1
