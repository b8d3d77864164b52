"""What LlamaParse refuses, and what a person is told to do, over a real socket."""

from uuid import uuid4

import pytest
from classified import Row, check_prose, names
from simulator import SimulatorControl

from gristmill import errors
from gristmill.contract import Status
from gristmill.services.adapter import Endpoint
from gristmill.services.http import create_client
from gristmill.services.llamaparse import (
    CancelParse,
    CountFiles,
    GetParseJob,
    LlamaParse,
    SubmitParse,
    classify,
    job_advice,
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
REGION = "https://api.cloud.llamaindex.ai"
QUOTE = "6f9619ff-8b86-d011-b42d-00c04fc964ff"
INTERNAL = {"detail": f"Internal Server Error, correlation id {QUOTE}"}
VALIDATION = {"detail": [{"type": "enum", "loc": ["body", "tier"], "msg": "unknown", "input": "x"}]}
UNKNOWN = "may have been done and billed"


def said(detail):
    return {"detail": detail}


TABLE = [
    Row("expand of another tier", 400, said("markdown is not available for the fast tier"), errors.Rejected, "refused this request (400): markdown is not", "change the input"),
    Row("cancelling an ended job", 400, said("Job is in a terminal state"), errors.Rejected, "(400): Job is in", "only a running one is cancelled"),
    Row("no key", 401, said("Not authenticated"), errors.Unauthorized, "refused access (401): Not authenticated", "No key arrived"),
    Row("wrong key, or region", 401, said("Invalid API Key. See https://docs.cloud.llamaindex.ai/regions"), errors.Unauthorized, "refused access (401): Invalid API Key", "A key of the region Europe needs LLAMA_CLOUD_BASE_URL=https://api.cloud.eu"),
    Row("credits used up", 402, said("Credits exhausted"), errors.QuotaExhausted, "over its billing (402): Credits exhausted", "plan, credit, spending limits"),
    Row("not allowed", 403, said("Forbidden"), errors.Unauthorized, "refused access (403): Forbidden", "its rights"),
    Row("unknown job", 404, said("Parse job not found"), errors.NotFound, "(404): Parse job not found", "parse it again"),
    Row("expired file", 404, said("File not found"), errors.NotFound, "(404): File not found", "two days"),
    Row("gone", 410, said("Gone"), errors.NotFound, "(410): Gone", "parse it again"),
    Row("slow request, of a question", 408, "", errors.Unavailable, "cannot serve now (408)", "by itself"),
    Row("slow request, of a submit", 408, "", errors.OutcomeUnknown, "(408)", UNKNOWN, safe=False),
    Row("another state", 409, said("Conflict"), errors.Rejected, "(409): Conflict", "another state"),
    Row("file too large", 413, said("File too large"), errors.Rejected, "(413): File too large", "512 MB"),
    Row("refused field", 422, VALIDATION, errors.Rejected, "(422): body.tier: unknown.", "change the input"),
    Row("too fast", 429, said("Too many requests"), errors.Throttled, "too fast (429): Too many", "GRISTMILL_RATE_LLAMAPARSE"),
    Row("too fast, with a wait", 429, said("Too many requests"), errors.Throttled, "too fast (429)", "20 requests a minute", after=120, headers={"retry-after": "120"}),
    Row("internal error, of a question", 500, INTERNAL, errors.Unavailable, "cannot serve now (500)", f"Quote {QUOTE} to"),
    Row("internal error, of a submit", 500, INTERNAL, errors.OutcomeUnknown, "after the request was sent (500)", f"Quote {QUOTE} to", safe=False),
    Row("gateway's page, of a question", 502, "<html>Bad gateway</html>", errors.Unavailable, "(502): it gave no reason.", "by itself"),
    Row("gateway's page, of a submit", 502, "<html>Bad gateway</html>", errors.OutcomeUnknown, "(502): it gave no reason.", UNKNOWN, safe=False),
    Row("maintenance", 503, said("Maintenance"), errors.Unavailable, "cannot serve now (503): Maintenance", "by itself", safe=False),
    Row("gateway's timeout, of a question", 504, "", errors.Unavailable, "(504): it gave no reason.", "by itself"),
    Row("gateway's timeout, of a submit", 504, "", errors.OutcomeUnknown, "(504): it gave no reason.", UNKNOWN, safe=False),
]  # fmt: skip


@pytest.mark.parametrize("row", TABLE, ids=names(TABLE))
def test_every_row_becomes_the_error_of_its_effect(row):
    row.check(classify(row.answer("llamaparse"), REGION))


JOBS = {
    "UNSUPPORTED_FILE_TYPE": "Convert it to PDF",
    "PDF_IS_PROTECTED": "Remove the password",
    "PDF_IS_BROKEN": "save it with a PDF program",
    "NO_DATA_FOUND_IN_FILE": "another tier",
    "DOCUMENT_TOO_LARGE": "Split it",
    "TOO_MANY_PAGES": "Split it",
    "TIMEOUT": "billed again",
    "SOMETHING_NEW": "resume --failed",
}


@pytest.mark.parametrize(("code", "words"), JOBS.items())
def test_every_code_of_a_failed_job_says_what_to_do(code, words):
    assert words in job_advice(f"{code}: some text of the vendor")


@pytest.mark.parametrize("status", [401, 402, 403, 404, 409, 413, 422, 429, 500, 503])
async def test_the_adapter_raises_what_the_table_says(parser, control, status):
    control.fault("llamacloud.parsing.get", "status", status=status)
    expected = {row.kind for row in TABLE if row.status == status and row.safe}
    with pytest.raises(errors.ServiceError) as caught:
        await parser.execute(GetParseJob("pjb-none"))
    assert type(caught.value) in (expected or {errors.Unavailable})
    check_prose(caught.value)


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_a_submit_that_a_server_breaks_off_may_have_been_billed(parser, control, status):
    control.fault("llamacloud.parsing.create", "status", status=status)
    with pytest.raises(errors.OutcomeUnknown) as caught:
        await parser.execute(SUBMIT)
    assert not caught.value.no_effect


async def test_a_key_of_the_other_region_is_a_wrong_key(parser, control):
    control.configure(llamacloud={"region": "eu"})
    with pytest.raises(errors.Unauthorized, match="Invalid API Key"):
        await parser.execute(CountFiles())
    health = await parser.get_health()
    assert (health.status, health.reason[:17]) == (Status.UNHEALTHY, "The key is wrong.")


async def test_a_region_accepts_its_own_key(server, control):
    control.configure(llamacloud={"region": "eu"})
    address = environment.llama_cloud_base_url(server.base_url)
    async with create_client() as http:
        own = Endpoint("llamaparse", address, environment.LLAMA_CLOUD_EU_API_KEY)
        assert (await LlamaParse(own, http).get_health()).status is Status.HEALTHY


async def test_a_refused_field_is_named(parser):
    wrong = SubmitParse(str(uuid4()), "cost_effective", "2020-01-01", 1, "tag")
    with pytest.raises(errors.Rejected, match="2020-01-01") as caught:
        await parser.execute(wrong)
    assert caught.value.status == 422
    with pytest.raises(errors.Rejected, match=r"base_in_seconds: .*7200"):
        await parser.execute(
            SubmitParse(str(uuid4()), "fast", "2026-06-15", 1, "tag", deadline=7201)
        )


async def test_a_job_that_nobody_knows_cannot_be_cancelled(parser):
    with pytest.raises(errors.NotFound, match="Parse job not found"):
        await parser.execute(CancelParse("pjb-none"))
