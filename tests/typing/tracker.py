"""What the type checker must know of money around one's own calls; never run."""

from typing import assert_type

from gristmill import CostTracker, Gristmill, HeldCall, Limit, Settings, Usage
from gristmill.costs.budgets import Balance


async def a_tracker_is_opened_by_settings_by_an_address_or_by_neither(settings: Settings) -> None:
    async with CostTracker.open() as tracker, CostTracker.open(settings) as another:
        assert_type(tracker, CostTracker)
        assert_type(await another.budget(), list[Balance])
    async with CostTracker.open("postgresql://user@host/name") as tracker:
        await tracker.set_limit(Limit("global", "day", 5_000_000_000))


async def a_held_call_says_how_it_ended(mill: Gristmill, usage: Usage) -> None:
    async with mill.tracker.hold(service="openai", usage=usage) as call:
        assert_type(call, HeldCall)
        call.settle(usage)
    assert_type(await mill.tracker.settle("openai", "batch-1", usage), bool)
    assert_type(mill.tracker.price("openai", usage), int)


async def what_does_not_fit_is_an_error(tracker: CostTracker) -> None:
    tracker.hold("openai", Usage("model", "tokens", 1))  # type: ignore[call-arg]
    tracker.hold(service="openai", usage=8000)  # type: ignore[arg-type]
    Usage("model", "tokens", 0.5)  # type: ignore[arg-type]
    Limit("team", "day", 5)  # type: ignore[arg-type]
