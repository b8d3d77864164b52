"""What a command loads before it does anything: a start is waited for every time."""

import subprocess
import sys

import pytest


def loaded(module: str) -> set[str]:
    code = f"import sys, {module}; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize("unwanted", ["asyncio", "pydantic", "rich.table", "gristmill.errors"])
def test_the_help_loads_no_more_than_the_parser_of_arguments(unwanted):
    assert unwanted not in loaded("gristmill.cli.app")


@pytest.mark.parametrize(
    "unwanted",
    [
        "procrastinate",
        "openai",
        "gristmill.services.llamaparse",
        "gristmill.services.supabase",
        "gristmill.pipeline.estimate",
        "gristmill.pipeline.stages",
        "gristmill_simulators.server",
    ],
)
def test_a_search_loads_nothing_of_what_takes_documents_in(unwanted):
    assert unwanted not in loaded("gristmill.cli.search, gristmill.system.services")
