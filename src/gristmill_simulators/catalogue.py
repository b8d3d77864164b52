"""The names of the vendors' routes, and what a pattern of names stands for."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from starlette.routing import BaseRoute, Route

from gristmill_simulators.misbehaviour import Misbehaviour
from gristmill_simulators.pattern import fits


@dataclass(frozen=True, slots=True)
class NamedRoute:
    """A route as a fault or a latency names it; `method` is None for whatever is left over."""

    name: str
    vendor: str
    method: str | None
    path: str


class Catalogue:
    """Every route of every vendor, and every misbehaviour that one of them offers."""

    def __init__(
        self,
        routes: Iterable[NamedRoute],
        misbehaviours: Iterable[Misbehaviour],
        units: dict[str, tuple[str, ...]],
    ) -> None:
        self.routes = tuple(routes)
        self.misbehaviours = tuple(misbehaviours)
        self.units = units
        self._names = tuple(dict.fromkeys(route.name for route in self.routes))

    def matching(self, pattern: str, more: Collection[str] = ()) -> set[str]:
        """The names that a pattern stands for; raises ValueError, with advice, if it has none.

        `more` are names that only calls have, such as the deliveries of webhooks.
        """
        found = {name for name in (*self._names, *more) if fits(pattern, name)}
        if not found:
            raise ValueError(f"No route fits {pattern!r}. {self._advice(pattern)}")
        return found

    def check_misbehaviour(self, what: str, pattern: str) -> None:
        """Raises ValueError if no route of the pattern can do it."""
        matched = self.matching(pattern)
        offered = {
            one.name: None
            for one in self.misbehaviours
            if any(fits(one.routes, name) for name in matched)
        }
        if what not in offered:
            known = f"It knows: {', '.join(offered)}." if offered else "It knows none."
            raise ValueError(f"{pattern} knows no misbehaviour {what!r}. {known}")

    def check_units(self, names: Iterable[str], pattern: str) -> None:
        """Raises ValueError if a call of these routes is never counted in one of the units."""
        vendors = {name.partition(".")[0] for name in self.matching(pattern)}
        known = ["megabytes", *(unit for vendor in sorted(vendors) for unit in self.units[vendor])]
        for name in names:
            if name not in known:
                raise ValueError(f"{pattern} has no unit {name!r}. It has: {', '.join(known)}.")

    def described(self) -> dict[str, Any]:
        """As JSON: routes with method and path, misbehaviours, units."""
        return {
            "routes": [
                {"name": one.name, "method": one.method or "any", "path": one.path}
                for one in self.routes
            ],
            "misbehaviours": [
                {"what": one.name, "route": one.routes, "meaning": one.meaning}
                for one in self.misbehaviours
            ],
            "units": {vendor: ["megabytes", *units] for vendor, units in self.units.items()},
        }

    def _advice(self, pattern: str) -> str:
        vendor, _, rest = pattern.partition(".")
        own = [name for name in self._names if name.startswith(f"{vendor}.")]
        # without the vendor, which would make all of its names look near
        near = get_close_matches(rest, [name.partition(".")[2] for name in own], n=1)
        if near:
            return f"Do you mean {vendor}.{near[0]}?"
        return f"There are: {', '.join(own or self._names)}."


def named(vendor: str, mount: str, routes: Iterable[BaseRoute]) -> list[NamedRoute]:
    """The routes of one vendor, with the paths that clients see below `mount`."""
    found = []
    for route in routes:
        if isinstance(route, Route) and (name := getattr(route.endpoint, "name", None)):
            methods = sorted((route.methods or set()) - {"HEAD"} or route.methods or ())
            method = "/".join(methods) or None
            found.append(NamedRoute(name, vendor, method, mount + route.path))
    return found
