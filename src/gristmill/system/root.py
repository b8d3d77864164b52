"""A running system, made of parts that are built when they are first asked for.

Each part is built once, when it is first asked for, and its modules are imported then: listing
documents starts no simulator and loads no vendor's SDK.
"""

import asyncio
import platform
from contextlib import AsyncExitStack
from functools import cache, cached_property, partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from gristmill.contract import Origin, ServiceMode
from gristmill.database.engine import Database
from gristmill.database.migrate import migrate
from gristmill.errors import Misconfigured
from gristmill.home import Home
from gristmill.modes.current import Modes
from gristmill.modes.rulings import Configured
from gristmill.settings import Settings
from gristmill.settings.rules import refusal
from gristmill.settings.values import Source
from gristmill.system.places import PAID, SERVICES, endpoint, origin_in
from gristmill.system.rotation import reload_or_tell, running

if TYPE_CHECKING:
    from gristmill.costs.calls import Calls
    from gristmill.costs.ledger import Ledger
    from gristmill.costs.prices import Prices
    from gristmill.health.monitor import Monitor
    from gristmill.pipeline.children import ChildPool
    from gristmill.pipeline.context import Context
    from gristmill.pipeline.document import EmbeddingOptions, PipelineOptions
    from gristmill.pipeline.estimating import Estimator
    from gristmill.pipeline.worker import Worker
    from gristmill.router import ServiceRouter
    from gristmill.search.query import Search
    from gristmill.system.services import ServiceSet


class System:
    """A running system; use it as an asynchronous context manager."""

    database: Database
    modes: Modes

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._home = Home(settings.home)
        self._stack = AsyncExitStack()
        self._building = asyncio.Lock()
        self._ledger: Ledger | None = None
        self._services: ServiceSet | None = None
        self._children: ChildPool | None = None
        self._context: Context | None = None
        self._recovered = asyncio.Event()
        self._bounded: set[Origin] = set()
        self._options_in = cache(partial(_options_in, settings))

    async def __aenter__(self) -> Self:
        try:
            self.database = await self._open_database()
            self.modes = _modes(self.database, self.settings)
            self.modes.on_reload = partial(reload_or_tell, self)
            await self.modes.all()
            await self._seed_limits(self.money)
        except BaseException:
            await self._stack.aclose()
            raise
        running.add(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        running.discard(self)
        await self._stack.aclose()

    @property
    def host(self) -> str:
        """The name of this home among all that share the database; made at first use."""
        return self._home.name

    @property
    def machine(self) -> str:
        """What people call this machine."""
        return platform.node() or self.host

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

    async def services(self) -> "ServiceSet":
        """Both sides of all services; nothing is started yet."""
        async with self._building:
            if self._services is None:
                self._services = self._build_services()
            return self._services

    def take_keys(self, settings: Settings) -> None:
        """Has new calls use the keys of these settings, which are otherwise the same."""
        self.settings = settings
        if self._services is not None:
            self._services.take_keys(settings)

    async def router(self) -> "ServiceRouter":
        """The three services behind one face, simulated or real as the modes say."""
        return (await self.services()).router

    async def monitor(self) -> "Monitor":
        """What knows how the services do, in all processes."""
        return (await self.services()).monitor

    async def search(self) -> "Search":
        """What answers questions."""
        from gristmill.search.query import Search

        return Search(self.database, await self.router(), self._embedding_options)

    async def context(self) -> "Context":
        """What the stages work with, as the modes are now; its children end with the system."""
        router = await self.router()
        async with self._building:
            if self._context is None:
                self._context = await self._build_context(router)
        return await self._context.current()

    async def estimator(self, collection: str) -> "Estimator":
        """What tells the cost of files for this collection; it asks no service.

        Raises:
            CollectionError: the collection holds vectors of another origin.
            InvalidArgument: nothing can be called so.
        """
        from gristmill.pipeline.estimating import Estimator
        from gristmill.pipeline.intake import find_collection

        options = await self.pipeline_options()
        number = await find_collection(self.database, collection, options.embedding.origin)
        async with self._building:
            children = await self._child_pool()
        return Estimator(self.database, children, options, self.calls().price, number)

    async def worker(self) -> "Worker":
        """What moves documents along; the caller runs it."""
        from gristmill.pipeline.removal import remove_marked
        from gristmill.pipeline.repair import begin_some
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
                partial(begin_some, context),
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

    def _poll_seconds(self) -> dict[str, float]:
        """The pace at each place where parses may be under way, by its name."""
        from gristmill.system.options import poll_seconds

        return {
            self.endpoint("llamaparse", origin): poll_seconds(self.settings, origin)
            for origin in (Origin.SIMULATED, Origin.REAL)
        }

    async def revive(self) -> None:
        """Starts again what should run on this machine and is gone; leaves alone what lives."""
        if self.settings.database_url is None:
            await self._home.start_database()
        if self._services is not None:
            await self._services.revive()

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
        return database

    async def _seed_limits(self, origin: Origin) -> None:
        """Sets the settings' limits for this money, if nobody has set any for it."""
        from gristmill.costs.budgets import Limit, seed_limits
        from gristmill.settings.budget import limits_of

        limits = limits_of(self.settings.budget)
        if limits:
            named = [Limit("global", period, amount) for period, amount in limits.items()]
            await seed_limits(self.database, origin, named)

    @property
    def money(self) -> Origin:
        """Whose money the present modes spend: real as soon as one service that is paid is real."""
        modes = {self.modes.known(name).mode for name in PAID}
        return Origin.SIMULATED if modes == {ServiceMode.MOCK} else Origin.REAL

    async def refuse_boundless(self, money: Origin) -> None:
        """Looked for once: a limit can be changed later, but the last one not be removed.

        Raises:
            Misconfigured: it is real, and nobody has said how much of it may be spent.
        """
        from gristmill.costs.budgets import refuse_boundless

        if money not in self._bounded:
            await self._seed_limits(money)
            await refuse_boundless(self.database, money)
            self._bounded.add(money)

    def _build_services(self) -> "ServiceSet":
        from gristmill.system.services import Parts, ServiceSet

        parts = Parts(
            settings=self.settings,
            database=self.database,
            ledger=self.ledger(),
            prices=self.prices,
            modes=self.modes,
            closing=self._stack,
            simulator_url=self.simulator_url,
            on_recovery=self._recovered.set,
            refuse_boundless=partial(self.refuse_boundless, Origin.REAL),
        )
        return ServiceSet(parts)

    async def _build_context(self, router: "ServiceRouter") -> "Context":
        from gristmill.pipeline.context import Context, Limits

        settings = self.settings
        return Context(
            database=self.database,
            ledger=self.ledger(),
            prices=self.prices,
            services=router,
            children=await self._child_pool(),
            options=await self.pipeline_options(),
            choose=self._payable_options,
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

    async def pipeline_options(self) -> "PipelineOptions":
        """What documents are to become, as the modes are now.

        Raises:
            Misconfigured: a mode is not allowed in this environment.
        """
        from gristmill.router import allowed

        rulings = await self.modes.all()
        return self._options_in(*((name, allowed(rulings[name])) for name in SERVICES))

    async def _payable_options(self) -> "PipelineOptions":
        """The same for whoever goes on to spend money, which then has a limit.

        Raises:
            Misconfigured: it has none, or a mode is not allowed.
        """
        options = await self.pipeline_options()
        await self.refuse_boundless(self.money)
        return options

    async def _embedding_options(self) -> "EmbeddingOptions":
        return (await self._payable_options()).embedding

    def endpoint_of(self, service: str) -> str:
        """The name of the endpoint that the present mode asks first."""
        return self.endpoint(service, origin_in(self.modes.known(service).mode))

    def endpoint(self, service: str, origin: Origin) -> str:
        """The name that jobs, objects, spaces and calls are recorded under."""
        return endpoint(self.settings, service, origin)


def _modes(database: Database, settings: Settings) -> Modes:
    def why_not(mode: ServiceMode) -> str:
        refused = refusal(settings, mode)
        return "" if refused is None else refused[0]

    return Modes(database, [_configured(settings, name) for name in SERVICES], refusal=why_not)


def _configured(settings: Settings, service: str) -> Configured:
    variable, source = settings.mode_setting_of(service)
    is_given = source is not Source.DEFAULT
    return Configured(service, settings.mode_of(service), variable, is_given)


def _options_in(settings: Settings, *modes: tuple[str, ServiceMode]) -> "PipelineOptions":
    from gristmill.system.options import pipeline_options

    return pipeline_options(settings, dict(modes))
