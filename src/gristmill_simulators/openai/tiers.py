"""The usage tiers; the same numbers for all three embedding models (vendor's model page, 2026)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tier:
    """Requests a minute and a day, tokens a minute and in the batch queue, dollars a month."""

    requests: float
    requests_a_day: float | None
    tokens: float
    queued_tokens: int
    monthly_dollars: float


TIERS = {
    "free": Tier(100, 2_000, 40_000, 0, 100),
    "1": Tier(3_000, None, 1_000_000, 3_000_000, 100),
    "2": Tier(5_000, None, 1_000_000, 20_000_000, 500),
    "3": Tier(5_000, None, 5_000_000, 100_000_000, 1_000),
    "4": Tier(10_000, None, 5_000_000, 500_000_000, 5_000),
    "5": Tier(10_000, None, 10_000_000, 4_000_000_000, 200_000),
}
