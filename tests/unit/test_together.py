"""Tasks that end together."""

import asyncio
import gc
from typing import Any

import pytest

from gristmill.together import together


async def fail(name: str) -> None:
    raise OSError(name)


async def test_of_two_that_fail_at_once_one_is_raised_and_the_other_is_not_complained_of() -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, said: complaints.append(said))
    with pytest.raises(OSError, match="one"):
        await together(fail("one"), fail("one as well"))
    gc.collect()
    assert complaints == []
