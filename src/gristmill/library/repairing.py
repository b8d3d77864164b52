"""Putting degraded documents right while somebody waits, and telling what that would cost."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from gristmill.contract import Status
from gristmill.errors import GristmillError, Misconfigured, Unavailable
from gristmill.library import standing
from gristmill.library.estimating import estimate_of
from gristmill.pipeline import intake
from gristmill.pipeline.document import IngestEntry, PipelineOptions
from gristmill.pipeline.estimate import Estimate, FileEstimate
from gristmill.pipeline.repair import CONCERNED, Degraded, begin, degraded
from gristmill.pipeline.repair_estimate import estimate_repairs
from gristmill.system import System

DOWN: Final = (Status.UNHEALTHY, Status.UNCONFIGURED)


@dataclass(frozen=True, slots=True)
class RepairEstimate:
    """What is degraded, the oldest first, and what putting it right would cost now.

    The files of `estimate` are those documents that can be repaired in the present modes.
    """

    documents: tuple[Degraded, ...]
    estimate: Estimate


async def begin_repairs(system: System, collection: str | None) -> list[IngestEntry]:
    """Begins what can be repaired; a repair that waits or has failed goes on. An entry for each.

    Documents that cannot be repaired now are refused. Where that is so for all of them it raises:

        Misconfigured: the present modes bring nothing that would put them right.
        Unavailable: a service that it takes is down.
    """
    found = await degraded(system.database, await system.pipeline_options(), collection=collection)
    todo = [each for each in found if each.standing != "replaced"]
    if not todo:
        return []
    context = await system.context()
    down = await _down(system, todo)
    hindered = {each.document_id: _hindrance(each, context.options, down) for each in todo}
    free = [each for each in todo if hindered[each.document_id] is None]
    if not free:
        raise next(filter(None, hindered.values()))
    await begin(context, free)
    await intake.retry(system.database, [each.document_id for each in free], failed=True)
    return [_entry(each, hindered[each.document_id]) for each in todo]


async def _down(system: System, found: Sequence[Degraded]) -> dict[str, str]:
    """The services that it takes and that do not serve, and why; they are asked, at no cost."""
    concerned = {name for each in found if each.remedy for name in CONCERNED[each.remedy]}
    if not concerned:
        return {}
    reports = await standing.health(system, "now")
    return {name: reports[name].reason for name in concerned if reports[name].status in DOWN}


def _hindrance(
    each: Degraded, options: PipelineOptions, down: Mapping[str, str]
) -> GristmillError | None:
    if each.remedy is None:
        return _other_mode(each, options)
    services = [name for name in CONCERNED[each.remedy] if name in down]
    if not services:
        return None
    return Unavailable(
        f"{services[0]} does not serve, and nothing can be repaired without it: "
        + down[services[0]],
        service=services[0],
        advice="What is published stays. Repairs begin by themselves a minute after it serves"
        " again, while a worker runs.",
    )


def _other_mode(each: Degraded, options: PipelineOptions) -> Misconfigured:
    if each.origin is not options.embedding.origin:
        return Misconfigured(
            f"The collection {each.collection!r} holds {each.origin} vectors, and the mode of"
            f" openai brings {options.embedding.origin} ones.",
            advice="gristmill mode openai real or hybrid lets it be repaired.",
        )
    return Misconfigured(
        "The mode of llamaparse is mock, and the simulator has read it already.",
        advice="gristmill mode llamaparse real or hybrid lets it be repaired.",
    )


def _entry(each: Degraded, hindrance: GristmillError | None) -> IngestEntry:
    if hindrance is None:
        return IngestEntry(each.source, "accepted", each.document_id)
    error, advice = str(hindrance), hindrance.advice
    return IngestEntry(each.source, "refused", each.document_id, error, advice)


async def estimate_repair(system: System, collection: str | None) -> RepairEstimate:
    """What is degraded, and what the calls would cost; changes nothing and asks no service."""
    started = time.monotonic()
    options = await system.pipeline_options()
    found = await degraded(system.database, options, collection=collection)
    return RepairEstimate(tuple(found), await priced(system, options, found, started))


async def priced(
    system: System, options: PipelineOptions, found: Sequence[Degraded], started: float
) -> Estimate:
    """What repairing these would cost; the look began at `started` of the monotonic clock."""
    todo = [each for each in found if each.remedy is not None and each.standing != "replaced"]
    todo.sort(key=lambda each: each.collection)
    files = await estimate_repairs(system.database, options, system.calls().price, todo)
    by_name: dict[str, list[FileEstimate]] = {
        name: [file for _, file in group]
        for name, group in groupby(zip(todo, files, strict=True), lambda pair: pair[0].collection)
    }
    return await estimate_of(system, by_name, options, started)
