"""Switching services to another mode while everything runs, for every process."""

from collections.abc import Mapping, Sequence

from gristmill.contract import Origin, ServiceMode
from gristmill.errors import InvalidArgument, Misconfigured
from gristmill.modes import switches
from gristmill.modes.current import FRESH_SECONDS
from gristmill.pipeline.runner import SWITCHED
from gristmill.pipeline.store import wake_parked
from gristmill.settings.rules import refusal
from gristmill.settings.values import InvalidSettings, Problem
from gristmill.system import PAID, SERVICES, System
from gristmill.system.places import origin_in


async def switch(system: System, mode: ServiceMode, services: Sequence[str]) -> None:
    """Switches these services, or all, for every process.

    Documents that were parked for the former mode are woken.

    Raises:
        InvalidArgument: there is no such service.
        InvalidSettings: a key or a price is missing for it.
        Misconfigured: this environment does not allow it; or it would spend real money, and nobody
            has said how much that may be.
    """
    chosen = _chosen(services)
    _refuse_here(system, mode)
    now = {name: ruling.mode for name, ruling in (await system.modes.all()).items()}
    then = now | dict.fromkeys(chosen, mode)
    _refuse_unready(system, now, then)
    if any(origin_in(then[name]) is Origin.REAL for name in PAID):
        await system.refuse_boundless(Origin.REAL)
    await switches.switch(system.database, chosen, mode, system.machine)
    await _take_effect(system)


async def reset(system: System, services: Sequence[str]) -> None:
    """Leaves these services, or all, to the settings of each process again.

    Raises:
        InvalidArgument: there is no such service.
    """
    await switches.reset(system.database, _chosen(services))
    await _take_effect(system)


def _refuse_here(system: System, mode: ServiceMode) -> None:
    if (refused := refusal(system.settings, mode)) is not None:
        wrong, right, _ = refused
        raise Misconfigured(f"Nothing was switched to {mode}: {wrong}", advice=f"Right: {right}.")


def _refuse_unready(
    system: System, now: Mapping[str, ServiceMode], then: Mapping[str, ServiceMode]
) -> None:
    """Refuses for what the switch would make wrong, not for what is so already."""
    try:
        system.settings.checked_in(then)
    except InvalidSettings as found:
        new = [each for each in found.problems if each not in _problems(system, now)]
        if new:
            raise InvalidSettings(tuple(new)) from None


def _problems(system: System, modes: Mapping[str, ServiceMode]) -> tuple[Problem, ...]:
    try:
        system.settings.checked_in(modes)
    except InvalidSettings as found:
        return found.problems
    return ()


def _chosen(services: Sequence[str]) -> Sequence[str]:
    if unknown := sorted(set(services) - set(SERVICES)):
        raise InvalidArgument(
            f"There is no service {unknown[0]!r}; there are: {', '.join(SERVICES)}."
        )
    return services or SERVICES


async def _take_effect(system: System) -> None:
    system.modes.forget()
    await system.modes.all()
    # Once every process has seen it: one that has not would put them aside again.
    await wake_parked(system.database, *SWITCHED, after=2 * FRESH_SECONDS)
