"""The three vendors together: built, billed, reset and closed as one."""

import asyncio
import sqlite3
from typing import Any

from starlette.routing import BaseRoute, Mount

from gristmill_simulators import calls
from gristmill_simulators.catalogue import Catalogue, named
from gristmill_simulators.llamacloud import state as llamacloud_state
from gristmill_simulators.llamacloud.routes import LlamaCloud
from gristmill_simulators.openai import state as openai_state
from gristmill_simulators.openai.routes import OpenAI
from gristmill_simulators.operation import Vendor
from gristmill_simulators.simulator import Simulator
from gristmill_simulators.supabase_storage import state as supabase_state
from gristmill_simulators.supabase_storage.routes import SupabaseStorage

SCHEMA = llamacloud_state.SCHEMA + openai_state.SCHEMA + supabase_state.SCHEMA

_PATHS = {
    "openai": ("/openai/v1",),
    "llamacloud": ("/llamacloud",),
    "supabase": ("/supabase/storage/v1", "/supabase"),
}


class Vendors:
    """What `/openai`, `/llamacloud` and `/supabase` lead to."""

    def __init__(self, simulator: Simulator, workers: int) -> None:
        self._simulator = simulator
        self._all: tuple[Vendor, ...] = (
            OpenAI(simulator),
            LlamaCloud(simulator, workers),
            SupabaseStorage(simulator),
        )
        self._routes = {vendor.name: vendor.routes() for vendor in self._all}
        self.catalogue = self._catalogued()

    def routes(self) -> list[BaseRoute]:
        mounts: list[BaseRoute] = []
        for vendor in self._all:
            routes = self._routes[vendor.name]
            mounts += [Mount(path, routes=routes) for path in _PATHS[vendor.name]]
        return mounts

    async def start(self) -> None:
        for vendor in self._all:
            await vendor.start()

    def busy(self) -> bool:
        """Is something under way that no client waits for at this moment?"""
        return any(vendor.busy() for vendor in self._all)

    def billed(self) -> dict[str, Any]:
        """Totals in each vendor's own unit: tokens by model, credits, bytes."""
        return {vendor.name: vendor.billed() for vendor in self._all}

    async def reset(self) -> None:
        """Forget everything, files on disk included."""
        simulator = self._simulator
        for vendor in self._all:
            await vendor.halt()
        await simulator.calls.flush()
        simulator.faults.clear()
        await simulator.settings.reset()
        await simulator.database.write(self._reset_tables)
        for vendor in self._all:
            await asyncio.to_thread(vendor.forget)

    async def close(self) -> None:
        for vendor in self._all:
            await vendor.close()

    def _reset_tables(self, connection: sqlite3.Connection) -> None:
        for vendor in self._all:
            vendor.reset(connection)
        calls.reset(connection)
        connection.execute("DELETE FROM kept")

    def _catalogued(self) -> Catalogue:
        return Catalogue(
            [
                route
                for vendor in self._all
                for route in named(vendor.name, _PATHS[vendor.name][0], self._routes[vendor.name])
            ],
            [one for vendor in self._all for one in vendor.misbehaviours],
            {vendor.name: vendor.units for vendor in self._all},
        )
