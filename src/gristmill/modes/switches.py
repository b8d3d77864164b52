"""The SQL of switches: one row for a service that somebody has switched at run time."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Final

from gristmill.contract import ServiceMode
from gristmill.database.engine import Database, Row
from gristmill.modes.rulings import Switch

_TOLD: Final = """
SELECT s.service, s.mode, s.at, s.by, r.reloads
FROM (SELECT count(*) AS reloads FROM reloads) r LEFT JOIN switches s ON true
"""
_SWITCH: Final = """
INSERT INTO switches (service, mode, by) SELECT unnest(%s::text[]), %s, %s
ON CONFLICT (service) DO UPDATE
SET mode = excluded.mode, by = excluded.by, at = clock_timestamp()
"""


@dataclass(frozen=True, slots=True)
class Told:
    """The switches, and how often the processes were asked to read their keys anew."""

    switches: Mapping[str, Switch]
    reloads: int


async def told(database: Database) -> Told:
    """What was switched, in one statement."""
    async with database.connection() as connection:
        rows = await (await connection.execute(_TOLD)).fetchall()
    switches = [_switch(row) for row in rows if row["service"] is not None]
    return Told({each.service: each for each in switches}, rows[0]["reloads"])


def _switch(row: Row) -> Switch:
    at = row["at"].astimezone(UTC)
    return Switch(row["service"], ServiceMode(row["mode"]), at, row["by"])


async def switch(database: Database, services: Iterable[str], mode: ServiceMode, by: str) -> None:
    """Switches services for every process, until they are reset."""
    async with database.connection() as connection:
        await connection.execute(_SWITCH, (list(services), mode, by))


async def reset(database: Database, services: Iterable[str]) -> None:
    """Leaves services to the settings of each process again."""
    async with database.connection() as connection:
        await connection.execute("DELETE FROM switches WHERE service = ANY (%s)", (list(services),))


async def ask_to_reload(database: Database, by: str) -> None:
    """Asks every process to read its keys anew."""
    async with database.connection() as connection:
        await connection.execute("INSERT INTO reloads (by) VALUES (%s)", (by,))
