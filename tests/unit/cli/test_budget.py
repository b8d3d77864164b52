"""`gristmill budget`: limits as a person sets and reads them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gristmill.cli.app import app

DOLLAR = 10**9

Cli = Callable[..., str]


@pytest.fixture
def cli(conninfo_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """Runs `gristmill budget …` and gives what it prints."""
    monkeypatch.setenv("GRISTMILL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DATABASE_URL", conninfo_url)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, ["budget", *arguments])
        assert result.exit_code == code, result.output
        return result.output

    return run


def limits(printed: str) -> list[dict[str, Any]]:
    return list(json.loads(printed)["limits"])


def test_without_a_limit_it_says_how_to_set_one(cli: Cli) -> None:
    assert "gristmill budget set --daily 5" in cli()
    assert limits(cli("--json")) == []


def test_every_kind_of_limit_is_set_at_once_and_listed(cli: Cli) -> None:
    cli("set", "--daily", "5", "--service", "openai=2/day", "--service", "3/month")
    printed = cli("set", "--collection", "research=20/month", "--document", "0.50", "--json")
    listed = [
        (each["scope"], each["key"], each["period"], each["limit"]) for each in limits(printed)
    ]
    assert listed == [
        ("global", "", "day", 5 * DOLLAR),
        ("service", "", "month", 3 * DOLLAR),
        ("service", "openai", "day", 2 * DOLLAR),
        ("collection", "research", "month", 20 * DOLLAR),
        ("document", "", "total", DOLLAR // 2),
    ]
    assert {each["origin"] for each in limits(printed)} == {"simulated"}


def test_the_list_shows_what_is_left_and_when_it_begins_anew(cli: Cli) -> None:
    printed = cli("set", "--daily", "5", "--total", "1,000.50", "--service", "openai=0/day")
    assert "global/day" in printed
    assert "$1,000.500000" in printed
    assert "service=openai/day" in printed
    assert "in " in printed


def test_no_limit_on_purpose_is_shown_as_that(cli: Cli) -> None:
    assert "none, on purpose" in cli("set", "--no-limit")


def test_limits_of_real_money_are_set_by_name(cli: Cli) -> None:
    printed = cli("set", "--daily", "5", "--origin", "real", "--json")
    assert [each["origin"] for each in limits(printed)] == ["real"]


def test_a_limit_is_removed_by_the_name_that_the_list_gives_it(cli: Cli) -> None:
    cli("set", "--daily", "5", "--service", "openai=2/day", "--document", "1")
    printed = cli("clear", "service=openai/day", "document/total", "--json")
    assert [each["scope"] for each in limits(printed)] == ["global"]
    assert "There is no limit 'global/month'" in cli("clear", "global/month", code=2)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["set"], "No limit is given"),
        (["set", "--daily", "five"], "'five' is no amount in dollars"),
        (["set", "--daily", "-5"], "'-5' is no amount in dollars"),
        (["set", "--daily", "0.0000000001"], "finer than a nano-dollar"),
        (["set", "--service", "openai=2"], "for a day, a month or in total"),
        (["set", "--service", "=2/day"], "no name before the equals sign"),
        (["set", "--collection", "papers=2/week"], "for a day, a month or in total"),
        (["set", "--daily", "5", "--origin", "play"], "Money is real or simulated"),
        (["clear", "everything"], "'everything' names no limit"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_makes_no_sense_is_bad_usage_told_in_a_sentence(
    cli: Cli, arguments: list[str], told: str
) -> None:
    assert told in cli(*arguments, code=2)
    assert limits(cli("--json")) == []
