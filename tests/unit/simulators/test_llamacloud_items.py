"""Items and forms from Markdown, whatever it holds; the end of a job from its conditions."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill_simulators.llamacloud import forms
from gristmill_simulators.llamacloud.items import items, plain
from gristmill_simulators.llamacloud.outcome import Outcome, decide
from gristmill_simulators.llamacloud.pool import Failed, Read
from gristmill_simulators.llamacloud.switches import Script

LINES = st.sampled_from(
    [
        "",
        "words",
        "# H",
        "| a | b |",
        "|---|---|",
        "- one",
        "  - two",
        "1. x",
        "```",
        "![a](b)",
        "  ",
    ]
)


@given(st.lists(LINES | st.text(max_size=20), max_size=12).map("\n".join))
def test_every_line_with_words_is_in_an_item(markdown: str):
    found = items(markdown)
    said = "\n".join(item["md"] for item in found)
    for line in markdown.split("\n"):
        assert line.strip() in said
    assert all(isinstance(item["type"], str) for item in found)


@pytest.mark.parametrize("piece", ["[", "*", "_", "`", "__ ", "](", "# ", "\\", "- "])
def test_no_line_of_64_kilobytes_takes_long(piece: str):
    line = (piece * 65_536)[:65_536]
    began = time.process_time()
    items(line)
    forms.form(line)
    assert time.process_time() - began < 1.5


def test_escaped_marks_are_words():
    assert plain(r"Name \_\_ **bold** `code` [link](x) 3 * 4") == "Name __ bold code link 3 * 4"


PAGES = Read((1, 2, 3, 4))


@pytest.mark.parametrize(
    ("script", "conditions", "failed"),
    [
        (Script(files="*"), {}, False),
        (Script(files="*", failed_pages=(1,)), {"allowed_page_failure_ratio": 0.25}, False),
        (Script(files="*", failed_pages=(1, 2)), {"allowed_page_failure_ratio": 0.25}, True),
        (Script(files="*", failed_pages=(9,)), {}, False),
        (Script(files="*", failed_pages=(1,)), {}, True),
    ],
)
def test_a_job_fails_above_the_ratio_of_failed_pages(
    script: Script, conditions: dict, failed: bool
):
    control = {"job_failure_conditions": conditions}
    outcome = decide(PAGES, script, control, takes=0, default_timeout=None)
    assert (outcome.failure is not None) == failed


def test_a_timeout_grows_with_the_pages():
    timeouts = {"timeouts": {"base_in_seconds": 10, "extra_time_per_page_in_seconds": 5}}
    assert decide(PAGES, None, timeouts, takes=30, default_timeout=1) == Outcome()
    late = decide(PAGES, None, timeouts, takes=31, default_timeout=1)
    assert late.failure == Failed("TIMEOUT", "the job took longer than 30 s")
    assert late.seconds == 30
