"""How the simulators behave: what a test or a demonstration may turn at run time."""

import sqlite3
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from gristmill_simulators.database import Database
from gristmill_simulators.latency import Latency
from gristmill_simulators.llamacloud.switches import Switches as LlamaCloudSwitches
from gristmill_simulators.openai.switches import Switches as OpenAISwitches
from gristmill_simulators.supabase_storage.switches import Switches as SupabaseSwitches

SCHEMA = "CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, value BLOB NOT NULL);"

_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Tier = Annotated[
    Literal["free", "1", "2", "3", "4", "5"],
    BeforeValidator(lambda given: str(given) if isinstance(given, int) else given),
]
_Burst = Annotated[float, Field(gt=0, le=60)]


class Transition(BaseModel):
    """When a finished parse shows: at once, after `value` looks at it, or after `value` seconds.

    `per_page` more seconds for each page are counted from the submission as well.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["at_once", "polls", "seconds"] = Field(
        default="at_once", description="what a parse waits for before it shows as finished"
    )
    value: float = Field(default=0, ge=0, description="how many looks, or how many seconds")
    per_page: float = Field(
        default=0, ge=0, description="with `seconds`: so many more for each page of the result"
    )


class Quotas(BaseModel):
    """Limits in the vendor's units; None leaves OpenAI to its tier and LlamaCloud unlimited.

    `burst_seconds` is how much of a quota may be used in one go: 60 is the bucket of a whole
    minute that was recorded, less is the shorter slices the vendor's documentation warns of.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    openai_tier: _Tier = Field(
        default="5", description="usage tier, for the limits that are not set here"
    )
    openai_requests_per_minute: _Rate | None = Field(
        default=None, description="per model; null: the tier's"
    )
    openai_requests_per_day: _Rate | None = Field(
        default=None, description="per model; null: the tier's"
    )
    openai_tokens_per_minute: _Rate | None = Field(
        default=None, description="per model, estimated from bytes; null: the tier's"
    )
    openai_burst_seconds: _Burst = Field(
        default=60, description="part of a minute's quota that may be used in one go, in seconds"
    )
    openai_retry_after: bool = Field(
        default=True, description="whether a 429 has a `retry-after` header"
    )
    llamacloud_requests_per_minute: _Rate | None = Field(
        default=None, description="all routes together; null: no limit (the free plan has 20)"
    )
    llamacloud_burst_seconds: _Burst = Field(
        default=60, description="part of a minute's quota that may be used in one go, in seconds"
    )


class Settings(BaseModel):
    """Everything `POST /_simulator/settings` may change; what is not named stays as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    transition: Transition = Transition()
    billing_delay_seconds: _Seconds = Field(
        default=0.0, description="seconds after a parse until LlamaCloud shows its credits"
    )
    parse_timeout_seconds: float = Field(
        default=120, gt=0, description="seconds after which a parse fails as timed out"
    )
    record_headers: bool = Field(
        default=False, description="whether recorded calls have their headers, secrets masked"
    )
    allow_foreign_pages: bool = Field(
        default=False,
        description="whether web pages of other hosts, and names that are not this machine's, are"
        " answered: any page in a browser could then read and steer everything",
    )
    quotas: Quotas = Quotas()
    latency: dict[str, Latency] = Field(
        default_factory=dict,
        description="by vendor, route or pattern: seconds or a model; null removes an entry",
    )
    openai: OpenAISwitches = OpenAISwitches()
    llamacloud: LlamaCloudSwitches = LlamaCloudSwitches()
    supabase: SupabaseSwitches = SupabaseSwitches()


class SettingsStore:
    """The current settings, kept across restarts."""

    def __init__(self, database: Database) -> None:
        self._database = database
        row = database.read_one("SELECT value FROM kept WHERE name = 'settings'")
        self.current = Settings() if row is None else Settings.model_validate_json(row["value"])

    def merged(self, changes: Mapping[str, Any]) -> Settings:
        """The settings with `changes` one level deep; raises pydantic's ValidationError."""
        merged = self.current.model_dump()
        for name, value in changes.items():
            # a transition is replaced whole: a kind without its value would keep the old one
            nested = name != "transition" and isinstance(value, Mapping)
            merged[name] = {**_mapping(merged.get(name)), **value} if nested else value
        if isinstance(latency := merged["latency"], Mapping):
            merged["latency"] = {name: one for name, one in latency.items() if one is not None}
        return Settings.model_validate(merged)

    async def keep(self, settings: Settings) -> Settings:
        """Use these from now on, restarts included."""
        value = settings.model_dump_json().encode()
        await self._database.write(lambda connection: keep(connection, "settings", value))
        self.current = settings
        return settings

    async def reset(self) -> Settings:
        return await self.keep(Settings())


def keep(connection: sqlite3.Connection, name: str, value: object) -> None:
    """Store one named value; anything but bytes becomes JSON."""
    blob = value if isinstance(value, bytes) else orjson.dumps(value)
    connection.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (name, blob))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
