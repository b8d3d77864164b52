"""`POST /bucket/{id}/empty`: acknowledged at once, done when its time has come."""

import sqlite3

from starlette.requests import Request
from starlette.responses import Response

from gristmill_simulators.simulator import Simulator
from gristmill_simulators.supabase_storage import body, errors, state
from gristmill_simulators.supabase_storage.access import caller
from gristmill_simulators.supabase_storage.buckets import Buckets
from gristmill_simulators.supabase_storage.errors import json

_QUEUED = "Empty bucket has been queued. Completion may take up to an hour."


class Emptying:
    """The queue of hosted projects: what was in the bucket when it was asked for goes later.

    There is no worker: `settle` runs before each request, so that the moved clock of a test works
    as time does and a restart loses nothing.
    """

    def __init__(self, simulator: Simulator, folders: state.Folders, buckets: Buckets) -> None:
        self._simulator = simulator
        self._database = simulator.database
        self._folders = folders
        self._buckets = buckets
        self._next = self._next_due()

    async def empty(self, request: Request) -> Response:
        await body.skip(request)
        now = self._simulator.clock()
        if not caller(request, now).service:
            raise errors.invalid_role()
        bucket = self._buckets.find(request.path_params["bucket"])["id"]
        switches = self._simulator.settings.current.supabase
        counted = self._database.read_one(
            "SELECT count(*) AS n FROM storage_objects WHERE bucket_id = ?", bucket
        )
        if counted is not None and counted["n"] > switches.empty_bucket_most:
            raise errors.bucket_too_full()
        row = (bucket, now, now + switches.empty_bucket_lag_seconds)
        await self._database.write(
            lambda c: c.execute("INSERT INTO storage_emptyings VALUES (?, ?, ?)", row)
        )
        self._next = self._next_due()
        await self.settle()
        return json({"message": _QUEUED})

    async def settle(self) -> None:
        """Delete what is due by now."""
        now = self._simulator.clock()
        if self._next is None or self._next > now:
            return
        versions = await self._database.write(lambda connection: _delete(connection, now))
        for version in versions:
            self._folders.remove(version)
        self._next = self._next_due()

    def forget(self) -> None:
        """After a reset."""
        self._next = None

    def _next_due(self) -> float | None:
        row = self._database.read_one("SELECT min(due) AS due FROM storage_emptyings")
        return None if row is None else row["due"]


def _delete(connection: sqlite3.Connection, now: float) -> list[str]:
    rows = connection.execute(
        "DELETE FROM storage_objects WHERE EXISTS (SELECT 1 FROM storage_emptyings AS e"
        " WHERE e.bucket_id = storage_objects.bucket_id AND e.due <= ?"
        " AND storage_objects.created_at <= e.before) RETURNING version",
        (now,),
    ).fetchall()
    connection.execute("DELETE FROM storage_emptyings WHERE due <= ?", (now,))
    return [row["version"] for row in rows]
