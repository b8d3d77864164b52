"""`ingest --estimate`: what it would cost, told before, and what it then did cost."""

import json
from collections.abc import Callable
from pathlib import Path
from shutil import copy
from typing import Any

import pytest
from simulator import SimulatorControl
from typer.testing import CliRunner

from gristmill import DocumentStatus, Estimate, EstimateProgress, Gristmill, Limit, Origin
from gristmill.cli import estimate as view
from gristmill.cli.app import app
from gristmill.errors import CollectionError, InvalidArgument
from gristmill.pipeline.estimate import Bounds, FileEstimate
from gristmill.settings import Settings, load_settings

WritePdf = Callable[..., Path]

PAGE = 3_750_000  # nano-dollars for a page of the default tier
TOKEN = 20
# On the samples: slides and forms hold less than a page of prose, pages of a paper more.
MONEY_FACTOR, TOKENS_FACTOR = 1.02, 3.0


async def contents(mill: Gristmill) -> dict[str, Any]:
    """Every row of every table of ours."""
    async with mill._system.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT relname AS name FROM pg_class"
            " WHERE relnamespace = 'gristmill'::regnamespace AND relkind = 'r'"
        )
        tables = [row["name"] for row in await cursor.fetchall()]
        found = {}
        for table in tables:
            cursor = await connection.execute(f'SELECT to_jsonb(t) AS row FROM "{table}" t')
            found[table] = sorted(json.dumps(row["row"]) for row in await cursor.fetchall())
    return found


def calls(simulator: SimulatorControl) -> int:
    """Everything that any service was asked, for free or not."""
    return sum(route["count"] for route in simulator._get("/calls/summary").values())


def files(found: Estimate) -> dict[str, FileEstimate]:
    return {Path(file.source).name: file for file in found.files}


async def spent(mill: Gristmill) -> dict[str | None, int]:
    return {line.name: line.spent for line in (await mill.costs()).lines}


async def test_the_samples_cost_no_more_than_at_most_and_about_what_was_expected(
    mill: Gristmill, samples: Path, simulator: SimulatorControl
) -> None:
    before = await contents(mill)

    told = await mill.estimate(samples / "documents", collection="samples")

    assert calls(simulator) == 0
    assert await contents(mill) == before

    await mill.ingest(samples / "documents", collection="samples")
    true = await spent(mill)
    for service in told.services:
        assert true[service.service] <= service.nano_dollars.at_most
    parse, embed = (each.nano_dollars.expected for each in told.services)
    assert 1 / MONEY_FACTOR < (parse + embed) / sum(true.values()) < MONEY_FACTOR
    assert 1 / TOKENS_FACTOR < embed / true["openai"] < TOKENS_FACTOR

    asked = calls(simulator)
    again = await mill.estimate(samples / "documents", collection="samples")
    assert [each.nano_dollars for each in again.services] == [Bounds(), Bounds()]
    assert {file.outcome for file in again.files} == {"unchanged"}
    elsewhere = await mill.estimate(samples / "documents", collection="other")
    assert [each.nano_dollars for each in elsewhere.services] == [Bounds(), Bounds()]
    assert {file.reading for file in elsewhere.files} == {"paid", "here"}
    assert calls(simulator) == asked


async def test_text_that_is_read_here_is_told_to_the_token_and_a_change_costs_what_is_new(
    mill: Gristmill, tmp_path: Path
) -> None:
    path = tmp_path / "mill.md"
    parts = [f"# Part {n}\n\n{f'Millstone number {n} grinds rye. ' * 60}\n" for n in range(6)]
    path.write_text("".join(parts))
    (first,) = (await mill.estimate(path)).files
    await mill.ingest(path)
    assert await spent(mill) == {"openai": first.cost.expected}
    assert first.cost.expected == first.cost.at_most > 0

    path.write_text("".join([*parts, "# More\n\n", "Oats are rolled. " * 60]))
    (second,) = (await mill.estimate(path)).files
    await mill.ingest(path)

    assert (second.outcome, second.reading) == ("changed", "here")
    assert second.known_passages > 0
    assert await spent(mill) == {"openai": first.cost.expected + second.cost.expected}


async def test_the_same_bytes_under_several_names_are_parsed_for_one_of_them(
    mill: Gristmill, write_pdf: WritePdf, tmp_path: Path
) -> None:
    first = write_pdf("one.pdf", "Rye.", "Oats.")
    copy(first, tmp_path / "two.pdf")
    found = files(await mill.estimate(first, tmp_path / "two.pdf"))
    assert [found[name].reading for name in ("one.pdf", "two.pdf")] == ["parsed", "shared"]
    assert found["one.pdf"].parse_cost == Bounds(2 * PAGE, 2 * PAGE, 2 * PAGE)
    assert found["two.pdf"].cost.expected == 0
    assert found["two.pdf"].parse_cost == Bounds()


async def test_what_is_under_way_is_held_already_and_what_was_parked_before_is_not(
    mill: Gristmill, write_pdf: WritePdf
) -> None:
    await mill.set_budget(Limit("global", "total", 0))
    path = write_pdf("one.pdf", "Spelt.")
    (parked,) = (await mill.ingest(path)).documents
    assert parked.status is DocumentStatus.PARKED
    (file,) = (await mill.estimate(path)).files
    assert (file.outcome, file.document_id, file.reading) == ("under way", parked.id, "parsed")
    assert file.parse_cost.expected == PAGE

    async with mill._system.database.connection() as connection:
        await connection.execute("UPDATE parses SET status = 'submitted', job_id = 'pjb-1'")
    (file,) = (await mill.estimate(path)).files
    assert file.reading == "under way"
    assert file.parse_cost == Bounds()


async def test_files_that_would_be_refused_are_listed_with_their_reason_and_cost_nothing(
    mill: Gristmill, write_pdf: WritePdf, tmp_path: Path
) -> None:
    (tmp_path / "empty.md").touch()
    (tmp_path / "photo.raw").write_bytes(b"raw")
    cut = write_pdf("cut.pdf", "Rye.")
    cut.write_bytes(cut.read_bytes()[:-200])
    write_pdf("whole.pdf", "Oats.")

    found = await mill.estimate(tmp_path, tmp_path / "gone.pdf")

    told = files(found)
    assert {name: file.outcome for name, file in told.items()} == {
        "cut.pdf": "refused",
        "empty.md": "refused",
        "gone.pdf": "refused",
        "photo.raw": "skipped",
        "whole.pdf": "new",
    }
    assert "the end of the PDF is missing" in (told["cut.pdf"].error or "")
    assert told["gone.pdf"].advice == "Look at its path."
    assert found.services[0].nano_dollars.at_most == PAGE


async def test_a_file_of_unknown_length_is_told_by_its_first_part_and_by_all_that_could_be(
    mill: Gristmill, samples: Path
) -> None:
    found = await mill.estimate(samples / "documents" / "remote-work.docx")
    (file,) = found.files
    assert file.is_uncounted
    assert file.to_parse == Bounds(1, 25, 2000)
    assert file.parse_cost == Bounds(PAGE, 25 * PAGE, 2000 * PAGE)
    await mill.set_budget(Limit("global", "total", 24 * PAGE))
    assert (await mill.estimate(file.source)).fits == "no"
    await mill.set_budget(Limit("global", "total", 26 * PAGE))
    assert (await mill.estimate(file.source)).fits == "likely"


async def test_a_collection_of_another_origin_is_refused_and_none_is_made(
    mill: Gristmill, write_pdf: WritePdf
) -> None:
    path = write_pdf("one.pdf", "Spelt.")
    async with mill._system.database.connection() as connection:
        await connection.execute("INSERT INTO collections (name, origin) VALUES ('r', 'real')")
    with pytest.raises(CollectionError, match="holds real vectors"):
        await mill.estimate(path, collection="r")
    with pytest.raises(InvalidArgument):
        await mill.estimate(path, collection=" ")
    await mill.estimate(path, collection="later")
    assert [row for row in (await contents(mill))["collections"] if "later" in row] == []


async def test_the_limit_that_has_no_room_is_named_with_what_is_left_of_it(
    mill: Gristmill, write_pdf: WritePdf
) -> None:
    one, four = write_pdf("one.pdf", "Rye."), write_pdf("four.pdf", *["Oats."] * 4)
    await mill.set_budget(
        Limit("global", "day", 100 * PAGE),
        Limit("service", "month", 3 * PAGE, "llamaparse"),
        Limit("collection", "day", 100 * PAGE, "another"),
        Limit("document", "total", 2 * PAGE),
    )
    await mill.ingest(one)

    found = await mill.estimate(one, four)

    assert found.fits == "no"
    told = {check.balance.name: (check.fits, check.balance.left) for check in found.limits}
    left = found.limits[0].balance.left
    assert told == {
        "global/day": ("surely", left),
        "service=llamaparse/month": ("no", 2 * PAGE),
        "document/total": ("no", 2 * PAGE),
    }
    assert found.limits[-1].documents == 1
    assert (
        found.limits[-1].needs.held
        == found.limits[0].needs.held
        == files(found)["four.pdf"].cost.held
    )


async def test_an_estimate_for_real_services_reaches_nobody_and_misses_a_limit(
    tmp_path: Path, conninfo_url: str, write_pdf: WritePdf
) -> None:
    named = {
        "GRISTMILL_HOME": str(tmp_path / "home"),
        "GRISTMILL_MODE": "real",
        "OPENAI_API_KEY": "sk-fake-estimate",
        "LLAMA_CLOUD_API_KEY": "llx-fake-estimate",
        "SUPABASE_URL": "https://fake.supabase.co",
        "SUPABASE_SERVICE_ROLE_KEY": "fake.service.key",
        "DATABASE_URL": conninfo_url,
    }
    async with Gristmill(load_settings(named, tmp_path)) as mill:
        found = await mill.estimate(write_pdf("one.pdf", "Rye."))
        assert {each.origin for each in found.services} == {Origin.REAL}
        assert (found.is_boundless, found.fits) == (True, "no")
        await mill.set_budget(Limit("global", "total", None))
        assert (await mill.estimate(tmp_path / "one.pdf")).fits == "surely"


async def test_it_starts_no_simulator_and_tells_how_far_it_is(
    tmp_path: Path, conninfo_url: str, write_pdf: WritePdf
) -> None:
    home = tmp_path / "home"
    named = {"GRISTMILL_HOME": str(home), "DATABASE_URL": conninfo_url}
    paths = [write_pdf(f"{n}.pdf", "Rye.") for n in range(9)]
    told: list[EstimateProgress] = []
    async with Gristmill(load_settings(named, tmp_path)) as mill:
        await mill.estimate(*paths, on_progress=told.append)
    assert [(each.done, each.expected) for each in told] == [(0, 9), (8, 9)]
    assert not home.exists()


@pytest.fixture
def cli(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., str]:
    """Runs `gristmill ingest … --estimate` and gives what it prints."""
    assert settings.database_url is not None
    monkeypatch.setenv("GRISTMILL_HOME", str(settings.home))
    monkeypatch.setenv("DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("GRISTMILL_SIMULATOR_URL", str(settings.simulator_url))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, ["ingest", *arguments, "--estimate"])
        assert result.exit_code == code, result.output
        return result.output

    return run


def test_a_person_reads_what_each_service_would_cost_and_what_is_left_to_know(
    cli: Callable[..., str], samples: Path, simulator: SimulatorControl
) -> None:
    printed = cli(str(samples / "documents"))
    assert "54 pages  $0.202500" in printed
    assert "15 files, 11 to be parsed, 4 read here at no cost" in printed
    assert (
        "Only the parser can count the pages of remote-work.docx and storing-times.html" in printed
    )
    assert "25 pages ($0.093750) first" in printed
    assert "No limit is set for this money" in printed
    assert calls(simulator) == 0


def test_the_exit_code_and_the_json_say_whether_it_would_go_through(
    cli: Callable[..., str], write_pdf: WritePdf
) -> None:
    path = str(write_pdf("one.pdf", "Rye."))
    told = json.loads(cli(path, "--json"))
    assert told["fits"] == "surely"
    assert told["files"][0]["cost"]["held"] == told["files"][0]["cost"]["expected"]
    assert told["services"][0]["nano_dollars"]["at_most"] == PAGE
    assert "refused" in cli(path, "gone.pdf", code=1)
    assert "names no file" in cli("", code=2)


def test_the_exit_code_is_1_where_a_limit_has_no_room_and_the_words_say_which(
    cli: Callable[..., str], write_pdf: WritePdf
) -> None:
    path = str(write_pdf("two.pdf", "Rye.", "Oats."))
    CliRunner().invoke(app, ["budget", "set", "--daily", "0.005", "--document", "1"])
    printed = cli(path, code=1)
    assert "global/day has no room: $0.005000 is left, and $0.007520 would be held" in printed
    assert "begins anew in" in printed
    told = json.loads(cli(path, "--json", code=1))
    assert [each["fits"] for each in told["limits"]] == ["no", "surely"]
    assert told["limits"][0]["held"] == 0
    assert told["limits"][0]["needs"]["held"] == 2 * PAGE + 1000 * TOKEN


@pytest.mark.parametrize("width", [50, 76])
def test_no_amount_is_cut_however_narrow_the_terminal(
    cli: Callable[..., str], samples: Path, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view.console, "width", width)
    monkeypatch.setattr(view, "tell_table", view.console.print)  # as in a terminal
    printed = cli(str(samples / "documents"))
    assert printed.count("$22.023518") == 1
    assert "…" not in printed
    table = printed.split("15 files")[0]
    assert max(map(len, table.splitlines())) <= width
