"""What a peer's guards add to one call, in a process of its own.

`python guarding.py NAME NUMBER` prints the median and the 99th percentile of a guarded call, less
the median of the same call without guards, in seconds, as JSON. It runs in whatever environment has
the peer, so it imports nothing else of this package.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from statistics import median, quantiles
from typing import Any

MODEL = "text-embedding-3-small"
BODY = {
    "object": "list", "model": MODEL, "usage": {"prompt_tokens": 2, "total_tokens": 2},
    "data": [{"object": "embedding", "index": 0, "embedding": [0.6, 0.8]}],
}  # fmt: skip

Call = Callable[[], Awaitable[Any]]


async def backstop(_: str) -> tuple[Call, Call]:
    """The official SDK over a transport in memory, with and without the wrapper."""
    import httpx
    from backstop import Backstop, BackstopConfig
    from openai import AsyncOpenAI

    def client() -> Any:
        transport = httpx.MockTransport(lambda _: httpx.Response(200, json=BODY))
        return AsyncOpenAI(api_key="sk-x", http_client=httpx.AsyncClient(transport=transport))

    plain, wrapped = client(), Backstop.wrap(client(), budget=10**9, config=BackstopConfig())

    def calling(one: Any) -> Call:
        return lambda: one.embeddings.create(model=MODEL, input="rye", encoding_format="float")

    return calling(plain), calling(wrapped)


async def litellm(_: str) -> tuple[Call, Call]:
    """An embedding without a vendor, directly and through the router with its budgets."""
    import litellm as module

    module.suppress_debug_info = True
    router = module.Router(
        model_list=[{"model_name": "e", "litellm_params": {
            "model": f"openai/{MODEL}", "api_key": "sk-x", "rpm": 10**9, "tpm": 10**12}}],
        routing_strategy="usage-based-routing-v2",
    )  # fmt: skip
    answer = [0.6, 0.8]
    return (
        lambda: module.aembedding(
            model=f"openai/{MODEL}", input=["rye"], api_key="sk-x", mock_response=answer
        ),
        lambda: router.aembedding(model="e", input=["rye"], mock_response=answer),
    )


PEERS = {"backstop-ai": backstop, "litellm": litellm}


async def times(call: Call, number: int) -> list[float]:
    taken = []
    for _ in range(number):
        started = time.perf_counter()
        await call()
        taken.append(time.perf_counter() - started)
    return taken


async def main(name: str, number: int) -> None:
    plain, guarded = await PEERS[name](name)
    for call in (plain, guarded):
        await times(call, 20)
    base = median(await times(plain, number))
    taken = await times(guarded, number)
    print(json.dumps([median(taken) - base, quantiles(taken, n=100)[-1] - base]))


if __name__ == "__main__":
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks the network when imported
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
