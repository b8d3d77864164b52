"""Runs the jobs: from PENDING to a stored result and a bill, in one transaction at the end."""

import asyncio
import logging
import sqlite3
import uuid

from gristmill_simulators.llamacloud import state
from gristmill_simulators.llamacloud.pool import Failed, Pool, Read, Reading
from gristmill_simulators.simulator import Simulator

_log = logging.getLogger(__name__)

# credits a page; vendor's pricing page, read 2026-10-07
CREDITS = {"fast": 1.0, "cost_effective": 3.0, "agentic": 10.0, "agentic_plus": 45.0}


class Runner:
    """As many jobs at a time as there are reading processes; the rest wait in order."""

    def __init__(self, simulator: Simulator, folders: state.Folders, workers: int) -> None:
        self._simulator = simulator
        self._folders = folders
        self._pool = Pool(workers)
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._tasks = [asyncio.create_task(self._work()) for _ in range(workers)]
        self.busy = 0

    async def resume(self) -> None:
        """Take up what the last process left unfinished, and throw away what has expired."""
        now = self._simulator.clock()
        files, results = await self._simulator.database.write(lambda c: state.purge(c, now))
        for path in [*map(self._folders.file, files), *map(self._folders.result, results)]:
            path.unlink(missing_ok=True)
        rows = self._simulator.database.read(
            "SELECT id FROM llama_jobs WHERE status IN ('PENDING', 'RUNNING') ORDER BY sequence"
        )
        for row in rows:
            self.submit(row["id"])

    def submit(self, job_id: str) -> None:
        self.busy += 1
        self._queue.put_nowait(job_id)

    async def close(self) -> None:
        """Stop at once; jobs in flight stay RUNNING in the database and are resumed later."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._pool.close)

    async def _work(self) -> None:
        while True:
            job_id = await self._queue.get()
            try:
                await self._run(job_id)
            except Exception:  # noqa: BLE001 — logged; the worker lives on
                _log.exception("job %s failed in the simulator", job_id)
            finally:
                self.busy -= 1

    async def _run(self, job_id: str) -> None:
        database = self._simulator.database
        job = database.read_one("SELECT * FROM llama_jobs WHERE id = ?", job_id)
        if job is None or job["status"] not in state.UNFINISHED:
            return
        now = self._simulator.clock()
        database.post(lambda connection: _set_running(connection, job_id, now))
        result_id = uuid.uuid4().hex
        outcome = await self._pool.read(
            Reading(
                self._folders.file(job["file_id"]),
                job["file_name"],
                job["target_pages"],
                job["max_pages"],
                self._folders.result(result_id),
            ),
            self._simulator.settings.current.parse_timeout_seconds,
        )
        now = self._simulator.clock()
        await database.write(lambda c: _finish(c, job_id, outcome, result_id, now))
        self.release_file(job["file_id"])

    def release_file(self, file_id: str) -> None:
        """Remove a deleted file's bytes once no unfinished job needs them."""
        database = self._simulator.database
        if database.read_one("SELECT 1 FROM llama_files WHERE id = ?", file_id) is not None:
            return
        needed = database.read_one(
            "SELECT 1 FROM llama_jobs WHERE file_id = ? AND status IN ('PENDING', 'RUNNING')",
            file_id,
        )
        if needed is None:
            self._folders.file(file_id).unlink(missing_ok=True)


def _set_running(connection: sqlite3.Connection, job_id: str, now: float) -> None:
    connection.execute(
        "UPDATE llama_jobs SET status = 'RUNNING', updated_at = ?"
        " WHERE id = ? AND status = 'PENDING'",
        (now, job_id),
    )


def _finish(
    connection: sqlite3.Connection, job_id: str, outcome: Read | Failed, result: str, now: float
) -> None:
    job = connection.execute("SELECT * FROM llama_jobs WHERE id = ?", (job_id,)).fetchone()
    if job is None or job["status"] not in state.UNFINISHED:
        return  # cancelled or deleted meanwhile
    released = state.released_at(job, now)
    if isinstance(outcome, Failed):
        connection.execute(
            "UPDATE llama_jobs SET status = 'FAILED', error_message = ?, released_at = ?,"
            " updated_at = ? WHERE id = ?",
            (f"{outcome.code}: {outcome.message}", released, now, job_id),
        )
        return
    cost = outcome.pages * (1.0 if outcome.sheets else CREDITS[job["tier"]])
    cost += outcome.pages * job["page_surcharge"]
    row = {"id": result, "cache_key": job["cache_key"], "pages": outcome.pages, "created_at": now}
    state.insert(connection, "llama_results", row)
    connection.execute(
        "UPDATE llama_jobs SET status = 'COMPLETED', result_id = ?, credits = ?, released_at = ?,"
        " updated_at = ? WHERE id = ?",
        (result, cost, released, now, job_id),
    )
    state.bill(connection, dict(job), outcome.pages, cost, now)
