"""Page numbers as clients write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill_simulators.llamacloud.pages import Wanted, page_numbers


@given(st.sets(st.integers(1, 500), min_size=1, max_size=40))
def test_any_set_of_pages_can_be_written_and_read_back(numbers):
    assert page_numbers(",".join(map(str, sorted(numbers)))) == sorted(numbers)


def test_ranges_include_both_ends_and_come_out_sorted():
    assert page_numbers("5-8, 1,3") == [1, 3, 5, 6, 7, 8]


@pytest.mark.parametrize("text", ["", "0", "3-1", "1,1", "1-3,2", "a", "1-", "-2", "1;2"])
def test_what_names_no_pages_is_refused(text):
    with pytest.raises(ValueError, match="target_pages"):
        page_numbers(text)


def test_target_pages_win_over_max_pages():
    wanted = Wanted.read("4", 2)
    assert [n for n in range(1, 6) if wanted.has(n)] == [4]
    assert wanted.last() == 4
