"""The modes of a process: switched at run time, read anew when they are asked for."""

import logging

import pytest

from gristmill.contract import ServiceMode
from gristmill.modes import switches
from gristmill.modes.current import FRESH_SECONDS, Modes
from gristmill.modes.rulings import Configured

MOCK, REAL, HYBRID = ServiceMode.MOCK, ServiceMode.REAL, ServiceMode.HYBRID
CONFIGURED = (
    Configured("openai", MOCK, "GRISTMILL_MODE", is_given=False),
    Configured("llamaparse", HYBRID, "GRISTMILL_MODE_LLAMAPARSE", is_given=True),
)


class Clock:
    """Stands still until it is told."""

    now = 0.0

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def modes(database, clock):
    return Modes(database, CONFIGURED, clock=clock)


async def test_the_settings_count_until_somebody_switches(modes):
    assert (await modes.of("openai")).reason == "the default of GRISTMILL_MODE is mock"
    assert (await modes.of("llamaparse")).reason == "GRISTMILL_MODE_LLAMAPARSE is hybrid"


async def test_a_switch_wins_and_says_what_it_sets_aside(modes, database):
    await switches.switch(database, ["openai", "llamaparse"], REAL, "mill-1")
    openai, llamaparse = await modes.of("openai"), await modes.of("llamaparse")
    assert (openai.mode, llamaparse.mode) == (REAL, REAL)
    assert openai.reason.startswith("switched to real by mill-1 at 20")
    assert (openai.set_aside, llamaparse.set_aside) == ("", "GRISTMILL_MODE_LLAMAPARSE=hybrid")


async def test_a_switch_of_another_process_is_seen_within_half_a_second(modes, database, clock):
    assert (await modes.of("openai")).mode is MOCK
    await switches.switch(database, ["openai"], REAL, "mill-1")
    assert (await modes.of("openai")).mode is MOCK
    clock.advance(FRESH_SECONDS)
    assert modes.known("openai").mode is MOCK
    assert (await modes.of("openai")).mode is REAL
    await switches.reset(database, ["openai"])
    clock.advance(FRESH_SECONDS)
    assert (await modes.of("openai")).mode is MOCK


async def test_it_keeps_what_it_knew_while_the_database_is_away(modes, database, clock):
    await switches.switch(database, ["openai"], REAL, "mill-1")
    assert (await modes.of("openai")).mode is REAL
    await database.close()
    clock.advance(FRESH_SECONDS)
    assert (await modes.of("openai")).mode is REAL


async def test_what_changes_is_logged_once_and_louder_where_settings_do_not_count(
    modes, database, clock, caplog
):
    with caplog.at_level(logging.INFO, "gristmill.modes"):
        await modes.all()
        await switches.switch(database, ["openai", "llamaparse"], REAL, "mill-1")
        for _ in range(3):
            clock.advance(FRESH_SECONDS)
            await modes.all()
    logs = [each.msg for each in caplog.records if "mode.changed" in str(each.msg)]
    told = [(each["service"], each["level"], each["set_aside"]) for each in logs]
    assert told == [
        ("openai", "info", ""),
        ("llamaparse", "warning", "GRISTMILL_MODE_LLAMAPARSE=hybrid"),
    ]


async def test_what_this_environment_does_not_allow_is_said_with_the_ruling(database):
    modes = Modes(database, CONFIGURED, refusal=lambda mode: "Not here." if mode is MOCK else "")
    assert (await modes.of("openai")).refused == "Not here."
    assert (await modes.of("llamaparse")).refused == ""


async def test_keys_are_read_anew_once_for_each_time_that_somebody_asks(modes, database, clock):
    asked = []

    async def reload():
        asked.append("again")

    modes.on_reload = reload
    await switches.ask_to_reload(database, "before this process looked")
    await modes.all()
    assert asked == []
    await switches.ask_to_reload(database, "mill-1")
    for _ in range(2):
        clock.advance(FRESH_SECONDS)
        await modes.all()
    assert asked == ["again"]
