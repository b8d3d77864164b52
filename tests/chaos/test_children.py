"""Many tasks on a machine with no time for them: nobody is killed by mistake."""

import asyncio
import operator
import subprocess
import sys
from collections.abc import Iterator

import pytest

from gristmill.pipeline.children import ChildPool

TASKS = 150_000
SPINNING = "import time\nend = time.monotonic() + 300\nwhile time.monotonic() < end: pass"


@pytest.fixture
def busy_machine() -> Iterator[None]:
    spinning = [subprocess.Popen([sys.executable, "-c", SPINNING]) for _ in range(3)]
    yield
    for process in spinning:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("busy_machine")
async def test_no_child_dies_of_a_signal_that_came_late() -> None:
    left = iter(range(TASKS))
    async with ChildPool(size=4, tasks_per_child=2 * TASKS) as pool:

        async def work() -> None:
            for number in left:
                assert await pool.run(operator.add, number, 1) == number + 1

        await asyncio.gather(*(work() for _ in range(4)))
