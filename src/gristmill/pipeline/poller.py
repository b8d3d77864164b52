"""Asks the parser about all jobs at once, for every process together.

One process at a time leads for an endpoint. It asks for the states of the jobs that are out, wakes
the documents of those that are over, reads bills that come late, and removes from the vendor what
is stored here.
"""

import asyncio
import zlib
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from gristmill.contract import Operation, R
from gristmill.errors import DatabaseUnavailable, GristmillError, NotFound
from gristmill.pipeline import ended_jobs, parses
from gristmill.pipeline.bills import assume_bill, settle_bill
from gristmill.pipeline.context import Context
from gristmill.pipeline.ended_jobs import EndedJob
from gristmill.pipeline.presence import POLLER, Presence
from gristmill.pipeline.tokens import clean
from gristmill.services.llamaparse import (
    CancelParse,
    DeleteFile,
    DeleteParse,
    GetParseUsage,
    ListParseJobs,
    ParseJob,
    ParseStatus,
)
from gristmill.telemetry.logging import get_logger

log = get_logger(__name__)

JOBS_PER_LOOK = 100
SETTLED_PER_LOOK = 20
LONGEST_WAIT = timedelta(hours=1)  # between two questions for a bill
LONGEST_PAUSE = 120.0  # seconds between two looks, whatever the service asks for
# What the vendor bills for a failed job is not published. After so long without a word the worst
# case counts, and nothing of the job is kept at the vendor any longer.
BILL_PATIENCE = timedelta(days=1)


class Poller:
    """Asks at one endpoint.

    `seconds` is the pause between two questions; `idle_seconds` while nothing is out.
    """

    def __init__(
        self,
        context: Context,
        presence: Presence,
        endpoint: str,
        *,
        seconds: float,
        idle_seconds: float = 1.0,
    ) -> None:
        self._context = context
        self._presence = presence
        self._seconds = seconds
        self._idle_seconds = idle_seconds
        self._asked_to_wait = 0.0
        self._endpoint = endpoint
        self._poked = context.poke.listener()
        self._service = context.services.at(ListParseJobs.service, endpoint)

    async def run(self) -> None:
        """Looks again and again until cancelled.

        Raises:
            psycopg.OperationalError: the connection that shows our presence is gone.
            DatabaseUnavailable: the database is.
        """
        while True:
            self._poked.clear()
            self._asked_to_wait = 0.0
            pause = self._idle_seconds
            if await self._presence.hold(POLLER, zlib.crc32(self._endpoint.encode())):
                pause = self._seconds if await self.look() else self._idle_seconds
            await self._rest(max(pause, min(self._asked_to_wait, LONGEST_PAUSE)))

    async def _rest(self, seconds: float) -> None:
        """Pauses; work that has just come up shortens a long pause, never the pace."""
        await asyncio.sleep(min(seconds, self._seconds))
        if seconds > self._seconds:
            try:
                async with asyncio.timeout(seconds - self._seconds):
                    await self._poked.wait()
            except TimeoutError:
                pass

    async def look(self) -> bool:
        """One look at the jobs that are out and one at what is to settle; True while any is."""
        database = self._context.database
        out = await parses.submitted(database, self._endpoint, JOBS_PER_LOOK)
        if out:
            await self._ask(out)
        now = self._context.now()
        due = await ended_jobs.due(database, self._endpoint, now, SETTLED_PER_LOOK)
        settled = await asyncio.gather(*(self._settle(job) for job in due))
        if done := [job for job, is_done in zip(due, settled, strict=True) if is_done]:
            await ended_jobs.forget(database, done)
        return bool(out or due)

    async def _try(self, operation: Operation[R]) -> R | None:
        """The answer, or None after an error: the next look asks again."""
        try:
            return (await self._service.execute(operation)).value
        except DatabaseUnavailable:
            raise
        except GristmillError as error:
            self._note("poller.no_answer", operation, error)
            return None

    def _note(self, event: str, operation: Operation[Any], error: GristmillError) -> None:
        log.warning(event, operation=operation.name, error=error.kind)
        self._asked_to_wait = max(self._asked_to_wait, error.retry_after or 0.0)

    async def _ask(self, out: Mapping[str, datetime]) -> None:
        jobs = await self._try(ListParseJobs(job_ids=tuple(out)))
        if jobs is None:
            return
        ended = [(job.id, _error_of(job)) for job in jobs if job.status.is_final]
        late = self._overdue(out, {job.id for job in jobs} - {job for job, _ in ended})
        for job_id in late:
            await self._try(CancelParse(job_id=job_id))
        ended += [(job_id, "TIMEOUT: over our own deadline") for job_id in late]
        if ended:
            async with self._context.database.transaction() as connection:
                await parses.mark_ended(connection, self._endpoint, ended)

    def _overdue(self, out: Mapping[str, datetime], running: Iterable[str]) -> list[str]:
        limit = self._context.now() - timedelta(seconds=self._context.limits.parse_deadline)
        return [job_id for job_id in running if out[job_id] < limit]

    async def _settle(self, job: EndedJob) -> bool:
        """Whether its bill is known and the vendor has nothing of it any more."""
        billed = job.is_billed or await self._read_bill(job)
        return billed and await self._removed(job)

    async def _read_bill(self, job: EndedJob) -> bool:
        """Whether its call is settled: by the bill, or for want of one after a long time."""
        if job.job_id is None:
            raise AssertionError("only a job has a bill")
        billed = await self._try(GetParseUsage(job.job_id))
        if not await settle_bill(self._context, job.job_id, billed):
            if self._context.now() - job.ended_at < BILL_PATIENCE:
                await self._wait_for_bill(job)
                return False
            await assume_bill(self._context.ledger, job.job_id)
        await ended_jobs.mark_billed(self._context.database, job)
        return True

    async def _wait_for_bill(self, job: EndedJob) -> None:
        """The longer there is none, the less often it is asked for."""
        now = self._context.now()
        wait = max(timedelta(seconds=self._seconds), min((now - job.ended_at) / 2, LONGEST_WAIT))
        await ended_jobs.put_off(self._context.database, job, now + wait)

    async def _removed(self, job: EndedJob) -> bool:
        """Whether job and file are gone at the vendor; gone before counts as well."""
        removals: list[Operation[None]] = []
        if job.job_id is not None:
            removals.append(DeleteParse(job_id=job.job_id))
        if job.file_id is not None:
            removals.append(DeleteFile(file_id=job.file_id))
        return all([await self._remove(removal) for removal in removals])

    async def _remove(self, removal: Operation[None]) -> bool:
        try:
            await self._service.execute(removal)
        except NotFound:
            return True
        except DatabaseUnavailable:
            raise
        except GristmillError as error:
            self._note("poller.not_removed", removal, error)
            return False
        return True


def _error_of(job: ParseJob) -> str | None:
    if job.status is ParseStatus.COMPLETED:
        return None
    return clean(job.error or "") or str(job.status)
