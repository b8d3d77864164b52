"""What taking sources in would cost, by service, and whether the limits have room for it."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import Final

from gristmill.contract import Origin
from gristmill.costs.budgets import Balance, Scope, has_global_limit, room
from gristmill.library.sources import look_at, walk
from gristmill.pipeline.document import IngestEntry, PipelineOptions
from gristmill.pipeline.estimate import (
    Bounds,
    Estimate,
    FileEstimate,
    LimitCheck,
    ServiceEstimate,
    total,
)
from gristmill.pipeline.estimating import Estimator
from gristmill.pipeline.intake import Source
from gristmill.settings.prices import LLAMAPARSE, OPENAI, PAGES, TOKENS
from gristmill.system import System

AT_ONCE: Final = 8  # files looked at between two words about how far it is


@dataclass(frozen=True, slots=True)
class EstimateProgress:
    """How many of the sources have been looked at; `elapsed` is in seconds."""

    done: int
    expected: int
    elapsed: float


OnEstimateProgress = Callable[[EstimateProgress], None]


async def estimate(
    system: System,
    sources: Sequence[str | Path],
    collection: str,
    on_progress: OnEstimateProgress | None,
) -> Estimate:
    """Looks at every source, and at every limit; changes nothing and asks no service."""
    started = time.monotonic()
    files, found = list(walk(sources)), list[FileEstimate]()
    estimator = await system.estimator(collection)
    for start in range(0, len(files), AT_ONCE):
        if on_progress is not None:
            on_progress(EstimateProgress(start, len(files), time.monotonic() - started))
        found += await _looked_at(system, estimator, files[start : start + AT_ONCE])
    return await estimate_of(system, {collection: found}, estimator.options, started)


async def estimate_of(
    system: System,
    by_collection: Mapping[str, Sequence[FileEstimate]],
    options: PipelineOptions,
    started: float,
) -> Estimate:
    """The estimates of single files added up, and beside them the limits; begun at `started`."""
    files = tuple(chain.from_iterable(by_collection.values()))
    services = _services(files, options)
    return Estimate(
        collection=next(iter(by_collection)) if len(by_collection) == 1 else None,
        files=files,
        services=services,
        limits=await _limits(system, by_collection, services),
        is_boundless=await _is_boundless(system),
        elapsed=time.monotonic() - started,
    )


async def _looked_at(
    system: System, estimator: Estimator, files: Sequence[tuple[Path, bool]]
) -> list[FileEstimate]:
    most = system.settings.max_file_bytes
    looked = [await look_at(path, most, is_named=is_named) for path, is_named in files]
    fit = [each for each in looked if isinstance(each, Source)]
    estimated = iter(await estimator.look(fit))
    return [next(estimated) if isinstance(each, Source) else _unfit(each) for each in looked]


def _unfit(entry: IngestEntry) -> FileEstimate:
    if entry.outcome == "skipped":
        return FileEstimate(entry.source, "skipped")
    return FileEstimate(entry.source, "refused", error=entry.error, advice=entry.advice)


def _services(
    files: Sequence[FileEstimate], options: PipelineOptions
) -> tuple[ServiceEstimate, ...]:
    parse, space = options.parse, options.embedding
    return (
        ServiceEstimate(
            service=LLAMAPARSE,
            product=parse.tier,
            unit=PAGES,
            origin=parse.origin,
            quantity=total(file.to_parse for file in files),
            nano_dollars=total(file.parse_cost for file in files),
        ),
        ServiceEstimate(
            service=OPENAI,
            product=space.model,
            unit=TOKENS,
            origin=space.origin,
            quantity=total(file.to_embed for file in files),
            nano_dollars=total(file.embed_cost for file in files),
        ),
    )


async def _is_boundless(system: System) -> bool:
    if system.money is not Origin.REAL:
        return False
    return not await has_global_limit(system.database, Origin.REAL)


async def _limits(
    system: System,
    by_collection: Mapping[str, Sequence[FileEstimate]],
    services: Sequence[ServiceEstimate],
) -> tuple[LimitCheck, ...]:
    """Every limit that concerns these files, of whichever money."""
    files = tuple(chain.from_iterable(by_collection.values()))
    documents = {file.document_id or "" for file in files if file.cost.at_most}
    scopes: list[tuple[Scope, str]] = [("global", "")]
    scopes += [("collection", name) for name in by_collection]
    scopes += [("service", each.service) for each in services]
    scopes += [("document", document) for document in sorted(documents)]
    checks: list[LimitCheck] = []
    for origin in sorted({each.origin for each in services}):
        ours = [each for each in services if each.origin is origin]
        balances = await room(system.database, origin, scopes)
        names = {each.service for each in ours}
        for balance in balances:
            if balance.scope == "collection":
                costs = [_cost(file, names) for file in by_collection[balance.key]]
                checks.append(LimitCheck(balance, total(costs)))
            elif balance.scope != "document":
                checks.append(_shared(balance, ours))
        checks += _of_documents(balances, files, names)
    return tuple(checks)


def _shared(balance: Balance, services: Sequence[ServiceEstimate]) -> LimitCheck:
    asked = [s for s in services if balance.scope != "service" or s.service == balance.key]
    return LimitCheck(balance, total(each.nano_dollars for each in asked))


def _of_documents(
    balances: Sequence[Balance], files: Sequence[FileEstimate], services: set[str]
) -> Iterator[LimitCheck]:
    """For each period the limit that one of the documents would pass most."""
    limits = [balance for balance in balances if balance.scope == "document"]
    checks = [
        LimitCheck(limit, _cost(file, services))
        for limit in limits
        for file in files
        if (file.document_id or "") == limit.key and file.cost.at_most
    ]
    checks.sort(key=lambda check: check.balance.period)
    for _, group in groupby(checks, lambda check: check.balance.period):
        same = list(group)
        tightest = max(same, key=_excess)
        yield LimitCheck(
            tightest.balance, tightest.needs, sum(check.fits == "no" for check in same)
        )


def _excess(check: LimitCheck) -> int:
    return check.needs.held - (check.balance.left or 0)


def _cost(file: FileEstimate, services: set[str]) -> Bounds:
    costs = {LLAMAPARSE: file.parse_cost, OPENAI: file.embed_cost}
    return total(cost for service, cost in costs.items() if service in services)
