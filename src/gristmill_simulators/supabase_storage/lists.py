"""`/object/list` and `/object/list-v2`: what the caller may select, and never an error for less."""

import asyncio
import sqlite3

from starlette.requests import Request
from starlette.responses import Response

from gristmill_simulators.simulator import Simulator
from gristmill_simulators.supabase_storage import body
from gristmill_simulators.supabase_storage.access import Caller, caller
from gristmill_simulators.supabase_storage.errors import json
from gristmill_simulators.supabase_storage.listing_v1 import ListingV1
from gristmill_simulators.supabase_storage.listing_v2 import ListingV2
from gristmill_simulators.supabase_storage.names import check_bucket_name
from gristmill_simulators.supabase_storage.policies import Policies

_UNDER = "SELECT * FROM storage_objects WHERE bucket_id = ? AND substr(name, 1, ?) = ?"
_UNDER_FOLDED = (
    "SELECT * FROM storage_objects WHERE bucket_id = ? AND lower(substr(name, 1, ?)) = lower(?)"
)


class Lists:
    """A missing bucket has no objects, and neither has one whose rows the policies hide."""

    def __init__(self, simulator: Simulator, policies: Policies) -> None:
        self._simulator = simulator
        self._policies = policies

    async def v1(self, request: Request) -> Response:
        listing = ListingV1(await body.read(request))
        rows = await self._rows(request, _UNDER_FOLDED, listing.prefix)
        return json(await asyncio.to_thread(listing.entries, rows))

    async def v2(self, request: Request) -> Response:
        listing = ListingV2(await body.read(request))
        rows = await self._rows(request, _UNDER, listing.prefix)
        return json(await asyncio.to_thread(listing.page, rows))

    async def _rows(self, request: Request, sql: str, prefix: str) -> list[sqlite3.Row]:
        who = caller(request, self._simulator.clock())
        bucket = request.path_params["bucket"]
        check_bucket_name(bucket)
        rows = await self._simulator.database.scan(sql, bucket, len(prefix), prefix)
        return rows if who.service else await asyncio.to_thread(self._visible, who, rows)

    def _visible(self, who: Caller, rows: list[sqlite3.Row]) -> list[sqlite3.Row]:
        return [row for row in rows if self._policies.allows(who, "select", row)]
