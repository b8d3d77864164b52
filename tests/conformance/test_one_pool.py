"""One aiohttp pool under the three SDKs, as gristmill uses them."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from httpx_aiohttp import HttpxAiohttpClient
from llama_cloud import AsyncLlamaCloud
from openai import APIConnectionError, AsyncOpenAI
from storage3 import AsyncStorageClient

from gristmill_simulators import environment
from gristmill_simulators.server import SimulatorServer


@pytest.fixture
async def pool() -> AsyncIterator[httpx.AsyncClient]:
    async with HttpxAiohttpClient(trust_env=False, timeout=10) as client:
        yield client


async def test_the_three_sdks_share_one_pool(pool, server: SimulatorServer, pdf: bytes):
    openai = AsyncOpenAI(
        api_key=environment.OPENAI_API_KEY, base_url=server.openai_base_url, http_client=pool
    )
    llama = AsyncLlamaCloud(
        api_key=environment.LLAMA_CLOUD_API_KEY,
        base_url=server.llama_cloud_base_url,
        http_client=pool,
        _strict_response_validation=True,
    )
    key = environment.SUPABASE_SERVICE_ROLE_KEY
    headers = {"Authorization": f"Bearer {key}"}
    storage = AsyncStorageClient(f"{server.supabase_url}/storage/v1/", headers, http_client=pool)
    await storage.create_bucket("docs")
    await asyncio.gather(*[storage.from_("docs").upload(f"{n}.pdf", pdf) for n in range(20)])
    result = await llama.parsing.parse(
        upload_file=None,
        file_id=(await llama.files.create(file=("a.pdf", pdf), purpose="parse")).id,
        tier="fast",
        version="latest",
        expand=["text_full"],
        polling_interval=0.02,
    )
    answer = await openai.embeddings.create(model="text-embedding-3-small", input=result.text_full)
    assert len(answer.data[0].embedding) == 1536
    assert len(await storage.from_("docs").list()) == 20


async def test_a_dropped_connection_is_an_error_of_the_sdk_there_too(pool, server, control):
    openai = AsyncOpenAI(
        api_key=environment.OPENAI_API_KEY,
        base_url=server.openai_base_url,
        http_client=pool,
        max_retries=0,
    )
    await control.post("/faults", json={"route": "openai.*", "kind": "drop_after"})
    with pytest.raises(APIConnectionError):
        await openai.embeddings.create(model="text-embedding-3-small", input="a")
