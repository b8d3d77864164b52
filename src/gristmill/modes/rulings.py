"""What decides the mode of a service. Pure.

A switch, kept in the database, wins over the settings of every process until it is reset. What this
environment does not allow is refused, and never quietly replaced by something else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from gristmill.contract import ServiceMode


@dataclass(frozen=True, slots=True)
class Switch:
    """Somebody has switched a service at run time; `by` is a machine's name."""

    service: str
    mode: ServiceMode
    at: datetime
    by: str


@dataclass(frozen=True, slots=True)
class Configured:
    """What the settings of this process say, and which of them; `is_given` if somebody set it."""

    service: str
    mode: ServiceMode
    setting: str
    is_given: bool


@dataclass(frozen=True, slots=True)
class Ruling:
    """The mode of a service, what decided it, and what that set aside.

    `refused` says why it may not be used in this environment; '' if it may.
    """

    service: str
    mode: ServiceMode
    reason: str
    set_aside: str = ""
    switched_at: datetime | None = None
    refused: str = ""


def rule(
    configured: Configured, switch: Switch | None, refusal: Callable[[ServiceMode], str]
) -> Ruling:
    """The mode that holds; `refusal` says what is wrong with one here, or ''."""
    service = configured.service
    if switch is None:
        default = "" if configured.is_given else "the default of "
        reason = f"{default}{configured.setting} is {configured.mode}"
        return Ruling(service, configured.mode, reason, refused=refusal(configured.mode))
    return Ruling(
        service,
        switch.mode,
        f"switched to {switch.mode} by {switch.by} at {switch.at:%Y-%m-%d %H:%M} UTC",
        _set_aside(configured, switch),
        switch.at,
        refusal(switch.mode),
    )


def _set_aside(configured: Configured, switch: Switch) -> str:
    if not configured.is_given or configured.mode is switch.mode:
        return ""
    return f"{configured.setting}={configured.mode}"
