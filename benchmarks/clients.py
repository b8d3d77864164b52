"""One client for embeddings in a process of its own, told over standard input how often to call.

`python clients.py NAME URL` prints `ready`, then for each number read that many calls, as JSON:
the wall time and the CPU time of this process for each call, in seconds. It runs in whatever
environment has the client, so it imports nothing else of this package.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

COUNT, DIMENSIONS, MODEL = 256, 1536, "text-embedding-3-small"
KEY = "sk-benchmark-key-that-opens-nothing"
WORDS = "the mill keeps a journal of every call and a bound before it leaves for the vendor now"
# About 512 tokens each, and no two alike.
TEXTS = [f"{number} " + f"{WORDS} " * 30 for number in range(COUNT)]

Call = Callable[[], Awaitable[Any]]


async def raw(url: str, stack: AsyncExitStack) -> Call:
    """httpx2 and orjson: the least that must be done, into one array of float32."""
    import base64

    import httpx2
    import numpy as np
    import orjson

    http = await stack.enter_async_context(httpx2.AsyncClient(trust_env=False))
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    asked = {
        "model": MODEL, "input": TEXTS, "dimensions": DIMENSIONS, "encoding_format": "base64"
    }  # fmt: skip

    async def call() -> Any:
        answer = await http.post(f"{url}/embeddings", content=orjson.dumps(asked), headers=headers)
        answer.raise_for_status()
        data = orjson.loads(answer.content)["data"]
        joined = b"".join(base64.b64decode(item["embedding"]) for item in data)
        return np.frombuffer(joined, dtype="<f4").reshape(COUNT, DIMENSIONS)

    return call


async def adapter(url: str, stack: AsyncExitStack) -> Call:
    """gristmill's adapter without a policy."""
    return _gristmill_call(await _adapter(url, stack))


async def whole_stack(url: str, stack: AsyncExitStack) -> Call:
    """gristmill's adapter with every policy, the ledger in an embedded Postgres."""
    from gristmill.contract import Origin
    from gristmill.costs.ledger import Ledger
    from gristmill.costs.prices import PRICES
    from gristmill.database.embedded import EmbeddedPostgres
    from gristmill.database.engine import Database
    from gristmill.database.migrate import migrate
    from gristmill.health.hearing import Hearing
    from gristmill.policies import stack as with_policies
    from gristmill.quotas.turns import Turns
    from gristmill.telemetry.logging import configure

    configure("CRITICAL", "json")
    home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="grist")))
    server = stack.enter_context(EmbeddedPostgres.start(home))
    database = Database(server.conninfo)
    await database.open()
    stack.push_async_callback(database.close)
    await migrate(database)
    ledger = Ledger(database)
    stack.push_async_callback(ledger.close)
    turns = Turns(database, "openai", url)
    stack.push_async_callback(turns.close)
    service = with_policies(
        await _adapter(url, stack),
        ledger=ledger,
        prices=PRICES,
        turns=turns,
        hearing=Hearing(),
        origin=Origin.SIMULATED,
        endpoint=url,
    )
    return _gristmill_call(service)


async def _adapter(url: str, stack: AsyncExitStack) -> Any:
    from gristmill.services.adapter import Endpoint
    from gristmill.services.http import create_client
    from gristmill.services.openai import OpenAI

    http = await stack.enter_async_context(create_client())
    return OpenAI(Endpoint("openai", url, KEY), http)


def _gristmill_call(service: Any) -> Call:
    from gristmill.services.openai import Embed

    operation = Embed(tuple(TEXTS), MODEL, DIMENSIONS, tokens=(512,) * COUNT)

    async def call() -> Any:
        return (await service.execute(operation)).value.vectors

    return call


async def openai(url: str, stack: AsyncExitStack) -> Call:
    """The vendor's SDK as its documentation shows it."""
    from openai import AsyncOpenAI

    client = await stack.enter_async_context(AsyncOpenAI(api_key=KEY, base_url=url))

    async def call() -> Any:
        answer = await client.embeddings.create(input=TEXTS, model=MODEL, dimensions=DIMENSIONS)
        return [item.embedding for item in answer.data]

    return call


async def langchain(url: str, stack: AsyncExitStack) -> Call:
    """langchain-openai, without its tokenizing, which needs tables from the network."""
    from langchain_openai import OpenAIEmbeddings

    del stack
    client = OpenAIEmbeddings(
        model=MODEL, dimensions=DIMENSIONS, api_key=KEY, base_url=url,
        check_embedding_ctx_length=False,
    )  # fmt: skip
    return lambda: client.aembed_documents(TEXTS)


async def llama_index(url: str, stack: AsyncExitStack) -> Call:
    """llama-index, with a batch as large as the request."""
    from llama_index.embeddings.openai import OpenAIEmbedding

    del stack
    client = OpenAIEmbedding(
        model=MODEL, dimensions=DIMENSIONS, api_key=KEY, api_base=url, embed_batch_size=COUNT
    )
    return lambda: client.aget_text_embedding_batch(TEXTS)


async def litellm(url: str, stack: AsyncExitStack) -> Call:
    """litellm as it comes: it asks for numbers in decimal, not for base64."""
    import litellm as module

    del stack
    module.suppress_debug_info = True

    async def call() -> Any:
        answer = await module.aembedding(
            model=f"openai/{MODEL}", input=TEXTS, dimensions=DIMENSIONS, api_key=KEY, api_base=url
        )
        return [item["embedding"] for item in answer.data]

    return call


CLIENTS = {
    "raw": raw,
    "adapter": adapter,
    "stack": whole_stack,
    "openai": openai,
    "langchain-openai": langchain,
    "llama-index": llama_index,
    "litellm": litellm,
}


async def main(name: str, url: str) -> None:
    async with AsyncExitStack() as stack:
        call = await CLIENTS[name](url, stack)
        vectors = await call()
        if (len(vectors), len(vectors[0])) != (COUNT, DIMENSIONS):
            raise SystemExit(f"{name} returned {len(vectors)} x {len(vectors[0])}")
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps([await _timed(call) for _ in range(int(line))]), flush=True)


async def _timed(call: Call) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    await call()
    return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks the network when imported
    asyncio.run(main(*sys.argv[1:3]))
