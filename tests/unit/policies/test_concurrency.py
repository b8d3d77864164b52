"""As many calls at once as the service takes: one more for each round, half after a refusal."""

import asyncio

import pytest
from scripted import Look, ScriptedService, answer

from gristmill.contract import RateLimitFeedback
from gristmill.errors import RateLimited, Rejected, Throttled
from gristmill.policies import deadline
from gristmill.policies.concurrency import Concurrency


class Gate(ScriptedService):
    """Holds every call until it is told how that one ends."""

    def __init__(self):
        super().__init__()
        self.inside = []

    async def execute(self, operation):
        del operation
        end = asyncio.get_running_loop().create_future()
        self.inside.append(end)
        return await end

    async def end(self, *, error=None, number=1):
        for _ in range(number):
            future = self.inside.pop(0)
            future.set_exception(error) if error else future.set_result(answer())
        await settle()


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def calls():
    tasks = []

    async def start(layer, number):
        tasks.extend(asyncio.create_task(layer.execute(Look())) for _ in range(number))
        await settle()
        return tasks[-number:]

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_only_so_many_calls_are_under_way_and_the_oldest_goes_next(calls):
    gate = Gate()
    layer = Concurrency(gate, first=2)
    tasks = await calls(layer, 4)
    assert (len(gate.inside), layer.waiting) == (2, 2)
    await gate.end()
    assert len(gate.inside) == 2
    assert [task.done() for task in tasks] == [True, False, False, False]


async def test_each_round_that_goes_well_lets_one_more_in(calls):
    gate = Gate()
    layer = Concurrency(gate, first=4, most=5)
    await calls(layer, 40)
    await gate.end(number=4)
    assert 4.8 < layer.limit < 5
    await gate.end(number=4)
    assert layer.limit == 5
    assert len(gate.inside) == 5


async def test_a_refusal_halves_once_for_all_that_were_under_way_together(calls):
    gate = Gate()
    layer = Concurrency(gate, first=8)
    await calls(layer, 20)
    await gate.end(error=Throttled("slower"), number=8)
    assert layer.limit == 4
    assert len(gate.inside) == 4
    await gate.end(error=Throttled("slower"), number=4)
    assert layer.limit == 2


async def test_there_is_always_room_for_one(calls):
    gate = Gate()
    layer = Concurrency(gate, first=1)
    await calls(layer, 3)
    await gate.end(error=Throttled("slower"))
    assert layer.limit == 1
    assert len(gate.inside) == 1


async def test_an_answer_to_one_input_says_nothing_of_the_service(calls):
    gate = Gate()
    layer = Concurrency(gate, first=4)
    await calls(layer, 1)
    await gate.end(error=Rejected("no"))
    assert layer.limit == 4


async def test_a_service_that_tells_its_limits_has_no_other_one():
    told = (RateLimitFeedback("tokens", limit=1000, remaining=900),)
    layer = Concurrency(ScriptedService([answer(rate_limits=told), Throttled("slower")]), first=1)
    await layer.execute(Look())
    assert layer.limit == float("inf")
    with pytest.raises(Throttled):
        await layer.execute(Look())
    assert layer.limit == float("inf")


async def test_a_call_cancelled_in_the_queue_or_under_way_leaves_its_place_to_others(calls):
    gate = Gate()
    layer = Concurrency(gate, first=1)
    tasks = await calls(layer, 3)
    tasks[1].cancel()
    await settle()
    assert layer.waiting == 1
    tasks[0].cancel()
    await settle()
    assert (len(gate.inside), layer.waiting) == (2, 0)  # the cancelled one is still in the list
    tasks[2].cancel()
    await settle()
    assert layer._active == 0


async def test_a_callers_deadline_bounds_its_waiting(calls):
    layer = Concurrency(Gate(), first=1)
    await calls(layer, 1)
    with deadline.within(0), pytest.raises(RateLimited):
        await layer.execute(Look())
    assert layer.waiting == 0
