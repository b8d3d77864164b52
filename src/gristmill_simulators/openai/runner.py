"""Takes batches from `validating` to their last state, in the background and off the loop.

All that is known of a batch is in the database, so that a pass can stop anywhere: where the
transition that a test has chosen holds the batch, or with the process.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from gristmill_simulators.openai import (
    batch_input,
    batch_state,
    batch_transition,
    batch_work,
    files,
)
from gristmill_simulators.openai.account import ORGANIZATION
from gristmill_simulators.openai.batch_input import Checked, Limits, Span
from gristmill_simulators.openai.batch_transition import Allowed, Stage
from gristmill_simulators.openai.state import Folders, is_file_id
from gristmill_simulators.openai.tiers import TIERS
from gristmill_simulators.simulator import Simulator

R = TypeVar("R")
_Step = Callable[[sqlite3.Row], Awaitable[None]]
Problem = dict[str, Any]

_log = logging.getLogger(__name__)

_PATIENCE = 5.0  # seconds a look waits for what it has allowed; the first vectors take one or two
_TIMER = (0.2, 5.0)  # seconds until the clock is read again, at least and at most


class Runner:
    """One thread runs the lines; any number of batches are under way."""

    def __init__(self, simulator: Simulator, folders: Folders) -> None:
        self._simulator = simulator
        self._folders = folders
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")
        self._locks: dict[str, asyncio.Lock] = {}
        self._plans: dict[str, list[Span]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def busy(self) -> bool:
        return bool(self._tasks)

    async def resume(self) -> None:
        """Take up what the last process left unfinished."""
        for row in batch_state.all_unfinished(self._simulator.database):
            self.advance(row["id"])

    def advance(self, batch_id: str) -> asyncio.Task[None]:
        """Start a pass: it takes the batch as far as its transition allows."""
        task = asyncio.create_task(self._pass(batch_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def catch_up(self, batch_id: str) -> None:
        """Return when the batch is where its transition allows, or after some seconds."""
        await asyncio.wait([self.advance(batch_id)], timeout=_PATIENCE)

    async def close(self) -> None:
        """Stop at once; what a chunk has not noted is done again later."""
        for timer in self._timers.values():
            timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._threads.shutdown)

    async def _pass(self, batch_id: str) -> None:
        try:
            async with self._locks.setdefault(batch_id, asyncio.Lock()):
                row = self._unfinished(batch_id)
                while row is not None and await self._step(row):
                    row = self._unfinished(batch_id)
        except Exception:  # noqa: BLE001 — logged; other batches go on
            row = self._unfinished(batch_id)
            if row is not None:  # else a reset took it away meanwhile
                _log.exception("batch %s failed in the simulator", batch_id)
                return
        if row is None:
            self._forget(batch_id)
        elif row["transition"] == "seconds":
            self._wake(row)

    async def _step(self, row: sqlite3.Row) -> bool:
        """One state or chunk further; False where the transition holds the batch."""
        step = self._next(row, self._simulator.clock())
        if step is not None:
            await step(row)
        return step is not None

    def _next(self, row: sqlite3.Row, now: float) -> _Step | None:
        if row["status"] == "cancelling":
            return self._cancelled if self._may_cancel(row, now) else None
        if now >= row["expires_at"]:
            return self._expire
        allowed = _allowed(row, now)
        left = row["total"] - row["completed"] - row["failed"]
        step: _Step | None = None
        match row["status"]:
            case "validating" if allowed.stage > Stage.VALIDATING:
                step = self._validate
            case "in_progress" if left > row["total"] - allowed.lines(row["total"]):
                step = self._run
            case "in_progress" if not left and allowed.stage > Stage.IN_PROGRESS:
                step = self._finalize
            case "finalizing" if allowed.stage is Stage.DONE:
                step = self._complete
        return step

    async def _validate(self, row: sqlite3.Row) -> None:
        problems = self._input_problems(row)
        checked = Checked() if problems else await self._check(row)
        problems = problems or checked.errors or self._queue_problems(checked)
        database, now = self._simulator.database, self._simulator.clock()
        if problems:
            await batch_state.fail(database, row["id"], problems, now)
            self._release_input(row)
        else:
            self._plans[row["id"]] = batch_work.shuffled(checked.spans, row["id"])
            await batch_state.accept(database, row["id"], checked, now)

    async def _check(self, row: sqlite3.Row) -> Checked:
        switches = self._simulator.settings.current.openai
        limits = Limits(switches.batch_lines, switches.batch_inputs)
        source = self._folders.file(row["input_file_id"])
        return await self._off_loop(lambda: batch_input.check_file(source, row["endpoint"], limits))

    def _input_problems(self, row: sqlite3.Row) -> list[Problem]:
        file_id = row["input_file_id"]
        file = files.find(self._simulator, file_id)
        if file is not None and file["purpose"] == "batch":
            return []
        text = f"The file {file_id} was not uploaded with the purpose 'batch'."
        if file is None:
            text = f"Cannot find file {file_id}, or organization {ORGANIZATION} does not have"
            text += " access to it."
        return [batch_input.error("invalid_request", text, "file_id", None)]

    def _queue_problems(self, checked: Checked) -> list[Problem]:
        settings = self._simulator.settings.current
        limit = settings.openai.batch_queue_tokens
        if limit is None:
            limit = TIERS[settings.quotas.openai_tier].queued_tokens
        model = str(checked.model)
        queued = batch_state.queued_tokens(self._simulator.database, model)
        if queued + checked.tokens <= limit:
            return []
        text = (
            f"Enqueued token limit reached for {model} in organization {ORGANIZATION}. Limit:"
            f" {limit:,} enqueued tokens. Please try again once some in_progress batches have been"
            " completed."
        )
        return [batch_input.error("token_limit_exceeded", text, None, None)]

    async def _run(self, row: sqlite3.Row) -> None:
        end = _allowed(row, self._simulator.clock()).lines(row["total"])
        spans = batch_work.chunk(await self._plan(row), row["completed"] + row["failed"], end)
        source = self._folders.file(row["input_file_id"])
        drafts = batch_state.drafts_of(self._folders, row)
        switches = self._simulator.settings.current.openai
        done = await self._off_loop(lambda: batch_work.run(source, spans, drafts, switches))
        await batch_state.add(self._simulator.database, row, done, self._simulator.clock())

    async def _expire(self, row: sqlite3.Row) -> None:
        database = self._simulator.database
        if row["total"]:
            rest = (await self._plan(row))[row["completed"] + row["failed"] :]
            source = self._folders.file(row["input_file_id"])
            drafts = batch_state.drafts_of(self._folders, row)
            done = await self._off_loop(lambda: batch_work.expire(source, rest, drafts))
            await batch_state.add(database, row, done, self._simulator.clock())
            row = self._unfinished(row["id"]) or row
        await self._finish(row, "expired")

    async def _cancelled(self, row: sqlite3.Row) -> None:
        await self._finish(row, "cancelled")

    async def _complete(self, row: sqlite3.Row) -> None:
        await self._finish(row, "completed")

    async def _finish(self, row: sqlite3.Row, status: str) -> None:
        now = self._simulator.clock()
        await batch_state.finish(self._simulator.database, self._folders, row, status, now)
        self._release_input(row)

    async def _finalize(self, row: sqlite3.Row) -> None:
        await batch_state.finalize(self._simulator.database, row["id"], self._simulator.clock())

    async def _plan(self, row: sqlite3.Row) -> list[Span]:
        """The lines in the order in which they are run; read again after a restart."""
        if row["id"] not in self._plans:
            source, everything = self._folders.file(row["input_file_id"]), Limits(10**9, 10**9)
            checked = await self._off_loop(
                lambda: batch_input.check_file(source, row["endpoint"], everything)
            )
            self._plans[row["id"]] = batch_work.shuffled(checked.spans, row["id"])
        return self._plans[row["id"]]

    def _may_cancel(self, row: sqlite3.Row, now: float) -> bool:
        age = now - row["cancelling_at"]
        may_cancel: bool = batch_transition.may_cancel(
            row["transition"], row["transition_value"], row["looks"], age
        )
        return may_cancel

    def _unfinished(self, batch_id: str) -> sqlite3.Row | None:
        return batch_state.unfinished(self._simulator.database, batch_id)

    def _release_input(self, row: sqlite3.Row) -> None:
        """Remove a deleted file's bytes once no batch needs them."""
        file_id = row["input_file_id"]
        if not is_file_id(file_id):
            return  # whatever a client calls a file
        known = self._simulator.database.read_one(
            "SELECT 1 FROM openai_files WHERE id = ?", file_id
        )
        if known is None and not files.needed(self._simulator, file_id):
            self._folders.file(file_id).unlink(missing_ok=True)

    def _wake(self, row: sqlite3.Row) -> None:
        """Look again when the seconds of the transition have passed, by the simulator's clock."""
        age = self._simulator.clock() - row["created_at"]
        rest = min(max(row["transition_value"] - age, _TIMER[0]), _TIMER[1])
        self._stop_timer(row["id"])
        loop = asyncio.get_running_loop()
        self._timers[row["id"]] = loop.call_later(rest, self.advance, row["id"])

    def _forget(self, batch_id: str) -> None:
        self._locks.pop(batch_id, None)
        self._plans.pop(batch_id, None)
        self._stop_timer(batch_id)

    def _stop_timer(self, batch_id: str) -> None:
        if (timer := self._timers.pop(batch_id, None)) is not None:
            timer.cancel()

    async def _off_loop(self, work: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _allowed(row: sqlite3.Row, now: float) -> Allowed:
    return batch_transition.allowed(
        row["transition"], row["transition_value"], row["looks"], now - row["created_at"]
    )
