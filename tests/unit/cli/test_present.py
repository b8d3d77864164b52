"""How values look: money, names that lie, tables in pipes, errors as JSON."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text
from tests.unit.cli.test_progress import PARSING, READY

from gristmill.cli import documents as listing
from gristmill.cli.present import console, count, escape, money, one_line, print_json, shown
from gristmill.cli.run import run
from gristmill.errors import InvalidArgument


@pytest.mark.parametrize(
    ("nano", "told"),
    [
        (0, "$0.000000"),
        (60, "<$0.000001"),
        (1_500, "$0.000002"),
        (-1_250_000_000, "-$1.250000"),
        (1_234_567_890_123, "$1,234.567890"),
    ],
)
def test_money_is_told_to_a_millionth_of_a_dollar(nano, told):
    assert money(nano) == told


def test_one_is_not_told_as_many():
    assert [count(1, "page"), count(0, "page"), count(1695, "page")] == [
        "1 page",
        "0 pages",
        "1,695 pages",
    ]


def test_a_line_end_in_a_name_does_not_begin_a_line():
    assert "\n" not in one_line("a.pdf\nready  doc-1  b.pdf")


HOSTILE = "\x1b]0;owned\x07\x9b31m\u202efdp.exe\x7f"
MARKUP = st.text(alphabet=st.sampled_from(list("\\\\[[]/ab#@=: \n\x1b\u202e")), max_size=24)


@given(MARKUP, MARKUP, MARKUP)
def test_no_text_from_outside_is_markup_wherever_it_stands(first, second, third):
    """Backslashes before brackets and at the end of a text are counted by Rich as escapes."""
    line = f"[bold]{escape(first)}[/] {escape(second)}, {escape(third)}  [dim]end[/]"
    text = Text.from_markup(line, emoji=False)
    assert text.plain == f"{shown(first)} {shown(second)}, {shown(third)}  end"
    assert {str(span.style) for span in text.spans} <= {"bold", "dim", "none"}


def test_what_looks_like_an_emoji_code_stays_as_it_is(capsys):
    console.print(one_line(":bomb:.pdf"))
    assert capsys.readouterr().out == ":bomb:.pdf\n"


def test_json_keeps_hostile_text_whole_and_shows_a_terminal_none_of_it(capsys):
    """Half of a surrogate pair is how Python reads a file name that is no UTF-8."""
    print_json({HOSTILE: [HOSTILE, "caf\xe9 \udcff"]})
    told = capsys.readouterr().out
    assert json.loads(told) == {HOSTILE: [HOSTILE, "caf\xe9 \udcff"]}
    assert told.replace("\n", "").isprintable()
    assert "caf\xe9" in told


@pytest.mark.parametrize("tell", [listing._tell_list, lambda found: listing._tell_narrowly(*found)])
def test_a_hostile_source_reaches_the_terminal_as_text(tell, capsys):
    tell([replace(READY, source=rf"\[link=http://evil.example]{HOSTILE}[/zz]\ ", collection="[/]")])
    told = capsys.readouterr().out
    assert told.replace("\n", "").isprintable()
    assert "[/zz]" in told


def test_in_a_pipe_each_document_is_one_line_with_its_whole_source(capsys):
    source = "/a" * 200 + "/paper.pdf"
    listing._tell_list([replace(READY, source=source), PARSING])
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["id", "status", "collection", "pages", "passages", "cost", "source"]
    assert first.split()[-1] == source
    assert second.split()[:2] == ["doc-parsing", "parsing"]


async def _raises(error: Exception) -> int:
    raise error


def test_a_wrong_argument_is_one_json_document_where_json_is_asked_for(capsys):
    with pytest.raises(SystemExit, match="2"):
        run(_raises(InvalidArgument("There is no status 'bogus'.")), as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["error"]["kind"] == "InvalidArgument"
    assert told["error"]["message"] == "There is no status 'bogus'."


def test_wrong_settings_leave_no_coroutine_behind(monkeypatch, capsys):
    """Python warns of a coroutine that was never awaited, and here warnings are errors."""
    monkeypatch.setenv("GRISTMILL_MODE", "nonsense")
    with pytest.raises(SystemExit, match="1"):
        run(_raises(AssertionError()), as_json=False)
    assert "GRISTMILL_MODE" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_an_output_that_cannot_encode_a_name_ends_no_command(encoding):
    """A terminal in an old locale; the JSON means the same there."""
    named = "caf\xe9 \u6c34 \U0001f33e"
    environment = {"GRISTMILL_MODE": named, "PYTHONIOENCODING": encoding}
    told = {}
    for arguments in (["show"], ["show", "--json"]):
        command = [sys.executable, "-m", "gristmill", "config", *arguments]
        done = subprocess.run(
            command, env=os.environ | environment, capture_output=True, check=False
        )
        assert b"Traceback" not in done.stderr
        told[len(arguments)] = (done.stdout or done.stderr).decode(encoding)
    assert "GRISTMILL_MODE" in told[1]
    assert named in json.loads(told[2])["error"]["message"]


def test_an_unforeseen_error_shows_neither_a_key_nor_what_a_terminal_obeys():
    program = (
        "import sys; from gristmill import cli; from gristmill.cli import app\n"
        "def app(): raise OSError('sk-test-not-a-real-key \\x1b]0;owned\\x07')\n"
        "sys.modules['gristmill.cli.app'].app = app\n"
        "cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("OSError: *** \\u001b]0;owned\\u0007\n")
