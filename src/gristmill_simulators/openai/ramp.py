"""The traffic ramp: how fast a customer's rate may grow before `slow_down`."""

_FREE_RATE = 1_000_000  # tokens a minute from which on growth is limited
_GROWTH = 1.5  # within _WINDOW minutes
_WINDOW = 15


class Ramp:
    """Tokens admitted in each of the last 30 minutes.

    This minute may carry 1.5 times the busiest minute that is 15 to 30 minutes old, and always
    1.5 times a million (guide "Error codes": at most 50 % more per 15 minutes).
    """

    def __init__(self, minutes: dict[int, int] | None = None) -> None:
        self._minutes = minutes or {}

    def admits(self, tokens: int, now: float) -> bool:
        """Does a request of `tokens` fit into this minute?"""
        minute = int(now // 60)
        return self._minutes.get(minute, 0) + tokens <= self.allowed(now)

    def allowed(self, now: float) -> float:
        """Tokens that this minute may carry."""
        minute = int(now // 60)
        old = range(minute - 2 * _WINDOW, minute - _WINDOW + 1)
        busiest = max((self._minutes.get(each, 0) for each in old), default=0)
        return _GROWTH * max(_FREE_RATE, busiest)

    def add(self, tokens: int, now: float) -> None:
        minute = int(now // 60)
        self._minutes[minute] = self._minutes.get(minute, 0) + tokens
        if len(self._minutes) > 2 * _WINDOW + 1:
            oldest = minute - 2 * _WINDOW
            self._minutes = {m: n for m, n in self._minutes.items() if m >= oldest}

    def dump(self) -> dict[str, int]:
        return {str(minute): tokens for minute, tokens in self._minutes.items()}

    @classmethod
    def load(cls, dumped: dict[str, int]) -> "Ramp":
        return cls({int(minute): tokens for minute, tokens in dumped.items()})
