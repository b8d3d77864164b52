"""Faults that a test asks for, and how each one reaches the client."""

from fnmatch import fnmatchcase
from typing import Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from gristmill_simulators.database import Database
from gristmill_simulators.settings import keep


class Fault(BaseModel):
    """One thing that goes wrong on a route, `count` times (None: until removed).

    `route` is a route's name or a pattern (`openai.*`). Kinds:

    - `status`: the vendor's error body for `status` (and `code`), nothing is done;
    - `delay`: `seconds` pass first, then the request is served;
    - `drop_before`: the connection breaks, nothing is done;
    - `drop_after`: the request is done, then the connection breaks without an answer;
    - `broken_json`: done, and the answer is the first half of the body, properly framed;
    - `cut_body`: done, and the connection ends in the middle of the announced body.
    """

    model_config = ConfigDict(extra="forbid")

    route: str
    kind: Literal["status", "delay", "drop_before", "drop_after", "broken_json", "cut_body"]
    count: int | None = Field(default=1, ge=1)
    status: int = Field(default=500, ge=400, le=599)
    code: str | None = None
    seconds: float = Field(default=0.0, ge=0)
    headers: dict[str, str] = Field(default_factory=dict)


_FAULTS = TypeAdapter(list[Fault])


class Faults:
    """The faults still to come, kept across restarts; the first that fits a call is used."""

    def __init__(self, database: Database) -> None:
        self._database = database
        row = database.read_one("SELECT value FROM kept WHERE name = 'faults'")
        self._pending = [] if row is None else _FAULTS.validate_json(row["value"])

    def take(self, route: str) -> Fault | None:
        if not self._pending:
            return None
        for fault in self._pending:
            if fault.route == route or fnmatchcase(route, fault.route):
                self._use(fault)
                return fault
        return None

    def add(self, fault: Fault) -> None:
        self._pending.append(fault)
        self._keep()

    def pending(self) -> list[dict[str, object]]:
        return [fault.model_dump() for fault in self._pending]

    def clear(self) -> None:
        self._pending = []
        self._keep()

    def _use(self, fault: Fault) -> None:
        if fault.count is None:
            return
        fault.count -= 1
        if fault.count == 0:
            self._pending.remove(fault)
        self._keep()

    def _keep(self) -> None:
        value = orjson.dumps(self.pending())
        self._database.post(lambda connection: keep(connection, "faults", value))
