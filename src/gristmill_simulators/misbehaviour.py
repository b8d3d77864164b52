"""What only one vendor can do wrong, offered by the vendor and asked for by a fault."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from starlette.requests import Request

from gristmill_simulators.pattern import fits

ASKED = "simulator.misbehaviour"  # scope key


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """One wrong way to answer, for a fault of the kind `vendor` that says `what`.

    `routes` is a route's name or a pattern, `meaning` half a sentence for people. `alter` makes
    the wrong body from the right one of a successful answer. Without it the vendor's own handler
    looks at `asked_of(request)` and does the wrong thing itself.
    """

    name: str
    routes: str
    meaning: str
    alter: Callable[[bytes], bytes] | None = None


def find(offered: Iterable[Misbehaviour], name: str, route: str) -> Misbehaviour | None:
    """The one of that name for that route; a name may mean different things on different routes."""
    return next((one for one in offered if one.name == name and fits(one.routes, route)), None)


def asked_of(request: Request) -> str | None:
    """The name of the misbehaviour that a fault asks for in this call."""
    asked: str | None = request.scope.get(ASKED)
    return asked
