"""What processes tell one another through the database; each monitor here is a process."""

import asyncio
import logging
from dataclasses import dataclass, field

import pytest
from clock import Time
from money import SetClock
from scripted import ScriptedService

from gristmill import errors
from gristmill.contract import ServiceHealth, Status
from gristmill.database.engine import Database
from gristmill.health import snapshots
from gristmill.health.heard import WINDOW, Live
from gristmill.health.hearing import Hearing
from gristmill.health.monitor import SILENCE, WANTED_SECONDS, Monitor, Watched
from gristmill.health.snapshots import LIVE_SECONDS
from gristmill.policies.health import Health

WELL = ServiceHealth(Status.HEALTHY, 0.25, reason="It answers.")
ILL = ServiceHealth(
    Status.UNHEALTHY, reason="It is down. Wait.", last_error="Down.", error_kind="Unavailable"
)
OPENAI = ("openai", "vendor.example")


@dataclass
class Vendor(ScriptedService):
    """Says how it does, and counts who asks."""

    health: ServiceHealth = WELL
    asked: int = 0
    is_silent: bool = False

    async def get_health(self) -> ServiceHealth:
        self.asked += 1
        if self.is_silent:
            await asyncio.Event().wait()
        return self.health


@dataclass
class Member:
    """A process that uses one service."""

    monitor: Monitor
    hearing: Hearing
    stands: Live = field(default_factory=Live)

    async def known(self):
        return (await snapshots.known(self.monitor._database, dict([OPENAI])))["openai"]

    async def ask(self):
        return (await self.monitor.ask())["openai"]


@pytest.fixture
async def time(database):
    clock = SetClock(database._conninfo)
    await clock.open()
    await clock.wind()
    time = Time(clock)
    await time.go(0)
    yield time
    await clock.close()


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


@pytest.fixture
async def join(time: Time, vendor: Vendor):
    """Another process."""
    members = []

    def make(**changes) -> Member:
        hearing = Hearing(clock=time.clock)
        guarded = Health(vendor, hearing=hearing)
        watched = Watched(*OPENAI, guarded, hearing, lambda: member.stands)
        facts = {"clock": time.clock, "sleep": time.sleep, **changes}
        member = Member(Monitor(time.database, [watched], lambda _: OPENAI[1], **facts), hearing)
        members.append(member)
        return member

    yield make
    for member in members:
        await member.monitor.close()


def down(member: Member, times: int = 3) -> None:
    for _ in range(times):
        member.hearing.failed(errors.Unavailable("Down.", advice="Wait.", status=503))


async def totals(time: Time) -> dict[str, float]:
    return {each.name: each.amount for each in await snapshots.totals(time.database)}


async def test_what_one_process_hears_all_know(join):
    first, second, third = join(), join(), join()
    down(first, 2)
    second.hearing.failed(errors.OutcomeUnknown("No answer."))
    for member in (first, second):
        await member.monitor.look()
    known = await third.known()
    assert known.status is Status.UNHEALTHY
    assert known.errors == {"Unavailable": 2, "OutcomeUnknown": 1}
    assert (known.calls, known.processes) == (3, 2)


async def test_the_newest_news_count_whoever_has_them(join, time):
    first, second = join(), join()
    down(first)
    await first.monitor.look()
    await time.go(30)
    second.hearing.succeeded(0.5)
    await second.monitor.look()
    known = await first.known()
    assert (known.status, known.response_time) == (Status.DEGRADED, 0.5)
    assert "the last one went well" in known.reason


async def test_a_process_that_is_killed_is_gone_in_seconds_and_what_it_heard_in_minutes(join, time):
    killed, other = join(), join()
    down(killed)
    killed.stands = Live("open", 60.0, turns={"": 4})
    await killed.monitor.look()
    known = await other.known()
    assert (known.breakers, known.waiting) == ({"open": 1}, 4)
    await time.go(LIVE_SECONDS)
    known = await other.known()
    assert (known.status, known.processes, known.waiting) == (Status.UNHEALTHY, 0, 0)
    await time.go(WINDOW)
    assert (await other.known()).status is Status.UNKNOWN


async def test_a_process_that_ends_leaves_what_it_heard(join):
    short, other = join(), join()
    short.hearing.succeeded(0.5)
    short.stands = Live(turns={"": 1})
    await short.monitor.close()
    known = await other.known()
    assert (known.status, known.processes, known.waiting) == (Status.HEALTHY, 0, 0)


async def test_a_process_that_has_used_nothing_tells_nothing(join, time):
    member = join()
    await member.monitor.look()
    await member.monitor.close()
    assert await snapshots.told(time.database) == {}


async def test_calls_that_wait_are_told_before_any_has_ended(join):
    member = join()
    member.stands = Live(turns={"": 3})
    await member.monitor.look()
    assert (await join().known()).waiting == 3


async def test_a_change_is_told_once_however_many_processes_see_it(join, time, caplog):
    caplog.set_level(logging.INFO, logger="gristmill")
    members = [join() for _ in range(3)]
    for member in members:
        down(member)
    await asyncio.gather(*(member.monitor.look() for member in members))
    (change,) = await snapshots.changes(time.database)
    assert (change.service, change.before, change.after) == (
        "openai",
        Status.UNKNOWN,
        Status.UNHEALTHY,
    )
    (event,) = [r.msg for r in caplog.records if r.msg["event"] == "health.changed"]
    assert event["reason"] == "It is down or cannot be reached. Down. Wait."
    assert (event["before"], event["after"], event["level"]) == ("unknown", "unhealthy", "warning")


async def test_worse_is_told_at_once_and_better_when_nothing_has_failed_for_a_while(join, time):
    member = join()
    member.hearing.succeeded(0.1)
    await member.monitor.look()
    down(member)
    await member.monitor.look()
    for seconds in (0, 9, 1, 60):
        await time.go(seconds)
        member.hearing.succeeded(0.1)
        await member.monitor.look()
    changes = await snapshots.changes(time.database)
    assert [(c.before.value, c.after.value) for c in reversed(changes)] == [
        ("unknown", "healthy"),
        ("healthy", "unhealthy"),
        ("unhealthy", "degraded"),
        ("degraded", "healthy"),
    ]
    assert (changes[1].at - changes[2].at).total_seconds() == 10


async def test_silence_is_no_change(join, time):
    member = join()
    member.hearing.succeeded(0.1)
    await member.monitor.look()
    await time.go(2 * WINDOW)
    await member.monitor.look()
    assert len(await snapshots.changes(time.database)) == 1


async def test_changes_are_kept_for_a_day(join, time):
    member = join()
    down(member)
    await member.monitor.look()
    await time.go(86_000)
    assert len(await snapshots.changes(time.database)) == 1
    await time.go(401)
    assert await snapshots.changes(time.database) == []
    member.hearing.succeeded(0.1)
    await member.monitor.look()
    async with time.database.connection() as connection:
        row = await (await connection.execute("SELECT count(*) FROM health_changes")).fetchone()
    assert row == {"count": 1}


async def test_sums_grow_over_all_processes_and_outlive_them(join, time):
    for _ in range(2):
        member = join()
        member.hearing.succeeded(0.5)
        down(member, 1)
        member.stands = Live(retries=2)
        await member.monitor.look()
        member.hearing.succeeded(0.25)
        await member.monitor.close()
        await time.go(3600)
    assert await totals(time) == {
        "calls": 6, "answers": 4, "seconds": 1.5, "Unavailable": 2, "retries": 4
    }  # fmt: skip


async def test_a_word_whose_answer_was_lost_counts_once(join, time):
    member = join()
    member.hearing.succeeded(0.5)
    await member.monitor.look()
    member.monitor._told.clear()  # it never learnt that its word was taken
    member.hearing.succeeded(0.5)
    await member.monitor.look()
    assert (await totals(time))["calls"] == 2


async def test_a_process_that_was_silent_for_long_counts_on_from_where_it_was(join, time):
    member, other = join(), join()
    member.hearing.succeeded(0.5)
    await member.monitor.look()
    await time.go(3600)
    other.hearing.succeeded(0.5)
    await other.monitor.look()  # removes what is old
    member.hearing.succeeded(0.5)
    await member.monitor.look()
    assert (await totals(time))["calls"] == 3


async def watch(member: Member, time: Time, seconds: float) -> None:
    """So many seconds of a process that works."""
    for _ in range(int(seconds / 2)):
        await time.go(2)
        await member.monitor.keep_asking()
        await member.monitor.look()
        await asked(member)


async def asked(member: Member) -> None:
    """What it asks, it asks in a task."""
    if member.monitor._probes and not member.monitor._watched[0].guarded.next.is_silent:
        await asyncio.wait(member.monitor._probes.values())
    await asyncio.sleep(0)


async def test_a_service_of_which_nothing_is_heard_is_asked_by_who_works(join, time, vendor):
    member = join()
    await watch(member, time, SILENCE[0] - 2)
    assert vendor.asked == 0
    await watch(member, time, SILENCE[1] - SILENCE[0] + 2)
    assert vendor.asked == 1
    await watch(member, time, 300)
    assert 300 / (SILENCE[1] + 2) - 1 <= vendor.asked - 1 <= 300 / SILENCE[0]


async def test_several_processes_together_ask_no_more_than_one(join, time, vendor):
    members = [join() for _ in range(4)]
    for _ in range(60):
        await time.go(2)
        for member in members:
            await member.monitor.keep_asking()
            await member.monitor.look()
            await asked(member)
    assert 120 / (SILENCE[1] + 2) - 1 <= vendor.asked <= 120 / SILENCE[0]


async def test_a_service_that_is_used_is_not_asked(join, time, vendor):
    worker, other = join(), join()
    for _ in range(60):
        other.hearing.succeeded(0.1)
        await other.monitor.look()
        await watch(worker, time, 2)
    assert vendor.asked == 0


async def test_a_process_that_does_not_work_asks_nothing(join, time, vendor):
    member = join()
    await member.monitor.keep_asking()
    await time.go(WANTED_SECONDS)
    for _ in range(60):
        await time.go(2)
        await member.monitor.look()
    assert vendor.asked == 0


async def test_a_service_that_does_not_answer_the_question_keeps_nobody_from_their_words(
    join, time, vendor
):
    vendor.is_silent = True
    member = join()
    await watch(member, time, SILENCE[1] + 2)
    assert vendor.asked == 1
    member.hearing.succeeded(0.5)
    await watch(member, time, 2)
    assert (await join().known()).calls == 1
    await member.monitor.close()


async def test_whoever_wants_to_know_asks_unless_somebody_has_just_heard(join, time, vendor):
    first, second = join(), join()
    answers = await asyncio.gather(*(first.ask() for _ in range(20)))
    assert {(a.status, a.calls) for a in answers} == {(Status.HEALTHY, 1)}
    assert (await second.ask()).status is Status.HEALTHY
    assert vendor.asked == 1
    vendor.health = ILL
    await time.go(5)
    assert (await second.ask()).reason == "It is down. Wait."
    assert vendor.asked == 2


async def test_a_service_that_cannot_be_asked_now_says_why(join, time, vendor):
    vendor.health = ServiceHealth(Status.UNKNOWN, reason="Not asked: its limit is used up.")
    member = join()
    known = await member.ask()
    assert (known.status, known.reason) == (Status.UNKNOWN, vendor.health.reason)
    member.hearing.succeeded(0.5)
    await time.go(60)
    assert (await member.ask()).status is Status.HEALTHY


async def test_the_words_of_a_process_come_every_two_seconds_until_it_is_closed(join, time):
    turns = 0

    async def sleep(seconds: float) -> None:
        nonlocal turns
        turns += 1
        if turns > 3:
            await asyncio.Event().wait()
        await time.sleep(seconds)

    member = join(sleep=sleep)
    member.hearing.succeeded(0.5)
    member.monitor.start()
    while turns <= 3:
        await asyncio.sleep(0.001)
    assert time.passed == 6
    (told,) = (await snapshots.told(time.database)).values()
    assert told.heard.age == 6
    await member.monitor.close()


async def test_a_database_that_is_away_ends_nothing(join, time, caplog):
    caplog.set_level(logging.INFO, logger="gristmill")
    turns = asyncio.Semaphore(0)
    rounds = 0

    async def sleep(_: float) -> None:
        nonlocal rounds
        rounds += 1
        await turns.acquire()

    member = join(sleep=sleep)
    member.hearing.succeeded(0.5)
    there, member.monitor._database = member.monitor._database, Database("host=nowhere")
    member.monitor.start()
    turns.release()
    while rounds < 2:
        await asyncio.sleep(0)
    assert [r.msg["event"] for r in caplog.records] == ["health.not_told"]
    member.monitor._database = there
    turns.release()
    while rounds < 3:
        await asyncio.sleep(0.001)
    assert (await totals(time))["calls"] == 1
    member.monitor._database = Database("host=nowhere")
    await member.monitor.close()
