"""The composition root: settings in, running system out. The only place that builds things.

Each part is built once, when it is first asked for, and its modules are imported then: listing
documents starts no simulator and loads no vendor's SDK.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from functools import cached_property, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

from pydantic import SecretStr

from gristmill.contract import Origin, ServiceInterface, ServiceMode
from gristmill.database.engine import Database
from gristmill.database.migrate import migrate
from gristmill.errors import Misconfigured
from gristmill.home import Home
from gristmill.settings import Settings

if TYPE_CHECKING:
    import httpx

    from gristmill.costs.calls import Calls
    from gristmill.costs.ledger import Ledger
    from gristmill.costs.prices import Prices
    from gristmill.health.monitor import Monitor, Watched
    from gristmill.pipeline.children import ChildPool
    from gristmill.pipeline.context import Context
    from gristmill.pipeline.document import EmbeddingOptions, PipelineOptions
    from gristmill.pipeline.estimating import Estimator
    from gristmill.pipeline.worker import Worker
    from gristmill.router import ServiceRouter
    from gristmill.search.query import Search
    from gristmill.services.adapter import Adapter

SERVICES: Final = ("openai", "llamaparse", "supabase")
PAID: Final = ("openai", "llamaparse")  # storage is billed by the month, not by the call
SIMULATOR: Final = "simulator"  # the endpoint's name, whatever port it listens on today
# How often the parser is asked about jobs, and of how many requests one is for that.
POLLS: Final = 4
POLL_SECONDS: Final = {ServiceMode.MOCK: 0.1, ServiceMode.REAL: 4.0, ServiceMode.HYBRID: 4.0}


class System:
    """A running system; use it as an asynchronous context manager."""

    database: Database

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._home = Home(settings.home)
        self._stack = AsyncExitStack()
        self._building = asyncio.Lock()
        self._ledger: Ledger | None = None
        self._router: ServiceRouter | None = None
        self._monitor: Monitor | None = None
        self._children: ChildPool | None = None
        self._context: Context | None = None
        self._recovered = asyncio.Event()

    async def __aenter__(self) -> Self:
        try:
            self.database = await self._open_database()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    @property
    def host(self) -> str:
        """The name of this home among all that share the database; made at first use."""
        return self._home.name

    def ledger(self) -> "Ledger":
        """What holds and settles the money of this process."""
        from gristmill.costs.ledger import Ledger

        if self._ledger is None:
            self._ledger = Ledger(self.database)
            self._stack.push_async_callback(self._ledger.close)
        return self._ledger

    def calls(self) -> "Calls":
        """What holds and ends calls that no service of ours makes."""
        from gristmill.costs.calls import Calls

        return Calls(self.ledger(), self.prices)

    @cached_property
    def prices(self) -> "Prices":
        """What calls cost, by the published prices and those of the settings' file."""
        from gristmill.costs.prices import table

        return table(self.settings.prices_file)

    async def router(self) -> "ServiceRouter":
        """The three services behind one face, simulated or real as the settings say."""
        async with self._building:
            if self._router is None:
                self._router = await self._build_router()
            return self._router

    async def monitor(self) -> "Monitor":
        """What knows how the services do, in all processes."""
        await self.router()
        if self._monitor is None:
            raise AssertionError("it is built with the router")
        return self._monitor

    async def search(self) -> "Search":
        """What answers questions."""
        from gristmill.search.query import Search

        await self._refuse_boundless()
        return Search(self.database, await self.router(), self._embedding_options())

    async def context(self) -> "Context":
        """What the stages work with; its child processes end with the system."""
        await self._refuse_boundless()
        router = await self.router()
        async with self._building:
            if self._context is None:
                self._context = await self._build_context(router)
            return self._context

    async def estimator(self, collection: str) -> "Estimator":
        """What tells the cost of files for this collection; it asks no service.

        Raises:
            CollectionError: the collection holds vectors of another origin.
            InvalidArgument: nothing can be called so.
        """
        from gristmill.pipeline.estimating import Estimator
        from gristmill.pipeline.intake import find_collection

        options = self._pipeline_options()
        number = await find_collection(self.database, collection, options.embedding.origin)
        async with self._building:
            children = await self._child_pool()
        return Estimator(self.database, children, options, self.calls().price, number)

    async def worker(self) -> "Worker":
        """What moves documents along; the caller runs it."""
        from gristmill.pipeline.removal import remove_marked
        from gristmill.pipeline.worker import Worker
        from gristmill.search.index import make_due_indexes

        context = await self.context()
        return Worker(
            context,
            concurrency=self.settings.concurrency,
            poll_seconds=self._poll_seconds(),
            chores=(
                self.revive,
                partial(make_due_indexes, self.database),
                partial(remove_marked, context),
                context.ledger.assume_forgotten,
                partial(self._go_on, context),
                (await self.monitor()).keep_asking,
            ),
        )

    async def _go_on(self, context: "Context") -> None:
        """Wakes what waited for a service that serves again."""
        from gristmill.pipeline.runner import OUTAGES
        from gristmill.pipeline.store import wake_parked

        if self._recovered.is_set():
            self._recovered.clear()
            await wake_parked(self.database, *OUTAGES)
            context.poke.set()

    def _poll_seconds(self) -> float:
        if self.settings.parse_poll_seconds is not None:
            return self.settings.parse_poll_seconds
        limits = [r for r in self.settings.rates_of("llamaparse") if r.unit == "requests"]
        paces = [POLLS * limit.seconds / limit.amount for limit in limits]
        return max([POLL_SECONDS[self.settings.mode_of("llamaparse")], *paces])

    async def revive(self) -> None:
        """Starts again what should run on this machine and is gone; leaves alone what lives."""
        if self.settings.database_url is None:
            await self._home.start_database()
        if self._router is not None and self._uses_simulator():
            await self.simulator_url()

    async def simulator_url(self) -> str:
        """Where the simulators of this home answer; they are started if they do not.

        Raises:
            Misconfigured: they cannot be started.
        """
        from gristmill_simulators.background import NotStarted, ensure_running

        if self.settings.simulator_url:
            return self.settings.simulator_url
        try:
            with self._home.written():
                return await ensure_running(self.settings.home / "simulator")
        except NotStarted as error:
            raise Misconfigured(
                f"The simulators cannot be started: {error}.",
                advice="gristmill doctor looks for the reason.",
            ) from error

    async def _open_database(self) -> Database:
        url = self.settings.database_url
        self._stack.push_async_callback(self._home.close)
        conninfo = await self._home.start_database() if url is None else url.get_secret_value()
        database = Database(conninfo)
        await database.open()
        self._stack.push_async_callback(database.close)
        await migrate(database)
        await self._seed_limits(database)
        return database

    async def _seed_limits(self, database: Database) -> None:
        from gristmill.costs.budgets import Limit, seed_limits
        from gristmill.settings.budget import limits_of

        limits = limits_of(self.settings.budget)
        if limits:
            named = [Limit("global", period, amount) for period, amount in limits.items()]
            await seed_limits(database, self.money, named)

    @property
    def money(self) -> Origin:
        """Whose money the present modes spend: real as soon as one service that is paid is real."""
        modes = {self.settings.mode_of(name) for name in PAID}
        return Origin.SIMULATED if modes == {ServiceMode.MOCK} else Origin.REAL

    async def _refuse_boundless(self) -> None:
        from gristmill.costs.budgets import refuse_boundless

        await refuse_boundless(self.database, self.money)

    async def _build_router(self) -> "ServiceRouter":
        from gristmill.router import ServiceRouter
        from gristmill.services.http import create_client

        http = create_client()
        self._stack.push_async_callback(http.aclose)
        mock = await self._simulated(http) if self._uses_simulator() else {}
        real = self._real(http)
        guarded = {
            (name, mode): self._guarded(adapters[name], name, mode)
            for name in SERVICES
            for mode, adapters in ((ServiceMode.MOCK, mock), (ServiceMode.REAL, real))
            if name in adapters
        }
        self._monitor = self._start_monitor(guarded.values())
        services = {
            name: {mode: each.guarded for (n, mode), each in guarded.items() if n == name}
            for name in SERVICES
        }
        return ServiceRouter(services, self.settings.mode_of)

    def _start_monitor(self, watched: "Iterable[Watched]") -> "Monitor":
        from gristmill.health.monitor import Monitor

        monitor = Monitor(self.database, tuple(watched), self.endpoint_of)
        monitor.start()
        self._stack.push_async_callback(monitor.close)
        return monitor

    def _guarded(self, adapter: ServiceInterface, service: str, mode: ServiceMode) -> "Watched":
        from gristmill.health.hearing import Hearing
        from gristmill.health.monitor import Watched
        from gristmill.policies import stack
        from gristmill.quotas.turns import Turns

        turns = Turns(
            self.database,
            service,
            self.endpoint(service, mode),
            limits=self.settings.rates_of(service),
            burst=self.settings.rate_burst_seconds,
        )
        self._stack.push_async_callback(turns.close)
        hearing = Hearing()
        guarded = stack(
            adapter,
            ledger=self.ledger(),
            prices=self.prices,
            turns=turns,
            hearing=hearing,
            origin=_origin(mode),
            endpoint=self.endpoint(service, mode),
            patience=self.settings.retry_seconds,
            longest_open=self.settings.breaker_seconds,
            on_recovery=self._recovered.set,
        )
        return Watched(service, self.endpoint(service, mode), guarded, hearing, guarded.live)

    async def _simulated(self, http: "httpx.AsyncClient") -> "dict[str, Adapter[Any]]":
        from gristmill_simulators.environment import environment

        url = await self.simulator_url()
        names = environment(url)
        return _adapters(
            http,
            self.settings.supabase_bucket,
            openai=(names["OPENAI_BASE_URL"], names["OPENAI_API_KEY"]),
            llamaparse=(names["LLAMA_CLOUD_BASE_URL"], names["LLAMA_CLOUD_API_KEY"]),
            supabase=(names["SUPABASE_URL"], names["SUPABASE_SERVICE_ROLE_KEY"]),
        )

    def _real(self, http: "httpx.AsyncClient") -> "dict[str, Adapter[Any]]":
        settings = self.settings
        return _adapters(
            http,
            settings.supabase_bucket,
            openai=(settings.openai_base_url, _plain(settings.openai_api_key)),
            llamaparse=(settings.llama_cloud_base_url, _plain(settings.llama_cloud_api_key)),
            supabase=(settings.supabase_url or "", _plain(settings.supabase_service_role_key)),
        )

    def _uses_simulator(self) -> bool:
        return any(self.settings.mode_of(name) is ServiceMode.MOCK for name in SERVICES)

    async def _build_context(self, router: "ServiceRouter") -> "Context":
        from gristmill.pipeline.context import Context, Limits

        settings = self.settings
        return Context(
            database=self.database,
            ledger=self.ledger(),
            prices=self.prices,
            services=router,
            children=await self._child_pool(),
            options=self._pipeline_options(),
            limits=Limits(
                file_bytes=settings.max_file_bytes,
                parse_deadline=settings.parse_deadline_seconds,
            ),
            host=self.host,
            spool=settings.home / "spool",
        )

    async def _child_pool(self) -> "ChildPool":
        from gristmill.pipeline.children import ChildPool

        if self._children is None:
            # A child must be able to read its limits before it can import pydantic's kind of int.
            memory, seconds = self.settings.child_memory_bytes, self.settings.child_seconds
            pool = ChildPool(memory_bytes=int(memory), seconds=float(seconds))
            self._children = await self._stack.enter_async_context(pool)
        return self._children

    def _pipeline_options(self) -> "PipelineOptions":
        from gristmill.pipeline.chunking import ChunkingOptions
        from gristmill.pipeline.document import ParseOptions, PipelineOptions, StorageOptions

        settings = self.settings
        return PipelineOptions(
            storage=StorageOptions(*self._place("supabase"), bucket=settings.supabase_bucket),
            parse=ParseOptions(
                *self._place("llamaparse"),
                tier=settings.parse_tier,
                tier_version=settings.parse_version,
                max_pages=settings.max_pages,
                languages=tuple(filter(None, settings.parse_languages.split(","))),
            ),
            chunking=ChunkingOptions(settings.chunk_tokens, settings.chunk_overlap),
            embedding=self._embedding_options(),
        )

    def _embedding_options(self) -> "EmbeddingOptions":
        from gristmill.pipeline.document import EmbeddingOptions

        return EmbeddingOptions(
            *self._place("openai"),
            model=self.settings.embedding_model,
            dimensions=self.settings.embedding_dimensions,
            batch_inputs=self.settings.embedding_batch,
            batch_tokens=self.settings.embedding_batch_tokens,
        )

    def _place(self, service: str) -> tuple[str, Origin]:
        """The endpoint's name and the only origin that the present mode lets answer."""
        mode = self.settings.mode_of(service)
        return self.endpoint(service, mode), _origin(mode)

    def endpoint_of(self, service: str) -> str:
        """The name of the endpoint that the present mode uses."""
        return self.endpoint(service, self.settings.mode_of(service))

    def endpoint(self, service: str, mode: ServiceMode) -> str:
        """The name that jobs, objects, spaces and calls are recorded under."""
        if mode is ServiceMode.MOCK:
            return SIMULATOR
        urls = {
            "openai": self.settings.openai_base_url,
            "llamaparse": self.settings.llama_cloud_base_url,
            "supabase": self.settings.supabase_url,
        }
        return urlsplit(urls[service] or "").netloc


def _origin(mode: ServiceMode) -> Origin:
    return Origin.SIMULATED if mode is ServiceMode.MOCK else Origin.REAL


def _plain(secret: SecretStr | None) -> str:
    return "" if secret is None else secret.get_secret_value()


def _adapters(
    http: "httpx.AsyncClient", bucket: str, **addresses: tuple[str, str]
) -> "dict[str, Adapter[Any]]":
    from gristmill.services.adapter import Endpoint
    from gristmill.services.llamaparse import LlamaParse
    from gristmill.services.openai import OpenAI
    from gristmill.services.supabase import Supabase

    kinds: dict[str, Callable[..., Adapter[Any]]] = {
        "openai": OpenAI, "llamaparse": LlamaParse, "supabase": partial(Supabase, bucket=bucket)
    }  # fmt: skip
    return {
        name: kinds[name](Endpoint(name, url, key), http) for name, (url, key) in addresses.items()
    }
