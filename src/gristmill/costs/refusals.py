"""What the ledger answers when a hold does not fit, as an error that says what to do."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from gristmill.amounts import dollars
from gristmill.errors import BudgetExceeded

HELD_SECONDS: Final = 5.0  # what is only held comes free when the calls under way end

_PERIOD_NAMES: Final[Mapping[str, str]] = {"day": "daily", "month": "monthly", "total": "total"}


def exceeded(tight: Mapping[str, Any]) -> BudgetExceeded:
    """The refusal by the balance that a hold does not fit, as `keep_ledger` tells it."""
    retry_after, advice = _what_helps(tight)
    end = tight["ends_at"]
    return BudgetExceeded(
        _told(tight),
        scope=tight["scope"],
        key=tight["key"],
        period=tight["period"],
        limit=tight["nano_dollars"],
        spent=tight["posted"],
        held=tight["held"],
        asked=tight["asked"],
        window_end=None if end is None else datetime.fromtimestamp(end, UTC),
        retry_after=retry_after,
        advice=advice,
    )


def _told(tight: Mapping[str, Any]) -> str:
    limit, spent, held, asked = (
        dollars(tight[name]) for name in ("nano_dollars", "posted", "held", "asked")
    )
    whose = "" if tight["scope"] == "global" else f" of the {tight['scope']} {tight['key']}"
    return (
        f"The {_PERIOD_NAMES[tight['period']]} limit{whose} is {limit}: {spent} is spent, {held} is"
        f" held for calls under way, and this call may cost up to {asked}."
    )


def _what_helps(tight: Mapping[str, Any]) -> tuple[float | None, str]:
    """In how many seconds it may fit, None where only a higher limit helps; and the advice."""
    limit, asked, seconds = tight["nano_dollars"], tight["asked"], tight["seconds_left"]
    if asked > limit:
        return None, f"It waits for a limit of {dollars(asked)} or more: gristmill budget set."
    if tight["posted"] + asked <= limit:
        return HELD_SECONDS, "It goes on by itself when calls under way cost less than is held."
    if seconds is None:
        return None, "It goes on when the limit is raised: gristmill budget set --help."
    return max(0.0, float(seconds)), (
        "It goes on by itself when the limit begins anew, or is raised: gristmill budget set."
    )
