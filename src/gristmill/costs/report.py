"""What was spent, and on what. Money of different origins is never added up."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, get_args

from gristmill.contract import Origin
from gristmill.database.engine import Connection, Database
from gristmill.errors import InvalidArgument

Grouping = Literal["service", "day", "document", "collection", "model"]
Since = datetime | timedelta  # a moment, or how long ago by the database's clock

_KEYS: Final[dict[str, str]] = {
    "service": "j.service",
    "day": "to_char(j.held_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
    "document": "j.document_id",
    "collection": "j.collection",
    "model": "h.product",
}

# A bill may be in other units than the call was asked for: credits for pages.
_ASKED: Final = "JOIN journal h ON h.call_id = j.call_id AND h.entry = 'held'"

# What is assumed is posted, and taken back by what corrects it.
_REPORT: Final = """
SELECT name, d.source AS title, origin, calls, posted - assumed AS spent, held + assumed AS assumed
FROM (
    SELECT {key} AS name, j.origin,
        count(*) FILTER (WHERE j.entry = 'held') - count(*) FILTER (WHERE j.entry = 'released')
            AS calls,
        sum(j.posted)::bigint AS posted, sum(j.held)::bigint AS held,
        coalesce(sum(CASE j.entry WHEN 'assumed' THEN j.posted
                     WHEN 'corrected' THEN j.posted - j.nano_dollars END), 0)::bigint AS assumed
    FROM journal j {asked}
    WHERE %(since)s::timestamptz IS NULL OR j.held_at >= %(since)s
    GROUP BY name, j.origin) grouped
LEFT JOIN documents d ON %(by)s = 'document' AND d.id = name
ORDER BY name NULLS LAST, origin
"""


@dataclass(frozen=True, slots=True)
class CostLine:
    """Money of one origin spent on one thing, in nano-dollars.

    `spent` is what vendors billed, `assumed` the bound of calls whose bill is not known: under
    way, billed later, or without an answer. `calls` leaves out those that never took effect.
    `name` is None where a call belongs to none, such as the embedding of a question; `title` is
    the source of a document that is still there.
    """

    name: str | None
    origin: Origin
    calls: int
    spent: int
    assumed: int
    title: str | None = None


@dataclass(frozen=True, slots=True)
class CostReport:
    """Lines in the order of their names (days: UTC), and a total for each origin.

    `since` is when the first of these calls may have been made, None if it is all of them.
    """

    by: Grouping
    lines: tuple[CostLine, ...]
    totals: tuple[CostLine, ...]
    since: datetime | None = None


async def report(
    database: Database, by: Grouping = "service", *, since: Since | None = None
) -> CostReport:
    """Adds up the journal, or what of it was held since then.

    Raises:
        InvalidArgument: costs cannot be grouped like that, or the moment has no time zone.
        DatabaseUnavailable: the database cannot be reached.
    """
    if by not in _KEYS:
        raise InvalidArgument(
            f"Costs are grouped by {', '.join(get_args(Grouping))}; not by {by!r}."
        )
    query = _REPORT.format(key=_KEYS[by], asked=_ASKED if by == "model" else "")
    async with database.connection() as connection:
        moment = await _moment(connection, since)
        cursor = await connection.execute(query.encode(), {"by": by, "since": moment})
        rows = await cursor.fetchall()
    lines = tuple(CostLine(**{**row, "origin": Origin(row["origin"])}) for row in rows)
    origins = sorted({line.origin for line in lines})
    return CostReport(by, lines, tuple(_total(lines, origin) for origin in origins), moment)


async def _moment(connection: Connection, since: Since | None) -> datetime | None:
    if isinstance(since, timedelta):
        cursor = await connection.execute("SELECT clock_timestamp() - %s AS moment", (since,))
        row = await cursor.fetchone()
        return None if row is None else row["moment"]
    if since is not None and since.tzinfo is None:
        raise InvalidArgument("A moment without a time zone may be any of a day's.")
    return since


def _total(lines: tuple[CostLine, ...], origin: Origin) -> CostLine:
    own = [line for line in lines if line.origin is origin]
    return CostLine(
        name=None,
        origin=origin,
        calls=sum(line.calls for line in own),
        spent=sum(line.spent for line in own),
        assumed=sum(line.assumed for line in own),
    )
