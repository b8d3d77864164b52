"""Sends events to webhooks in the background, in order for each, and tries again."""

import asyncio
import logging
import sqlite3
import ssl
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import orjson

from gristmill_simulators.calls import Call
from gristmill_simulators.llamacloud.hooks import masked_url
from gristmill_simulators.llamacloud.outbox import BEGINNINGS
from gristmill_simulators.llamacloud.signature import envelope
from gristmill_simulators.llamacloud.switches import Switches
from gristmill_simulators.loopback import is_loopback
from gristmill_simulators.simulator import Simulator

if TYPE_CHECKING:
    import httpx

_log = logging.getLogger(__name__)

ROUTE = "llamacloud.webhooks.deliver"  # under which attempts are among the recorded calls

_AT_ONCE = 100  # requests on their way
_LONGEST = 3600.0  # seconds between two looks at what is due later
_NO_TIMEOUT = None  # of a single step: an attempt as a whole has one
_WAITING = "SELECT * FROM llama_deliveries WHERE state = 'waiting'"
_Key = tuple[str, int]  # a job and the number of its webhook


class Sender:
    """One task for each webhook of a job that has something to be told.

    An event that no attempt could deliver is given up, as the vendor does. What is waiting when
    the process ends is sent by the next one.
    """

    def __init__(
        self, simulator: Simulator, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._simulator = simulator
        self._sleep = sleep
        self._tasks: dict[_Key, asyncio.Task[None]] = {}
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._timer: asyncio.TimerHandle | None = None
        self._clients: dict[str, httpx.AsyncClient] = {}
        self._halted = False
        self._loop = asyncio.get_running_loop()

    def busy(self) -> bool:
        return bool(self._tasks)

    def notify(self) -> None:
        """Something may be due: send it, and look again when the next thing is."""
        if self._halted:
            return
        now = self._simulator.clock()
        rows = self._simulator.database.read(
            "SELECT job_id, hook, min(due_at) AS due_at FROM llama_deliveries"
            " WHERE state = 'waiting' GROUP BY job_id, hook"
        )
        for row in rows:
            key = (row["job_id"], row["hook"])
            if row["due_at"] <= now and key not in self._tasks and self._next(key) is not None:
                self._begin(key)
        self._look_again([row["due_at"] - now for row in rows if row["due_at"] > now])

    async def halt(self) -> None:
        """Interrupt what is on its way, and begin nothing until `go_on`."""
        self._halted = True
        if self._timer is not None:
            self._timer.cancel()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def go_on(self) -> None:
        """Send again what is due, from the next look on. From any thread."""
        self._halted = False

    async def close(self) -> None:
        """Stop at once; what was not delivered is sent after the next start."""
        await self.halt()
        for client in self._clients.values():
            await client.aclose()

    def _begin(self, key: _Key) -> None:
        task = asyncio.create_task(self._drain(key))
        self._tasks[key] = task
        task.add_done_callback(lambda _task: self._end(key))

    def _end(self, key: _Key) -> None:
        del self._tasks[key]
        self.notify()  # an event may have come in while the last one was on its way

    def _look_again(self, waits: list[float]) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if waits:
            self._timer = self._loop.call_later(min(*waits, _LONGEST), self.notify)

    async def _drain(self, key: _Key) -> None:
        while (row := self._next(key)) is not None:
            try:
                end = await self._deliver(row)
            except Exception:  # noqa: BLE001 — logged; the other events go on
                _log.exception("delivery of %s failed in the simulator", row["event"])
                end = "failed"
            await self._simulator.database.write(
                lambda c, row=row, end=end: c.execute(  # type: ignore[misc]
                    "UPDATE llama_deliveries SET state = ? WHERE sequence = ?",
                    (end, row["sequence"]),
                )
            )

    def _next(self, key: _Key) -> sqlite3.Row | None:
        rows = self._simulator.database.read(
            f"{_WAITING} AND job_id = ? AND hook = ? AND due_at <= ? ORDER BY sequence",
            *key,
            self._simulator.clock(),
        )
        if self._switches.webhook_reorder:
            return _reordered(rows, self._told(key))
        return rows[0] if rows else None

    def _told(self, key: _Key) -> bool:
        """Has the end of the job been told to this webhook?"""
        marks = ", ".join("?" * len(BEGINNINGS))
        row = self._simulator.database.read_one(
            "SELECT 1 FROM llama_deliveries WHERE job_id = ? AND hook = ? AND state <> 'waiting'"
            f" AND event NOT IN ({marks})",
            *key,
            *BEGINNINGS,
        )
        return row is not None

    async def _deliver(self, row: sqlite3.Row) -> str:
        hook = orjson.loads(row["target"])
        if not self._switches.send_webhooks_anywhere and not is_loopback(hook["webhook_url"]):
            self._record(row, hook, None, 0.0, "withheld: not a loopback address")
            return "withheld"
        if not await self._attempts(row, hook):
            return "failed"
        for _ in range(self._switches.webhook_duplicates):
            await self._attempt(row, hook, row["attempts"])
        return "delivered"

    async def _attempts(self, row: sqlite3.Row, hook: dict[str, Any]) -> bool:
        waits = (0.0, *self._switches.webhook_waits)
        for number in range(row["attempts"], len(waits)):
            if number and waits[number]:
                await self._sleep(waits[number])
            if await self._attempt(row, hook, number):
                return True
            self._simulator.database.post(
                lambda c, number=number: c.execute(  # type: ignore[misc]
                    "UPDATE llama_deliveries SET attempts = ? WHERE sequence = ?",
                    (number + 1, row["sequence"]),
                )
            )
        return False

    async def _attempt(self, row: sqlite3.Row, hook: dict[str, Any], number: int) -> bool:
        delivery = dict(row)
        if number and not self._switches.webhook_retries_reuse_event:
            now = self._simulator.clock()
            delivery |= {"event_id": str(uuid.uuid4()), "timestamp": now}
        body, headers = envelope(delivery, hook, self._switches)
        began = time.perf_counter()
        async with self._places:
            status, error = await self._post(hook["webhook_url"], body, headers)
        seconds = time.perf_counter() - began
        self._record(delivery, hook, status, seconds, error, attempt=number + 1)
        return status is not None and 200 <= status < 300

    async def _post(
        self, url: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int | None, str | None]:
        import httpx  # noqa: PLC0415 — 0.1 s that most runs of the simulators never need

        client = self._client_for(url)
        try:
            async with asyncio.timeout(self._switches.webhook_timeout_seconds):
                # whatever the body of the answer says, it is not waited for
                stream = client.stream("POST", url, content=body, headers=headers)
                async with stream as answer:
                    return answer.status_code, None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, TimeoutError) as error:
            return None, type(error).__name__

    def _client_for(self, url: str) -> "httpx.AsyncClient":
        import httpx  # noqa: PLC0415 — as above

        scheme = url.partition(":")[0]
        if scheme not in self._clients:
            # 50 ms for certificates that http has no use for
            tls = scheme == "https" and ssl.create_default_context()
            # a redirect is no success and is not followed; proxies of the environment are not asked
            self._clients[scheme] = httpx.AsyncClient(
                follow_redirects=False, trust_env=False, timeout=_NO_TIMEOUT, verify=tls
            )
        return self._clients[scheme]

    def _record(
        self,
        delivery: sqlite3.Row | dict[str, Any],
        hook: dict[str, Any],
        status: int | None,
        seconds: float,
        error: str | None,
        *,
        attempt: int = 0,
    ) -> None:
        call = Call(
            "llamacloud",
            "POST",
            masked_url(hook["webhook_url"]),
            self._simulator.clock(),
            ROUTE,
            status,
            seconds,
        )
        call.units = {
            "event_id": delivery["event_id"],
            "event_type": delivery["event"],
            "job_id": delivery["job_id"],
            "attempt": attempt,
            "error": error,
        }
        self._simulator.calls.append(call)

    @property
    def _switches(self) -> Switches:
        return self._simulator.settings.current.llamacloud


def _reordered(rows: list[sqlite3.Row], told: bool) -> sqlite3.Row | None:
    """The end first; the beginnings wait until it was told."""
    ends = [row for row in rows if row["event"] not in BEGINNINGS]
    if ends:
        return ends[0]
    return rows[0] if rows and told else None
