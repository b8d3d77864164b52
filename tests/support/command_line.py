"""The command line in a test's own process: what a command prints, and with which code it ends."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gristmill.cli.app import app

CommandLine = Callable[..., str]


def command_line(
    monkeypatch: pytest.MonkeyPatch, folder: Path, environment: Mapping[str, str]
) -> CommandLine:
    """Runs commands in this folder, with these variables besides those that are set."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)

    def run(*arguments: str, code: int = 0, typed: str | None = None) -> str:
        result = CliRunner().invoke(app, arguments, input=typed)
        assert result.exit_code == code, result.output
        return result.output

    return run
