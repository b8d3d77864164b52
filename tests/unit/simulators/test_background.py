"""One detached server per folder: started once, found by all, never mistaken for another."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import httpx
import pytest
from tls import TLS

from gristmill_simulators import background

STARTER = """
import asyncio, pathlib, sys
from gristmill_simulators import background
print(asyncio.run(background.ensure_running(pathlib.Path(sys.argv[1]), idle_seconds=60)))
"""


@pytest.fixture
async def folder(tmp_path: Path):
    yield tmp_path
    await background.stop(tmp_path)


async def health(base_url: str) -> dict:
    async with httpx.AsyncClient(trust_env=False, verify=TLS) as client:
        return (await client.get(f"{base_url}/_simulator/health")).json()


async def start_elsewhere(folder: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STARTER, str(folder), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return output.decode().strip()


async def test_processes_that_start_it_at_once_get_the_same_one_and_it_outlives_them(folder):
    urls = await asyncio.gather(*[start_elsewhere(folder) for _ in range(3)])
    assert len(set(urls)) == 1
    found = await health(urls[0])  # every starter has ended
    assert found["status"] == "ok"
    assert os.getsid(found["pid"]) == found["pid"]  # Ctrl-C in our terminal does not reach it
    assert await background.ensure_running(folder) == urls[0]
    assert await background.stop(folder) is True
    assert await background.stop(folder) is False


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="an environment is read from /proc")
async def test_no_key_of_whoever_starts_it_goes_with_it(folder, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-fake-of-the-caller")
    found = await health(await background.ensure_running(folder))
    environ = Path(f"/proc/{found['pid']}/environ").read_bytes()
    assert b"PATH=" in environ
    assert b"sk-fake-of-the-caller" not in environ


async def test_only_who_can_read_its_folder_finds_anything_at_its_port(folder):
    url = await background.ensure_running(folder, idle_seconds=60)
    origin, _, secret = url.rpartition("/")
    assert len(secret) >= 32
    nearly = secret[:-1] + ("-" if secret[-1] != "-" else "_")
    async with httpx.AsyncClient(trust_env=False, verify=TLS) as stranger:
        for path in ("", "/_simulator", "/openai/v1/models", f"/{nearly}/_simulator/health"):
            answer = await stranger.get(origin + path)
            assert answer.status_code == 404
            assert "private" in answer.text
    for name in ("secret", "address.json"):
        assert (folder / name).stat().st_mode & 0o077 == 0
    arguments = Path(f"/proc/{(await health(url))['pid']}/cmdline")
    assert not arguments.exists() or secret.encode() not in arguments.read_bytes()
    assert secret not in (folder / "log").read_text()


async def test_a_killed_server_is_replaced_with_its_state(folder):
    first = await background.ensure_running(folder, idle_seconds=60)
    async with httpx.AsyncClient(trust_env=False, verify=TLS) as client:
        await client.post(f"{first}/_simulator/settings", json={"billing_delay_seconds": 7})
    os.kill((await health(first))["pid"], signal.SIGKILL)
    second = await background.ensure_running(folder, idle_seconds=60)
    async with httpx.AsyncClient(trust_env=False, verify=TLS) as client:
        settings = (await client.get(f"{second}/_simulator/settings")).json()
    assert settings["billing_delay_seconds"] == 7


async def test_the_address_of_somebody_else_is_not_believed(folder):
    async def answer(_reader, writer):
        body = json.dumps({"instance": "another", "status": "ok", "pid": os.getpid()}).encode()
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + body)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as stranger:
        port = stranger.sockets[0].getsockname()[1]
        address = {"base_url": f"http://127.0.0.1:{port}", "instance": "ours"}
        (folder / "address.json").write_text(json.dumps(address))
        assert await background.stop(folder) is False
        url = await background.ensure_running(folder, idle_seconds=60)
    assert url != address["base_url"]
    assert (await health(url))["service"] == "gristmill-simulators"


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"base_url": "http://127.0.0.1:x"}', b"\xff"]
)
async def test_a_broken_address_file_means_not_running(tmp_path, content):
    (tmp_path / "address.json").write_bytes(content)
    assert await background.stop(tmp_path) is False


async def test_an_idle_server_ends_and_takes_its_address_away(tmp_path):
    # long enough to be found by whoever started it, also on a busy machine
    url = await background.ensure_running(tmp_path, idle_seconds=0.5)
    async with asyncio.timeout(30):
        while (tmp_path / "address.json").exists():
            await asyncio.sleep(0.01)
    await asyncio.to_thread(background._wait_for_owner, tmp_path)
    with pytest.raises(httpx.TransportError):
        await health(url)


async def test_a_server_that_cannot_start_says_why(tmp_path):
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(background.NotStarted, match="data"):
        await background.ensure_running(tmp_path)
