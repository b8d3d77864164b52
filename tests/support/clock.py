"""Time that passes only when somebody sleeps: one clock for a process and for its database."""

from datetime import UTC, datetime, timedelta

from money import SetClock

BEGIN = datetime(2026, 3, 31, 12, tzinfo=UTC)


class Time:
    """`clock` and `sleep` for whatever takes them; each sleep lasts `late` seconds longer.

    `meanwhile` is awaited once, in the middle of the next sleep.
    """

    def __init__(self, database: SetClock) -> None:
        self.database = database
        self.passed = 0.0
        self.late = 0.0
        self.meanwhile = None

    def clock(self) -> float:
        return self.passed

    async def sleep(self, seconds: float) -> None:
        if (task := self.meanwhile) is not None:
            self.meanwhile = None
            await self.go(seconds / 2)
            await task()
            seconds /= 2
        await self.go(seconds + self.late)

    async def go(self, seconds: float) -> None:
        self.passed += seconds
        await self.database.set(BEGIN + timedelta(seconds=self.passed))
