"""How a worker hears of its work: never by its next poll, which here is an hour away."""

import asyncio
import itertools
from collections.abc import AsyncIterator

import procrastinate
import pytest

from gristmill.database.engine import Database
from gristmill.pipeline.engine import Connector, Engine
from gristmill.pipeline.store import QUEUE
from gristmill.together import ended

DOCUMENT = "doc-0000000000"


async def wake(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("SELECT wake(%s, %s)", (DOCUMENT, QUEUE))


@pytest.fixture
async def app(database: Database) -> procrastinate.App:
    app = procrastinate.App(connector=Connector())
    await app.open_async(database.pool)
    return app


async def test_a_job_that_was_queued_before_anybody_listened_is_looked_for_once_somebody_does(
    app: procrastinate.App, database: Database
) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def hear(*, channel: str, notification: procrastinate.jobs.Notification) -> None:
        del channel
        heard.put_nowait(notification["type"])

    listening = app.job_manager.listen_for_jobs(on_notification=hear, queues=[QUEUE])
    task = asyncio.create_task(listening)
    try:
        async with asyncio.timeout(60):
            assert await heard.get() == "job_inserted", "though none was queued since"
            await wake(database)
            assert await heard.get() == "job_inserted"
    finally:
        await ended([task])


@pytest.fixture
async def looks(app: procrastinate.App, database: Database) -> AsyncIterator[asyncio.Queue[int]]:
    """The looks of an engine at a document, numbered; during the first one the second is queued."""
    looks: asyncio.Queue[int] = asyncio.Queue()
    numbers = itertools.count(1)

    @app.task(name="advance")
    async def advance(document_id: str) -> None:
        assert document_id == DOCUMENT
        number = next(numbers)
        if number == 1:
            await wake(database)
            await some_round_trips(database)  # the engine is told, and looks in vain
        looks.put_nowait(number)

    engine = Engine(
        app,
        queues=[QUEUE],
        concurrency=2,  # one that is full looks whenever a place is free
        fetch_job_polling_interval=3600.0,
        delete_jobs="always",
        install_signal_handlers=False,
    )
    task = asyncio.create_task(engine.run())
    yield looks
    await ended([task])


async def some_round_trips(database: Database) -> None:
    async with database.connection() as connection:
        for _ in range(50):
            await connection.execute("SELECT 1")


async def test_a_look_that_is_queued_during_the_one_before_follows_at_once(
    looks: asyncio.Queue[int], database: Database
) -> None:
    await wake(database)
    async with asyncio.timeout(60):
        assert [await looks.get(), await looks.get()] == [1, 2]
