"""Many embedding calls at once under a budget, in a process of its own.

`python spenders.py NAME URL CALLS AT_ONCE BUDGET` makes so many calls, that many of them at once,
with a budget in nano-dollars, and prints how many were answered and how many refused, and the
seconds. It runs in whatever environment has the budget, so it imports nothing else of this package.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

MODEL = "text-embedding-3-small"
KEY = "sk-benchmark-key-that-opens-nothing"
TEXT = "the mill keeps a journal of every call"  # 8 tokens

Call = Callable[[], Awaitable[bool]]  # whether it was answered; if not, the budget refused it


async def gristmill(url: str, stack: AsyncExitStack, budget: int) -> Call:
    """The budget layer around the adapter, and nothing that would let fewer calls in."""
    from gristmill.contract import Origin
    from gristmill.costs.budgets import Limit, set_limit
    from gristmill.costs.ledger import Ledger
    from gristmill.costs.prices import PRICES
    from gristmill.database.embedded import EmbeddedPostgres
    from gristmill.database.engine import Database
    from gristmill.database.migrate import migrate
    from gristmill.errors import BudgetExceeded
    from gristmill.policies.budget import Budget
    from gristmill.services.adapter import Endpoint
    from gristmill.services.http import create_client
    from gristmill.services.openai import Embed, OpenAI
    from gristmill.telemetry.logging import configure

    configure("CRITICAL", "json")
    home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="grist")))
    server = stack.enter_context(EmbeddedPostgres.start(home))
    database = Database(server.conninfo)
    await database.open()
    stack.push_async_callback(database.close)
    await migrate(database)
    await set_limit(database, Origin.SIMULATED, Limit("global", "day", budget))
    ledger = Ledger(database, write_seconds=60)
    stack.push_async_callback(ledger.close)
    http = await stack.enter_async_context(create_client())
    adapter = OpenAI(Endpoint("openai", url, KEY), http)
    service = Budget(adapter, ledger=ledger, prices=PRICES, origin=Origin.SIMULATED, endpoint=url)
    operation = Embed((TEXT,), MODEL, 1536, tokens=(8,))

    async def call() -> bool:
        try:
            await service.execute(operation)
        except BudgetExceeded:
            return False
        return True

    return call


async def litellm(url: str, stack: AsyncExitStack, budget: int) -> Call:
    """litellm's router with a budget for the provider, as its documentation has it."""
    import litellm as module
    from litellm import Router
    from litellm.types.utils import BudgetConfig

    del stack
    module.suppress_debug_info = True
    parameters = {"model": f"openai/{MODEL}", "api_key": KEY, "api_base": url}
    router = Router(
        model_list=[{"model_name": "embed", "litellm_params": parameters}],
        provider_budget_config={
            "openai": BudgetConfig(max_budget=budget / 1e9, budget_duration="1d")
        },
        num_retries=0,
    )

    async def call() -> bool:
        try:
            await router.aembedding(model="embed", input=[TEXT])
        except Exception as error:
            if "budget" not in str(error).lower():
                raise
            return False
        return True

    return call


SPENDERS: dict[str, Any] = {"gristmill": gristmill, "litellm": litellm}


async def main(name: str, url: str, calls: int, at_once: int, budget: int) -> None:
    async with AsyncExitStack() as stack:
        call = await SPENDERS[name](url, stack, budget)
        left, told = iter(range(calls)), Counter[str]()

        async def spend() -> None:
            for _ in left:
                told["answered" if await call() else "refused"] += 1

        started = time.perf_counter()
        await asyncio.gather(*(spend() for _ in range(at_once)))
        print(json.dumps({**told, "seconds": time.perf_counter() - started}), flush=True)


if __name__ == "__main__":
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks the network when imported
    asyncio.run(main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])))
