"""`gristmill costs`: what was spent, as a person, a program and a spreadsheet read it."""

import asyncio
import csv
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from money import hold, posted
from typer.testing import CliRunner

from gristmill.cli.app import app
from gristmill.cli.spending import parsed_since
from gristmill.contract import Origin
from gristmill.costs.ledger import Ledger
from gristmill.database.engine import Database
from gristmill.database.migrate import migrate
from gristmill.errors import InvalidArgument

Cli = Callable[..., str]
NAMES = ('=HYPERLINK("http://x")', "+1", "-papers", "@sum", "\t=1", 'a "b", c', "plain")


@pytest.fixture
def cli(conninfo_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """Runs `gristmill costs …` and gives what it prints."""
    monkeypatch.setenv("GRISTMILL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DATABASE_URL", conninfo_url)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, ["costs", *arguments])
        assert result.exit_code == code, result.output
        return result.output

    return run


async def spend(conninfo: str) -> None:
    """A nano-dollar for each name of a collection, and a call under way."""
    database = Database(conninfo)
    await database.open()
    await migrate(database)
    ledger = Ledger(database)
    for number, name in enumerate(NAMES):
        call = await ledger.hold(hold(5_000_000_000, collection=name))
        await ledger.end(call, posted(1_234_567_890 + number))
    await ledger.hold(hold(20, origin=Origin.SIMULATED))
    await ledger.close()
    await database.close()


@pytest.fixture
def spent(conninfo: str) -> None:
    asyncio.run(spend(conninfo))


def test_before_anything_was_spent_it_says_so(cli: Cli) -> None:
    assert cli() == "Nothing was spent yet.\n"
    assert cli("--since", "2026-11-01") == "Nothing was spent since 2026-11-01 00:00.\n"
    header = "billed_nano_dollars,billed_dollars,unknown_nano_dollars,unknown_dollars"
    assert cli("--csv") == f"service,origin,calls,{header}\n"


@pytest.mark.usefixtures("spent")
def test_what_has_no_bill_yet_has_a_column_and_money_of_each_origin_its_own_total(cli: Cli) -> None:
    assert [line.rstrip() for line in cli().splitlines()] == [
        " service  money      calls        billed  not yet, at most",
        " openai   real           7  $8.641975251",
        " openai   simulated      1  $0.000000000      $0.000000020",
        " total    real           7  $8.641975251",
        " total    simulated      1  $0.000000000      $0.000000020",
    ]
    assert "(no collection)" in cli("--by", "collection")
    assert " text-embedding-3-small  real " in cli("--by", "model")


@pytest.mark.usefixtures("spent")
def test_a_spreadsheet_gets_well_formed_lines_exact_amounts_and_no_formula(cli: Cli) -> None:
    rows = list(csv.DictReader(StringIO(cli("--by", "collection", "--csv"))))
    assert {row["collection"] for row in rows} == {
        "'=HYPERLINK(\"http://x\")", "'+1", "'-papers", "'@sum", "\\t=1", 'a "b", c', "plain", "",
    }  # fmt: skip
    plain = next(row for row in rows if row["collection"] == "plain")
    assert plain["billed_nano_dollars"] == "1234567896"
    assert plain["billed_dollars"] == "1.234567896"
    nobodys = next(row for row in rows if row["collection"] == "")
    assert (nobodys["origin"], nobodys["unknown_dollars"]) == ("simulated", "0.000000020")


@pytest.mark.usefixtures("spent")
def test_a_program_gets_all_of_it_and_since_when(cli: Cli) -> None:
    found = json.loads(cli("--by", "day", "--since", "1d", "--json"))
    assert [line["spent"] for line in found["totals"]] == [8_641_975_251, 0]
    since = datetime.fromisoformat(found["since"])
    assert timedelta(hours=23) < datetime.now(UTC) - since < timedelta(hours=25)
    assert json.loads(cli("--since", "2999-01-01", "--json"))["lines"] == []


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("24h", timedelta(hours=24)),
        (" 7D ", timedelta(days=7)),
        ("4w", timedelta(days=28)),
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
    ],
)
def test_since_is_a_date_in_utc_or_how_long_ago(text: str, meant: object) -> None:
    assert parsed_since(text) == meant


@pytest.mark.parametrize(
    "text", ["", "yesterday", "7", "7m", "-7d", "1.5d", "999999w", "2026-11-31", "01.11.2026", "d"]
)
def test_a_time_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="neither a date such as 2026-11-01 nor a time"):
        parsed_since(text)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--by", "colour"], "Costs are grouped by service, day, document, collection, model"),
        (["--since", "soon"], "'soon' is neither a date"),
        (["--csv", "--json"], "Choose --csv or --json"),
    ],
)
def test_bad_usage_is_told_in_a_sentence(cli: Cli, arguments: list[str], told: str) -> None:
    assert told in cli(*arguments, code=2)
