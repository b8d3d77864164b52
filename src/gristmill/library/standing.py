"""How it stands with the services and their limits, in all processes together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from gristmill.contract import Origin, Status
from gristmill.costs.budgets import room
from gristmill.health import snapshots
from gristmill.health.heard import Live
from gristmill.health.report import ServiceReport
from gristmill.library.modes import ModeReport, modes
from gristmill.quotas.report import RateLimitUse, rate_limits, unused
from gristmill.system import PAID, SERVICES, SIMULATOR, System

Asking = Literal["now", "seldom", "never"]


async def health(system: System, ask: Asking) -> dict[str, ServiceReport]:
    """How each service does. `never` starts nothing, no simulator either."""
    return _in_their_modes(await modes(system), await _told(system, ask))


async def _told(system: System, ask: Asking) -> dict[str, ServiceReport]:
    if ask == "now":
        return await _with_what_is_left(system, await (await system.monitor()).ask())
    if ask == "seldom":
        await (await system.monitor()).keep_asking()
    known = await snapshots.known(system.database, places(system))
    return await _with_what_is_left(system, known)


def _in_their_modes(
    modes: Mapping[str, ModeReport], reports: Mapping[str, ServiceReport]
) -> dict[str, ServiceReport]:
    """With the reason why each is asked there; one that may not be asked here is not set up."""
    found = {}
    for service, report in reports.items():
        mode = modes[service]
        facts: dict[str, Any] = {"mode": mode.mode.value, "mode_reason": mode.explanation}
        if mode.refused:
            facts |= {"status": Status.UNCONFIGURED, "reason": f"{mode.reason}. {mode.refused}"}
        found[service] = replace(report, stands_in=mode.stands_in, **facts)
    return found


@dataclass(frozen=True, slots=True)
class CallsAtOnce:
    """How many calls to a service may be under way, in all processes, and how many wait for that.

    It grows while calls go well, and is halved when they do not; a service that tells its limits in
    its answers has no such bound.
    """

    service: str
    endpoint: str
    at_once: int
    waiting: int


@dataclass(frozen=True, slots=True)
class QuotaReport:
    """The rate limits of the services where they are used now, and how many calls go at once.

    Of the services in `unlimited` no limit is set or told.
    """

    rate_limits: tuple[RateLimitUse, ...]
    at_once: tuple[CallsAtOnce, ...]
    unlimited: tuple[str, ...]


async def quotas(system: System) -> QuotaReport:
    """Every limit, with the calls that wait for it."""
    together = await snapshots.told(system.database)
    live = {key: each.live for key, each in together.items()}
    uses = [
        replace(use, waiting=_turns(live.get((use.service, use.endpoint), ()), use.pool))
        for use in await _uses(system)
    ]
    at_once = [
        CallsAtOnce(*place, sum(each.at_once or 0 for each in bound), sum(e.queued for e in bound))
        for place in places(system).items()
        if (bound := [each for each in live.get(place, ()) if each.at_once is not None])
    ]
    unlimited = tuple(name for name in SERVICES if all(use.service != name for use in uses))
    return QuotaReport(tuple(uses), tuple(at_once), unlimited)


def _turns(live: Sequence[Live], pool: str) -> int:
    return sum(each.turns.get(pool, 0) for each in live)


async def _uses(system: System) -> list[RateLimitUse]:
    every = await rate_limits(system.database, burst=system.settings.rate_burst_seconds)
    found = []
    for service, endpoint in places(system).items():
        in_force = [use for use in every if (use.service, use.endpoint) == (service, endpoint)]
        found += in_force or [
            unused(service, endpoint, limit)
            for limit in system.settings.rates_of(service, is_real=endpoint != SIMULATOR)
        ]
    return found


async def _with_what_is_left(
    system: System, reports: Mapping[str, ServiceReport]
) -> dict[str, ServiceReport]:
    uses, found = await _uses(system), {}
    for service, report in reports.items():
        shares = [use.share for use in uses if use.service == service]
        quota_left = max(0.0, 1 - max(shares)) if shares else None
        budget_left = await _budget_left(system, service) if service in PAID else None
        found[service] = replace(report, quota_left=quota_left, budget_left=budget_left)
    return found


async def _budget_left(system: System, service: str) -> int | None:
    origin = Origin.SIMULATED if system.endpoint_of(service) == SIMULATOR else Origin.REAL
    balances = await room(system.database, origin, [("global", ""), ("service", service)])
    return min((each.left for each in balances if each.left is not None), default=None)


def places(system: System) -> dict[str, str]:
    """The endpoint where each service is used now."""
    return {service: system.endpoint_of(service) for service in SERVICES}
