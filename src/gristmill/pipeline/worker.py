"""A worker: takes documents from the queue of the task engine and moves them along.

Any number of workers share one database. One that dies is seen at once, since its presence is a
lock that ends with its connection; what it held is put back by any other.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

import procrastinate
from procrastinate.exceptions import ConnectorException

from gristmill.database.engine import Database
from gristmill.errors import DatabaseUnavailable, GristmillError
from gristmill.pipeline import store
from gristmill.pipeline.context import Context
from gristmill.pipeline.engine import Connector, Engine
from gristmill.pipeline.poller import Poller
from gristmill.pipeline.presence import LOST, WORKER, Presence
from gristmill.pipeline.runner import advance
from gristmill.telemetry.logging import get_logger
from gristmill.together import ended, together

log = get_logger(__name__)

SILENT_SECONDS: Final = 60.0  # a machine without a heartbeat for this long is taken for dead
GRACE_SECONDS: Final = 3.0  # how long running stages may take to finish at a stop
OUTAGE: Final = (DatabaseUnavailable, ConnectorException, *LOST)

# What becomes of a job is told by the runner, in terms of its document.
logging.getLogger("procrastinate").setLevel(logging.ERROR)


class Worker:
    """Works on up to `concurrency` documents at a time.

    `poll_seconds` is the pace of questions for parses, by the name of each endpoint.

    `chores` are done every few seconds and after an outage: starting again what this machine
    should be running, building indexes that have become due.
    """

    def __init__(
        self,
        context: Context,
        *,
        concurrency: int,
        poll_seconds: Mapping[str, float],
        chores: Sequence[Callable[[], Awaitable[object]]] = (),
    ) -> None:
        self._context = context
        self._chores = chores
        self._concurrency = concurrency
        self._poll_seconds = poll_seconds

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Works in the background while the caller does something else."""
        task = asyncio.create_task(self.run(), name="worker")
        try:
            yield
        finally:
            await ended([task])

    async def run(self) -> None:
        """Works until cancelled. An outage of the database is waited out."""
        await together(self._do_chores(), self._serve_on())

    async def _serve_on(self) -> None:
        while True:
            try:
                await self._serve()
            except OUTAGE as outage:
                log.warning("worker.outage", error=str(outage))
            except Exception:  # a defect of ours: documents must not wait for a person
                log.exception("worker.defect")
            await asyncio.sleep(self._context.pace.outage)

    async def _serve(self) -> None:
        engine = await self._engine()
        presence = await Presence.open(self._context.database)
        pollers = [
            Poller(self._context, presence, endpoint, seconds=seconds)
            for endpoint, seconds in self._poll_seconds.items()
        ]
        try:
            await together(
                _run_engine(engine), self._tend(engine, presence), *(each.run() for each in pollers)
            )
        finally:
            await presence.close()

    async def _engine(self) -> Engine:
        app = procrastinate.App(connector=Connector())
        await app.open_async(self._context.database.pool)

        @app.task(name="advance")
        async def run(document_id: str) -> None:
            try:
                await advance(self._context, document_id)
            except DatabaseUnavailable as outage:  # found again by `wake_untended`
                log.warning("worker.outage", error=str(outage))

        return Engine(
            app,
            queues=[store.QUEUE, store.host_queue(self._context.host)],
            concurrency=self._concurrency,
            fetch_job_polling_interval=self._context.pace.look,
            shutdown_graceful_timeout=GRACE_SECONDS,
            delete_jobs="always",
            install_signal_handlers=False,
        )

    async def _tend(self, engine: Engine, presence: Presence) -> None:
        """Shows that this worker lives, and puts back what fell out of dead hands."""
        while engine.worker_id is None:  # noqa: ASYNC110 — the engine tells nobody
            await asyncio.sleep(0.01)
        while True:
            await presence.hold(WORKER, engine.worker_id)
            recovered = await recover(self._context.database)
            untended = await store.wake_untended(self._context.database)
            if recovered or untended:
                log.info("worker.put_back", jobs=recovered, documents=untended)
            await asyncio.sleep(self._context.pace.tend)

    async def _do_chores(self) -> None:
        """Beside the serving, which takes long to end while the database is away."""
        while True:
            await asyncio.sleep(self._context.pace.chores)
            for chore in self._chores:
                try:
                    await chore()
                except (GristmillError, *OUTAGE) as error:  # the next round tries again
                    log.warning("worker.chore_failed", error=str(error))
                    if isinstance(error, DatabaseUnavailable):
                        self._context.database.note(error)
                except Exception:  # a defect of ours: the other chores go on
                    log.exception("worker.chore_defect")


async def _run_engine(engine: Engine) -> None:
    """Lets the engine finish what it may when this is cancelled.

    Raises:
        DatabaseUnavailable: it stopped by itself, which it does when it lost the database; then
            everything starts anew.
    """
    running: asyncio.Task[None] = asyncio.create_task(engine.run())  # type: ignore[no-untyped-call]  # the library's omission
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        engine.stop()  # type: ignore[no-untyped-call]
        running.cancel()  # once: a second one would cut its own end short
        while not running.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([running])
        if not running.cancelled() and (error := running.exception()):
            log.info("worker.engine_ended", error=str(error))
        raise
    raise DatabaseUnavailable("The task engine lost its connection.")


async def recover(database: Database) -> int:
    """Puts back the jobs of workers that are gone; gives their number."""
    async with database.connection() as connection:
        cursor = await connection.execute(
            "SELECT recover_jobs(%s, make_interval(secs => %s)) AS jobs", (WORKER, SILENT_SECONDS)
        )
        row = await cursor.fetchone()
    return 0 if row is None else int(row["jobs"])
