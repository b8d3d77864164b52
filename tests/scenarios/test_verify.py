"""`costs verify`: the books against themselves and the vendors' bills, as a person sees it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import httpx
import psycopg
import pytest
from command_line import CommandLine, command_line
from money import hold, opened, posted
from scripted_vendor import ScriptedVendor
from simulator import SimulatorControl

from gristmill import Gristmill, Limit, Usage
from gristmill.costs.explanations import explanations
from gristmill.costs.reconcile import Comparison, Difference
from gristmill.errors import OutcomeUnknown
from gristmill.library.verifying import Verification
from gristmill.services.openai import Embed
from gristmill.settings import load_settings
from gristmill_simulators.environment import OPENAI_API_KEY

WritePdf = Callable[..., Path]

MODEL = "text-embedding-3-small"
CREDIT = 1_250_000


def of(found: Verification, service: str, product: str = "") -> Comparison:
    """The comparison of a service."""
    (only,) = [
        each
        for each in found.comparisons
        if each.account.service == service and product in ("", each.product)
    ]
    return only


@pytest.fixture
async def ingested(mill: Gristmill, write_pdf: WritePdf) -> Gristmill:
    """A home that has paid for two pages and a question."""
    await mill.set_budget(Limit("global", "day", 10**9), Limit("document", "total", 10**9))
    await mill.ingest(write_pdf("two.pdf", "Rye is ground.", "Oats are rolled."))
    await mill.search("what is ground?")
    return mill


async def test_after_an_ingest_journal_balances_and_bills_agree(ingested: Gristmill) -> None:
    found = await ingested.verify_costs()
    assert found.is_clean
    assert found.audit.breaches == ()
    assert (found.audit.calls, found.audit.balances) == (3, 2)
    parser, openai = of(found, "llamaparse"), of(found, "openai")
    assert parser.journal == parser.vendor == 6000
    assert openai.journal == openai.vendor
    assert openai.nano_dollars == openai.journal * 20
    assert not any(explanations(each) for each in found.comparisons)


async def test_a_balance_that_somebody_has_changed_is_found(ingested: Gristmill) -> None:
    async with ingested._system.database.connection() as connection:
        await connection.execute(
            "UPDATE balances SET posted = posted - 5 WHERE limit_id ="
            " (SELECT id FROM limits WHERE scope = 'global')"
        )
    found = await ingested.verify_costs()
    assert not found.is_clean
    (breach,) = found.audit.breaches
    (example,) = breach.examples
    assert breach.rule == "What a balance says is spent is not what the journal adds up to"
    assert example.says is not None
    assert example.journal == example.says + 5
    assert all(each.differing == 0 for each in found.comparisons)


def strangers_call(simulator: SimulatorControl) -> None:
    """Embeddings for somebody who has the same account, and other books."""
    httpx.post(
        f"{simulator.base_url}/openai/v1/embeddings",
        json={"model": MODEL, "input": "a stranger's text"},
        headers={"authorization": f"Bearer {OPENAI_API_KEY}"},
        trust_env=False,
    ).raise_for_status()


async def test_a_bill_that_the_journal_does_not_know_is_found(
    ingested: Gristmill, simulator: SimulatorControl
) -> None:
    strangers_call(simulator)
    found = await ingested.verify_costs()
    openai = of(found, "openai")
    assert not found.is_clean
    assert openai.differing == 1
    assert openai.strange == openai.difference > 0
    assert "knows no call for" in explanations(openai)[0]


async def test_a_parse_that_is_missing_in_the_journal_is_named_by_its_job(
    ingested: Gristmill,
) -> None:
    async with ingested._system.database.transaction() as connection:
        await connection.execute("ALTER TABLE journal DISABLE TRIGGER journal_append_only")
        cursor = await connection.execute(
            "DELETE FROM journal WHERE service = 'llamaparse' RETURNING vendor_ref"
        )
        (job,) = {row["vendor_ref"] for row in await cursor.fetchall()} - {None}
        await connection.execute("ALTER TABLE journal ENABLE TRIGGER journal_append_only")
    found = await ingested.verify_costs()
    assert of(found, "llamaparse").differences == (Difference(job, None, 6000),)
    assert {breach.number for breach in found.audit.breaches} == {2}, "both balances are too high"


async def test_simulators_that_were_reset_have_billed_less_than_was_answered(
    ingested: Gristmill, simulator: SimulatorControl
) -> None:
    simulator.reset()
    found = await ingested.verify_costs()
    assert not found.is_clean
    parser = of(found, "llamaparse")
    assert (parser.vendor, parser.differing) == (0, 1)
    assert parser.differences[0].vendor is None
    assert "the simulators were reset" in explanations(parser)[0]


async def test_a_bill_that_comes_late_is_no_difference(
    mill: Gristmill, write_pdf: WritePdf, simulator: SimulatorControl
) -> None:
    simulator.configure(billing_delay_seconds=3600)
    await mill.ingest(write_pdf("one.pdf", "Barley."))
    found = await mill.verify_costs()
    assert found.is_clean
    parser = of(found, "llamaparse")
    assert (parser.open, parser.open_nano_dollars, parser.journal) == (1, 3 * CREDIT, 0)
    assert "gristmill resume reads what is billed" in explanations(parser)[0]


async def test_a_call_whose_answer_was_lost_may_have_been_billed(
    mill: Gristmill, simulator: SimulatorControl
) -> None:
    simulator.fault("openai.embeddings.create", "drop_after")
    with suppress(OutcomeUnknown):
        await (await mill.services()).execute(Embed(("lost",), MODEL, 1536, (1,)))
    found = await mill.verify_costs()
    openai = of(found, "openai")
    assert found.is_clean
    assert openai.lost == openai.difference == 1
    assert "without an answer" in explanations(openai)[0]


async def test_calls_of_ones_own_have_a_bill_that_nobody_here_can_read(mill: Gristmill) -> None:
    usage = Usage(MODEL, "tokens", 5)
    async with mill.tracker.hold(service="openai", usage=usage) as call:
        call.settle(usage)
    found = await mill.verify_costs()
    assert found.is_clean
    own = next(each for each in found.comparisons if each.account.endpoint == "")
    assert own.vendor is None
    assert explanations(own)[0].startswith("Not compared.")


# With a real vendor


@pytest.fixture
async def vendor() -> AsyncIterator[ScriptedVendor]:
    """A vendor that is none of our simulators."""
    scripted = ScriptedVendor()
    server = await asyncio.start_server(scripted.handle, "127.0.0.1", 0)
    scripted.port = server.sockets[0].getsockname()[1]
    yield scripted
    server.close()


@pytest.fixture
async def real(
    tmp_path: Path, conninfo_url: str, vendor: ScriptedVendor
) -> AsyncIterator[Gristmill]:
    """A home that parses for real money, where one job is billed, one open, and one of OpenAI."""
    place = f"127.0.0.1:{vendor.port}"
    (tmp_path / "prices.toml").write_text(
        f'version = "1"\nsource = "a test"\n[[price]]\nservice = "llamaparse"\n'
        f'product = "credit"\nhost = "{place}"\ndollars_per_thousand_credits = "1.25"\n'
    )
    environment = {
        "GRISTMILL_HOME": str(tmp_path / "home"),
        "GRISTMILL_MODE_LLAMAPARSE": "real",
        "GRISTMILL_MODE_OPENAI": "real",
        "OPENAI_API_KEY": "sk-fake-verify",
        "LLAMA_CLOUD_API_KEY": "llx-fake-verify",
        "LLAMA_CLOUD_BASE_URL": vendor.url,
        "GRISTMILL_PRICES_FILE": "prices.toml",
        "DATABASE_URL": conninfo_url,
    }
    async with Gristmill(load_settings(environment, tmp_path)) as mill:
        ledger = mill._system.ledger()
        usage = Usage("cost_effective", "pages", 1)
        parse = hold(3 * CREDIT, service="llamaparse", usage=usage, endpoint=place)
        for job in ("pjb-billed", "pjb-open"):
            call = await ledger.hold(parse)
            await ledger.end(call, opened(3 * CREDIT, job))
        bill = posted(3 * CREDIT, usage=Usage("credit", "millicredits", 3000))
        await ledger.settle("llamaparse", "pjb-billed", bill)
        call = await ledger.hold(hold(20, endpoint="api.openai.com"))
        await ledger.end(call, posted(20))
        yield mill


def row(job: str, credits_: float, event: str = "pages_parsed") -> dict[str, object]:
    facts = {"value": 1, "credits": credits_, "day": "2026-11-23"}
    return {"event_aggregation_key": job, "event_type": event, **facts}


PROJECTS = [{"id": "p-1", "organization_id": "o-1", "name": "Default"}]


async def test_the_real_parsers_books_are_read_page_by_page_and_compared_job_by_job(
    real: Gristmill, vendor: ScriptedVendor
) -> None:
    vendor.says(200, PROJECTS)
    of_others = row("ext-1", 99, event="pages_extracted")
    vendor.says(200, {"items": [row("pjb-billed", 2), of_others], "next_page_token": "more"})
    vendor.says(200, {"items": [row("pjb-billed", 1, "layout_extracted"), row("pjb-open", 3)]})
    found = await real.verify_costs()
    parser = of(found, "llamaparse")
    assert (parser.journal, parser.vendor, parser.open_vendor) == (3000, 6000, 3000)
    assert found.is_clean
    assert "platform.openai.com/usage" in explanations(of(found, "openai"))[0]


async def test_a_real_bill_of_more_than_was_answered_is_told(
    real: Gristmill, vendor: ScriptedVendor
) -> None:
    vendor.says(200, PROJECTS)
    vendor.says(200, {"items": [row("pjb-billed", 4)]})
    parser = of(await real.verify_costs(), "llamaparse")
    assert parser.differences == (Difference("pjb-billed", 3000, 4000),)
    assert "its lines come later" in explanations(parser)[-1]


async def test_books_that_cannot_be_read_are_no_difference_and_say_why(
    real: Gristmill, vendor: ScriptedVendor
) -> None:
    vendor.says(401, {"detail": "Invalid API Key."})
    found = await real.verify_costs()
    assert found.is_clean
    assert of(found, "llamaparse").vendor is None
    assert "Not compared." in explanations(of(found, "llamaparse"))[0]


# From the command line


@pytest.fixture
def cli(
    tmp_path: Path, conninfo_url: str, simulator: SimulatorControl, monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    environment = {
        "GRISTMILL_HOME": str(tmp_path / "home"),
        "GRISTMILL_SIMULATOR_URL": simulator.base_url,
        "DATABASE_URL": conninfo_url,
    }
    return command_line(monkeypatch, tmp_path, environment)


def test_the_command_tells_what_agrees_and_ends_with_1_where_something_does_not(
    cli: CommandLine, write_pdf: WritePdf, simulator: SimulatorControl, conninfo: str
) -> None:
    cli("budget", "set", "--daily", "5")
    cli("ingest", str(write_pdf("one.pdf", "Millet.")))
    clean = cli("costs", "verify")
    assert clean.startswith("Journal: 5 entries of 2 calls, and 1 balance, add up.")
    assert ["llamaparse", "credits", "3", "3", "0"] in [line.split() for line in clean.splitlines()]
    assert clean.endswith("All of it agrees.\n")
    assert json.loads(cli("costs", "verify", "--json"))["clean"] is True

    with psycopg.connect(conninfo) as connection:
        connection.execute("UPDATE gristmill.balances SET posted = posted + 1000")
    strangers_call(simulator)
    told = cli("costs", "verify", code=1)
    assert "and 1 balance, do not add up." in told
    assert "What a balance says is spent is not what the journal adds up to:\n   global/day" in told
    assert "openai: The vendor has billed 4 tokens that this journal knows no call for." in told
    assert told.endswith("It does not agree.\n")
    found = json.loads(cli("costs", "verify", "--json", code=1))
    assert found["clean"] is False
    assert [each["differing"] for each in found["comparisons"]] == [0, 1]
