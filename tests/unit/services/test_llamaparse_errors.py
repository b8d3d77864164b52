"""What LlamaParse refuses, and what a person is told to do, over a real socket."""

import re
from uuid import uuid4

import pytest
from simulator import SimulatorControl

from gristmill import errors
from gristmill.contract import Status
from gristmill.services.adapter import Endpoint
from gristmill.services.failures import Answer
from gristmill.services.http import create_client
from gristmill.services.llamaparse import (
    CancelParse,
    CountFiles,
    GetParseJob,
    LlamaParse,
    SubmitParse,
    classify,
)
from gristmill_simulators import environment
from gristmill_simulators.server import SimulatorServer


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with SimulatorServer(tmp_path_factory.mktemp("simulator"), workers=1) as server:
        yield server


@pytest.fixture
def control(server):
    control = SimulatorControl(server.base_url)
    control.reset()
    yield control
    control.close()


@pytest.fixture
async def parser(server, control):  # noqa: ARG001 — a server that has forgotten the tests before
    async with create_client() as http:
        key = environment.LLAMA_CLOUD_API_KEY
        yield LlamaParse(Endpoint("llamaparse", server.llama_cloud_base_url, key), http)


SUBMIT = SubmitParse(str(uuid4()), "cost_effective", "2026-09-28", 1, "tag")
TABLE = [
    # status, kind of error, what a person reads
    (401, errors.Unauthorized, r"LLAMA_CLOUD_API_KEY"),
    (402, errors.QuotaExhausted, r"billing"),
    (403, errors.Unauthorized, r"its rights"),
    (404, errors.NotFound, r"parse it again"),
    (409, errors.Rejected, r"another state"),
    (413, errors.Rejected, r"512 MB"),
    (422, errors.Rejected, r"change the input"),
    (429, errors.Throttled, r"20 requests a minute"),
    (500, errors.Unavailable, r"Quote [0-9a-f-]{36} to"),
    (502, errors.Unavailable, r"later"),
    (503, errors.Unavailable, r"Quote"),
]


@pytest.mark.parametrize(("status", "kind", "advice"), TABLE)
async def test_every_status_says_what_to_do(parser, control, status, kind, advice):
    control.fault("llamacloud.parsing.get", "status", status=status)
    with pytest.raises(errors.ServiceError) as caught:
        await parser.execute(GetParseJob("pjb-none"))
    assert type(caught.value) is kind
    assert re.search(advice, caught.value.advice)
    assert caught.value.retry_after is None


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_a_submit_that_a_server_breaks_off_may_have_been_billed(parser, control, status):
    control.fault("llamacloud.parsing.create", "status", status=status)
    with pytest.raises(errors.OutcomeUnknown) as caught:
        await parser.execute(SUBMIT)
    assert not caught.value.no_effect


async def test_the_page_of_a_gateway_is_not_repeated(parser, control):
    control.fault("llamacloud.parsing.get", "status", status=502)
    with pytest.raises(errors.Unavailable) as caught:
        await parser.execute(GetParseJob("pjb-none"))
    assert "without a readable reason" in str(caught.value)
    assert "<" not in str(caught.value)


async def test_a_key_of_the_other_region_is_a_wrong_key(parser, control):
    control.configure(llamacloud={"region": "eu"})
    with pytest.raises(errors.Unauthorized, match="Invalid API Key"):
        await parser.execute(CountFiles())
    health = await parser.get_health()
    assert (health.status, health.reason[:17]) == (Status.UNHEALTHY, "The key is wrong.")


def test_a_key_that_never_arrived_is_not_called_wrong():
    answer = Answer("llamaparse", 401, {}, '{"detail": "Not authenticated"}', safe=True)
    error = classify(answer, "https://api.cloud.llamaindex.ai")
    assert isinstance(error, errors.Unauthorized)
    assert "No key arrived" in error.advice


async def test_a_refused_field_is_named(parser):
    wrong = SubmitParse(str(uuid4()), "cost_effective", "2020-01-01", 1, "tag")
    with pytest.raises(errors.Rejected, match="2020-01-01") as caught:
        await parser.execute(wrong)
    assert caught.value.status == 422
    with pytest.raises(errors.Rejected, match=r"base_in_seconds: .*7200"):
        await parser.execute(
            SubmitParse(str(uuid4()), "fast", "2026-06-15", 1, "tag", deadline=7201)
        )


@pytest.mark.parametrize(
    "answer",
    [
        Answer("llamaparse", 409, {}, '{"detail": "Conflict"}', safe=True),
        Answer("llamaparse", 400, {}, '{"detail": "Job is in a terminal state"}', safe=True),
    ],
)
def test_a_job_that_has_ended_tells_so_with_either_status(answer):
    error = classify(answer)
    assert isinstance(error, errors.Rejected)
    assert "only a running one is cancelled" in error.advice


async def test_a_job_that_nobody_knows_cannot_be_cancelled(parser):
    with pytest.raises(errors.NotFound, match="Parse job not found"):
        await parser.execute(CancelParse("pjb-none"))
