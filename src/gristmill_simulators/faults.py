"""Faults that a test asks for: what they are, when they strike, which are still to come."""

import random
import re
import secrets
from typing import Any, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator, model_validator

from gristmill_simulators.catalogue import Catalogue
from gristmill_simulators.database import Database
from gristmill_simulators.pattern import fits
from gristmill_simulators.settings import keep

Kind = Literal[
    "status",
    "html",
    "delay",
    "delay_after",
    "drop_before",
    "drop_after",
    "broken_json",
    "cut_body",
    "slow_body",
    "vendor",
]

# kind: the fields that it takes beside those of every fault, and what the client sees
KINDS: dict[str, tuple[tuple[str, ...], str]] = {
    "status": (
        ("status", "code", "headers"),
        "the vendor's own error body for `status` (500) and `code`; nothing is done",
    ),
    "html": (
        ("status", "headers"),
        "a gateway's HTML page with `status` (502); nothing is done",
    ),
    "delay": (("seconds",), "`seconds` pass first; whoever leaves before that is not served"),
    "delay_after": (("seconds",), "done and billed at once, the answer comes `seconds` later"),
    "drop_before": ((), "the connection breaks, nothing is done"),
    "drop_after": ((), "done and billed, then the connection breaks without an answer"),
    "broken_json": ((), "done; the answer is the first half of the body, framed as if whole"),
    "cut_body": ((), "done; the connection ends in the middle of the announced body"),
    "slow_body": (("seconds",), "done; the headers come at once, the body drips in over `seconds`"),
    "vendor": (("what",), "`what` only this vendor can do wrong: see `GET /_simulator/routes`"),
}
_NEEDED = {"seconds", "what"}
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # what HTTP/1.1 can carry
_FRAMING = {"connection", "content-length", "transfer-encoding"}
_DEFAULT_STATUS = {"status": 500, "html": 502}


class Fault(BaseModel):
    """One thing that goes wrong on some calls of some routes; `KINDS` has the kinds.

    Among the calls that fit `route`, the first `after` pass, then each `every`-th one is hit, with
    `probability` (drawn from `seed`), until `count` were hit.
    """

    model_config = ConfigDict(extra="forbid")

    route: str = Field(min_length=1, description="a route's name, its beginning, or a glob")
    kind: Kind = Field(description="what goes wrong")
    count: int | None = Field(
        default=1, ge=1, description="how many calls are hit; null: until the fault is removed"
    )
    after: int = Field(default=0, ge=0, description="how many fitting calls pass before the first")
    every: int = Field(default=1, ge=1, description="3 hits every third call")
    probability: float = Field(default=1.0, gt=0, le=1, description="the chance of a call's turn")
    seed: int | None = Field(default=None, description="makes the chances the same each time")
    status: int | None = Field(default=None, ge=400, le=599, description="HTTP status")
    code: str | None = Field(default=None, description="the vendor's error code")
    headers: dict[str, str] | None = Field(default=None, description="added to the answer")
    seconds: float | None = Field(default=None, gt=0, le=3600, description="how long")
    what: str | None = Field(default=None, description="the name of a vendor's misbehaviour")

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        own = KINDS[self.kind][0]
        for name in ("status", "code", "headers", "seconds", "what"):
            given = getattr(self, name) is not None
            if given and name not in own:
                takes = f"It takes: {', '.join(own)}." if own else "It takes nothing."
                raise ValueError(f"the kind {self.kind} has no {name}. {takes}")
            if not given and name in own and name in _NEEDED:
                raise ValueError(f"the kind {self.kind} needs {name}")
        if self.status is None:
            self.status = _DEFAULT_STATUS.get(self.kind)
        if self.probability < 1 and self.seed is None:
            self.seed = secrets.randbelow(2**31)  # shown in the list, to have the same again
        return self

    @field_validator("headers")
    @classmethod
    def _can_be_sent(cls, headers: dict[str, str] | None) -> dict[str, str] | None:
        for name, value in (headers or {}).items():
            if not _HEADER_NAME.fullmatch(name) or name.lower() in _FRAMING:
                raise ValueError(f"{name!r} cannot be set")
            if not _HEADER_VALUE.fullmatch(value):
                raise ValueError(f"{value!r} is no value of a header")
        return headers

    def is_endless(self) -> bool:
        """Does it hit every call that fits, for ever?"""
        return self.count is None and self.after == 0 and self.every == 1 and self.probability >= 1


class Pending(Fault):
    """A fault that waits: its number, the calls it saw, and those it hit."""

    id: int
    seen: int = 0
    used: int = 0

    def strikes(self) -> bool:
        """Look at one fitting call and decide."""
        self.seen += 1
        turn = self.seen - self.after
        if turn < 1 or turn % self.every:
            return False
        if self.probability < 1:
            # a draw depends on its number only: a restart does not begin the series anew
            draw = random.Random(f"{self.seed}/{self.seen}").random()  # noqa: S311 — no secret
            return draw < self.probability
        return True

    def shown(self) -> dict[str, Any]:
        """The fields that mean something for its kind; `count` is what is left of it."""
        own = KINDS[self.kind][0]
        names = ("id", "route", "kind", *own, "count", "after", "every", "probability", "seed")
        return {name: getattr(self, name) for name in (*names, "seen", "used")}


_PENDING = TypeAdapter(list[Pending])


class Faults:
    """The faults still to come, kept across restarts; the first that fits a call is used."""

    def __init__(self, database: Database) -> None:
        self._database = database
        row = database.read_one("SELECT value FROM kept WHERE name = 'faults'")
        self.pending = [] if row is None else _PENDING.validate_json(row["value"])

    def take(self, route: str) -> Pending | None:
        """The fault that hits this call."""
        if not self.pending:
            return None
        fitting = [fault for fault in self.pending if fits(fault.route, route)]
        struck = next((fault for fault in fitting if fault.strikes()), None)
        if struck is not None:
            self._use(struck)
        if fitting:
            self._keep()
        return struck

    def add(self, faults: list[Fault], catalogue: Catalogue) -> None:
        """All of them or none; raises ValueError for one that could never be used."""
        draft = list(self.pending)
        for fault in faults:
            _check(fault, draft, catalogue)
            number = max((pending.id for pending in draft), default=0) + 1
            draft.append(Pending(**fault.model_dump(), id=number))
        self.pending = draft
        self._keep()

    def remove(self, number: int) -> bool:
        """False if there is no such fault, or no longer."""
        left = [fault for fault in self.pending if fault.id != number]
        found = len(left) < len(self.pending)
        self.pending = left
        self._keep()
        return found

    def clear(self) -> None:
        self.pending = []
        self._keep()

    def shown(self) -> list[dict[str, Any]]:
        return [fault.shown() for fault in self.pending]

    def _use(self, fault: Pending) -> None:
        fault.used += 1
        if fault.count is not None:
            fault.count -= 1
            if fault.count == 0:
                self.pending.remove(fault)

    def _keep(self) -> None:
        value = orjson.dumps([fault.model_dump() for fault in self.pending])
        self._database.post(lambda connection: keep(connection, "faults", value))


def _check(fault: Fault, earlier: list[Pending], catalogue: Catalogue) -> None:
    matched = catalogue.matching(fault.route)
    if fault.what is not None:
        catalogue.check_misbehaviour(fault.what, fault.route)
    for before in earlier:
        if before.is_endless() and matched <= catalogue.matching(before.route):
            raise ValueError(
                f"{fault.kind} on {fault.route} would never happen: fault {before.id}"
                f" ({before.kind} on {before.route}) takes every call. Remove that one first."
            )
