"""The layer that hears how tries went, and asks when nothing was heard."""

import asyncio
from dataclasses import dataclass

import pytest
from scripted import Look, ScriptedService, answer

from gristmill import errors
from gristmill.contract import ServiceHealth, Status
from gristmill.health.hearing import Hearing
from gristmill.policies.health import Health

WELL = ServiceHealth(Status.HEALTHY, 0.25, reason="It answers.")
UNASKED = ServiceHealth(Status.UNKNOWN, reason="Not asked: its rate limit is used up for 12 s.")


@dataclass
class Probed(ScriptedService):
    """Counts the probes; each takes until `open` is set."""

    health: ServiceHealth = WELL
    probes: int = 0

    def __post_init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()

    async def get_health(self) -> ServiceHealth:
        self.probes += 1
        await self.open.wait()
        return self.health


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def layer_of(clock: Clock):
    return lambda service: Health(service, hearing=Hearing(clock=clock))


async def test_a_call_passes_untouched_and_is_heard(layer_of) -> None:
    result = answer(latency=0.5)
    service = Probed([result])
    layer = layer_of(service)
    assert await layer.execute(Look()) is result
    health = await layer.get_health()
    assert (health.status, health.response_time, health.calls) == (Status.HEALTHY, 0.5, 1)
    assert service.probes == 0


async def test_a_failure_goes_on_to_the_caller_and_is_heard_with_what_it_means(layer_of) -> None:
    error = errors.Unauthorized("The key is refused.", advice="Check it.", status=401)
    service = Probed([error], health=ServiceHealth(Status.HEALTHY, 0.25))
    layer = layer_of(service)
    with pytest.raises(errors.Unauthorized) as caught:
        await layer.execute(Look())
    assert caught.value is error
    health = await layer.get_health()
    assert (health.errors, health.last_error) == ({"Unauthorized": 1}, "The key is refused.")


async def test_after_a_failed_call_the_service_is_asked_at_once(layer_of) -> None:
    service = Probed([errors.Unavailable("down")])
    layer = layer_of(service)
    with pytest.raises(errors.Unavailable):
        await layer.execute(Look())
    await layer.get_health()
    assert service.probes == 1


async def test_the_service_is_asked_again_only_when_its_answer_is_old(layer_of, clock) -> None:
    service = Probed()
    layer = layer_of(service)
    await layer.get_health()
    clock.now += 4.9
    await layer.get_health()
    assert service.probes == 1
    clock.now += 0.1
    await layer.get_health()
    assert service.probes == 2


async def test_callers_that_come_together_share_one_probe(layer_of) -> None:
    service = Probed()
    service.open.clear()
    layer = layer_of(service)
    callers = [asyncio.create_task(layer.get_health()) for _ in range(50)]
    await asyncio.sleep(0)
    service.open.set()
    answers = await asyncio.gather(*callers)
    assert service.probes == 1
    assert {each.status for each in answers} == {Status.HEALTHY}


async def test_a_caller_that_gives_up_takes_the_answer_from_nobody(layer_of) -> None:
    service = Probed()
    service.open.clear()
    layer = layer_of(service)
    first, second = (asyncio.create_task(layer.get_health()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    service.open.set()
    assert (await second).status is Status.HEALTHY
    assert service.probes == 2


async def test_a_service_that_could_not_be_asked_is_as_it_was_heard(layer_of, clock) -> None:
    service = Probed([answer()], health=UNASKED)
    layer = layer_of(service)
    assert await layer.get_health() is UNASKED
    await layer.execute(Look())
    clock.now += 60
    assert (await layer.get_health()).status is Status.HEALTHY
    assert service.probes == 2
