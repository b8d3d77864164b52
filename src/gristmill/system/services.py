"""The services of a system: both sides of each, with every policy, behind one router.

Both sides are always there, since a mode can be switched at any time. The simulators are started
when the first call needs them.
"""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from gristmill.contract import Operation, Origin, R, Result, ServiceInterface
from gristmill.costs.ledger import Ledger
from gristmill.costs.prices import Prices
from gristmill.database.engine import Database
from gristmill.health.hearing import Hearing
from gristmill.health.monitor import Monitor, Watched
from gristmill.modes.current import Modes
from gristmill.policies import stack
from gristmill.policies.layer import Layer
from gristmill.quotas.turns import Turns
from gristmill.router import ServiceRouter, Side, Sides
from gristmill.services.adapter import Adapter, Endpoint
from gristmill.services.http import create_client
from gristmill.services.renewable import Renewable
from gristmill.settings import Settings
from gristmill.system.places import SERVICES, endpoint, origin_in
from gristmill_simulators.environment import environment

if TYPE_CHECKING:
    import httpx


@dataclass(slots=True)
class Parts:
    """What the services are built from; they are closed with `closing`.

    `simulator_url` starts the simulators if need be; `on_recovery` hears that a service serves
    again after it was left alone. `refuse_boundless` raises Misconfigured unless a person has said
    how much real money may be spent.
    """

    settings: Settings
    database: Database
    ledger: Ledger
    prices: Prices
    modes: Modes
    closing: AsyncExitStack
    simulator_url: Callable[[], Awaitable[str]]
    on_recovery: Callable[[], None]
    refuse_boundless: Callable[[], Awaitable[None]]


class ServiceSet:
    """The running services; `router` and `monitor` are what the others use of them."""

    router: ServiceRouter
    monitor: Monitor

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._http = create_client()
        parts.closing.push_async_callback(self._http.aclose)
        self._simulators = _Simulators(parts, self._http)
        self._keys = parts.settings  # what the real side is reached with
        self._real: list[Renewable] = []
        watched = {
            (service, origin): self._watched(service, origin)
            for service in SERVICES
            for origin in (Origin.SIMULATED, Origin.REAL)
        }
        self.monitor = self._started_monitor(tuple(watched.values()))
        self.router = ServiceRouter(
            {
                service: Sides(
                    _side(watched[service, Origin.SIMULATED]),
                    _bounded(watched[service, Origin.REAL], parts.refuse_boundless),
                )
                for service in SERVICES
            },
            parts.modes,
        )

    async def revive(self) -> None:
        """Starts the simulators again if they were used and are gone; finds them if they moved."""
        await self._simulators.follow()

    def take_keys(self, settings: Settings) -> None:
        """New calls use the keys of these settings; calls under way finish with theirs."""
        self._keys = settings
        for each in self._real:
            each.renew()

    def _watched(self, service: str, origin: Origin) -> Watched:
        parts = self._parts
        place = endpoint(parts.settings, service, origin)
        turns = Turns(
            parts.database,
            service,
            place,
            limits=parts.settings.rates_of(service, is_real=origin is Origin.REAL),
            burst=parts.settings.rate_burst_seconds,
        )
        parts.closing.push_async_callback(turns.close)
        hearing = Hearing()
        guarded = stack(
            self._adapter(service, origin),
            ledger=parts.ledger,
            prices=parts.prices,
            turns=turns,
            hearing=hearing,
            origin=origin,
            endpoint=place,
            patience=parts.settings.retry_seconds,
            longest_open=parts.settings.breaker_seconds,
            on_recovery=parts.on_recovery,
        )
        return Watched(service, place, guarded, hearing, guarded.live)

    def _adapter(self, service: str, origin: Origin) -> ServiceInterface:
        if origin is Origin.SIMULATED:
            return self._simulators.adapter(service)

        async def build() -> ServiceInterface:
            return _adapter(_real(service, self._keys), self._keys, self._http)

        self._real.append(Renewable(build, lambda: _real(service, self._keys).problem is None))
        return self._real[-1]

    def _started_monitor(self, watched: tuple[Watched, ...]) -> Monitor:
        modes, settings = self._parts.modes, self._parts.settings

        def used_at(service: str) -> str:
            return endpoint(settings, service, origin_in(modes.known(service).mode))

        monitor = Monitor(self._parts.database, watched, used_at)
        monitor.start()
        self._parts.closing.push_async_callback(monitor.close)
        return monitor


@dataclass(slots=True)
class _Simulators:
    """The simulated side of all services, wherever the simulators listen today."""

    parts: Parts
    http: "httpx.AsyncClient"
    url: str | None = None
    adapters: list[Renewable] = field(default_factory=list)

    def adapter(self, service: str) -> Renewable:
        self.adapters.append(Renewable(partial(self._build, service), lambda: True))
        return self.adapters[-1]

    async def follow(self) -> None:
        if self.url is None:
            return
        before, self.url = self.url, await self.parts.simulator_url()
        if before != self.url:
            for each in self.adapters:
                each.renew()

    async def _build(self, service: str) -> ServiceInterface:
        self.url = await self.parts.simulator_url()
        names = environment(self.url)
        address, key = {
            "openai": (names["OPENAI_BASE_URL"], names["OPENAI_API_KEY"]),
            "llamaparse": (names["LLAMA_CLOUD_BASE_URL"], names["LLAMA_CLOUD_API_KEY"]),
            "supabase": (names["SUPABASE_URL"], names["SUPABASE_SERVICE_ROLE_KEY"]),
        }[service]
        return _adapter(Endpoint(service, address, key), self.parts.settings, self.http)


def _side(watched: Watched) -> Side:
    return Side(watched.endpoint, watched.guarded)


def _bounded(watched: Watched, refuse_boundless: Callable[[], Awaitable[None]]) -> Side:
    return Side(watched.endpoint, _Bounded(watched.guarded, refuse_boundless))


class _Bounded(Layer):
    """Nothing real that is billed leaves before somebody has said how much it may cost in all."""

    def __init__(
        self, next_: ServiceInterface, refuse_boundless: Callable[[], Awaitable[None]]
    ) -> None:
        super().__init__(next_)
        self._refuse_boundless = refuse_boundless

    async def execute(self, operation: Operation[R]) -> Result[R]:
        if not operation.worst_case().is_free:
            await self._refuse_boundless()
        return await self.next.execute(operation)


def _real(service: str, settings: Settings) -> Endpoint:
    address, key = {
        "openai": (settings.openai_base_url, settings.openai_api_key),
        "llamaparse": (settings.llama_cloud_base_url, settings.llama_cloud_api_key),
        "supabase": (settings.supabase_url or "", settings.supabase_service_role_key),
    }[service]
    return Endpoint(service, address, _plain(key))


def _adapter(place: Endpoint, settings: Settings, http: "httpx.AsyncClient") -> "Adapter[Any]":
    """One adapter; only its vendor's modules are loaded."""
    match place.service:
        case "openai":
            from gristmill.services.openai import OpenAI

            return OpenAI(place, http)
        case "llamaparse":
            from gristmill.services.llamaparse import LlamaParse

            return LlamaParse(place, http)
        case _:
            from gristmill.services.supabase import Supabase

            return Supabase(place, http, bucket=settings.supabase_bucket)


def _plain(secret: SecretStr | None) -> str:
    return "" if secret is None else secret.get_secret_value()
