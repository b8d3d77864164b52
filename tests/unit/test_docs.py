"""Pages that are made from the code say what the code says."""

from pathlib import Path

import behaviours

DOCS = Path(__file__).parent.parent.parent / "docs"


def test_the_table_of_behaviours_is_what_the_tests_are():
    page = (DOCS / "conformance.md").read_text("utf-8")
    is_current = page == behaviours.as_markdown()  # pytest takes minutes to compare two pages
    assert is_current, "make pages"
