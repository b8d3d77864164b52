"""The three vendors together: built, billed, reset and closed as one."""

import asyncio
import shutil
import sqlite3
from typing import Any

from starlette.routing import BaseRoute, Mount

from gristmill_simulators.llamacloud import state as llamacloud_state
from gristmill_simulators.llamacloud.routes import LlamaCloud
from gristmill_simulators.openai import state as openai_state
from gristmill_simulators.openai.routes import OpenAI
from gristmill_simulators.simulator import Simulator
from gristmill_simulators.supabase_storage import state as supabase_state
from gristmill_simulators.supabase_storage.routes import SupabaseStorage

SCHEMA = llamacloud_state.SCHEMA + openai_state.SCHEMA + supabase_state.SCHEMA


class Vendors:
    """What `/openai`, `/llamacloud` and `/supabase` lead to."""

    def __init__(self, simulator: Simulator, workers: int) -> None:
        self._simulator = simulator
        self._openai = OpenAI(simulator)
        self._llamacloud = LlamaCloud(simulator, workers)
        self._supabase = SupabaseStorage(simulator)

    def routes(self) -> list[BaseRoute]:
        storage = self._supabase.routes()
        return [
            Mount("/openai/v1", routes=self._openai.routes()),
            Mount("/llamacloud", routes=self._llamacloud.routes()),
            Mount("/supabase/storage/v1", routes=storage),
            Mount("/supabase", routes=storage),
        ]

    async def start(self) -> None:
        """Go on with what the last process left unfinished."""
        await self._llamacloud.runner.resume()

    def busy(self) -> bool:
        """Is a document being parsed, or waiting for it?"""
        return self._llamacloud.runner.busy > 0

    def billed(self) -> dict[str, Any]:
        """Totals in each vendor's own unit: tokens by model, credits, bytes."""
        database = self._simulator.database
        return {
            "openai": openai_state.billed(database),
            "llamacloud": llamacloud_state.billed(database),
            "supabase": supabase_state.billed(database),
        }

    async def reset(self) -> None:
        """Forget everything, files on disk included."""
        simulator = self._simulator
        await simulator.calls.flush()
        simulator.faults.clear()
        await simulator.settings.reset()
        await simulator.database.write(_reset_tables)
        await asyncio.to_thread(self._reset_folders)
        self._openai.forget()
        self._llamacloud.forget()

    async def close(self) -> None:
        await self._llamacloud.runner.close()
        self._openai.close()

    def _reset_folders(self) -> None:
        folders = (self._llamacloud.folders, self._supabase.folders)
        for name in ("llamacloud", "supabase"):
            shutil.rmtree(self._simulator.folder / name, ignore_errors=True)
        for each in folders:
            each.create()


def _reset_tables(connection: sqlite3.Connection) -> None:
    llamacloud_state.reset(connection)
    openai_state.reset(connection)
    supabase_state.reset(connection)
    for table in ("calls", "call_counts", "kept"):
        connection.execute(f"DELETE FROM {table}")
