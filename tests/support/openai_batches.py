"""Batches of embeddings as a client writes, starts and reads them."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from typing import Any

from openai import AsyncOpenAI
from openai.types import Batch, FileObject

SMALL = "text-embedding-3-small"
LAST_STATES = {"completed", "failed", "expired", "cancelled"}


def line(custom_id: str, text: object, **changes: object) -> dict[str, Any]:
    """One request; `changes` are fields of its body, or None for the whole `body`."""
    body = {"model": SMALL, "input": text, "encoding_format": "base64", **changes}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/embeddings", "body": body}


def jsonl(lines: Iterable[Mapping[str, Any] | str]) -> bytes:
    """A file's bytes; a line that is text already stays as it is."""
    return b"".join(
        (each if isinstance(each, str) else json.dumps(each)).encode() + b"\n" for each in lines
    )


async def uploaded(openai: AsyncOpenAI, lines: Iterable[Mapping[str, Any] | str]) -> FileObject:
    return await openai.files.create(file=("requests.jsonl", jsonl(lines)), purpose="batch")


async def started(
    openai: AsyncOpenAI, lines: Iterable[Mapping[str, Any] | str], **options: Any
) -> Batch:
    file = await uploaded(openai, lines)
    return await openai.batches.create(
        input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h", **options
    )


async def ended(openai: AsyncOpenAI, batch: Batch) -> Batch:
    """The batch in its last state."""
    while batch.status not in LAST_STATES:
        await asyncio.sleep(0.005)
        batch = await openai.batches.retrieve(batch.id)
    return batch


async def run(
    openai: AsyncOpenAI, lines: Iterable[Mapping[str, Any] | str], **options: Any
) -> Batch:
    return await ended(openai, await started(openai, lines, **options))


async def lines_of(openai: AsyncOpenAI, file_id: str | None) -> list[dict[str, Any]]:
    """The output or the errors of a batch."""
    if file_id is None:
        return []
    content = await openai.files.content(file_id)
    return [json.loads(each) for each in content.text.splitlines()]
