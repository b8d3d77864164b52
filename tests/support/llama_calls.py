"""What tests of LlamaParse do again and again: upload, submit, wait, tell the simulator."""

import asyncio
import uuid
from collections.abc import Iterable
from typing import Any

import httpx
from llama_cloud import AsyncLlamaCloud

from gristmill_simulators import environment

HEADERS = {"authorization": f"Bearer {environment.LLAMA_CLOUD_API_KEY}"}


def markdown(*lines: str) -> bytes:
    """A document nobody has had parsed before, so that no cache knows it."""
    return "\n".join([*lines, "", f"Number {uuid.uuid4().hex}"]).encode()


async def uploaded(llama: AsyncLlamaCloud, name: str, content: bytes) -> str:
    file = await llama.files.create(file=(name, content), purpose="parse")
    return file.id


async def submitted(llama: AsyncLlamaCloud, name: str, content: bytes, **options: Any) -> str:
    options = {"tier": "cost_effective", "version": "latest", **options}
    job = await llama.parsing.create(file_id=await uploaded(llama, name, content), **options)
    return job.id


async def finished(llama: AsyncLlamaCloud, job_id: str, expand: Iterable[str] = ("usage",)) -> Any:
    pause = 0.01
    for _ in range(120):
        got = await llama.parsing.get(job_id, expand=list(expand))
        if got.job.status not in {"PENDING", "RUNNING"}:
            return got
        await asyncio.sleep(pause)
        pause = min(pause * 1.2, 2.0)
    raise AssertionError(f"job {job_id} did not end")


async def parsed(
    llama: AsyncLlamaCloud,
    name: str,
    content: bytes,
    expand: Iterable[str] = ("usage",),
    **options: Any,
) -> Any:
    return await finished(llama, await submitted(llama, name, content, **options), expand)


async def tell(control: httpx.AsyncClient, **changes: object) -> None:
    """Change settings of the simulators."""
    (await control.post("/settings", json=changes)).raise_for_status()


async def switch(control: httpx.AsyncClient, **switches: object) -> None:
    """Change the simulator's answers to what is not published."""
    await tell(control, llamacloud=switches)


async def until_idle(control: httpx.AsyncClient) -> None:
    """Until nothing is read or delivered any more, whatever the jobs show."""
    for _ in range(600):
        if (await control.get("/health")).json()["busy"] is False:
            return
        await asyncio.sleep(0.005)
    raise AssertionError("the simulators did not come to rest")


async def deliveries(control: httpx.AsyncClient) -> list[dict[str, Any]]:
    """The recorded attempts to deliver an event."""
    calls = (await control.get("/calls", params={"vendor": "llamacloud"})).json()["calls"]
    return [call for call in calls if call["route"] == "llamacloud.webhooks.deliver"]
