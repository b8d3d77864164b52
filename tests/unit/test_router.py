"""The router: each operation to its service, in the mode that it has now."""

import asyncio
from datetime import UTC, datetime

import pytest
from scripted import Grind, Look, ScriptedService, Submit, answer

from gristmill.contract import Origin, ServiceHealth, ServiceMode, Status
from gristmill.errors import Misconfigured, SimulatedAnswer, Unavailable
from gristmill.router import ServiceRouter

MOCK, REAL, HYBRID = ServiceMode.MOCK, ServiceMode.REAL, ServiceMode.HYBRID


def simulated(value="simulated"):
    return answer(value, origin=Origin.SIMULATED, endpoint="http://127.0.0.1:9/v1")


@pytest.fixture
def modes():
    return {"openai": MOCK, "llamaparse": MOCK}


@pytest.fixture
def services():
    return {
        "openai": {
            MOCK: ScriptedService([simulated()] * 3),
            REAL: ScriptedService([answer("real")]),
        },
        "llamaparse": {MOCK: ScriptedService([simulated("job")])},
    }


@pytest.fixture
def router(services, modes):
    return ServiceRouter(services, modes.__getitem__)


async def test_an_operation_goes_to_the_service_that_it_names(router, services):
    assert (await router.execute(Submit())).value == "job"
    assert services["llamaparse"][MOCK].calls == [Submit()]
    assert services["openai"][MOCK].calls == []


async def test_a_switch_of_mode_holds_from_the_next_call_on(router, modes):
    assert (await router.execute(Grind())).origin is Origin.SIMULATED
    modes["openai"] = REAL
    assert (await router.execute(Grind())).value == "real"


async def test_follow_ups_reach_whoever_took_the_work_whatever_the_mode_is_now(router, modes):
    modes["openai"] = REAL
    assert (await router.at("openai", MOCK).execute(Look())).origin is Origin.SIMULATED


@pytest.mark.parametrize("direct", [False, True])
async def test_real_mode_refuses_what_a_simulator_answered(services, modes, direct):
    services["openai"][REAL] = ScriptedService([simulated()])
    modes["openai"] = REAL
    router = ServiceRouter(services, modes.__getitem__)
    face = router.at("openai", REAL) if direct else router
    with pytest.raises(SimulatedAnswer, match=r"openai .* http://127.0.0.1:9/v1"):
        await face.execute(Look())


async def test_errors_pass_through_untouched(services, modes):
    error = Unavailable("down")
    services["openai"][MOCK] = ScriptedService([error])
    with pytest.raises(Unavailable) as caught:
        await ServiceRouter(services, modes.__getitem__).execute(Look())
    assert caught.value is error


@pytest.mark.parametrize(
    ("service", "mode", "said", "advice"),
    [
        ("mill", MOCK, "no service called mill", "llamaparse, openai"),
        ("llamaparse", REAL, "not set up for the mode real", "mock"),
        ("openai", HYBRID, "not built yet", "mock or real"),
    ],
)
def test_what_is_not_there_is_said_with_advice(router, service, mode, said, advice):
    with pytest.raises(Misconfigured, match=said) as caught:
        router.at(service, mode)
    assert advice in caught.value.advice


async def test_it_is_available_if_every_service_is_in_its_present_mode(router, services, modes):
    assert router.is_available()
    services["openai"][REAL].available = False
    assert router.is_available()
    modes["openai"] = REAL
    assert not router.is_available()
    modes["openai"] = HYBRID
    assert not router.is_available()


async def test_health_is_asked_of_all_at_once(services, modes):
    met = asyncio.Barrier(2)

    class Meeting(ScriptedService):
        async def get_health(self):
            await met.wait()
            return self.health

    services = {name: {MOCK: Meeting()} for name in services}
    async with asyncio.timeout(30):
        health = await ServiceRouter(services, modes.__getitem__).health_of()
    assert {name: each.status for name, each in health.items()} == {
        "openai": Status.HEALTHY,
        "llamaparse": Status.HEALTHY,
    }


async def test_its_own_health_is_the_worst_of_all_with_the_reasons(router, services, modes):
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    services["openai"][MOCK].health = ServiceHealth(Status.HEALTHY, 0.2, 1, None, late, "fine")
    services["llamaparse"][MOCK].health = ServiceHealth(
        Status.DEGRADED, 0.1, 2, "slower", early, "asked too fast"
    )
    assert await router.get_health() == ServiceHealth(
        Status.DEGRADED, 0.2, 3, "slower", early, "llamaparse: asked too fast"
    )
    modes["openai"] = HYBRID
    assert (await router.health_of())["openai"].status is Status.UNCONFIGURED
    assert (await router.get_health()).status is Status.UNCONFIGURED


async def test_a_router_without_services_says_so():
    router = ServiceRouter({}, {}.__getitem__)
    assert (await router.get_health()).status is Status.UNCONFIGURED
