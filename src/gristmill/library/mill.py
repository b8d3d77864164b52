"""The library's face: what the command line and the service do, as methods.

    async with Gristmill() as mill:
        await mill.ingest("paper.pdf")
        answer = await mill.search("how are retries bounded?")

It runs inside any event loop, also another application's.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from gristmill.contract import Origin, ServiceMode
from gristmill.costs.budgets import Balance, Limit, Scope
from gristmill.costs.prices import Prices
from gristmill.costs.report import CostReport, Grouping, Since
from gristmill.health import snapshots
from gristmill.health.report import ServiceReport
from gristmill.health.snapshots import HealthChange
from gristmill.library import standing
from gristmill.library.sources import walk
from gristmill.library.standing import Asking, QuotaReport
from gristmill.library.taking_in import take_in
from gristmill.library.tracker import CostTracker
from gristmill.library.watching import IngestReport, OnProgress, Watch
from gristmill.pipeline import catalogue, intake
from gristmill.pipeline.document import (
    CollectionSummary,
    DocumentDetail,
    DocumentStatus,
    DocumentSummary,
    IngestEntry,
)
from gristmill.search.query import Answer
from gristmill.settings import Settings, load_settings
from gristmill.settings.budget import Period
from gristmill.system import System

if TYPE_CHECKING:
    from gristmill.library.estimating import OnEstimateProgress
    from gristmill.library.modes import ModeReport
    from gristmill.library.repairing import RepairEstimate
    from gristmill.library.verifying import Verification
    from gristmill.pipeline.estimate import Estimate
    from gristmill.pipeline.making_real import Conversion
    from gristmill.router import ServiceRouter
    from gristmill.settings.reloading import Reloaded


class Gristmill:
    """Opens what the settings name; use it as an asynchronous context manager."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._system = System(settings or load_settings())

    async def __aenter__(self) -> Self:
        await self._system.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._system.__aexit__(kind, error, traceback)

    @property
    def settings(self) -> Settings:
        """What is in force, with the keys as they were last read."""
        return self._system.settings

    async def reload_keys(self, *, everywhere: bool = False) -> "Reloaded":
        """Reads the keys anew where the settings were read; new calls use them.

        Calls under way finish with the old ones. With `everywhere` each process on the database is
        asked to do so with its next call. What else is different by now counts from the next start.

        Raises:
            InvalidSettings: what is there is wrong; all stays as it is, and nobody is asked.
            Misconfigured: a program gave the settings, and they cannot be read again.
        """
        from gristmill.system.rotation import ask_everybody, reload

        found = await reload(self._system)
        if everywhere:
            await ask_everybody(self._system)
        return found

    async def ingest(
        self,
        *sources: str | Path,
        collection: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> IngestReport:
        """Takes files, and folders with all below them, to where searches find them.

        Comes back when every document has ended or waits for longer than a minute and a half.
        Other processes may do part of the work. A source that cannot be read is refused and told
        in the report; the others go through.

        Raises:
            CollectionError: the collection holds vectors of another origin.
            DatabaseUnavailable: the database cannot be reached.
        """
        watch = Watch(self._system, on_progress)
        worker = await self._system.worker()
        async with worker.running():
            await take_in(self._system, list(walk(sources)), collection, watch)
            return await watch.until_over()

    async def estimate(
        self,
        *sources: str | Path,
        collection: str | None = None,
        on_progress: "OnEstimateProgress | None" = None,
    ) -> "Estimate":
        """What `ingest` of the same would cost now, and whether every limit has room for it.

        Nothing is written, no service is asked, not even for what is free.

        Raises:
            CollectionError: the collection holds vectors of another origin.
            Misconfigured: the model or the tier has no price.
            DatabaseUnavailable: the database cannot be reached.
        """
        from gristmill.library.estimating import estimate

        name = collection or self.settings.collection
        return await estimate(self._system, sources, name, on_progress)

    async def register(
        self, *sources: str | Path, collection: str | None = None
    ) -> tuple[IngestEntry, ...]:
        """Takes files in without working on them; a running worker does, or a later `resume`.

        Raises:
            CollectionError: the collection holds vectors of another origin.
            DatabaseUnavailable: the database cannot be reached.
        """
        watch = Watch(self._system, None)
        await take_in(self._system, list(walk(sources)), collection, watch)
        return tuple(watch.entries)

    async def resume(
        self, *, failed: bool = False, on_progress: OnProgress | None = None
    ) -> IngestReport:
        """Goes on with everything that is unfinished; `failed` gives ended documents a new try."""
        watch = Watch(self._system, on_progress)
        ids = await intake.unfinished(self._system.database, failed=failed)
        await intake.retry(self._system.database, ids, failed=failed)
        found = await catalogue.summaries(self._system.database, ids=ids, limit=len(ids))
        watch.expected = len(found)
        watch.entries += [IngestEntry(d.source, "accepted", d.id) for d in found]
        worker = await self._system.worker()
        async with worker.running():
            return await watch.until_over()

    async def repair(
        self, *, collection: str | None = None, on_progress: OnProgress | None = None
    ) -> IngestReport:
        """Puts right what is degraded, at once: in one collection, or in all.

        What is published stays until what takes its place is whole. Repairs that have failed get a
        new try. Without anything degraded the report is empty.

        Raises:
            Misconfigured: the present modes bring nothing that would put any of it right.
            Unavailable: a service that it takes is down.
        """
        from gristmill.library.repairing import begin_repairs

        watch = Watch(self._system, on_progress)
        watch.entries += await begin_repairs(self._system, collection)
        watch.expected = len(watch.entries)
        if not watch.entries:
            return await watch.until_over()
        worker = await self._system.worker()
        async with worker.running():
            return await watch.until_over()

    async def estimate_repair(self, *, collection: str | None = None) -> "RepairEstimate":
        """What is degraded, and what `repair` would cost; nothing is written, no service asked."""
        from gristmill.library.repairing import estimate_repair

        return await estimate_repair(self._system, collection)

    async def collections(self) -> list[CollectionSummary]:
        """Every collection, with what is in it and what was paid for it."""
        return await catalogue.collections(self._system.database)

    async def estimate_make_real(self, collection: str) -> "RepairEstimate":
        """What the repairs that follow `make_real` would cost; nothing is written, nobody asked."""
        from gristmill.library.making_real import estimate_make_real

        return await estimate_make_real(self._system, collection)

    async def make_real(self, collection: str) -> "Conversion":
        """Makes a simulated collection a real one; `repair` then brings its parses and vectors.

        All or nothing. Its vectors go at once, and its documents are found by their words until
        they are repaired; those not published yet start again.

        Raises:
            CollectionError: there is none, or it is real already.
            Misconfigured: the mode of openai brings simulated vectors, or real money has no limit.
        """
        from gristmill.library.making_real import make_real

        return await make_real(self._system, collection)

    async def search(
        self, question: str, *, collection: str | None = None, limit: int = 10
    ) -> Answer:
        """The `limit` best passages of one collection, or of all.

        Raises:
            CollectionError: there is no such collection.
            InvalidArgument: the question holds no word.
        """
        search = await self._system.search()
        return await search.ask(question, collection=collection, limit=limit)

    async def documents(
        self,
        *,
        collection: str | None = None,
        status: DocumentStatus | None = None,
        limit: int = 1000,
        offset: int = 0,
    ) -> list[DocumentSummary]:
        """Documents, oldest first."""
        return await catalogue.summaries(
            self._system.database,
            collection=collection,
            status=status,
            limit=limit,
            offset=offset,
        )

    async def show(self, document_id: str) -> DocumentDetail:
        """Everything about one document, named by its id or an unambiguous beginning of it.

        Raises:
            NotFound: there is none, or more than one.
        """
        return await catalogue.detail(self._system.database, document_id)

    async def delete(self, document_id: str) -> DocumentSummary:
        """Removes a document with passages, vectors, text and file, as far as no other needs them.

        Raises:
            NotFound: there is none, or more than one.
            ServiceError, BreakerOpen: the file could not be removed from storage yet; the document
                is gone, and the next `ingest` or `resume` tries again.
        """
        from gristmill.pipeline.removal import delete

        summary = await catalogue.find(self._system.database, document_id)
        await delete(await self._system.context(), summary.id)
        return summary

    @cached_property
    def tracker(self) -> CostTracker:
        """Holds and settles anybody's own calls, by the same limits and in the same journal."""
        return CostTracker(self._system)

    async def budget(self) -> list[Balance]:
        """Every limit, with what is spent, held and left of it now."""
        return await self.tracker.budget()

    async def set_budget(self, *limits: Limit, origin: Origin | None = None) -> None:
        """Sets limits, or changes them; documents that were parked for lack of money are woken.

        They are for real or for simulated money: `origin`, or that of the present mode.
        """
        await self.tracker.set_limit(*limits, origin=origin)

    async def clear_budget(
        self, scope: Scope, period: Period, key: str = "", *, origin: Origin | None = None
    ) -> bool:
        """Removes a limit; False if there was none. Documents that were parked for it are woken.

        Raises:
            InvalidArgument: real money would be left without any global limit.
        """
        return await self.tracker.clear_limit(scope, period, key, origin=origin)

    async def costs(self, by: Grouping = "service", *, since: Since | None = None) -> CostReport:
        """What was spent, by service, day, collection, document or model.

        `since` is a moment, or how long ago by the database's clock; without it, all there is.

        Raises:
            InvalidArgument: costs cannot be grouped like that, or the moment has no time zone.
        """
        return await self.tracker.costs(by, since=since)

    async def verify_costs(self) -> "Verification":
        """Adds the journal up anew, and compares it with the vendors' bills as far as these show.

        Raises:
            DatabaseUnavailable: the database cannot be reached.
        """
        from gristmill.library.verifying import verify

        return await verify(self._system)

    @property
    def prices(self) -> Prices:
        """What calls cost: the published prices, and before them those of the settings' file."""
        return self._system.prices

    async def link(self, document_id: str, *, expires_in: int = 3600) -> str:
        """An address where anybody can download the file as it was taken in; it is a secret.

        It opens for `expires_in` seconds.

        Raises:
            NotFound: there is no such document, or more than one, or its file is not stored yet.
            Misconfigured: the file is in a storage that the present mode does not reach.
            ServiceError: storage failed.
        """
        from gristmill.pipeline.originals import link

        summary = await catalogue.find(self._system.database, document_id)
        return await link(await self._system.context(), summary.id, expires_in)

    async def services(self) -> "ServiceRouter":
        """The three services behind one face, for operations that no method here has.

        What is executed passes the same policies, and the journal, as the pipeline's own calls.
        """
        return await self._system.router()

    async def modes(self) -> Mapping[str, "ModeReport"]:
        """Which side of each service is asked now, and what decides that."""
        from gristmill.library.modes import modes

        return await modes(self._system)

    async def switch_mode(self, mode: ServiceMode, *services: str) -> None:
        """Switches these services, or all, for every process, until it is reset.

        Calls under way end where they are. Documents that waited for another mode are woken.

        Raises:
            InvalidArgument: there is no such service.
            InvalidSettings: a key or a price is missing, or this environment does not allow it.
            Misconfigured: it would spend real money, and nobody has said how much that may be.
        """
        from gristmill.library.switching import switch

        await switch(self._system, ServiceMode(mode), services)

    async def reset_mode(self, *services: str) -> None:
        """Leaves these services, or all, to the settings of each process again."""
        from gristmill.library.switching import reset

        await reset(self._system, services)

    async def health(self, *, ask: Asking = "now") -> Mapping[str, ServiceReport]:
        """How each service does, in all processes together, of the last five minutes.

        A service of which nobody has heard for a few seconds is asked, at no cost; for whoever
        looks again and again, `seldom` asks after half a minute. `never` tells what is known.
        """
        return await standing.health(self._system, ask)

    async def health_changes(self) -> list[HealthChange]:
        """How services have changed in the last day, the newest first."""
        return await snapshots.changes(self._system.database)

    async def limits(self) -> QuotaReport:
        """The vendors' rate limits: configured, told, used, and who waits for them."""
        return await standing.quotas(self._system)

    async def metrics(self) -> str:
        """Budgets, services, rate limits and documents, of all processes, as Prometheus reads them.

        Read from the database when it is asked for; no service is asked, and nothing started.
        """
        from gristmill.library.metrics import metrics

        return await metrics(self._system)

    async def database_version(self) -> str:
        """The server behind it all, in a phrase."""
        async with self._system.database.connection() as connection:
            cursor = await connection.execute(
                "SELECT current_setting('server_version') AS server, extversion AS vector"
                " FROM pg_extension WHERE extname = 'vector'"
            )
            row = await cursor.fetchone()
        place = "embedded" if self.settings.database_url is None else "DATABASE_URL"
        return f"Postgres {row['server']}, pgvector {row['vector']}, {place}" if row else place
