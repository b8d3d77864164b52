"""On whose behalf something happens."""

import asyncio
from contextlib import suppress

from gristmill.telemetry.correlation import Correlation, bound, current


def test_ids_hold_inside_and_are_gone_outside():
    assert current() == Correlation()
    with bound(document="d1", collection="papers") as ids:
        assert current() == ids == Correlation(document="d1", collection="papers")
    assert current() == Correlation()


def test_inner_ids_add_to_those_outside_and_go_first():
    with bound(document="d1", collection="papers"):
        with bound(document="d2", job="7"):
            assert current() == Correlation("d2", "papers", "7")
        assert current() == Correlation("d1", "papers")


def test_ids_are_gone_after_an_error_too():
    with suppress(ZeroDivisionError), bound(job="7"):
        _ = 1 / 0
    assert current().known() == {}


async def test_tasks_inherit_ids_and_do_not_see_each_others():
    async def work(number):
        with bound(job=str(number)):
            await asyncio.sleep(0)
            return current()

    with bound(collection="papers"):
        seen = await asyncio.gather(*(work(number) for number in range(3)))
    assert seen == [Correlation(None, "papers", str(number)) for number in range(3)]
