"""What every vendor's routes share: state, settings, faults, the record of calls, the clock."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gristmill_simulators import calls, settings
from gristmill_simulators.calls import CallLog
from gristmill_simulators.database import Database
from gristmill_simulators.faults import Faults
from gristmill_simulators.latency import Latencies
from gristmill_simulators.settings import SettingsStore


@dataclass
class Activity:
    """Requests in flight and the time of the last one, for a server that ends when idle."""

    last: float = field(default_factory=time.monotonic)
    in_flight: int = 0
    stopping: bool = False


@dataclass
class Simulator:
    """One data folder opened: everything under it belongs to this process alone.

    `clock` gives seconds since 1970; tests move it instead of waiting.
    """

    folder: Path
    database: Database
    clock: Callable[[], float]
    calls: CallLog
    faults: Faults
    settings: SettingsStore
    latencies: Latencies = field(default_factory=lambda: Latencies({}))
    instance: str = field(default_factory=lambda: uuid.uuid4().hex)
    activity: Activity = field(default_factory=Activity)

    @classmethod
    def open(cls, folder: Path, schema: str, clock: Callable[[], float]) -> "Simulator":
        # uploaded documents may be real ones, only the vendors are simulated
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # another schema gets another name and starts empty; simulated state is no treasure
        database = Database(folder / "state-4.sqlite", calls.SCHEMA + settings.SCHEMA + schema)
        return cls(
            folder,
            database,
            clock,
            CallLog(database),
            Faults(database),
            SettingsStore(database),
        )

    async def close(self) -> None:
        await self.calls.flush()
        self.database.close()
