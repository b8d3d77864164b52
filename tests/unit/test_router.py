"""The router: each operation to its service, in the mode that it has now."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from scripted import Grind, Look, ScriptedService, Submit, answer

from gristmill.contract import Origin, ServiceHealth, ServiceMode, Status
from gristmill.errors import (
    BreakerOpen,
    BudgetExceeded,
    InvalidResponse,
    Misconfigured,
    OutcomeUnknown,
    QuotaExhausted,
    RateLimited,
    Rejected,
    SimulatedAnswer,
    Throttled,
    Unauthorized,
    Unavailable,
)
from gristmill.modes.rulings import Ruling
from gristmill.router import ServiceRouter, Side, Sides

MOCK, REAL, HYBRID = ServiceMode.MOCK, ServiceMode.REAL, ServiceMode.HYBRID
HOST = "api.vendor.test"


def simulated(value="simulated"):
    return answer(value, origin=Origin.SIMULATED, endpoint="http://127.0.0.1:9/v1")


@dataclass
class Fixed:
    """Modes that are what the test says."""

    modes: dict[str, ServiceMode]
    refused: str = ""

    async def of(self, service):
        return self.known(service)

    def known(self, service):
        mode = self.modes[service]
        return Ruling(service, mode, f"the test says {mode}", refused=self.refused)


@dataclass
class Both:
    """Both sides of a service."""

    mock: ScriptedService = field(default_factory=lambda: ScriptedService([simulated()] * 3))
    real: ScriptedService = field(default_factory=lambda: ScriptedService([answer("real")] * 3))

    @property
    def sides(self):
        return Sides(Side("simulator", self.mock), Side(HOST, self.real))


@pytest.fixture
def modes():
    return Fixed({"openai": MOCK, "llamaparse": MOCK})


@pytest.fixture
def services():
    return {"openai": Both(), "llamaparse": Both()}


@pytest.fixture
def router(services, modes):
    return ServiceRouter({name: both.sides for name, both in services.items()}, modes)


@dataclass(frozen=True, slots=True)
class Alone(Grind):
    """A simulator may answer it in the vendor's place."""

    falls_back = True


async def test_an_operation_goes_to_the_service_that_it_names(router, services):
    assert (await router.execute(Submit())).value == "simulated"
    assert services["llamaparse"].mock.calls == [Submit()]
    assert services["openai"].mock.calls == []


async def test_a_switch_of_mode_holds_from_the_next_call_on(router, modes):
    assert (await router.execute(Grind())).origin is Origin.SIMULATED
    modes.modes["openai"] = REAL
    assert (await router.execute(Grind())).value == "real"


async def test_follow_ups_reach_whoever_took_the_work_whatever_the_mode_is_now(router, modes):
    modes.modes["openai"] = REAL
    assert (await router.at("openai", "simulator").execute(Look())).origin is Origin.SIMULATED
    modes.modes["openai"] = MOCK
    assert (await router.at("openai", HOST).execute(Look())).origin is Origin.REAL


async def test_each_result_says_why_it_was_asked_there(router, modes):
    told = (await router.execute(Grind())).choice
    assert (told.endpoint, told.reason, told.fallback) == ("simulator", "the test says mock", "")
    modes.modes["openai"] = REAL
    assert (await router.execute(Grind())).choice.endpoint == HOST
    follow_up = (await router.at("openai", "simulator").execute(Look())).choice
    assert (follow_up.endpoint, "recorded" in follow_up.reason) == ("simulator", True)


@pytest.mark.parametrize("mode", [REAL, HYBRID])
@pytest.mark.parametrize("direct", [False, True])
async def test_a_simulated_answer_from_the_real_side_is_refused(
    router, services, modes, mode, direct
):
    services["openai"].real.script = [simulated()]
    modes.modes["openai"] = mode
    face = router.at("openai", HOST) if direct else router
    with pytest.raises(SimulatedAnswer, match=r"openai .* http://127.0.0.1:9/v1"):
        await face.execute(Alone())
    assert services["openai"].mock.calls == []


async def test_errors_pass_through_untouched(router, services):
    error = Unavailable("down")
    services["openai"].mock.script = [error]
    with pytest.raises(Unavailable) as caught:
        await router.execute(Look())
    assert caught.value is error


def exceeded():
    return BudgetExceeded(
        "no room", scope="global", key="", period="day", limit=1, spent=1, held=0, asked=1,
        window_end=None,
    )  # fmt: skip


@pytest.mark.parametrize("error", [Unavailable("It is down."), BreakerOpen("It was down.")])
async def test_in_hybrid_mode_the_simulator_answers_while_the_vendor_is_down(
    router, services, modes, error
):
    modes.modes["openai"] = HYBRID
    services["openai"].real.script = [error, answer("real")]
    fallen = await router.execute(Alone())
    assert (fallen.value, fallen.origin) == ("simulated", Origin.SIMULATED)
    assert fallen.is_fallback
    assert (fallen.choice.endpoint, fallen.choice.fallback) == ("simulator", str(error))
    back = await router.execute(Alone())
    assert (back.value, back.is_fallback) == ("real", False)


@pytest.mark.parametrize(
    "error",
    [
        exceeded(), QuotaExhausted("no credit"), Throttled("too fast"), RateLimited("too soon"),
        Unauthorized("wrong key"), Rejected("no"), OutcomeUnknown("?"), InvalidResponse("nonsense"),
        Misconfigured("no key"),
    ],
    ids=lambda error: error.kind,
)  # fmt: skip
async def test_hybrid_mode_falls_back_over_nothing_but_an_outage(router, services, modes, error):
    modes.modes["openai"] = HYBRID
    services["openai"].real.script = [error]
    with pytest.raises(type(error)):
        await router.execute(Alone())
    assert services["openai"].mock.calls == []


async def test_nothing_falls_back_once_something_may_have_been_accepted(router, services, modes):
    modes.modes["openai"] = HYBRID
    unsure = Unavailable("down now, and before that there was no answer")
    unsure.no_effect = False
    services["openai"].real.script = [unsure]
    with pytest.raises(Unavailable):
        await router.execute(Alone())
    assert services["openai"].mock.calls == []


@pytest.mark.parametrize("mode", [REAL, HYBRID])
async def test_what_refers_to_the_vendors_own_never_falls_back(router, services, modes, mode):
    modes.modes["openai"] = mode
    services["openai"].real.script = [Unavailable("down")] * 2
    with pytest.raises(Unavailable):
        await router.execute(Grind())
    with pytest.raises(Unavailable):
        await router.at("openai", HOST).execute(Alone())
    assert services["openai"].mock.calls == []


async def test_a_mode_that_is_not_allowed_here_is_refused_and_not_replaced(router, services, modes):
    modes.refused = "In production a simulator may not answer."
    with pytest.raises(Misconfigured, match="the test says mock"):
        await router.execute(Grind())
    assert not services["openai"].mock.calls + services["openai"].real.calls
    assert not router.is_available()
    assert (await router.get_health()).status is Status.UNCONFIGURED


@pytest.mark.parametrize(
    ("service", "endpoint", "said", "advice"),
    [
        ("mill", "simulator", "no service called mill", "llamaparse, openai"),
        ("openai", "api.elsewhere.test", "openai is not reached at api.elsewhere.test", HOST),
    ],
)
def test_what_is_not_there_is_said_with_advice(router, service, endpoint, said, advice):
    with pytest.raises(Misconfigured, match=said) as caught:
        router.at(service, endpoint)
    assert advice in caught.value.advice


def test_the_places_of_a_service_are_those_with_an_address(router, services, modes):
    assert router.endpoints("openai") == (HOST, "simulator")
    both = services["openai"]
    unset = Sides(Side("simulator", both.mock), Side("", both.real))
    assert ServiceRouter({"openai": unset}, modes).endpoints("openai") == ("simulator",)


async def test_it_is_available_if_every_service_is_in_its_present_mode(router, services, modes):
    assert router.is_available()
    services["openai"].real.available = False
    assert router.is_available()
    modes.modes["openai"] = REAL
    assert not router.is_available()
    modes.modes["openai"] = HYBRID
    assert router.is_available()
    services["openai"].mock.available = False
    assert not router.is_available()


async def test_health_is_asked_of_all_at_once(services, modes):
    met = asyncio.Barrier(2)

    class Meeting(ScriptedService):
        async def get_health(self):
            await met.wait()
            return self.health

    sides = {name: Both(mock=Meeting()).sides for name in services}
    async with asyncio.timeout(30):
        health = await ServiceRouter(sides, modes).health_of()
    assert {name: each.status for name, each in health.items()} == {
        "openai": Status.HEALTHY,
        "llamaparse": Status.HEALTHY,
    }


async def test_its_own_health_is_the_worst_of_all_with_the_reasons(router, services, modes):
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    services["openai"].mock.health = ServiceHealth(Status.HEALTHY, 0.2, 1, None, late, "fine")
    services["llamaparse"].mock.health = ServiceHealth(
        Status.DEGRADED, 0.1, 2, "slower", early, "asked too fast"
    )
    assert await router.get_health() == ServiceHealth(
        Status.DEGRADED, 0.2, 3, "slower", early, "llamaparse: asked too fast"
    )
    modes.modes["openai"] = HYBRID
    assert (await router.health_of())["openai"] == services["openai"].real.health


async def test_a_router_without_services_says_so(modes):
    assert (await ServiceRouter({}, modes).get_health()).status is Status.UNCONFIGURED
