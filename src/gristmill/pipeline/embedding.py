"""The stage that buys vectors: a few requests at once, each kept as soon as it is answered.

Planning and dividing stand here, above the policies: every request is a call of its own with a
bound, entries in the journal and a place in the limits of its own. Nothing is repeated here; an
error that is about no text ends the stage, and what was kept until then stays.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from typing import Final

import numpy as np
import numpy.typing as npt

from gristmill.database.engine import Connection
from gristmill.errors import GristmillError, InvalidInput, TooLarge
from gristmill.pipeline import chunks
from gristmill.pipeline.chunks import Pending, PendingText
from gristmill.pipeline.context import Context
from gristmill.pipeline.document import PUBLISHED, EmbeddingOptions, Version, Work
from gristmill.pipeline.document import DocumentStatus as Status
from gristmill.pipeline.sides import refuse_other_origin
from gristmill.pipeline.store import Change, step
from gristmill.services.openai import Embed
from gristmill.services.openai.batching import Batch, Caps, Plan, divide, most_requests, plan
from gristmill.telemetry.logging import get_logger

log = get_logger(__name__)

Refusal = InvalidInput | TooLarge

UNFIT: Final = "It is longer than the model takes."
GIVEN_UP: Final = "Not tried alone: too many texts around it are refused."


async def embed(context: Context, work: Work) -> Work:
    """chunked, embedding -> embedding, ready: buys a round of vectors and keeps them.

    Texts that the service refuses are told as gaps, and the document goes on without their
    vectors. The step that keeps the last of them all also publishes the version. While the model
    is down, one whose vectors may follow is published without them.
    """
    refuse_other_origin(context, work)
    options = context.options.embedding
    space = await _space(context)
    most = options.requests_at_once * options.batch_inputs + 1  # one more shows the last as full
    async with context.database.connection() as connection:
        pending = await chunks.pending(connection, work, space, most)
        if not pending.texts:
            return await _publish(connection, work, space)
    try:
        return await _Round(context, work, space, pending).run()
    except GristmillError as error:
        if not _may_lack_vectors(context, work, error):
            raise
        return await _publish_without(context, work, space, error)


def _may_lack_vectors(context: Context, work: Work, error: GristmillError) -> bool:
    return context.options.vectors_may_follow and error.is_outage and not work.version.is_repair


async def _publish_without(context: Context, work: Work, space: int, error: GristmillError) -> Work:
    log.warning("embed.put_off", error=error.kind, reason=str(error))
    told = f"without its vectors, which follow: {error}"
    changes = chunks.published(space, lacks_vectors=True)
    async with context.database.connection() as connection:
        return await step(connection, work, Status.READY_INCOMPLETE, told, *changes)


async def _space(context: Context) -> int:
    options = context.options.embedding
    if options not in context.spaces:
        async with context.database.connection() as connection:
            context.spaces[options] = await chunks.space_of(connection, options)
    return context.spaces[options]


async def _publish(connection: Connection, work: Work, space: int, *last: Change) -> Work:
    changes = (*last, *chunks.published(space))
    if lack := _lack(work.version):
        return await step(connection, work, Status.READY_INCOMPLETE, lack, *changes)
    return await step(connection, work, Status.READY, "", *changes)


def _lack(version: Version) -> str:
    if version.is_fallback:
        return "read by the simulator while the parser was down"
    return f"lacks {version.lacks} of its pages or vectors" if version.lacks else ""


def _planned(texts: Sequence[PendingText], options: EmbeddingOptions) -> Plan:
    caps = Caps(options.batch_inputs, options.batch_tokens)
    return plan([text.text for text in texts], [text.tokens for text in texts], caps)


def _due(planned: Plan, options: EmbeddingOptions, *, is_all: bool) -> tuple[Batch, ...]:
    """The requests of this round; one that texts to come could fill up waits for them."""
    full = planned.batches if is_all else planned.batches[:-1] or planned.batches
    return full[: options.requests_at_once]


class _Round:
    """Some texts of one document on their way to the service and back."""

    def __init__(self, context: Context, work: Work, space: int, pending: Pending) -> None:
        self._context = context
        self._work = work
        self._space = space
        self._texts = pending.texts
        options = context.options.embedding
        planned = _planned(pending.texts, options)
        self._batches = _due(planned, options, is_all=pending.is_all)
        self._ends = pending.is_all and len(self._batches) == len(planned.batches)
        self._open = len(self._batches)
        self._keeping = asyncio.Lock()  # a document takes one step at a time
        # A service that has taken texts of this document refuses texts, and not the request.
        self._is_any_accepted = work.stage is Status.EMBEDDING
        self._refusals: list[Refusal] = []
        self._reasons: dict[int, str] = dict.fromkeys(planned.unfit, UNFIT)

    async def run(self) -> Work:
        """The document as it stands when every request is answered.

        Raises:
            GristmillError: one of them failed; what the others brought is kept.
        """
        outcomes = await asyncio.gather(*map(self._buy, self._batches), return_exceptions=True)
        failure = next((outcome for outcome in outcomes if outcome is not None), None)
        if self._reasons and (failure is None or self._is_any_accepted):
            await self._tell_refusals()
        if failure is not None:
            raise failure
        if self._ends and self._work.stage not in PUBLISHED:
            async with self._context.database.connection() as connection:
                return await _publish(connection, self._work, self._space)
        return self._work

    async def _buy(self, batch: Batch) -> None:
        """One request; or, where it is refused, smaller ones until its culprits are known."""
        waiting, requests = [batch], 0
        while waiting:
            part = waiting.pop()
            try:
                vectors = await self._ask(part)
            except (InvalidInput, TooLarge) as refusal:
                waiting += self._smaller(part, refusal)
            else:
                await self._keep(part, vectors, is_last_part=not waiting)
            requests += 1
            if requests > most_requests(len(batch), is_any_accepted=self._is_any_accepted):
                self._reasons |= dict.fromkeys(chain.from_iterable(waiting), GIVEN_UP)
                break
        self._open -= 1

    def _smaller(self, part: Batch, refusal: Refusal) -> Iterable[Batch]:
        parts, named = divide(part, refusal)
        self._refusals.append(refusal)
        self._reasons |= dict.fromkeys(named, str(refusal))
        return reversed(parts)

    async def _ask(self, part: Batch) -> npt.NDArray[np.float32]:
        options, texts = self._context.options.embedding, self._chosen(part)
        operation = Embed(
            texts=tuple(text.text for text in texts),
            model=options.model,
            dimensions=options.dimensions,
            tokens=tuple(text.tokens for text in texts),
        )
        service = self._context.services.at(operation.service, options.endpoint)
        answer = await service.execute(operation)
        self._is_any_accepted = True
        return answer.value.vectors

    async def _keep(
        self, part: Batch, vectors: npt.NDArray[np.float32], *, is_last_part: bool
    ) -> None:
        kept = chunks.embedded(self._space, self._chosen(part), vectors)
        async with self._keeping, self._context.database.connection() as connection:
            if self._ends and is_last_part and self._open == 1 and not self._reasons:
                self._work = await _publish(connection, self._work, self._space, kept)
            else:
                told = f"{len(part)} more vectors"
                self._work = await step(connection, self._work, Status.EMBEDDING, told, kept)

    async def _tell_refusals(self) -> None:
        """Passages without a vector, unless nothing shows that it is their texts' fault."""
        unsure = [r for r in self._refusals if not isinstance(r, InvalidInput) or r.index is None]
        if unsure and not self._is_any_accepted:
            raise unsure[0]
        told = chunks.refused([(self._texts[at], why) for at, why in self._reasons.items()])
        detail = f"{len(self._reasons)} texts without a vector"
        async with self._context.database.connection() as connection:
            work = await step(connection, self._work, Status.EMBEDDING, detail, told)
        lacks = work.version.lacks + len(self._reasons)
        self._work = replace(work, version=replace(work.version, lacks=lacks))

    def _chosen(self, part: Batch) -> list[PendingText]:
        return [self._texts[place] for place in part]
