"""What was spent, and on what. Money of different origins is never added up."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

from gristmill.contract import Origin
from gristmill.database.engine import Database
from gristmill.errors import InvalidArgument

Grouping = Literal["service", "day", "document", "collection"]

_KEYS: Final[dict[str, str]] = {
    "service": "service",
    "day": "to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
    "document": "document_id",
    "collection": "collection",
}

_REPORT: Final = """
SELECT name, origin,
       count(*) FILTER (WHERE state <> 'released') AS calls,
       coalesce(sum(nano_dollars) FILTER (WHERE state IN ('posted', 'corrected')), 0)::bigint
           AS spent,
       coalesce(sum(nano_dollars) FILTER (WHERE state IN ('held', 'open', 'assumed')), 0)
           ::bigint AS assumed
FROM (SELECT {key} AS name, origin, state, nano_dollars FROM calls) named
GROUP BY name, origin
ORDER BY name NULLS LAST, origin
"""


@dataclass(frozen=True, slots=True)
class CostLine:
    """Money of one origin spent on one thing, in nano-dollars.

    `spent` is what vendors billed, `assumed` the bound of calls whose bill is not known: under
    way, billed later, or without an answer. `calls` leaves out those that never took effect.
    `name` is None where a call belongs to none, such as the embedding of a question.
    """

    name: str | None
    origin: Origin
    calls: int
    spent: int
    assumed: int


@dataclass(frozen=True, slots=True)
class CostReport:
    """Lines in the order of their names (days: UTC), and a total for each origin."""

    by: Grouping
    lines: tuple[CostLine, ...]
    totals: tuple[CostLine, ...]


async def report(database: Database, by: Grouping = "service") -> CostReport:
    """Adds up the whole journal.

    Raises:
        InvalidArgument: costs cannot be grouped like that.
        DatabaseUnavailable: the database cannot be reached.
    """
    if by not in _KEYS:
        raise InvalidArgument(
            f"Costs are grouped by {', '.join(get_args(Grouping))}; not by {by!r}."
        )
    async with database.connection() as connection:
        cursor = await connection.execute(_REPORT.format(key=_KEYS[by]).encode())
        rows = await cursor.fetchall()
    lines = tuple(CostLine(**{**row, "origin": Origin(row["origin"])}) for row in rows)
    origins = sorted({line.origin for line in lines})
    return CostReport(by, lines, tuple(_total(lines, origin) for origin in origins))


def _total(lines: tuple[CostLine, ...], origin: Origin) -> CostLine:
    own = [line for line in lines if line.origin is origin]
    return CostLine(
        name=None,
        origin=origin,
        calls=sum(line.calls for line in own),
        spent=sum(line.spent for line in own),
        assumed=sum(line.assumed for line in own),
    )
