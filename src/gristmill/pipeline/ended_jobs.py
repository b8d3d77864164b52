"""The SQL of the parser's jobs that are over: each until its bill is known and it is removed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gristmill.database.engine import Connection, Database
from gristmill.pipeline.store import Change

# `kept` and `continued` are the changes of a step that end a job; see `parses`.
_ADD: Final = """
INSERT INTO ended_jobs (endpoint, job_id, file_id, is_billed)
SELECT endpoint, job_id, CASE WHEN %(keeps_file)s THEN NULL ELSE file_id END, %(is_billed)s
FROM {ended} WHERE job_id IS NOT NULL
ON CONFLICT DO NOTHING
"""

_ADD_PARSES: Final = """
INSERT INTO ended_jobs (endpoint, job_id, file_id, is_billed)
SELECT endpoint, job_id, file_id, job_id IS NULL FROM parses
WHERE id = ANY (%s) AND (job_id IS NOT NULL OR file_id IS NOT NULL)
ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class EndedJob:
    """A job that is over, or a file that no job was made for."""

    id: int
    job_id: str | None
    file_id: str | None
    is_billed: bool
    ended_at: datetime


def ended(change: str, *, is_billed: bool, keeps_file: bool = False) -> Change:
    """The job of the parse that an earlier change of the step, by its name, has ended."""
    arguments = {"is_billed": is_billed, "keeps_file": keeps_file}
    return Change("job_ended", _ADD.format(ended=change), arguments)


async def add(connection: Connection, parse_ids: Sequence[int]) -> None:
    """The present jobs of these parses are over, and their files are needed no more."""
    await connection.execute(_ADD_PARSES, (list(parse_ids),))


async def due(database: Database, endpoint: str, now: datetime, limit: int) -> list[EndedJob]:
    """Those to be looked at by now, in the order of their times."""
    async with database.connection() as connection:
        cursor = await connection.execute(
            "SELECT id, job_id, file_id, is_billed, ended_at FROM ended_jobs"
            " WHERE endpoint = %s AND look_at <= %s ORDER BY look_at LIMIT %s",
            (endpoint, now, limit),
        )
        return [EndedJob(**row) for row in await cursor.fetchall()]


async def put_off(database: Database, job: EndedJob, until: datetime) -> None:
    async with database.connection() as connection:
        await connection.execute(
            "UPDATE ended_jobs SET look_at = %s WHERE id = %s", (until, job.id)
        )


async def mark_billed(database: Database, job: EndedJob) -> None:
    async with database.connection() as connection:
        await connection.execute("UPDATE ended_jobs SET is_billed = true WHERE id = %s", (job.id,))


async def forget(database: Database, jobs: Sequence[EndedJob]) -> None:
    """Nothing is left to do about these."""
    async with database.connection() as connection:
        ids = [job.id for job in jobs]
        await connection.execute("DELETE FROM ended_jobs WHERE id = ANY (%s)", (ids,))
