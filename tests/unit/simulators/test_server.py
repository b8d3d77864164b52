"""The server itself: restarts, the command line, keys, and processes that read files."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from tls import TLS

from gristmill_simulators import environment
from gristmill_simulators.jwt import verify
from gristmill_simulators.llamacloud.pool import Failed, Pool, Read, Reading
from gristmill_simulators.lock import Held
from gristmill_simulators.server import SimulatorServer

LLAMA = {"authorization": f"Bearer {environment.LLAMA_CLOUD_API_KEY}"}
OPENAI = {"authorization": f"Bearer {environment.OPENAI_API_KEY}"}
STORAGE = {"authorization": f"Bearer {environment.SUPABASE_SERVICE_ROLE_KEY}"}


async def submit(client: httpx.AsyncClient, name: str, content: bytes) -> str:
    files = {"file": (name, content)}
    path = "/llamacloud/api/v1/beta/files"
    made = await client.post(path, data={"purpose": "parse"}, files=files, headers=LLAMA)
    body = {"tier": "agentic", "version": "latest", "file_id": made.json()["id"]}
    return (await client.post("/llamacloud/api/v2/parse", json=body, headers=LLAMA)).json()["id"]


async def wait_for(client: httpx.AsyncClient, job: str, *statuses: str) -> dict:
    path = f"/llamacloud/api/v2/parse/{job}"
    async with asyncio.timeout(30):
        while True:
            answer = (await client.get(path, params={"expand": "usage"}, headers=LLAMA)).json()
            if answer["job"]["status"] in statuses:
                return answer["job"]
            await asyncio.sleep(0.01)


def client(server: SimulatorServer) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.base_url, trust_env=False, verify=TLS)


async def test_everything_is_still_there_after_a_restart(tmp_path):
    limit = {"quotas": {"llamacloud_requests_per_minute": 600}}
    async with SimulatorServer(tmp_path) as server, client(server) as http:
        await http.post("/_simulator/settings", json=limit)
        await http.post("/_simulator/faults", json={"route": "openai.*", "kind": "drop_before"})
        job = await submit(http, "a.md", b"# words")
        await wait_for(http, job, "COMPLETED")
        await http.post("/supabase/bucket", json={"name": "docs"}, headers=STORAGE)
        await http.post("/supabase/object/docs/a", content=b"kept", headers=STORAGE)
        billed = (await http.get("/_simulator/billed")).json()
        first = (await http.get("/_simulator/health")).json()["instance"]
    async with SimulatorServer(tmp_path) as server, client(server) as http:
        assert (await http.get("/_simulator/health")).json()["instance"] != first
        assert (await http.get("/_simulator/billed")).json() == billed
        assert billed["llamacloud"]["credits"] == 10
        settings = (await http.get("/_simulator/settings")).json()
        assert settings["quotas"]["llamacloud_requests_per_minute"] == 600
        assert len((await http.get("/_simulator/faults")).json()["faults"]) == 1
        assert (await http.get("/supabase/object/docs/a", headers=STORAGE)).content == b"kept"
        answer = await http.get(
            f"/llamacloud/api/v2/parse/{job}", params={"expand": "text_full"}, headers=LLAMA
        )
        assert answer.json()["text_full"] == "# words"
        assert len((await http.get("/_simulator/calls")).json()["calls"]) > 3


async def test_a_used_up_token_limit_stays_used_up_after_a_restart(tmp_path):
    now = time.time()
    body = {"model": "text-embedding-3-small", "input": ["x" * 300, ""]}
    quotas = {"quotas": {"openai_tokens_per_minute": 100}}
    async with SimulatorServer(tmp_path, clock=lambda: now) as server, client(server) as http:
        await http.post("/_simulator/settings", json=quotas)
        # refused for its empty string, and charged all the same
        answer = await http.post("/openai/v1/embeddings", json=body, headers=OPENAI)
        assert answer.status_code == 400
    async with SimulatorServer(tmp_path, clock=lambda: now) as server, client(server) as http:
        answer = await http.post("/openai/v1/embeddings", json=body, headers=OPENAI)
        assert answer.status_code == 429
        assert "Used 76, Requested 76" in answer.json()["error"]["message"]


async def test_a_job_that_was_running_when_the_server_was_killed_is_parsed_again(tmp_path):
    process, url = start(tmp_path)
    async with httpx.AsyncClient(base_url=url, trust_env=False, verify=TLS) as http:
        # a table that takes its reader long enough to be caught
        job = await submit(http, "a.csv", b"a,b,c,d\n" * 2_000_000)
        await wait_for(http, job, "RUNNING")
    process.kill()
    process.wait()
    async with SimulatorServer(tmp_path) as server, client(server) as http:
        done = await wait_for(http, job, "COMPLETED", "FAILED")
        assert done["error_message"].startswith("DOCUMENT_TOO_LARGE")


async def test_no_answered_embedding_is_missing_from_the_bill_after_a_kill(tmp_path):
    process, url = start(tmp_path)
    body = {"model": "text-embedding-3-small", "input": "a", "dimensions": 8}
    answered = 0

    async def embed_until_the_end(http: httpx.AsyncClient) -> None:
        nonlocal answered
        while True:
            answer = await http.post("/openai/v1/embeddings", json=body, headers=OPENAI)
            answered += answer.json()["usage"]["total_tokens"]
            if answered == 200:
                process.kill()

    async with httpx.AsyncClient(base_url=url, trust_env=False, verify=TLS) as http:
        clients = [embed_until_the_end(http) for _ in range(8)]
        ends = await asyncio.gather(*clients, return_exceptions=True)
    process.wait()
    assert all(isinstance(end, httpx.TransportError) for end in ends)
    async with SimulatorServer(tmp_path) as server, client(server) as http:
        billed = (await http.get("/_simulator/billed")).json()["openai"]
    # at most the requests in flight are billed without an answer
    assert 200 <= answered <= billed[body["model"]]["tokens"] <= answered + 8


async def test_expired_files_and_results_go_away_at_the_next_start(tmp_path):
    now = time.time()
    async with SimulatorServer(tmp_path, clock=lambda: now) as server, client(server) as http:
        job = await submit(http, "a.md", b"# words")
        await wait_for(http, job, "COMPLETED")
        await http.delete(f"/llamacloud/api/v2/parse/{job}", headers=LLAMA)
    assert stored(tmp_path) == 2
    now += 49 * 3600
    async with SimulatorServer(tmp_path, clock=lambda: now):
        assert stored(tmp_path) == 0


def stored(folder: Path) -> int:
    return len([path for path in (folder / "llamacloud").rglob("*") if path.is_file()])


async def test_a_folder_has_one_server_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("gristmill_simulators.server._OWNER_SECONDS", 0.05)
    async with SimulatorServer(tmp_path):
        with pytest.raises((Held, RuntimeError, SystemExit)):
            await SimulatorServer(tmp_path).start()


async def test_a_reset_forgets_everything(tmp_path):
    async with SimulatorServer(tmp_path) as server, client(server) as http:
        await wait_for(http, await submit(http, "a.md", b"# words"), "COMPLETED")
        await http.post("/supabase/bucket", json={"name": "docs"}, headers=STORAGE)
        await http.post("/supabase/object/docs/a", content=b"gone", headers=STORAGE)
        await http.post("/_simulator/reset")
        billed = (await http.get("/_simulator/billed")).json()
        assert billed["llamacloud"]["credits"] == billed["supabase"]["objects"] == 0
        assert (await http.get("/_simulator/calls")).json() == {"calls": []}
        assert [p for p in tmp_path.glob("*/*/*") if p.is_file()] == []
        await wait_for(http, await submit(http, "a.md", b"# words"), "COMPLETED")


async def test_many_clients_at_once_are_all_counted(tmp_path):
    async with SimulatorServer(tmp_path) as server, client(server) as http:
        jobs = await asyncio.gather(
            *[submit(http, f"{n}.md", f"# {n}".encode()) for n in range(30)]
        )
        await asyncio.gather(*[wait_for(http, job, "COMPLETED") for job in jobs])
        summary = (await http.get("/_simulator/calls/summary")).json()
        assert summary["llamacloud.parsing.create"] == {"count": 30, "by_status": {"200": 30}}
        assert (await http.get("/_simulator/billed")).json()["llamacloud"]["credits"] == 300


def start(folder: Path, *arguments: str) -> tuple[subprocess.Popen, str]:
    command = [sys.executable, "-m", "gristmill_simulators", "--port", "0", "--data", str(folder)]
    process = subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    process.stdout.close()
    return process, line.rsplit(" ", 1)[1].strip()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_foreground_server_ends_cleanly_when_asked(tmp_path, number):
    process, url = start(tmp_path)
    assert httpx.get(f"{url}/_simulator/health", trust_env=False).status_code == 200
    process.send_signal(number)
    assert process.wait(timeout=60) == 0


def test_the_printed_environment_needs_no_server_and_is_shell(tmp_path):
    command = [sys.executable, "-m", "gristmill_simulators", "--port", "9000", "--print-env"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    script = f'{lines}\nprintf %s "$SUPABASE_SERVICE_ROLE_KEY $OPENAI_BASE_URL"'
    shown = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    key, url = shown.split(" ")
    claims = verify(key, environment.SUPABASE_JWT_SECRET, now=time.time())
    assert claims["role"] == "service_role"
    assert url == "http://127.0.0.1:9000/openai/v1"
    names = environment.environment("http://127.0.0.1:9000")
    assert lines.count("\n") == lines.count("export ") == len(names)


def test_the_server_can_run_in_a_thread(tmp_path):
    with SimulatorServer(tmp_path) as server:
        assert httpx.get(f"{server.base_url}/_simulator/health", trust_env=False).status_code == 200
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{server.base_url}/_simulator/health", trust_env=False)


@pytest.fixture
def pool():
    pool = Pool(1)
    yield pool
    pool.close()


def reading(folder: Path, name: str, content: bytes) -> Reading:
    path = folder / "file"
    path.write_bytes(content)
    return Reading(path, name, None, None, folder / "pages.json")


async def test_a_reader_that_hangs_is_stopped_and_the_next_file_is_read(tmp_path, pool):
    slow = reading(tmp_path, "a.csv", b"a,b,c,d\n" * 2_000_000)
    late = await pool.read(slow, 0.2)
    assert isinstance(late, Failed)
    assert late.code == "TIMEOUT"
    assert await pool.read(reading(tmp_path, "a.md", b"words"), 30) == Read((1,), easy=(1,))


async def test_a_reader_that_dies_fails_its_file_only(tmp_path, pool):
    slow = asyncio.create_task(pool.read(reading(tmp_path, "a.csv", b"a,b,c,d\n" * 2_000_000), 30))
    while not pool._busy:
        await asyncio.sleep(0.01)
    os.kill(next(iter(pool._busy))._process.pid, signal.SIGKILL)
    dead = await slow
    assert isinstance(dead, Failed)
    assert dead.code == "PDF_IS_BROKEN"
    assert await pool.read(reading(tmp_path, "a.md", b"words"), 30) == Read((1,), easy=(1,))


async def test_a_reader_that_died_while_idle_is_replaced(tmp_path, pool):
    assert await pool.read(reading(tmp_path, "a.md", b"words"), 30) == Read((1,), easy=(1,))
    process = pool._idle[0]._process
    os.kill(process.pid, signal.SIGKILL)
    await asyncio.to_thread(process.wait)
    assert await pool.read(reading(tmp_path, "a.md", b"words"), 30) == Read((1,), easy=(1,))
