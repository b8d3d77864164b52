"""Rows of the vendors' error tables, and what each is to become."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from gristmill import errors
from gristmill.services.failures import Answer

# Whether the same call can succeed later, and whether nothing happened.
EFFECTS: Mapping[type[errors.GristmillError], tuple[bool, bool]] = {
    errors.Rejected: (False, True),
    errors.InvalidInput: (False, True),
    errors.TooLarge: (False, True),
    errors.NotFound: (False, True),
    errors.Unauthorized: (False, True),
    errors.QuotaExhausted: (False, True),
    errors.Misconfigured: (False, True),
    errors.Throttled: (True, True),
    errors.Unavailable: (True, True),
    errors.OutcomeUnknown: (True, False),
    errors.InvalidResponse: (True, False),
}


@dataclass(frozen=True, slots=True)
class Row:
    """An answer of a vendor, and the error that it is: kind, words of sentence and advice, wait.

    `safe`: repeating the request that it answers would harm nobody.
    """

    what: str
    status: int
    body: Any
    kind: type[errors.GristmillError]
    says: str
    advice: str
    after: float | None = None
    safe: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)

    def answer(self, service: str) -> Answer:
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        return Answer(service, self.status, self.headers, text, self.safe)

    def check(self, error: errors.GristmillError) -> None:
        """Holds the error to the row."""
        assert type(error) is self.kind, self.what
        assert (error.retryable, error.no_effect) == EFFECTS[self.kind]
        expected = None if self.after is None else pytest.approx(self.after)
        assert error.retry_after == expected
        assert self.says in str(error)
        assert self.advice in error.advice
        check_prose(error)


def check_prose(error: errors.GristmillError) -> None:
    """Both texts are sentences, and could be followed by another."""
    for text in (str(error), error.advice):
        assert re.fullmatch(r"[A-Z`\"].*[.!?…]", text), text
        assert not re.search(r"\s\s|<|\.\.$|: \.|\(\)|None", text), text


def names(rows: list[Row]) -> list[str]:
    return [row.what for row in rows]
