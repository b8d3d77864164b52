"""One server for all conformance tests, on a real socket, forgotten between tests; time is moved.

A behaviour is one test body, run through the SDK's asynchronous and synchronous client. It takes
`openai`, `llama` or `storage` and so runs against the real vendor as well (`--against real`, keys in
the environment). One that takes `control`, `clock` or `server` is about what only a simulator can
be told, and is skipped there.
"""

import io
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import httpx
import httpx2
import pytest
from accounts import Account
from flavours import Awaited
from llama_cloud import AsyncLlamaCloud, LlamaCloud
from openai import AsyncOpenAI, OpenAI
from reportlab.pdfgen.canvas import Canvas
from storage3 import AsyncStorageClient, SyncStorageClient
from tls import TLS

from gristmill_simulators.server import SimulatorServer


class Clock:
    """The server's clock: it stands still until a test moves it."""

    def __init__(self) -> None:
        self._now = time.time()

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds


@pytest.fixture(scope="session")
def shared(
    tmp_path_factory: pytest.TempPathFactory, against_real: bool
) -> Iterator[tuple[SimulatorServer, Clock] | None]:
    if against_real:
        yield None
        return
    clock = Clock()
    with SimulatorServer(tmp_path_factory.mktemp("simulators"), workers=1, clock=clock) as server:
        yield server, clock


@pytest.fixture
def simulated(shared: tuple[SimulatorServer, Clock] | None) -> tuple[SimulatorServer, Clock]:
    if shared is None:
        pytest.skip("decides what the vendor does: only a simulator lets a test do that")
    return shared


@pytest.fixture
def clock(simulated: tuple[SimulatorServer, Clock]) -> Clock:
    """The simulators' clock. A test that asks for it does not run against the real vendors."""
    return simulated[1]


@pytest.fixture
def server(simulated: tuple[SimulatorServer, Clock], fresh: None) -> SimulatorServer:
    """The simulators themselves, for a test of what only they can show."""
    del fresh
    return simulated[0]


@pytest.fixture(scope="session")
def operator() -> Iterator[httpx.Client]:
    """Who tells the simulators between tests, over a connection that stays."""
    with httpx.Client(trust_env=False, verify=TLS) as client:
        yield client


@pytest.fixture
def fresh(shared: tuple[SimulatorServer, Clock] | None, operator: httpx.Client) -> None:
    """The simulators have forgotten the tests before; the real vendors cannot."""
    if shared is not None:
        operator.post(f"{shared[0].base_url}/_simulator/reset").raise_for_status()


@pytest.fixture
async def control(server: SimulatorServer) -> AsyncIterator[httpx.AsyncClient]:
    """The control plane. A test that asks for it does not run against the real vendors."""
    base_url = f"{server.base_url}/_simulator"
    async with httpx.AsyncClient(base_url=base_url, trust_env=False, verify=TLS) as client:
        yield client


@pytest.fixture
def account(shared: tuple[SimulatorServer, Clock] | None, fresh: None) -> Account:
    """Where the three vendors are, with keys: simulated, or from the environment."""
    del fresh
    return Account.real() if shared is None else Account.simulated(shared[0].base_url)


@pytest.fixture
async def http(server: SimulatorServer) -> AsyncIterator[httpx.AsyncClient]:
    """A client with no vendor's manners, for what the SDKs do not show."""
    async with httpx.AsyncClient(base_url=server.base_url, trust_env=False, verify=TLS) as client:
        yield client


@pytest.fixture(params=["async", "sync"])
def flavour(request: pytest.FixtureRequest) -> str:
    """Every behaviour is seen through both clients of an SDK."""
    return str(request.param)


@pytest.fixture
async def openai(account: Account, flavour: str) -> AsyncIterator[AsyncOpenAI]:
    async with openai_client(account, flavour) as client:
        yield client


@pytest.fixture
async def strict_openai(account: Account, flavour: str) -> AsyncIterator[AsyncOpenAI]:
    """Validates every answer by the SDK's types; it would refuse the SDK's own base64."""
    async with openai_client(account, flavour, strict=True) as client:
        yield client


@asynccontextmanager
async def openai_client(
    account: Account, flavour: str, *, strict: bool = False
) -> AsyncIterator[AsyncOpenAI]:
    arguments: dict[str, Any] = {
        "api_key": account["OPENAI_API_KEY"],
        "base_url": account["OPENAI_BASE_URL"],
        "max_retries": 0,
        "_strict_response_validation": strict,
    }
    if flavour == "sync":
        with OpenAI(http_client=httpx2.Client(verify=TLS), **arguments) as client:
            yield cast("AsyncOpenAI", Awaited(client))
    else:
        async with AsyncOpenAI(http_client=httpx2.AsyncClient(verify=TLS), **arguments) as client:
            yield client


@pytest.fixture
async def llama(account: Account, flavour: str) -> AsyncIterator[AsyncLlamaCloud]:
    arguments: dict[str, Any] = {
        "api_key": account["LLAMA_CLOUD_API_KEY"],
        "base_url": account["LLAMA_CLOUD_BASE_URL"],
        "max_retries": 0,
        "_strict_response_validation": True,
    }
    if flavour == "sync":
        with LlamaCloud(http_client=httpx.Client(verify=TLS), **arguments) as client:
            yield cast("AsyncLlamaCloud", Awaited(client))
    else:
        async with AsyncLlamaCloud(
            http_client=httpx.AsyncClient(verify=TLS), **arguments
        ) as client:
            yield client


@pytest.fixture
async def storage(account: Account, flavour: str) -> AsyncIterator[AsyncStorageClient]:
    """The storage as `service_role` sees it."""
    key = account["SUPABASE_SERVICE_ROLE_KEY"]
    async with storage_client(account, key, flavour) as client:
        yield client


@pytest.fixture
async def new_bucket(storage: AsyncStorageClient, against_real: bool) -> AsyncIterator[Any]:
    """Makes buckets with names nobody else has, from the options of `create_bucket`."""
    made: list[str] = []

    async def make(**options: Any) -> Any:
        made.append(f"test-{uuid.uuid4().hex}")
        await storage.create_bucket(made[-1], options=cast("Any", options or None))
        return storage.from_(made[-1])

    yield make
    for name in made if against_real else []:
        await drop(storage, name)


@pytest.fixture
async def docs(new_bucket: Any) -> Any:
    """A private bucket of the test's own, empty; `docs.id` is its name."""
    return await new_bucket()


async def drop(storage: AsyncStorageClient, name: str) -> None:
    """Delete a bucket with what is in it; simulators are reset anyhow."""
    bucket = storage.from_(name)
    page = await bucket.list_v2()
    if page.objects:
        await bucket.remove([entry.name for entry in page.objects])
    await storage.delete_bucket(name)


@pytest.fixture
async def anonymous(account: Account, flavour: str) -> AsyncIterator[AsyncStorageClient]:
    """The storage as `anon` sees it."""
    async with storage_client(account, account["SUPABASE_ANON_KEY"], flavour) as client:
        yield client


@pytest.fixture
async def storage_as(account: Account, flavour: str) -> AsyncIterator[Any]:
    """The storage as the holder of another key or token sees it."""
    async with AsyncExitStack() as stack:

        async def client(key: str) -> AsyncStorageClient:
            return await stack.enter_async_context(storage_client(account, key, flavour))

        yield client


@asynccontextmanager
async def storage_client(
    account: Account, key: str, flavour: str = "async"
) -> AsyncIterator[AsyncStorageClient]:
    url = f"{account['SUPABASE_URL']}/storage/v1/"
    headers = {"apiKey": key, "Authorization": f"Bearer {key}"}
    if flavour == "sync":
        with httpx.Client(trust_env=False, verify=TLS, timeout=30) as plain:
            twin = SyncStorageClient(url, headers, http_client=plain)
            yield cast("AsyncStorageClient", Awaited(twin))
    else:
        async with httpx.AsyncClient(trust_env=False, verify=TLS, timeout=30) as client:
            yield AsyncStorageClient(url, headers, http_client=client)


@pytest.fixture
def pdf() -> bytes:
    """Three pages, the second one without a word."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, invariant=True)
    for text in ("The first page speaks of wheat.", "", "The third page speaks of rye."):
        canvas.drawString(72, 700, text)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()
