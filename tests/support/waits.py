"""A mill whose waits are the shortest that there are, for tests of what happens after them."""

import random
from dataclasses import replace

from gristmill import Gristmill
from gristmill.pipeline.context import Pace

PACE = Pace(look=0.02, tend=0.2, chores=0.2, outage=0.05)


class Lowest(random.Random):
    """Draws the low end of every range."""

    def uniform(self, a: float, b: float) -> float:
        return min(a, b)


async def shorten(mill: Gristmill) -> None:
    """From now on what it waits for by the clock comes after a quarter of a second at most."""
    context = await mill._system.context()
    mill._system._context = replace(context, draw=Lowest(), pace=PACE)
