"""What SDKs and httpx log of our calls stays unheard; of a host's own calls it is left alone."""

import asyncio
import logging

import pytest

from gristmill.telemetry.unheard import TALKERS, unheard


@pytest.mark.parametrize("name", TALKERS)
def test_nothing_is_heard_inside_and_all_of_it_outside(name, caplog):
    caplog.set_level(logging.DEBUG)
    with unheard():
        logging.getLogger(name).error("inside")
    logging.getLogger(name).debug("outside")
    assert caplog.messages == ["outside"]


async def test_tasks_started_inside_stay_unheard_and_others_are_heard_meanwhile(caplog):
    caplog.set_level(logging.DEBUG)

    async def talk(word):
        await asyncio.sleep(0)
        logging.getLogger("httpx").info(word)

    host = asyncio.create_task(talk("host"))
    with unheard():
        ours = asyncio.create_task(talk("ours"))
    await asyncio.gather(host, ours)
    assert caplog.messages == ["host"]


def test_our_own_events_are_heard(caplog):
    caplog.set_level(logging.DEBUG)
    with unheard():
        logging.getLogger("gristmill.policies.observe").info("service.call")
    assert caplog.messages == ["service.call"]
