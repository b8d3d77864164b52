"""Promise 3 whatever happens: modes switched, vendors away, documents taken in and asked for.

What is real is not believed from a column: the vendor's vectors point the other way than the
simulator's, so each tells by itself who made it.
"""

import contextlib
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pdfs import pdf
from simulator import SimulatorControl
from waits import shorten

from gristmill import Gristmill, ServiceMode, Settings
from gristmill.errors import CollectionError, Misconfigured
from gristmill.pipeline.document import ENDED
from gristmill_simulators.openai.vectors import embed

SettingsIn = Callable[..., Settings]

STEPS = 30
ROUTES = ("openai.embeddings.create", "llamacloud.files.create", "llamacloud.parsing.create",
          "supabase.object.create")  # fmt: skip
WORDS = ("barley", "rye", "oats", "wheat", "millet", "spelt", "maize", "sorghum")
COLLECTIONS = ("north", "south")  # real or not by the mode of their first document


async def rows(mill: Gristmill, statement: str) -> list[dict[str, Any]]:
    async with mill._system.database.connection() as connection:
        return await (await connection.execute(statement.encode())).fetchall()


@dataclass
class World:
    """A mill at work, a person who switches and asks, and vendors that come and go."""

    mill: Gristmill
    vendor: SimulatorControl
    folder: Path
    draw: random.Random
    taken_in: int = 0
    log: list[str] = field(default_factory=list)

    async def step(self) -> None:
        act = self.draw.choice((self.take_in, self.take_in, self.switch, self.outage, self.ask))
        self.log.append(act.__name__)
        await act()
        await self.check()

    async def take_in(self) -> None:
        self.taken_in += 1
        words = self.draw.sample(WORDS, 3)
        path = self.folder / f"{self.taken_in}.pdf"
        path.write_bytes(pdf(f"Number {self.taken_in} grows {' and '.join(words)}."))
        try:
            await self.mill.register(path, collection=self.draw.choice(COLLECTIONS))
        except CollectionError:
            self.log.append("refused")

    async def switch(self) -> None:
        services = self.draw.choice(((), ("openai",), ("llamaparse",), ("supabase",)))
        await self.mill.switch_mode(self.draw.choice((*ServiceMode,)), *services)

    async def outage(self) -> None:
        self.vendor.clear_faults()
        for route in ROUTES:
            if self.draw.random() < 0.4:
                self.vendor.fault(route, "status", status=503, count=None)

    async def ask(self) -> None:
        answer = await self.mill.search(self.draw.choice(WORDS), limit=20)
        collections = await rows(self.mill, "SELECT name, origin FROM collections")
        origins = {each["name"]: each["origin"] for each in collections}
        for hit in answer.hits:
            assert hit.origin == origins[hit.collection]

    async def check(self) -> None:
        """Each vector is of whom its collection says, by its own direction; so is all money."""
        chunks = await rows(
            self.mill,
            "SELECT c.text, c.vector, o.origin FROM chunks c JOIN collections o"
            " ON o.id = c.collection_id WHERE c.vector IS NOT NULL",
        )
        if chunks:
            simulated = embed([each["text"] for each in chunks], native_dimensions=1536)
            for each, other in zip(chunks, simulated, strict=True):
                alike = float(np.dot(each["vector"].to_numpy(), other))
                assert (alike > 0) == (each["origin"] == "simulated"), self.log
        mixed = "SELECT FROM journal WHERE (endpoint = 'simulator') <> (origin = 'simulated')"
        assert await rows(self.mill, mixed) == []

    async def recover(self) -> None:
        """All is well again: what is unfinished goes on in the modes that it needs, then repairs."""
        self.vendor.clear_faults()
        await self.mill.switch_mode(ServiceMode.REAL, "supabase")
        for parses_in, embeds_in in itertools.product(
            (ServiceMode.MOCK, ServiceMode.REAL), repeat=2
        ):
            await self.mill.switch_mode(parses_in, "llamaparse")
            await self.mill.switch_mode(embeds_in, "openai")
            await self.mill.resume(failed=True)
            with contextlib.suppress(Misconfigured):  # nothing can be repaired in these
                await self.mill.repair()


async def seeded(settings: Settings, vendor: SimulatorControl, folder: Path, seed: int) -> None:
    async with Gristmill(settings) as mill:
        await shorten(mill)
        world = World(mill, vendor, folder, random.Random(seed))
        async with (await mill._system.worker()).running():
            for _ in range(STEPS):
                await world.step()
        await world.recover()
        await world.check()
        documents = await mill.documents()
        assert {each.status for each in documents} <= ENDED
        assert [(d.status, d.error) for d in documents if d.status != "ready"] == [], world.log
        left = (
            "SELECT v.id FROM versions v JOIN documents d ON d.published_id = v.id"
            " WHERE v.is_fallback OR v.lacks_vectors"
        )
        assert await rows(mill, left) == [], world.log
        verified = await mill.verify_costs()
        assert verified.is_clean, (verified, world.log)


@pytest.mark.parametrize("seed", [1, 2])
async def test_no_simulated_vector_answers_in_a_real_collection_and_all_is_repaired_in_the_end(
    settings_in: SettingsIn, vendor: SimulatorControl, tmp_path: Path, seed: int
) -> None:
    settings = settings_in("hybrid", GRISTMILL_BREAKER_SECONDS="1")
    await seeded(settings, vendor, tmp_path, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 140))
async def test_the_same_for_many_more_fates(
    settings_in: SettingsIn, vendor: SimulatorControl, tmp_path: Path, seed: int
) -> None:
    settings = settings_in("hybrid", GRISTMILL_BREAKER_SECONDS="1")
    await seeded(settings, vendor, tmp_path, seed)
