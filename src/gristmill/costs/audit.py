"""The books looked over: every balance added up anew from the journal, and the journal's own rules.

Everything is counted in the database, in one look at one moment, however many entries there are;
what arrives here is how often each rule is broken, with a few examples.
"""

from dataclasses import dataclass
from itertools import groupby
from typing import Final

from gristmill.database.engine import Database, Row

EXAMPLES: Final = 5  # of each rule that is broken

_SNAPSHOT: Final = b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"

_SIZE: Final = b"""
SELECT count(*) AS entries, count(*) FILTER (WHERE entry = 'held') AS calls,
       (SELECT count(*) FROM balances) AS balances
FROM journal
"""

# The journal is read once, into sums of a day: each window is made of whole days.
_BALANCES: Final = """
WITH daily AS MATERIALIZED (
    SELECT origin, service, collection, document_id, date_trunc('day', held_at, 'UTC') AS day,
           sum(posted) AS posted, sum(held) AS held
    FROM journal GROUP BY 1, 2, 3, 4, 5
), kinds AS (
    SELECT DISTINCT origin, scope, period FROM limits
), folded AS (
    SELECT origin, scope, period, key, starts_at,
           sum(posted)::bigint AS posted, sum(held)::bigint AS held
    FROM kinds JOIN daily USING (origin)
    CROSS JOIN LATERAL (SELECT
        CASE scope WHEN 'global' THEN '' WHEN 'service' THEN service
                   WHEN 'collection' THEN collection ELSE document_id END,
        CASE period WHEN 'total' THEN '-infinity' ELSE date_trunc(period, day, 'UTC') END
    ) window_of (key, starts_at)
    GROUP BY 1, 2, 3, 4, 5
)
SELECT rule, what, says, journal
FROM balances b JOIN limits l ON l.id = b.limit_id
LEFT JOIN folded f ON (f.origin, f.scope, f.period, f.key, f.starts_at)
    = (l.origin, l.scope, l.period, b.key, b.starts_at)
CROSS JOIN LATERAL (SELECT concat(
    l.scope, '=' || nullif(b.key, ''), '/', l.period,
    to_char(nullif(b.starts_at, '-infinity') AT TIME ZONE 'UTC', '" of "YYYY-MM-DD'),
    ', ', l.origin)) named (what)
CROSS JOIN LATERAL (VALUES
    ('What a balance says is spent is not what the journal adds up to',
     b.posted, coalesce(f.posted, 0)),
    ('What a balance says is held is not what the journal adds up to',
     b.held, coalesce(f.held, 0)),
    ('The overrun of a balance is not by how much it passes its limit',
     b.overrun, greatest(0, b.posted + b.held - b.nano_dollars)),
    ('A balance is kept for another limit than the one that was set',
     b.nano_dollars, l.nano_dollars)) v (rule, says, journal)
WHERE says IS DISTINCT FROM journal
"""

# There is one entry of each kind at most for a call, by a constraint.
_CALLS: Final = """
WITH entries AS (
    SELECT call_id, concat_ws(' ', min(service), min(operation), call_id) AS what,
        count(*) FILTER (WHERE entry = 'held') AS begun,
        count(*) FILTER (WHERE entry IN ('posted', 'released', 'assumed')) AS ended,
        count(*) FILTER (WHERE entry = 'assumed') AS assumed,
        count(*) FILTER (WHERE entry = 'corrected') AS corrected,
        sum(held)::bigint AS held, sum(posted)::bigint AS posted,
        coalesce(max(nano_dollars) FILTER (WHERE entry = 'corrected'),
                 max(nano_dollars) FILTER (WHERE entry IN ('posted', 'released', 'assumed')),
                 max(nano_dollars) FILTER (WHERE entry = 'held')) AS last,
        min(held_at) <> max(held_at) OR min(service) <> max(service)
            OR min(origin) <> max(origin) OR min(endpoint) <> max(endpoint)
            OR min(coalesce(collection, '')) <> max(coalesce(collection, ''))
            OR min(coalesce(document_id, '')) <> max(coalesce(document_id, '')) AS is_mixed
    FROM journal GROUP BY call_id
)
SELECT rule, coalesce(what, call_id::text) AS what, says, journal
FROM entries e FULL JOIN holds h USING (call_id)
CROSS JOIN LATERAL (VALUES
    ('A call does not begin with one hold', coalesce(begun, 0) <> 1, NULL, NULL),
    ('A call has ended more than once', ended > 1, NULL, NULL),
    ('A call was corrected that nobody had assumed', corrected > assumed, NULL, NULL),
    ('A call that has ended is still held, or one that has not is held no more',
     (ended > 0) = (h.call_id IS NOT NULL), h.nano_dollars, held),
    ('What is held for a call is not what the journal adds up to',
     coalesce(h.nano_dollars, 0) <> held, coalesce(h.nano_dollars, 0), held),
    ('The last word on a call is not what its entries add up to',
     last <> posted + held, last, posted + held),
    ('The entries of a call are not about the same call', is_mixed, NULL, NULL)
) v (rule, is_broken, says, journal)
WHERE is_broken
"""

_COUNTED: Final = """
SELECT rule, what, says, journal, number FROM (
    SELECT *, count(*) OVER (PARTITION BY rule) AS number,
           row_number() OVER (PARTITION BY rule ORDER BY what) AS place
    FROM ({breaches}) broken) counted
WHERE place <= %s ORDER BY rule, what
"""


@dataclass(frozen=True, slots=True)
class Example:
    """Where a rule is broken: a balance by its name, or a call by its id.

    `says` is the amount that is kept there, in nano-dollars, and `journal` the one that the entries
    of the journal add up to; None where the rule is about no amount.
    """

    what: str
    says: int | None = None
    journal: int | None = None


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule, how often it is broken, and `EXAMPLES` of that at most."""

    rule: str
    number: int
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Audit:
    """What was looked at, and where it contradicts itself."""

    entries: int
    calls: int
    balances: int
    breaches: tuple[Breach, ...]


async def audit(database: Database) -> Audit:
    """Looks the whole journal, all holds and all balances over; others may go on meanwhile.

    Raises:
        DatabaseUnavailable: the database cannot be reached.
    """
    broken: list[Row] = []
    async with database.transaction() as connection:
        await connection.execute(_SNAPSHOT)
        size = await (await connection.execute(_SIZE)).fetchone()
        for breaches in (_CALLS, _BALANCES):
            query = _COUNTED.format(breaches=breaches).encode()
            broken += await (await connection.execute(query, (EXAMPLES,))).fetchall()
    return Audit(**(size or {}), breaches=tuple(_breaches(broken)))


def _breaches(rows: list[Row]) -> list[Breach]:
    found = []
    for rule, group in groupby(rows, key=lambda row: row["rule"]):
        examples = list(group)
        told = (Example(row["what"], row["says"], row["journal"]) for row in examples)
        found.append(Breach(rule, examples[0]["number"], tuple(told)))
    return found
