"""What a customer may spend: monthly limits, the tier's cap, and the credit paid in advance."""

from datetime import UTC, datetime

from gristmill_simulators.database import Database
from gristmill_simulators.openai import state
from gristmill_simulators.openai.errors import known
from gristmill_simulators.openai.switches import Switches
from gristmill_simulators.openai.tiers import TIERS
from gristmill_simulators.settings import Settings


def check(database: Database, settings: Settings, now: float) -> None:
    """Raises OpenAIError (429, type `insufficient_quota`) when a limit is reached.

    A request is let through while anything is left, so that spending overshoots by the requests
    in flight, and by all of `spend_lag_seconds`.
    """
    switches = settings.openai
    until = now - switches.spend_lag_seconds
    for code, dollars in _monthly(settings).items():
        if state.spent(database, _month(now), until) >= dollars * 1e9:
            raise known(code)
    if switches.credit is not None and state.spent(database, 0, until) >= switches.credit * 1e9:
        raise known(switches.no_credit_code)


def limited(switches: Switches) -> bool:
    """Is there anything to check?"""
    limits = (switches.organization_spend_limit, switches.project_spend_limit, switches.credit)
    return switches.enforce_usage_limit or any(limit is not None for limit in limits)


def _monthly(settings: Settings) -> dict[str, float]:
    switches = settings.openai
    cap = TIERS[settings.quotas.openai_tier].monthly_dollars
    limits = {
        "project_spend_limit_exceeded": switches.project_spend_limit,
        "organization_spend_limit_exceeded": switches.organization_spend_limit,
        "organization_usage_limit_exceeded": cap if switches.enforce_usage_limit else None,
    }
    return {code: dollars for code, dollars in limits.items() if dollars is not None}


def _month(now: float) -> float:
    today = datetime.fromtimestamp(now, UTC)
    return today.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()
