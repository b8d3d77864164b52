"""An adapter is replaced while calls are under way."""

import asyncio

import pytest
from scripted import Look, ScriptedService, answer

from gristmill.errors import Rejected, Unauthorized
from gristmill.services.renewable import Renewable


@pytest.fixture
def renewable():
    """Built of the services given, one after the other."""

    def build(*services):
        waiting = iter(services)

        async def following():
            return next(waiting)

        return Renewable(following, lambda: True)

    return build


async def test_new_calls_go_to_a_new_adapter_and_calls_under_way_finish_on_the_old(renewable):
    old, new = ScriptedService(hangs=True), ScriptedService([answer("new")])
    service = renewable(old, new)
    under_way = asyncio.create_task(service.execute(Look()))
    await old.reached.wait()
    service.renew()
    assert (await service.execute(Look())).value == "new"
    assert not under_way.done()
    under_way.cancel()
    await asyncio.wait([under_way])


async def test_a_call_that_the_old_key_was_refused_for_is_made_with_the_new_one(renewable):
    class Rotated(ScriptedService):
        async def execute(self, operation):
            service.renew()  # while it was under way
            return await super().execute(operation)

    old, new = Rotated([Unauthorized("no")]), ScriptedService([answer("new")])
    service = renewable(old, new)
    assert (await service.execute(Look())).value == "new"
    assert len(old.calls) == len(new.calls) == 1


async def test_a_key_that_is_wrong_is_tried_once(renewable):
    only = ScriptedService([Unauthorized("no")])
    with pytest.raises(Unauthorized):
        await renewable(only).execute(Look())
    assert len(only.calls) == 1


async def test_what_another_key_would_not_help_is_not_repeated(renewable):
    class Rotated(ScriptedService):
        async def execute(self, operation):
            service.renew()
            return await super().execute(operation)

    service = renewable(Rotated([Rejected("no")]), ScriptedService([answer()]))
    with pytest.raises(Rejected):
        await service.execute(Look())
