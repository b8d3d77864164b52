"""The arithmetic of estimates: what is expected, what is held for it, and all that could be."""

from dataclasses import replace
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.contract import Origin
from gristmill.costs.budgets import Balance
from gristmill.costs.prices import PRICES
from gristmill.errors import Misconfigured
from gristmill.pipeline.appraisal import Appraisal, Length, weigh
from gristmill.pipeline.chunking import ChunkingOptions, Page, document_text
from gristmill.pipeline.document import ParseOptions
from gristmill.pipeline.estimate import (
    Bounds,
    LimitCheck,
    pages_to_parse,
    parse_cost,
    repeated,
    tokens_of_pages,
)
from gristmill.pipeline.inspection import Inspection
from gristmill.pipeline.parses import Parse
from gristmill.pipeline.parsing import FIRST_PART, part_after

CHUNKING = ChunkingOptions()
PARSE = Parse(
    id=1, endpoint="simulator", origin=Origin.SIMULATED, tier="fast", tier_version="2026-01-01",
    max_pages=2000, languages=(), status="new", tag="t", driver=None, file_id=None, job_id=None,
    submitting_since=None, submitted_at=None, error=None, attempts=0, read_to=0,
)  # fmt: skip


def appraisal(pages=None, *, likely=1, tokens=500, kind="docx"):
    return Appraisal(Inspection(kind, "", pages, 1), Length(pages or likely, tokens))


@pytest.mark.parametrize(("pages", "max_pages", "paid"), [(12, 2000, 12), (12, 5, 5), (1, 1, 1)])
def test_pages_that_can_be_counted_are_held_and_paid_up_to_the_limit_of_pages(
    pages, max_pages, paid
):
    assert pages_to_parse(appraisal(pages), None, max_pages) == Bounds(paid, paid, paid)


@pytest.mark.parametrize("status", ["submitting", "submitted", "completed"])
def test_a_counted_parse_that_is_under_way_is_held_already(status):
    assert pages_to_parse(appraisal(12), replace(PARSE, status=status), 2000) == Bounds()


@pytest.mark.parametrize(
    ("likely", "held"), [(1, 25), (24, 25), (25, 50), (60, 100), (100, 200), (1999, 2000)]
)
def test_a_file_of_unknown_length_is_held_to_the_end_of_the_part_in_which_it_ends(likely, held):
    """Where it ends with a part, one more part finds that there is nothing."""
    assert pages_to_parse(appraisal(likely=likely), None, 2000) == Bounds(likely, held, 2000)


def test_parts_that_are_ours_or_under_way_are_not_held_again():
    ours = replace(PARSE, status="uploaded", read_to=25)
    assert pages_to_parse(appraisal(likely=60), ours, 2000) == Bounds(35, 75, 1975)
    assert pages_to_parse(appraisal(likely=1), ours, 2000) == Bounds(0, 25, 1975)
    under_way = replace(ours, status="submitted")
    assert pages_to_parse(appraisal(likely=60), under_way, 2000) == Bounds(10, 50, 1950)
    assert pages_to_parse(appraisal(likely=1), under_way, 2000) == Bounds(0, 0, 1950)


@given(true=st.integers(1, 300), likely=st.integers(1, 300), max_pages=st.integers(1, 250))
def test_whatever_the_guess_no_more_is_held_in_all_than_at_most_and_a_true_guess_tells_it(
    true, likely, max_pages
):
    bounds = pages_to_parse(appraisal(likely=likely), None, max_pages)
    assert bounds.expected <= bounds.held <= bounds.at_most
    held = read_to = 0
    while True:  # as the pipeline does
        part = part_after(read_to, max_pages)
        held += len(part)
        read_to = min(true, part[-1])
        if read_to < part[-1] or read_to >= max_pages:
            break
    assert held <= bounds.at_most
    assert likely != true or held == bounds.held


@settings(deadline=None, max_examples=40)
@given(
    pages=st.lists(st.text(max_size=400) | st.text("ab \n.#", max_size=600), max_size=5),
    size=st.integers(16, 64),
    share=st.floats(0, 0.5),
)
def test_no_text_has_more_tokens_in_its_passages_than_the_bound_of_its_bytes(pages, size, share):
    options = ChunkingOptions(size, int(size * share))
    read = [Page(number, text) for number, text in enumerate(pages, 1)]
    tokens = sum(passage.tokens for passage in weigh(read, options))
    assert tokens <= repeated(len(document_text(read).encode()), options)


def test_tokens_of_unread_pages_are_what_is_likely_and_at_most_what_the_parser_keeps():
    tokens = tokens_of_pages(appraisal(4, tokens=2000), 2000, CHUNKING)
    assert (tokens.expected, tokens.held) == (2000, 2000)
    assert tokens.at_most == ceil(4 * 65_536 * (512 + 64) / (512 - 64))


def test_pages_over_the_limit_are_not_embedded():
    assert tokens_of_pages(appraisal(10, tokens=5000), 5, CHUNKING).expected == 2500
    assert tokens_of_pages(appraisal(likely=10, tokens=5000), 5, CHUNKING).expected == 2500


def test_spreadsheets_are_held_by_the_tier_and_billed_by_the_sheet():
    pages = Bounds(3, FIRST_PART, 2000)
    page, sheet = 12_500_000, 1_250_000
    options = ParseOptions("simulator", Origin.SIMULATED, "agentic", "2026-01-01", 2000)
    assert parse_cost("xlsx", options, pages, PRICES.cost) == Bounds(
        3 * sheet, FIRST_PART * page, 2000 * page
    )
    assert parse_cost("docx", options, pages, PRICES.cost).expected == 3 * page


@pytest.mark.parametrize(
    ("limit", "fits"),
    [(100, "surely"), (99, "likely"), (20, "likely"), (19, "no"), (None, "surely")],
)
def test_a_limit_fits_surely_likely_or_not(limit, fits):
    balance = Balance(
        origin=Origin.REAL, scope="global", key="", period="day", limit=limit, spent=0, held=0,
        overrun=0, alerted=0, window_end=None,
    )  # fmt: skip
    assert LimitCheck(balance, Bounds(10, 20, 100)).fits == fits


def test_what_an_address_of_ones_own_bills_is_not_known_from_the_vendors_prices():
    options = ParseOptions("parse.example", Origin.REAL, "agentic", "2026-01-01", 2000)
    with pytest.raises(Misconfigured, match=r"no known price per pages at parse\.example"):
        parse_cost("pdf", options, Bounds(1, 1, 1), PRICES.cost)
