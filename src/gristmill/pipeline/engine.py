"""The task engine; it looks also where it would else find a job at its next poll only."""

from typing import Any

import psycopg
from procrastinate import PsycopgConnector
from procrastinate.connector import Notify
from procrastinate.worker import Worker

_LOOK = '{"type": "job_inserted", "job_id": 0}'


class Connector(PsycopgConnector):
    """Says "look" to whoever begins to listen: a job may have been queued a moment before."""

    async def _loop_notify(
        self,
        on_notification: Notify,
        connection: psycopg.AsyncConnection[Any],
        *arguments: Any,  # noqa: ANN401 — the library's own
    ) -> None:
        await on_notification(channel="", payload=_LOOK)
        await super()._loop_notify(on_notification, connection, *arguments)


class Engine(Worker):
    """Looks again when a job is done: the next one of the same document may have waited for it."""

    async def _persist_job_status(
        self,
        *arguments: Any,  # noqa: ANN401 — the library's own
        **named: Any,  # noqa: ANN401 — the same
    ) -> None:
        await super()._persist_job_status(*arguments, **named)
        self._new_job_event.set()
