"""Tells the other processes every two seconds what this one hears; asks where nothing is heard.

What changes for the worse is told at once, and for the better when nothing has failed for a while,
so that a service that flickers does not fill the log.
"""

import asyncio
import os
import platform
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, replace
from typing import Final

from gristmill.contract import ServiceHealth, ServiceInterface, Status
from gristmill.database.engine import Database
from gristmill.errors import DatabaseUnavailable
from gristmill.health import snapshots
from gristmill.health.heard import Live
from gristmill.health.hearing import Hearing
from gristmill.health.report import ServiceReport
from gristmill.health.rules import WORSE, judge
from gristmill.health.snapshots import Key, Process, Together, Word, reported
from gristmill.telemetry.logging import get_logger
from gristmill.together import ended

log = get_logger(__name__)

TELL_SECONDS: Final = 2.0
LAST_WORD_SECONDS: Final = 2.0  # how long an ending process waits to have its last word
# Of silence, before a service is asked; each process draws anew, so that they do not ask at once.
SILENCE: Final = (20.0, 40.0)
WANTED_SECONDS: Final = 10.0
SETTLED_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Watched:
    """A service at an endpoint: with its policies, what is heard of it, and how it stands now."""

    service: str
    endpoint: str
    guarded: ServiceInterface
    hearing: Hearing
    live: Callable[[], Live]

    @property
    def key(self) -> Key:
        return self.service, self.endpoint


class Monitor:
    """Watches services for as long as `run` runs; `close` has the last word of this process.

    `endpoint_of` says at which endpoint a service is used now, whenever it is asked. `clock` is
    monotonic, in seconds; `settled` is how long nothing must have failed before a change for the
    better is told.
    """

    def __init__(
        self,
        database: Database,
        watched: Sequence[Watched],
        endpoint_of: Callable[[str], str],
        *,
        settled: float = SETTLED_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        draw: random.Random | None = None,
    ) -> None:
        self._database = database
        self._watched = watched
        self._endpoint_of = endpoint_of
        self._settled = settled
        self._clock = clock
        self._sleep = sleep
        self._draw = draw or random.SystemRandom()
        self._process = Process(secrets.token_hex(8), platform.node(), os.getpid())
        self._telling = asyncio.Lock()
        self._asking = asyncio.Lock()
        self._told: dict[Key, dict[str, float]] = {}
        self._probes: dict[Key, asyncio.Task[None]] = {}
        self._silence: dict[Key, float] = {}
        self._running: asyncio.Task[None] | None = None
        self._began = clock()
        self._wanted_until = self._began

    def start(self) -> None:
        """Works in the background until it is closed; nothing of the caller's context is in it."""
        self._running = asyncio.create_task(self.run(), name="health", context=Context())

    async def run(self) -> None:
        """Works until cancelled. A database that is away is told when it is back."""
        while True:
            await self._sleep(TELL_SECONDS)
            try:
                await self.look()
            except DatabaseUnavailable as error:
                log.info("health.not_told", error=str(error))
            except Exception:  # a defect of ours: the work must not suffer from it
                log.exception("health.defect")

    async def look(self) -> None:
        """Tells what is new, and asks the services of which nobody has heard for a while."""
        is_wanted = self._clock() < self._wanted_until
        if is_wanted or any(map(_has_news, self._watched)):
            together = await self._exchange()
            if is_wanted:
                self._ask_silent(together)

    async def keep_asking(self) -> None:
        """Whoever works with the services, or watches them, says so every few seconds."""
        self._wanted_until = self._clock() + WANTED_SECONDS

    async def ask(self) -> dict[str, ServiceReport]:
        """How each service does now; those of which nobody has just heard are asked, for free.

        Raises:
            DatabaseUnavailable: what the others know cannot be read.
        """
        async with self._asking:
            together = await self._exchange()
            stale = [each for each in self._current() if not _is_fresh(together.get(each.key))]
            asked = await asyncio.gather(*(each.guarded.get_health() for each in stale))
            if stale:
                together = await self._exchange()
        unasked = {each.key: said for each, said in zip(stale, asked, strict=True)}
        return {each.service: _report(each, together, unasked) for each in self._current()}

    async def close(self) -> None:
        """Stops asking; the last word is lost if the database does not take it soon."""
        tasks = [*self._probes.values(), *filter(None, [self._running])]
        await ended(tasks)
        if any(map(_has_news, self._watched)):
            with suppress(DatabaseUnavailable, TimeoutError):
                async with asyncio.timeout(LAST_WORD_SECONDS):
                    await self._exchange(is_over=True)

    def _current(self) -> Iterator[Watched]:
        """The services at the endpoints where they are used now."""
        return (w for w in self._watched if self._endpoint_of(w.service) == w.endpoint)

    async def _exchange(self, *, is_over: bool = False) -> Mapping[Key, Together]:
        """Tells what is known here, and takes what is known to all."""
        async with self._telling:  # a word that overtakes another one would take it back
            words = [self._word(each) for each in self._watched if _has_news(each)]
            if words:
                await snapshots.tell(self._database, self._process, words, is_over=is_over)
                self._told |= {(word.service, word.endpoint): word.totals for word in words}
            together = await snapshots.told(self._database)
        for key, each in together.items():
            await self._tell_change(key, each)
        return together

    def _word(self, each: Watched) -> Word:
        live, before = each.live(), self._told.get(each.key, {})
        totals = each.hearing.totals() | {"retries": live.retries}
        return Word(*each.key, each.hearing.heard(), live, totals, before)

    async def _tell_change(self, key: Key, now: Together) -> None:
        verdict = judge(now.heard, now.live)
        if verdict.status in (now.status, Status.UNKNOWN):
            return
        is_worse = now.status is None or WORSE[verdict.status] > WORSE[now.status]
        failure = now.heard.failure
        if not is_worse and failure is not None and failure.age < self._settled:
            return
        if await snapshots.change(self._database, key, now.status, verdict):
            tell = log.warning if is_worse and verdict.status is not Status.HEALTHY else log.info
            service, endpoint = key
            tell(
                "health.changed",
                service=service,
                endpoint=endpoint,
                before=(now.status or Status.UNKNOWN).value,
                after=verdict.status.value,
                reason=verdict.reason,
            )

    def _ask_silent(self, together: Mapping[Key, Together]) -> None:
        for each in self._current():
            known = together.get(each.key)
            age = None if known is None else known.heard.age
            silence = self._clock() - self._began
            if age is not None:
                silence = min(age, silence)
            if silence >= self._silence.setdefault(each.key, self._draw.uniform(*SILENCE)):
                self._probe(each)

    def _probe(self, each: Watched) -> None:
        """In a task, since a service that is silent must not keep this process from its words."""
        if each.key in self._probes:
            return
        del self._silence[each.key]
        self._probes[each.key] = asyncio.create_task(self._probed(each), context=Context())

    async def _probed(self, each: Watched) -> None:
        try:
            await each.guarded.get_health()
            await self._exchange()  # at once, so that nobody else asks as well
        except DatabaseUnavailable as error:  # which has the turns
            log.info("health.not_asked", service=each.service, error=str(error))
        except Exception:
            log.exception("health.defect", service=each.service)
        finally:
            del self._probes[each.key]


def _has_news(each: Watched) -> bool:
    """Whether it was heard of lately, or calls wait for it."""
    live = each.live()
    return bool(live.turns or live.queued) or not each.hearing.is_silent()


def _is_fresh(together: Together | None) -> bool:
    return together is not None and together.heard.is_fresh


def _report(
    each: Watched, together: Mapping[Key, Together], asked: Mapping[Key, ServiceHealth]
) -> ServiceReport:
    known = reported(together.get(each.key), each.endpoint)
    if known.status is Status.UNKNOWN and each.key in asked:
        return replace(known, reason=asked[each.key].reason)
    return known
