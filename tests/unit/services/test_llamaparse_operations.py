"""Every operation of LlamaParse, against the simulator over a real socket."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from pdfs import pdf
from simulator import SimulatorControl

from gristmill import errors
from gristmill.services.adapter import Endpoint
from gristmill.services.failures import Answer
from gristmill.services.http import create_client
from gristmill.services.llamaparse import (
    CancelParse,
    DeleteFile,
    DeleteParse,
    GetParseItems,
    GetParseJob,
    GetParseMetadata,
    GetParseResult,
    GetParseText,
    GetParseUsage,
    ListParseUsage,
    ListParseVersions,
    ListUsage,
    LlamaParse,
    PageItems,
    ParseStatus,
    SubmitParse,
    UploadFile,
    UsageRow,
    classify,
    job_advice,
)
from gristmill_simulators import environment
from gristmill_simulators.server import SimulatorServer

TIER, VERSION = "cost_effective", "2026-09-28"


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


@pytest.fixture
def submit(parser, tmp_path):
    async def submit(*pages, name="a.pdf", tier=TIER, version=VERSION, **options):
        path = tmp_path / name
        path.write_bytes(pdf(*pages))
        file_id = (await parser.execute(UploadFile(path, name, "ours"))).value.id
        operation = SubmitParse(file_id, tier, version, len(pages), uuid4().hex, **options)
        return (await parser.execute(operation)).value

    return submit


@pytest.fixture
def parsed(parser, submit):
    async def parsed(*pages, **options):
        job = await submit(*pages, **options)
        while not (await parser.execute(GetParseJob(job.id))).value.status.is_final:
            await asyncio.sleep(0.01)
        return job.id

    return parsed


async def test_a_job_is_got_by_its_id_with_our_tag(parser, parsed):
    job_id = await parsed("Wheat")
    job = (await parser.execute(GetParseJob(job_id))).value
    assert (job.id, job.status, job.error) == (job_id, ParseStatus.COMPLETED, None)
    assert job.tag


async def test_text_is_there_for_every_tier(parser, parsed):
    job_id = await parsed("Wheat", "Rye", tier="fast", version="2026-06-15")
    pages = (await parser.execute(GetParseText(job_id))).value
    assert [page.number for page in pages] == [1, 2]
    assert "Rye" in pages[1].markdown


async def test_items_stand_in_reading_order_with_the_size_of_the_page(parser, parsed):
    job_id = await parsed("Wheat is ground.")
    (page,) = (await parser.execute(GetParseItems(job_id))).value
    assert page.number == 1
    assert "Wheat is ground" in "".join(item["md"] for item in page.items)
    assert page.width
    assert page.height


async def test_items_of_the_fast_tier_are_refused(parser, parsed):
    job_id = await parsed("Wheat", tier="fast", version="2026-06-15")
    with pytest.raises(errors.Rejected):
        await parser.execute(GetParseItems(job_id))


async def test_a_failed_page_has_its_reason_in_every_view(parser, parsed, control):
    control.configure(llamacloud={"scripts": [{"files": "*", "failed_pages": [2]}]})
    job_id = await parsed(*(f"Page {n}" for n in range(40)))
    result = (await parser.execute(GetParseResult(job_id, TIER))).value
    items = (await parser.execute(GetParseItems(job_id))).value
    assert result.pages[1].error
    assert result.pages[1].markdown == ""
    assert items[1] == PageItems(2, error=items[1].error)
    assert items[1].error


async def test_each_page_says_how_it_was_read(parser, parsed):
    pages = (await parser.execute(GetParseMetadata(await parsed("Wheat", "Rye")))).value
    assert [page.number for page in pages] == [1, 2]


async def test_the_versions_of_each_tier_are_told_and_which_is_the_latest(parser):
    versions = (await parser.execute(ListParseVersions())).value
    assert set(versions.of_tier) == {"fast", "cost_effective", "agentic", "agentic_plus"}
    assert all(versions.latest[tier] in dated for tier, dated in versions.of_tier.items())


async def test_the_books_agree_with_the_bill(parser, parsed):
    job_id = await parsed("Wheat", "Rye")
    assert (await parser.execute(GetParseUsage(job_id))).value == 6
    rows = (await parser.execute(ListParseUsage(job_id))).value
    assert sum(row.credits for row in rows) == 6
    assert UsageRow(job_id, rows[0].event, Decimal(2), Decimal("6.0"), rows[0].day) == rows[0]


async def test_the_books_of_everybody_are_read_page_by_page_from_a_day_on(parser, parsed, control):
    control.reset()
    jobs = [await parsed(f"Wheat {n}") for n in range(3)]
    today = datetime.now(UTC).date()
    page = (await parser.execute(ListUsage(today))).value
    assert [row.job_id for row in page.rows] == jobs
    assert page.following is None
    assert (await parser.execute(ListUsage(today + timedelta(days=1)))).value.rows == ()


async def test_languages_and_a_deadline_are_taken_by_the_vendor(parser, parsed):
    job_id = await parsed("Weizen", languages=("de", "en"), deadline=600)
    assert (await parser.execute(GetParseJob(job_id))).value.status is ParseStatus.COMPLETED


async def test_a_running_job_is_cancelled_once(parser, submit, control):
    control.configure(llamacloud={"scripts": [{"files": "*", "stuck": "PENDING"}]})
    job = await submit("Wheat")
    stopped = (await parser.execute(CancelParse(job.id))).value
    assert stopped.status is ParseStatus.CANCELLED
    with pytest.raises(errors.Rejected):
        await parser.execute(CancelParse(job.id))


async def test_what_was_deleted_is_not_found(parser, parsed):
    job_id = await parsed("Wheat")
    await parser.execute(DeleteParse(job_id))
    for operation in (GetParseJob(job_id), GetParseResult(job_id, TIER), DeleteParse(job_id)):
        with pytest.raises(errors.NotFound) as error:
            await parser.execute(operation)
        assert "parse it again" in error.value.advice
    with pytest.raises(errors.NotFound):
        await parser.execute(DeleteFile(str(uuid4())))


async def test_a_job_that_fails_says_why_and_what_to_do(parser, parsed, control):
    control.configure(llamacloud={"scripts": [{"files": "*", "fail": "PDF_IS_PROTECTED"}]})
    job = (await parser.execute(GetParseJob(await parsed("Wheat")))).value
    assert job.status is ParseStatus.FAILED
    assert job.error
    assert "password" in job_advice(job.error)


@pytest.mark.parametrize(
    ("region", "other"),
    [
        ("https://api.cloud.llamaindex.ai", "https://api.cloud.eu.llamaindex.ai"),
        ("https://api.cloud.eu.llamaindex.ai", "https://api.cloud.llamaindex.ai"),
    ],
)
def test_a_wrong_key_may_be_one_of_the_other_region(region, other):
    answer = Answer("llamaparse", 401, {}, '{"detail": "Invalid API Key."}', safe=True)
    error = classify(answer, region)
    assert isinstance(error, errors.Unauthorized)
    assert f"LLAMA_CLOUD_BASE_URL={other}." in error.advice


async def test_used_up_credits_are_no_wrong_key_and_waiting_does_not_help(submit, control):
    control.fault("llamacloud.parsing.create", "status", status=402)
    with pytest.raises(errors.QuotaExhausted) as error:
        await submit("Wheat")
    assert not error.value.retryable


async def test_a_server_error_quotes_what_support_wants_to_know(parser, control):
    control.fault("llamacloud.parsing.get", "status", status=500)
    with pytest.raises(errors.Unavailable, match="Correlation id") as error:
        await parser.execute(GetParseJob("pjb-none"))
    assert "support" in error.value.advice
