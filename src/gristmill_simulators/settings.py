"""How the simulators behave: what a test or a demonstration may turn at run time."""

import sqlite3
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from gristmill_simulators.database import Database
from gristmill_simulators.llamacloud.switches import Switches as LlamaCloudSwitches
from gristmill_simulators.openai.switches import Switches as OpenAISwitches
from gristmill_simulators.supabase_storage.switches import Switches as SupabaseSwitches

SCHEMA = "CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, value BLOB NOT NULL);"

_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Transition(BaseModel):
    """When a finished parse shows: at once, after `value` looks at it, or after `value` seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["at_once", "polls", "seconds"] = "at_once"
    value: float = Field(default=0, ge=0)


class Quotas(BaseModel):
    """Limits in the vendor's units; None leaves OpenAI to its tier and LlamaCloud unlimited.

    `burst_seconds` is how much of a quota may be used in one go: 60 is the bucket of a whole
    minute that was recorded, less is the shorter slices the vendor's documentation warns of.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    openai_tier: Literal["free", "1", "2", "3", "4", "5"] = "5"
    openai_requests_per_minute: _Rate | None = None
    openai_requests_per_day: _Rate | None = None
    openai_tokens_per_minute: _Rate | None = None
    openai_burst_seconds: float = Field(default=60, gt=0, le=60)
    openai_retry_after: bool = True
    llamacloud_requests_per_minute: _Rate | None = None
    llamacloud_burst_seconds: float = Field(default=60, gt=0, le=60)


class Latency(BaseModel):
    """Seconds added to every answer of a vendor."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    llamacloud: _Seconds = 0.0
    openai: _Seconds = 0.0
    supabase: _Seconds = 0.0


class Settings(BaseModel):
    """Everything `POST /_simulator/settings` may change; what is not named stays as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    transition: Transition = Transition()
    billing_delay_seconds: _Seconds = 0.0
    parse_timeout_seconds: float = Field(default=120, gt=0)
    quotas: Quotas = Quotas()
    latency: Latency = Latency()
    openai: OpenAISwitches = OpenAISwitches()
    llamacloud: LlamaCloudSwitches = LlamaCloudSwitches()
    supabase: SupabaseSwitches = SupabaseSwitches()


class SettingsStore:
    """The current settings, kept across restarts."""

    def __init__(self, database: Database) -> None:
        self._database = database
        row = database.read_one("SELECT value FROM kept WHERE name = 'settings'")
        self.current = Settings() if row is None else Settings.model_validate_json(row["value"])

    async def change(self, changes: Mapping[str, Any]) -> Settings:
        """Merge `changes` one level deep; raises pydantic's ValidationError."""
        merged = self.current.model_dump()
        for name, value in changes.items():
            # a transition is replaced whole: a kind without its value would keep the old one
            nested = name != "transition" and isinstance(value, Mapping)
            merged[name] = {**merged.get(name, {}), **value} if nested else value
        return await self._keep(Settings.model_validate(merged))

    async def reset(self) -> Settings:
        return await self._keep(Settings())

    async def _keep(self, settings: Settings) -> Settings:
        value = settings.model_dump_json().encode()
        await self._database.write(lambda connection: keep(connection, "settings", value))
        self.current = settings
        return settings


def keep(connection: sqlite3.Connection, name: str, value: object) -> None:
    """Store one named value; anything but bytes becomes JSON."""
    blob = value if isinstance(value, bytes) else orjson.dumps(value)
    connection.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (name, blob))
