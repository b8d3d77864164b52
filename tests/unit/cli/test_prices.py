"""`gristmill prices`: the table as a person and a program read it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gristmill.cli.app import app

SAMPLE = Path(__file__).parents[3] / "samples" / "prices.toml"

Cli = Callable[..., str]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    monkeypatch.setenv("GRISTMILL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == code, result.output
        return result.output

    return run


def test_each_price_is_listed_as_the_vendor_writes_it_with_its_source(cli: Cli) -> None:
    printed = cli("prices")
    assert " openai      text-embedding-3-small   $0.02  1,000,000 tokens       1" in printed
    assert " llamaparse  agentic                 $12.50  1,000 pages            2" in printed
    assert " 2  https://www.llamaindex.ai/pricing\n    read 2026-10-07, version" in printed


def test_own_prices_are_listed_by_the_address_where_they_hold(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRISTMILL_PRICES_FILE", str(SAMPLE))
    printed = cli("prices")
    assert "Only at ours.openai.azure.com:" in printed
    assert " openai   text-embedding-3-small  $0.022  1,000,000 tokens       2" in printed
    assert " llamaparse  agentic                 $11.00  1,000 pages            2" in printed
    assert "    read 2026-11-20, version 2026-11\n" in printed


def test_a_program_gets_nano_dollars_and_no_database_is_opened(cli: Cli, tmp_path: Path) -> None:
    found = json.loads(cli("prices", "--json"))
    first = {name: found["prices"][0][name] for name in ("product", "unit", "nano_dollars")}
    assert first == {"product": "text-embedding-3-small", "unit": "tokens", "nano_dollars": 20}
    assert {price["version"] for price in found["prices"]} == {found["version"]}
    assert not (tmp_path / "home").exists()


def test_a_wrong_file_is_told_by_every_command_and_by_the_check(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "own.toml").write_text('version = "1"\nsource = "x"\nprice = 0.02\n')
    monkeypatch.setenv("GRISTMILL_PRICES_FILE", "own.toml")
    for command in (("prices",), ("config", "check"), ("doctor",)):
        assert "GRISTMILL_PRICES_FILE" in cli(*command, code=1)
    assert "It has no price: each begins with" in cli("config", "check", code=1)
