"""Runs the jobs: from PENDING to a stored result and a bill, in one transaction at the end."""

import asyncio
import logging
import sqlite3
import uuid
from dataclasses import dataclass
from typing import Any

import orjson

from gristmill_simulators.llamacloud import billing, outbox, source, state
from gristmill_simulators.llamacloud.delivery import Sender
from gristmill_simulators.llamacloud.outcome import Outcome, decide
from gristmill_simulators.llamacloud.pool import Failed, Pool, Read, Reading
from gristmill_simulators.llamacloud.switches import Script, Switches
from gristmill_simulators.simulator import Simulator

_log = logging.getLogger(__name__)


class Runner:
    """As many jobs at a time as there are reading processes; the rest wait in order."""

    def __init__(
        self, simulator: Simulator, folders: state.Folders, sender: Sender, workers: int
    ) -> None:
        self._simulator = simulator
        self._folders = folders
        self._sender = sender
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
            "SELECT id FROM llama_jobs WHERE status IN ('PENDING', 'RUNNING') AND NOT stuck"
            " ORDER BY sequence"
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
        read = await self._read(job, result_id)
        settings = self._simulator.settings.current
        end = _End(job_id, result_id, read, settings.llamacloud, settings.transition.per_page)
        now = self._simulator.clock()
        await database.write(lambda connection: end.write(connection, now))
        self._sender.notify()
        if job["file_id"] is not None:
            self.release_file(job["file_id"])

    async def _read(self, job: sqlite3.Row, result_id: str) -> Read | Failed:
        path = self._folders.file(job["file_id"] or f"source-{result_id}")
        if job["source_url"] is not None:
            failed = await source.fetch(job["source_url"], path)
            if failed is not None:
                return failed
        ranges = orjson.loads(job["options"]).get("page_ranges", {})
        reading = Reading(
            path,
            job["file_name"],
            ranges.get("target_pages"),
            ranges.get("max_pages"),
            self._folders.result(result_id),
        )
        try:
            seconds = self._simulator.settings.current.parse_timeout_seconds
            return await self._pool.read(reading, seconds)
        finally:
            if job["file_id"] is None:
                path.unlink(missing_ok=True)

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
    job = connection.execute(
        "UPDATE llama_jobs SET status = 'RUNNING', updated_at = ?"
        " WHERE id = ? AND status = 'PENDING' RETURNING *",
        (now, job_id),
    ).fetchone()
    if job is not None:
        outbox.tell(connection, job, "parse.running", now, now)


@dataclass(frozen=True, slots=True)
class _End:
    """What a job comes to: its status, its result, its bill and its last event together."""

    job_id: str
    result_id: str
    read: Read | Failed
    switches: Switches
    seconds_per_page: float

    def write(self, connection: sqlite3.Connection, now: float) -> None:
        if self.seconds_per_page and isinstance(self.read, Read):
            self._take_longer(connection, self.seconds_per_page * len(self.read.numbers))
        job = connection.execute("SELECT * FROM llama_jobs WHERE id = ?", (self.job_id,)).fetchone()
        if job is None:
            return  # deleted by a reset
        options = orjson.loads(job["options"])
        if job["status"] not in state.UNFINISHED:  # cancelled meanwhile
            if self.switches.bill_cancelled_jobs:
                self._bill(connection, job, options, now)
            return
        outcome = self._outcome(job, options)
        told = _told(job, outcome, now)
        if outcome.failure is None or self.switches.bill_failed_jobs:
            self._bill(connection, job, options, told or now, outcome.failed_pages)
        if outcome.failure is None:
            self._keep_result(connection, job, options, now)
        self._end(connection, outcome, told, now)

    def _take_longer(self, connection: sqlite3.Connection, seconds: float) -> None:
        connection.execute(
            "UPDATE llama_jobs SET transition_value = transition_value + ?"
            " WHERE id = ? AND transition = 'seconds' AND script IS NULL",
            (seconds, self.job_id),
        )

    def _outcome(self, job: sqlite3.Row, options: dict[str, Any]) -> Outcome:
        script = None if job["script"] is None else Script.model_validate_json(job["script"])
        takes = job["transition_value"] if job["transition"] == "seconds" else 0.0
        return decide(
            self.read,
            script,
            options["control"],
            takes=takes,
            default_timeout=self.switches.job_timeout_seconds,
        )

    def _bill(
        self,
        connection: sqlite3.Connection,
        job: sqlite3.Row,
        options: dict[str, Any],
        now: float,
        failed_pages: tuple[int, ...] = (),
    ) -> None:
        if isinstance(self.read, Failed):
            return
        unbilled = set() if self.switches.bill_failed_pages else set(failed_pages)
        bill = billing.lines(job["tier"], options, self.read, unbilled)
        billing.write(connection, job, bill, now)
        connection.execute(
            "UPDATE llama_jobs SET credits = ? WHERE id = ?", (billing.total(bill), self.job_id)
        )

    def _keep_result(
        self, connection: sqlite3.Connection, job: sqlite3.Row, options: dict[str, Any], now: float
    ) -> None:
        assert isinstance(self.read, Read)  # noqa: S101 — only a file that was read succeeds
        easy = orjson.dumps(billing.easy_pages(options, self.read)).decode()
        row = {
            "id": self.result_id,
            "cache_key": job["cache_key"],
            "pages": len(self.read.numbers),
            "easy_pages": easy,
            "created_at": now,
        }
        state.insert(connection, "llama_results", row)
        connection.execute(
            "UPDATE llama_jobs SET result_id = ?, easy_pages = ? WHERE id = ?",
            (self.result_id, easy, self.job_id),
        )

    def _end(
        self, connection: sqlite3.Connection, outcome: Outcome, told: float | None, now: float
    ) -> None:
        failure = outcome.failure
        ended = connection.execute(
            "UPDATE llama_jobs SET status = ?, error_message = ?, failed_pages = ?,"
            " released_at = ? + early, updated_at = ? WHERE id = ? RETURNING *",
            (
                "COMPLETED" if failure is None else "FAILED",
                None if failure is None else self._message(failure),
                orjson.dumps(outcome.failed_pages).decode() if outcome.failed_pages else None,
                told,
                now,
                self.job_id,
            ),
        ).fetchone()
        if told is not None:
            outbox.tell(connection, ended, outbox.end_of(ended), told, told)

    def _message(self, failure: Failed) -> str:
        if failure.code is None or not self.switches.error_code_in_message:
            return failure.message
        return f"{failure.code}: {failure.message}"


def _told(job: sqlite3.Row, outcome: Outcome, now: float) -> float | None:
    """When the end may be seen; None while it waits for looks."""
    if outcome.seconds is not None:
        return max(now, float(job["created_at"] + outcome.seconds))
    return state.released_at(job, now)
