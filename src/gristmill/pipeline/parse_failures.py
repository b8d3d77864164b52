"""Whose fault a failed parse is, and so whether another job is worth its price. Pure.

A failed job has no code of its own: its message begins with one, `PDF_IS_BROKEN: …`. The vendor's
guide "Troubleshooting" names seven, six about the document and TIMEOUT; the words of `_VENDOR` and
`_ACCOUNT` beyond that one are not published, but those of its HTTP errors for the same causes.
What nobody knows is taken for the document's fault: nothing is paid again on a guess.
"""

import re
from enum import Enum, auto
from typing import Final

# Each is a new job, billed on its own. Users report timeouts that the next job does not meet.
MOST_JOBS: Final = 3

_CODE: Final = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*(?=:|$)")
_VENDOR: Final = re.compile(r"TIMEOUT|INTERNAL|UNAVAILABLE|OVERLOADED")
_ACCOUNT: Final = re.compile(r"CREDIT|QUOTA|SPEND|PAYMENT")


class Fault(Enum):
    """Who has to change for the next job to end better."""

    DOCUMENT = auto()  # the same bytes fail again
    VENDOR = auto()  # a new job may pass
    ACCOUNT = auto()  # a new job may pass once somebody has paid


def fault_of(error: str) -> Fault:
    """By the code that a failed job's message begins with."""
    found = _CODE.match(error)
    code = found[0] if found else ""
    if _ACCOUNT.search(code):
        return Fault.ACCOUNT
    return Fault.VENDOR if _VENDOR.search(code) else Fault.DOCUMENT


def is_past_the_end(error: str) -> bool:
    """Whether a job for further pages found that there are none."""
    return error.startswith("NO_DATA_FOUND_IN_FILE")


def is_worth_another(error: str, jobs: int) -> bool:
    """Whether to submit again after so many jobs of this parse, the last of which failed so."""
    match fault_of(error):
        case Fault.VENDOR:
            return jobs < MOST_JOBS
        case Fault.ACCOUNT:
            return True
        case Fault.DOCUMENT:
            return False
