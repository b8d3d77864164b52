"""A failed parse: whose fault it is, and whether another job is worth its price."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.pipeline.parse_failures import MOST_JOBS, Fault, fault_of, is_worth_another

FAULTS = [
    ("PDF_IS_PROTECTED: a password is needed", Fault.DOCUMENT),
    ("PDF_IS_BROKEN: no page tree", Fault.DOCUMENT),
    ("NO_DATA_FOUND_IN_FILE: nothing", Fault.DOCUMENT),
    ("UNSUPPORTED_FILE_TYPE: .xyz", Fault.DOCUMENT),
    ("DOCUMENT_TOO_LARGE: 600 MB", Fault.DOCUMENT),
    ("TOO_MANY_PAGES: 20000", Fault.DOCUMENT),
    ("TIMEOUT: the job took longer than 30 s", Fault.VENDOR),
    ("JOB_TIMEOUT: late", Fault.VENDOR),
    ("INTERNAL_ERROR", Fault.VENDOR),
    ("CREDITS_EXHAUSTED: none left", Fault.ACCOUNT),
    ("PROJECT_SPEND_LIMIT: reached", Fault.ACCOUNT),
]


@pytest.mark.parametrize(("error", "fault"), FAULTS)
def test_the_code_at_the_beginning_says_whose_fault_it_is(error, fault):
    assert fault_of(error) is fault


@pytest.mark.parametrize(
    "error",
    [
        "",
        "CANCELLED",
        "2 of 4 pages failed, more than the allowed ratio of 0.05",
        "the page about TIMEOUT: could not be read",
        "PDF_IS_BROKEN: INTERNAL: an error inside the file",
        "Timeout of the reader",
    ],
)
def test_what_no_code_tells_is_not_paid_for_again(error):
    assert fault_of(error) is Fault.DOCUMENT


def test_a_fault_of_the_vendor_gets_a_bounded_number_of_jobs():
    tries = [is_worth_another("TIMEOUT: late", jobs) for jobs in range(1, MOST_JOBS + 2)]
    assert tries == [True] * (MOST_JOBS - 1) + [False, False]


@given(st.text(), st.integers(min_value=MOST_JOBS, max_value=1000))
def test_beyond_the_cap_only_the_account_s_fault_is_tried_again(error, jobs):
    assert is_worth_another(error, jobs) == (fault_of(error) is Fault.ACCOUNT)
