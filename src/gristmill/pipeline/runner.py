"""Moves one document along the road until it must wait, and decides what an error means for it."""

import asyncio
import random
from dataclasses import dataclass

from gristmill.errors import (
    BreakerOpen,
    BudgetExceeded,
    DatabaseUnavailable,
    DocumentError,
    DocumentFailed,
    GristmillError,
    LostClaim,
    Misconfigured,
    NotYet,
    OutcomeUnknown,
    QuotaExhausted,
    RateLimited,
    SimulatedAnswer,
    Throttled,
    Unauthorized,
    Unavailable,
)
from gristmill.pipeline import store
from gristmill.pipeline.children import ChildDied
from gristmill.pipeline.context import Context
from gristmill.pipeline.document import DocumentStatus, Work
from gristmill.pipeline.stages import STAGES
from gristmill.telemetry.correlation import bound
from gristmill.telemetry.logging import get_logger

log = get_logger(__name__)

# Somebody has to act: a key, a credit, a setting. Looking again soon would change nothing.
NEEDS_A_PERSON = (Unauthorized, QuotaExhausted, Misconfigured, SimulatedAnswer)
PERSON_SECONDS = 600.0
# After a moment that many wait for, so that they do not come all at once.
SPREAD_SECONDS = 30.0
LONG_SECONDS = 86_400.0
# What a service that serves again may have been the reason for.
OUTAGES = tuple(kind.__name__ for kind in (BreakerOpen, Unavailable, OutcomeUnknown))
# What another mode may mend.
SWITCHED = (*OUTAGES, Misconfigured.__name__, SimulatedAnswer.__name__)


@dataclass(frozen=True, slots=True)
class Park:
    """Aside for so many seconds; `counts` if it was a try that failed, and not only a wait."""

    seconds: float
    counts: bool = True


@dataclass(frozen=True, slots=True)
class End:
    """Over, with this status."""

    status: DocumentStatus


def verdict(
    error: GristmillError, attempts: int, most_attempts: int, draw: random.Random
) -> Park | End:
    """What an error means for the document, `attempts` earlier ones having failed alike.

    It ends over what may have cost something each time, never over the length of an outage.
    """
    if (seconds := _waits(error, draw)) is not None:
        return Park(seconds, counts=False)
    match error:
        case ChildDied():
            return End(DocumentStatus.QUARANTINED)
        case DocumentError():
            return End(DocumentStatus.FAILED)
        case _ if error.retryable and (error.no_effect or attempts + 1 < most_attempts):
            return Park(max(error.retry_after or 0.0, store.backoff(attempts, draw)))
        case _:
            return End(DocumentStatus.FAILED)


def _waits(error: GristmillError, draw: random.Random) -> float | None:
    """Seconds, where nothing has failed: a time, a limit or somebody is waited for."""
    match error:
        case BudgetExceeded(retry_after=None):  # only a higher limit helps; raising it wakes
            return LONG_SECONDS
        case BudgetExceeded() | BreakerOpen() | RateLimited() | Throttled(retry_after=float()):
            seconds = error.retry_after or 0.0
            return seconds + draw.uniform(0.0, min(SPREAD_SECONDS, max(seconds, 1.0)))
        case NotYet():
            return error.retry_after or 1.0
        case _ if isinstance(error, NEEDS_A_PERSON):
            return PERSON_SECONDS
        case _:
            return None


async def advance(context: Context, document_id: str) -> None:
    """Runs stages until one must wait, the document ends, or another runner takes it over.

    Raises:
        DatabaseUnavailable: nothing can be written now; the job is put back by the worker.
    """
    work = await store.claim(context.database, document_id)
    if work is None:
        return
    with bound(document=document_id, collection=work.collection):
        try:
            await _run_stages(context, work)
        except LostClaim:
            log.info("document.taken_over", claim=work.claim)


async def _run_stages(context: Context, first: Work) -> None:
    work: Work | None = first
    while work is not None and work.stage in STAGES:
        try:
            reached = await STAGES[work.stage](await context.current(), work)
        except asyncio.CancelledError:
            await asyncio.shield(_hand_back(context, work))
            raise
        except (LostClaim, DatabaseUnavailable):
            raise
        except GristmillError as error:
            await _set_back(context, work, error)
            return
        except Exception as error:  # a defect of ours: that document ends, the others go on
            log.exception("document.defect", stage=work.stage)
            await _set_back(context, work, _defect(error))
            return
        log.info("document.step", stage=work.stage, reached=reached and reached.stage)
        work = reached
        if work is not None and _is_told_to_stop():
            await asyncio.shield(_hand_back(context, work))
            raise asyncio.CancelledError


def _is_told_to_stop() -> bool:
    """Whether a cancellation was dropped on the way, as `gristmill.together` explains."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _set_back(context: Context, work: Work, error: GristmillError) -> None:
    decision = verdict(error, work.attempts, context.limits.attempts, context.draw)
    async with context.database.transaction() as connection:
        if isinstance(decision, Park):
            await store.park(connection, work, error, decision.seconds, counts=decision.counts)
        else:
            await store.end(connection, work, decision.status, error)
    log.info(
        "document.set_back",
        stage=work.stage,
        error=error.kind,
        why=str(error),
        decision=str(decision),
    )


async def _hand_back(context: Context, work: Work) -> None:
    """Lets the next worker go on at once when this one is told to stop."""
    async with context.database.connection() as connection:
        await store.wake(connection, work)


def _defect(error: Exception) -> DocumentFailed:
    return DocumentFailed(
        f"Gristmill itself failed: {type(error).__name__}.",
        advice="Please report it with the log; gristmill resume --failed tries again.",
    )
