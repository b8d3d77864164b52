"""A health answer is shared, and short-lived."""

import asyncio
from dataclasses import dataclass

from scripted import Look, ScriptedService, answer

from gristmill.contract import ServiceHealth, Status
from gristmill.policies.health import HealthCache


@dataclass
class Probed(ScriptedService):
    """Counts the probes; each takes until `open` is set."""

    probes: int = 0

    def __post_init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()

    async def get_health(self) -> ServiceHealth:
        self.probes += 1
        await self.open.wait()
        return ServiceHealth(Status.HEALTHY, reason=f"probe {self.probes}")


async def test_the_service_is_asked_again_only_when_its_answer_is_old():
    service, now = Probed(), [100.0]
    cache = HealthCache(service, seconds=5.0, clock=lambda: now[0])
    first = await cache.get_health()
    now[0] += 4.9
    assert await cache.get_health() is first
    now[0] += 0.1
    assert (await cache.get_health()).reason == "probe 2"


async def test_callers_that_come_together_share_one_probe():
    service = Probed()
    service.open.clear()
    cache = HealthCache(service)
    callers = [asyncio.create_task(cache.get_health()) for _ in range(50)]
    await asyncio.sleep(0)
    service.open.set()
    answers = await asyncio.gather(*callers)
    assert service.probes == 1
    assert set(answers) == {ServiceHealth(Status.HEALTHY, reason="probe 1")}


async def test_a_caller_that_gives_up_takes_the_answer_from_nobody():
    service = Probed()
    service.open.clear()
    cache = HealthCache(service)
    first, second = (asyncio.create_task(cache.get_health()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    service.open.set()
    assert (await second).reason == "probe 2"


async def test_calls_pass_it_untouched():
    result = answer()
    assert await HealthCache(ScriptedService([result])).execute(Look()) is result
