"""A batch outlives the process that runs it."""

from pathlib import Path

import httpx
import pytest
from openai import AsyncOpenAI
from openai_batches import ended, line, lines_of, started
from tls import TLS

from gristmill_simulators import environment
from gristmill_simulators.server import SimulatorServer


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look waits for what it has allowed, also on a busy machine."""
    monkeypatch.setattr("gristmill_simulators.openai.runner._PATIENCE", 30.0)


def client(server: SimulatorServer) -> AsyncOpenAI:
    return AsyncOpenAI(
        api_key=environment.OPENAI_API_KEY, base_url=server.openai_base_url, max_retries=0
    )


async def control(server: SimulatorServer, method: str, path: str, **options) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, verify=TLS) as http:
        answer = await http.request(method, f"{server.base_url}/_simulator{path}", **options)
        return answer.raise_for_status()


async def test_a_batch_goes_on_where_it_was_and_bills_no_line_twice(tmp_path: Path):
    async with SimulatorServer(tmp_path) as server, client(server) as openai:
        transition = {"transition": {"kind": "polls", "value": 2}}
        await control(server, "POST", "/settings", json=transition)
        batch = await started(openai, [line(str(number), [264] * 5) for number in range(10)])
        look = await openai.batches.retrieve(batch.id)
        assert (look.status, look.request_counts.completed) == ("in_progress", 5)
    draft = tmp_path / "openai" / "batches" / f"{batch.id}.output"
    draft.write_bytes(draft.read_bytes() + b'{"cut in the middle of')  # as a kill leaves it
    async with SimulatorServer(tmp_path) as server, client(server) as openai:
        done = await ended(openai, batch)
        assert done.request_counts.completed == 10
        answers = await lines_of(openai, done.output_file_id)
        assert sorted(answer["custom_id"] for answer in answers) == [str(n) for n in range(10)]
        bill = (await control(server, "GET", "/billed")).json()["openai"]
        assert bill["text-embedding-3-small"]["batch_tokens"] == 50
        assert not draft.exists()


async def test_a_batch_that_nobody_looks_at_is_finished_by_the_next_process(tmp_path: Path):
    async with SimulatorServer(tmp_path) as server, client(server) as openai:
        batch = await started(openai, [line(str(number), "a") for number in range(500)])
    async with SimulatorServer(tmp_path) as server, client(server) as openai:
        done = await ended(openai, batch)
        assert done.request_counts.completed == 500
        assert len(await lines_of(openai, done.output_file_id)) == 500


async def test_what_expired_while_nothing_ran_is_gone_at_the_next_start(tmp_path: Path):
    now = 1_800_000_000.0
    async with SimulatorServer(tmp_path, clock=lambda: now) as server, client(server) as openai:
        file = await openai.files.create(file=("a.jsonl", b"{}"), purpose="batch")
        path = tmp_path / "openai" / "files" / file.id
        assert path.exists()
    async with SimulatorServer(tmp_path, clock=lambda: now + 30 * 86_400):
        assert not path.exists()
