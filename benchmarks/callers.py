"""Many callers of embeddings in one process, held to a rate by one limiter.

`python callers.py NAME URL JSON` prints one JSON object: how many calls were accepted and how many
refused with 429 in each second since `began`. It runs in whatever environment has the limiter, so
it imports nothing else of this package. JSON has `requests` and `tokens` per minute (0 for none),
`cost` in tokens of the vendor's limiter, `began` and `ends` as Unix times, `tasks`, `conninfo`.
"""

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

MODEL = "text-embedding-3-small"
KEY = "sk-simulated-key-that-opens-nothing"

Call = Callable[[], Awaitable[bool]]  # whether it was accepted


def texts_of(cost: int) -> list[str]:
    """Texts that the vendor's limiter takes for so many tokens, 5,000 in each at the most."""
    whole, rest = divmod(cost - 1, 5_000)
    return [" the" * 5_000] * whole + ([" the" * rest] if rest else [])


async def post(url: str, stack: AsyncExitStack, asked: dict[str, Any]) -> Call:
    """One call without any limiter."""
    import httpx2
    import orjson

    http = await stack.enter_async_context(httpx2.AsyncClient(trust_env=False, timeout=60))
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    body = orjson.dumps({"model": MODEL, "input": texts_of(asked["cost"])})

    async def call() -> bool:
        answer = await http.post(f"{url}/embeddings", content=body, headers=headers)
        if answer.status_code not in (200, 429):
            raise SystemExit(f"HTTP {answer.status_code}: {answer.text[:200]}")
        return answer.status_code == 200

    return call


async def aiolimiter(url: str, stack: AsyncExitStack, asked: dict[str, Any]) -> Call:
    from aiolimiter import AsyncLimiter

    call = await post(url, stack, asked)
    # As its documentation has it: the limit and its minute would burst; a second is fairer here.
    limiter = AsyncLimiter(asked["requests"] / 60, 1)

    async def limited() -> bool:
        await limiter.acquire()
        return await call()

    return limited


async def throttled_py(url: str, stack: AsyncExitStack, asked: dict[str, Any]) -> Call:
    from throttled.asyncio import RateLimiterType, Throttled, rate_limiter

    call = await post(url, stack, asked)
    limiter = Throttled(
        key="vendor",
        using=RateLimiterType.GCRA.value,
        quota=rate_limiter.per_sec(round(asked["requests"] / 60), burst=1),
        timeout=30,
    )

    async def limited() -> bool:
        while (await limiter.limit()).limited:
            pass
        return await call()

    return limited


async def limits(url: str, stack: AsyncExitStack, asked: dict[str, Any]) -> Call:
    from limits import RateLimitItemPerSecond
    from limits.aio.storage import MemoryStorage
    from limits.aio.strategies import MovingWindowRateLimiter

    call = await post(url, stack, asked)
    limiter = MovingWindowRateLimiter(MemoryStorage())
    item = RateLimitItemPerSecond(round(asked["requests"] / 60))

    async def limited() -> bool:
        while not await limiter.hit(item, "vendor"):  # noqa: ASYNC110 — it has no way to wait
            await asyncio.sleep(0.005)
        return await call()

    return limited


async def langchain(url: str, stack: AsyncExitStack, asked: dict[str, Any]) -> Call:
    from langchain_core.rate_limiters import InMemoryRateLimiter

    call = await post(url, stack, asked)
    limiter = InMemoryRateLimiter(
        requests_per_second=asked["requests"] / 60, check_every_n_seconds=0.005, max_bucket_size=1
    )

    async def limited() -> bool:
        await limiter.aacquire()
        return await call()

    return limited


async def gristmill(url: str, stack: AsyncExitStack, asked: dict[str, Any]) -> Call:
    """Every policy, in one Postgres for all processes."""
    from gristmill.errors import RateLimited, Throttled
    from gristmill.pipeline.tokens import count_all
    from gristmill.services.openai import Embed
    from gristmill.telemetry.logging import configure

    configure("CRITICAL", "json")
    service = await guarded(url, stack, asked)
    texts = tuple(texts_of(asked["cost"]))
    operation = Embed(texts, MODEL, 1536, tokens=tuple(count_all(texts)))

    async def call() -> bool:
        while True:
            try:
                await service.execute(operation)
            except Throttled:
                return False
            except RateLimited as error:  # a document would be put aside for as long
                await asyncio.sleep(error.retry_after or 1.0)
            else:
                return True

    return call


async def guarded(url: str, stack: AsyncExitStack, asked: dict[str, Any]) -> Any:
    """The adapter with every policy around it, as the system builds it."""
    from gristmill.contract import Origin
    from gristmill.costs.ledger import Ledger
    from gristmill.costs.prices import PRICES
    from gristmill.database.engine import Database
    from gristmill.health.hearing import Hearing
    from gristmill.policies import stack as with_policies
    from gristmill.quotas.turns import Turns
    from gristmill.services.adapter import Endpoint
    from gristmill.services.http import create_client
    from gristmill.services.openai import OpenAI
    from gristmill.settings.rates import RateLimitSetting

    database = Database(asked["conninfo"])
    await database.open()
    stack.push_async_callback(database.close)
    ledger = Ledger(database)
    stack.push_async_callback(ledger.close)
    told = {"requests": asked["requests"], "tokens": asked["tokens"]}
    limits = [RateLimitSetting(unit, amount, 60.0) for unit, amount in told.items() if amount]
    turns = Turns(database, "openai", url, limits=limits)
    stack.push_async_callback(turns.close)
    http = await stack.enter_async_context(create_client())
    return with_policies(
        OpenAI(Endpoint("openai", url, KEY), http),
        ledger=ledger, prices=PRICES, turns=turns, hearing=Hearing(), origin=Origin.SIMULATED,
        endpoint=url,
    )  # fmt: skip


CALLERS = {
    "gristmill": gristmill,
    "aiolimiter": aiolimiter,
    "throttled-py": throttled_py,
    "limits": limits,
    "langchain-core": langchain,
}


async def main(name: str, url: str, asked: dict[str, Any]) -> None:
    accepted: Counter[int] = Counter()
    refused: Counter[int] = Counter()

    async def work() -> None:
        while time.time() < asked["ends"]:
            outcome = accepted if await call() else refused
            outcome[int(time.time() - asked["began"])] += 1

    async with AsyncExitStack() as stack:
        call = await CALLERS[name](url, stack, asked)
        await asyncio.sleep(max(0.0, asked["began"] - time.time()))
        await asyncio.gather(*(work() for _ in range(asked["tasks"])))
    print(json.dumps({"accepted": accepted, "refused": refused}), flush=True)


if __name__ == "__main__":
    os.environ["LANGCHAIN_TRACING_V2"] = "false"
    asyncio.run(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
