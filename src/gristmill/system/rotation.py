"""Keys that are replaced while everything runs: read anew, and used from the next call on."""

from contextlib import suppress
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from gristmill.contract import ServiceMode
from gristmill.errors import DatabaseUnavailable, GristmillError, Unauthorized
from gristmill.settings import reloading
from gristmill.settings.reloading import Reloaded
from gristmill.telemetry.logging import get_logger

if TYPE_CHECKING:
    from gristmill.system.root import System

log = get_logger(__name__)

running: Final["WeakSet[System]"] = WeakSet()  # in this process, for whoever is sent a signal


async def reload(system: "System") -> Reloaded:
    """Takes the keys over as they are where the settings were read, and says what is different.

    Calls under way finish with the keys that they began with. Documents that wait for a key to be
    mended are woken.

    Raises:
        InvalidSettings: what is there by now is wrong; everything stays as it is.
        Misconfigured: a program gave the settings, and they cannot be read again.
    """
    await system.modes.all()
    return await _reload(system)


async def _reload(system: "System") -> Reloaded:
    found = reloading.reload(system.settings)
    if lost := _lost(system, found):
        found.settings.checked_in(lost)
    system.take_keys(found.settings)
    log.info("keys.reloaded", rotated=list(found.rotated))
    if found.restart:
        log.warning("settings.need_restart", settings=list(found.restart))
    if found.rotated:
        await _wake(system)
    return found


def _lost(system: "System", found: Reloaded) -> dict[str, ServiceMode]:
    """The services that are switched to a mode which needs the key that is gone, and that mode."""
    modes = {name: system.modes.known(name).mode for name in found.rotated}
    gone = [name for name in modes if getattr(found.settings, reloading.KEYS[name]) is None]
    return {name: modes[name] for name in gone if modes[name] is not ServiceMode.MOCK}


async def reload_or_tell(system: "System") -> None:
    """The same for whoever has just looked at the modes, and cannot be told but by the log."""
    try:
        await _reload(system)
    except GristmillError as error:
        log.error("keys.kept", why=str(error), advice=error.advice)  # noqa: TRY400 — no mistake of ours


async def ask_everybody(system: "System") -> None:
    """Has every process on the database do so with its next call."""
    from gristmill.modes.switches import ask_to_reload

    await ask_to_reload(system.database, system.machine)
    await _wake(system)


async def _wake(system: "System") -> None:
    from gristmill.pipeline.store import wake_parked

    with suppress(DatabaseUnavailable):  # they look again by themselves
        await wake_parked(system.database, Unauthorized.__name__)
