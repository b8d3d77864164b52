"""Buying the vectors of a document: few requests, each vector once, a bad text found and named."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from scripted import Everywhere

from gristmill.contract import Operation, Origin, R, Result, ServiceHealth, ServiceInterface, Status
from gristmill.costs.ledger import Ledger
from gristmill.costs.prices import PRICES
from gristmill.database.engine import Database
from gristmill.errors import InvalidInput, LostClaim, Rejected, Throttled, TooLarge
from gristmill.pipeline import chunks, store
from gristmill.pipeline.children import ChildPool
from gristmill.pipeline.chunking import Chunk, ChunkingOptions
from gristmill.pipeline.context import Context, Limits
from gristmill.pipeline.document import (
    PUBLISHED,
    DocumentStatus,
    EmbeddingOptions,
    ParseOptions,
    PipelineOptions,
    StorageOptions,
    Work,
)
from gristmill.pipeline.embedding import GIVEN_UP, UNFIT, embed
from gristmill.pipeline.intake import Source, collection_id, register
from gristmill.services.openai import Embed, Embeddings

Refuse = Callable[[tuple[str, ...]], Rejected | None]

SPACE = EmbeddingOptions("simulator", Origin.SIMULATED, "text-embedding-3-small", 4)


@dataclass
class Model(ServiceInterface):
    """Embeds what `refuse` has nothing against, and remembers every request."""

    refuse: Refuse = lambda _: None
    failures: dict[str, Exception] = field(default_factory=dict)  # by a text of the request
    asked: list[tuple[str, ...]] = field(default_factory=list)
    together: int = 0  # the most requests that were under way at once
    under_way: int = 0

    def is_available(self) -> bool:
        return True

    async def get_health(self) -> ServiceHealth:
        return ServiceHealth(Status.HEALTHY)

    async def execute(self, operation: Operation[R]) -> Result[R]:
        assert isinstance(operation, Embed)
        self.asked.append(operation.texts)
        self.under_way += 1
        self.together = max(self.together, self.under_way)
        try:
            await asyncio.sleep(0)
            return cast("Result[R]", self._answer(operation))
        finally:
            self.under_way -= 1

    def _answer(self, operation: Embed) -> Result[Embeddings]:
        for text in set(operation.texts) & self.failures.keys():
            raise self.failures.pop(text)
        if (refusal := self.refuse(operation.texts)) is not None:
            raise refusal
        vectors = np.stack([vector_of(text) for text in operation.texts])
        value = Embeddings(vectors, operation.model, sum(operation.tokens))
        return Result(value, Origin.SIMULATED, "simulator", 0.0)

    @property
    def sent(self) -> list[str]:
        return [text for texts in self.asked for text in texts]


def vector_of(text: str) -> np.ndarray:
    raw = np.frombuffer(hashlib.sha256(text.encode()).digest()[:4], dtype=np.uint8)
    vector = raw.astype(np.float32) + 1
    return vector / np.linalg.norm(vector)


def poison(*bad: str, names: bool = False) -> Refuse:
    def refuse(texts: tuple[str, ...]) -> Rejected | None:
        at = next((index for index, text in enumerate(texts) if text in bad), None)
        if at is None:
            return None
        error = InvalidInput("The service says no.")
        error.index = at if names else None
        return error

    return refuse


@dataclass
class Bench:
    """A document that is cut into the given texts, and a model to buy their vectors from."""

    database: Database
    folder: Path
    model: Model = field(default_factory=Model)
    options: EmbeddingOptions = SPACE
    document_id: str = ""

    @property
    def context(self) -> Context:
        options = PipelineOptions(
            StorageOptions("simulator", Origin.SIMULATED, "documents"),
            ParseOptions("simulator", Origin.SIMULATED, "agentic", "latest", 100),
            ChunkingOptions(512, 64),
            self.options,
        )
        return Context(
            database=self.database,
            ledger=Ledger(self.database),
            prices=PRICES,
            services=Everywhere(self.model),
            children=ChildPool(),
            options=options,
            limits=Limits(file_bytes=1),
            host="here",
            spool=self.folder,
        )

    async def cut(self, texts: Sequence[str], tokens: int = 2) -> Work:
        collection = await collection_id(self.database, "default", Origin.SIMULATED)
        source = Source("a.txt", Path("/nowhere/a.txt"), "a.txt", "a" * 64, 10)
        entry = (self.database, self.context.options, collection, "here", [source])
        ((self.document_id, _),) = await register(*entry)
        work = await self.claim()
        passages = [
            Chunk(n, text, n, n + 1, n + 1, n + 1, (), tokens) for n, text in enumerate(texts)
        ]
        async with self.database.connection() as connection:
            added = chunks.added(passages)
            return await store.step(connection, work, DocumentStatus.CHUNKED, "", added)

    async def claim(self) -> Work:
        work = await store.claim(self.database, self.document_id)
        assert work is not None
        return work

    async def finish(self, work: Work) -> Work:
        while work.stage not in PUBLISHED:
            work = await embed(self.context, work)
        return work

    async def rows(self) -> list[dict[str, Any]]:
        async with self.database.connection() as connection:
            cursor = await connection.execute(
                "SELECT text, vector, ordinal + 1 AS passage FROM chunks ORDER BY ordinal"
            )
            return await cursor.fetchall()

    async def gaps(self) -> list[tuple[int, int, str]]:
        """(page, passage, reason) of each."""
        async with self.database.connection() as connection:
            cursor = await connection.execute("SELECT incomplete FROM versions")
            row = await cursor.fetchone()
        assert row is not None
        assert {gap["problem"] for gap in row["incomplete"]} <= {"refused"}
        return [(gap["page"], gap["passage"], gap["detail"]) for gap in row["incomplete"]]

    async def without_vector(self) -> list[str]:
        """The texts without a vector; every other one has its own."""
        rows = await self.rows()
        for row in rows:
            if row["vector"] is not None:
                np.testing.assert_allclose(
                    row["vector"].to_numpy(), vector_of(row["text"]), atol=2e-3
                )
        return [row["text"] for row in rows if row["vector"] is None]


@pytest.fixture
async def bench(database: Database, tmp_path: Path) -> Bench:
    return Bench(database, tmp_path)


def texts(count: int) -> list[str]:
    return [f"text {number}" for number in range(count)]


async def test_every_text_is_sent_once_in_full_requests_a_few_at_once(bench: Bench) -> None:
    bench.options = replace(SPACE, batch_inputs=5, requests_at_once=3)
    given = texts(38)
    work = await bench.finish(await bench.cut([*given, *given[:4]]))
    assert work.stage is DocumentStatus.READY
    assert sorted(bench.model.sent) == sorted(given)
    assert [len(asked) for asked in bench.model.asked] == [5] * 7 + [3]
    assert bench.model.together == 3
    assert await bench.without_vector() == []


async def test_a_request_holds_no_more_tokens_than_the_latency_cap(bench: Bench) -> None:
    bench.options = replace(SPACE, batch_tokens=7)
    await bench.finish(await bench.cut(texts(10), tokens=2))
    assert [len(asked) for asked in bench.model.asked] == [3, 3, 3, 1]


async def test_one_request_and_the_publication_are_one_step(bench: Bench) -> None:
    assert (await embed(bench.context, await bench.cut(["a", "b"]))).stage is DocumentStatus.READY
    async with bench.database.connection() as connection:
        cursor = await connection.execute("SELECT status FROM events ORDER BY id DESC LIMIT 2")
        assert [row["status"] for row in await cursor.fetchall()] == ["ready", "chunked"]


@pytest.mark.parametrize("at", [0, 1, 57, 127])
async def test_a_poisoned_text_is_found_by_halving_and_the_others_have_their_vector(
    bench: Bench, at: int
) -> None:
    given = texts(128)
    bench.model.refuse = poison(given[at])
    work = await bench.finish(await bench.cut(given))
    assert work.stage is DocumentStatus.READY_INCOMPLETE
    assert await bench.without_vector() == [given[at]]
    assert await bench.gaps() == [(at + 1, at + 1, "The service says no.")]
    assert len(bench.model.asked) <= 1 + 2 * 7
    accepted = [asked for asked in bench.model.asked if given[at] not in asked]
    assert sorted(text for asked in accepted for text in asked) == sorted(set(given) - {given[at]})


async def test_a_text_that_the_service_names_costs_one_more_request(bench: Bench) -> None:
    given = texts(100)
    bench.model.refuse = poison(given[31], names=True)
    work = await bench.finish(await bench.cut(given))
    assert work.stage is DocumentStatus.READY_INCOMPLETE
    assert await bench.without_vector() == [given[31]]
    assert [len(asked) for asked in bench.model.asked] == [100, 99]


async def test_a_poisoned_text_that_stands_twice_is_two_gaps(bench: Bench) -> None:
    bench.model.refuse = poison("bad")
    await bench.finish(await bench.cut(["a", "bad", "b", "bad"]))
    assert [passage for _, passage, _ in await bench.gaps()] == [2, 4]


async def test_a_poisoned_text_among_many_requests_hurts_only_its_own(bench: Bench) -> None:
    bench.options = replace(SPACE, batch_inputs=8, requests_at_once=2)
    given = texts(40)
    bench.model.refuse = poison(given[3], given[39])
    work = await bench.finish(await bench.cut(given))
    assert work.stage is DocumentStatus.READY_INCOMPLETE
    assert await bench.without_vector() == [given[3], given[39]]
    assert len(bench.model.asked) <= 5 + 2 * (2 * 3)


async def test_the_last_text_of_all_may_be_the_poisoned_one(bench: Bench) -> None:
    bench.options = replace(SPACE, batch_inputs=1, requests_at_once=1)
    bench.model.refuse = poison("c")
    work = await bench.finish(await bench.cut(["a", "b", "c"]))
    assert work.stage is DocumentStatus.READY_INCOMPLETE
    assert await bench.without_vector() == ["c"]


async def test_a_request_that_is_too_large_in_spite_of_our_count_is_split_and_sent_again(
    bench: Bench,
) -> None:
    bench.model.refuse = lambda asked: TooLarge("too many tokens") if len(asked) > 10 else None
    work = await bench.finish(await bench.cut(texts(64)))
    assert work.stage is DocumentStatus.READY
    assert [len(asked) for asked in bench.model.asked].count(8) == 8


async def test_many_poisoned_texts_are_given_up_together_at_a_bounded_cost(bench: Bench) -> None:
    given = texts(256)
    bench.model.refuse = poison(*given[1::2])
    work = await bench.finish(await bench.cut(given))
    assert work.stage is DocumentStatus.READY_INCOMPLETE
    assert len(bench.model.asked) <= 1 + 8 * 8
    reasons = {reason for *_, reason in await bench.gaps()}
    assert reasons == {"The service says no.", GIVEN_UP}
    told = {passage - 1 for _, passage, _ in await bench.gaps()}
    assert sorted(given[at] for at in told) == sorted(await bench.without_vector())


async def test_a_request_that_is_refused_whatever_it_holds_blames_no_text(bench: Bench) -> None:
    bench.model.refuse = lambda _: InvalidInput("Something about the request.")
    work = await bench.cut(texts(256))
    with pytest.raises(InvalidInput, match="Something about the request"):
        await bench.finish(work)
    assert len(bench.model.asked) <= 1 + 2 * 8 + 2
    assert await bench.gaps() == []


async def test_the_only_text_may_be_blamed_if_the_service_names_it(bench: Bench) -> None:
    bench.model.refuse = poison("alone", names=True)
    work = await bench.finish(await bench.cut(["alone"]))
    assert work.stage is DocumentStatus.READY_INCOMPLETE
    assert len(await bench.gaps()) == 1


async def test_a_refusal_that_is_about_no_text_is_not_searched_for_culprits(bench: Bench) -> None:
    bench.model.refuse = lambda _: Rejected("There is no such model.")
    with pytest.raises(Rejected, match="no such model"):
        await bench.finish(await bench.cut(texts(9)))
    assert len(bench.model.asked) == 1


async def test_a_text_over_the_models_limit_is_named_and_never_sent(bench: Bench) -> None:
    work = await bench.cut(["long", "b"])
    async with bench.database.connection() as connection:
        await connection.execute("UPDATE chunks SET tokens = 8193 WHERE text = 'long'")
    work = await bench.finish(work)
    assert bench.model.sent == ["b"]
    assert await bench.gaps() == [(1, 1, UNFIT)]


async def test_what_other_requests_brought_is_kept_when_one_fails_and_not_bought_again(
    bench: Bench,
) -> None:
    bench.options = replace(SPACE, batch_inputs=4, requests_at_once=4)
    given = texts(14)
    bench.model.failures = {given[5]: Throttled("slower", retry_after=1.0)}
    with pytest.raises(Throttled):
        await bench.finish(await bench.cut(given))
    assert await bench.without_vector() == given[4:8]
    before = len(bench.model.asked)
    work = await bench.finish(await bench.claim())
    assert work.stage is DocumentStatus.READY
    assert bench.model.asked[before:] == [tuple(given[4:8])]


async def test_what_is_known_to_be_poisoned_is_not_searched_for_again_after_a_failure(
    bench: Bench,
) -> None:
    bench.options = replace(SPACE, batch_inputs=8, requests_at_once=2)
    given = texts(16)
    bench.model.refuse = poison(given[2])
    bench.model.failures = {given[12]: Throttled("slower")}
    with pytest.raises(Throttled):
        await bench.finish(await bench.cut(given))
    before = len(bench.model.asked)
    await bench.finish(await bench.claim())
    assert bench.model.asked[before:] == [tuple(given[8:])]
    assert await bench.without_vector() == [given[2]]


async def test_a_stop_in_the_middle_ends_every_request_and_leaves_the_rest_to_the_next(
    bench: Bench,
) -> None:
    started = asyncio.Event()

    class Silent(Model):
        async def execute(self, operation: Operation[R]) -> Result[R]:
            is_first = isinstance(operation, Embed) and "text 0" in operation.texts
            if is_first:
                return await super().execute(operation)
            started.set()
            return await asyncio.Event().wait()  # type: ignore[return-value]

    bench.options = replace(SPACE, batch_inputs=2, requests_at_once=3)
    work = await bench.cut(texts(6))
    bench.model = Silent()
    running = asyncio.create_task(embed(bench.context, work))
    await started.wait()
    while len(await bench.without_vector()) == 6:
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    bench.model = Model()
    await bench.finish(await bench.claim())
    assert sorted(bench.model.sent) == texts(6)[2:]


async def test_a_runner_that_lost_the_document_keeps_nothing(bench: Bench) -> None:
    older = await bench.cut(texts(3))
    async with bench.database.connection() as connection:
        space = await chunks.space_of(connection, SPACE)
        pending = await chunks.pending(connection, older, space, 9)
    assert len(pending.texts) == 3

    class Overtaken(Model):
        async def execute(self, operation: Operation[R]) -> Result[R]:
            await bench.claim()
            return await super().execute(operation)

    bench.model = Overtaken()
    with pytest.raises(LostClaim):
        await embed(bench.context, older)
    assert await bench.without_vector() == texts(3)
