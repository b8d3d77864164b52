"""The sender of webhooks beyond what a client of one server sees: waits, restarts, shutdown."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import orjson
import pytest
from llama_calls import HEADERS
from receiver import Receiver
from tls import TLS

from gristmill_simulators.llamacloud import outbox
from gristmill_simulators.llamacloud.delivery import Sender
from gristmill_simulators.server import SimulatorServer
from gristmill_simulators.simulator import Simulator
from gristmill_simulators.vendors import SCHEMA


@pytest.fixture
async def simulator(tmp_path: Path) -> AsyncIterator[Simulator]:
    simulator = Simulator.open(tmp_path, SCHEMA, time.time)
    yield simulator
    await simulator.close()


async def tell(simulator: Simulator, url: str, *events: str, job_id: str = "pjb-1") -> None:
    job = {"id": job_id, "hooks": orjson.dumps([{"webhook_url": url}]).decode()}
    for event in events:
        await simulator.database.write(lambda c, event=event: outbox.tell(c, job, event, 1.0, 1.0))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


async def test_the_second_attempt_waits_one_second_and_the_third_two(simulator: Simulator):
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async with Receiver(statuses=[500, 500, 500]) as receiver:
        sender = Sender(simulator, sleep=sleep)
        await tell(simulator, receiver.url, "parse.success", "parse.cancelled")
        sender.notify()
        await until(lambda: not sender.busy())
        await sender.close()
    assert waits == [1.0, 2.0]
    assert len(receiver.received) == 4  # the next event goes on after one that was given up
    assert (await receiver.events(4))[3] == "parse.cancelled"


async def test_closing_waits_for_no_endpoint_and_the_next_sender_goes_on(simulator: Simulator):
    async with Receiver(statuses=[0]) as receiver:
        first = Sender(simulator)
        await tell(simulator, receiver.url, "parse.success")
        first.notify()
        await receiver.events(1)
        began = time.monotonic()
        await first.close()
        assert time.monotonic() - began < 1
        second = Sender(simulator)
        second.notify()
        await receiver.events(2)
        await until(lambda: not second.busy())
        await second.close()
    assert receiver.received[0].body == receiver.received[1].body


async def test_attempts_made_before_a_restart_count(simulator: Simulator):
    blocked = asyncio.Event()

    async def sleep(_seconds: float) -> None:
        await blocked.wait()

    async with Receiver(statuses=[500, 500, 500, 500]) as receiver:
        first = Sender(simulator, sleep=sleep)
        await tell(simulator, receiver.url, "parse.success")
        first.notify()
        await receiver.events(1)
        await asyncio.sleep(0.05)  # the failure is written down
        await first.close()
        second = Sender(simulator, sleep=asyncio.sleep)
        changes = simulator.settings.merged({"llamacloud": {"webhook_waits": [0, 0]}})
        await simulator.settings.keep(changes)
        second.notify()
        await until(lambda: not second.busy())
        await second.close()
    assert len(receiver.received) == 3


async def test_a_slow_endpoint_does_not_hold_up_another_job(simulator: Simulator):
    async with Receiver(statuses=[0]) as slow, Receiver() as quick:
        sender = Sender(simulator)
        await tell(simulator, slow.url, "parse.success", job_id="pjb-1")
        await tell(simulator, quick.url, "parse.success", job_id="pjb-2")
        sender.notify()
        await quick.events(1)
        await sender.close()


async def test_an_event_of_the_future_is_sent_when_it_is_due(simulator: Simulator):
    async with Receiver() as receiver:
        sender = Sender(simulator)
        job = {"id": "pjb-1", "hooks": orjson.dumps([{"webhook_url": receiver.url}]).decode()}
        due = time.time() + 0.1
        await simulator.database.write(lambda c: outbox.tell(c, job, "parse.success", due, due))
        sender.notify()
        assert not sender.busy()
        await receiver.events(1)
        assert time.time() >= due
        await sender.close()


async def test_halted_it_begins_nothing_and_then_goes_on(simulator: Simulator):
    async with Receiver(statuses=[0]) as receiver:
        sender = Sender(simulator)
        await tell(simulator, receiver.url, "parse.success")
        sender.notify()
        await receiver.events(1)
        await sender.halt()
        sender.notify()
        assert not sender.busy(), "although the event is still due"
        sender.go_on()
        sender.notify()
        await receiver.events(2)
        await until(lambda: not sender.busy())
        await sender.close()


async def test_a_reset_ends_what_is_on_its_way(tmp_path: Path):
    async with Receiver(statuses=[0]) as receiver, SimulatorServer(tmp_path, workers=1) as server:
        await submit(server, receiver)
        await receiver.events(1)
        assert server.vendors.busy()
        await server.vendors.reset()
        await until(lambda: not server.vendors.busy())
    assert len(receiver.received) == 1


async def test_what_a_server_could_not_deliver_its_successor_does(tmp_path: Path):
    async with Receiver(statuses=[0]) as receiver:
        async with SimulatorServer(tmp_path, workers=1) as server:
            await submit(server, receiver)
            await receiver.events(1)
        assert len(receiver.received) == 1
        async with SimulatorServer(tmp_path, workers=1):
            await receiver.events(2)
    assert receiver.received[0].body == receiver.received[1].body


async def submit(server: SimulatorServer, receiver: Receiver) -> None:
    hook = {"webhook_url": receiver.url, "webhook_events": ["parse.pending"]}
    options = {"tier": "fast", "version": "latest", "webhook_configurations": [hook]}
    async with httpx.AsyncClient(trust_env=False, verify=TLS, headers=HEADERS) as client:
        answer = await client.post(
            f"{server.llama_cloud_base_url}/api/v2/parse/upload",
            data={"configuration": orjson.dumps(options).decode()},
            files={"file": ("a.md", b"words")},
        )
        answer.raise_for_status()
