"""One server for all conformance tests, on a real socket, forgotten between tests; time is moved."""

import io
import ssl
import time
from collections.abc import AsyncIterator, Iterator

import httpx
import httpx2
import pytest
from llama_cloud import AsyncLlamaCloud
from openai import AsyncOpenAI
from reportlab.pdfgen.canvas import Canvas
from storage3 import AsyncStorageClient

from gristmill_simulators import environment
from gristmill_simulators.server import SimulatorServer

TLS = ssl.create_default_context()  # 50 ms for every client that makes its own, and never used


class Clock:
    """The server's clock: it stands still until a test moves it."""

    def __init__(self) -> None:
        self._now = time.time()

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SimulatorServer, Clock]]:
    clock = Clock()
    with SimulatorServer(tmp_path_factory.mktemp("simulators"), workers=1, clock=clock) as server:
        yield server, clock


@pytest.fixture
def clock(shared: tuple[SimulatorServer, Clock]) -> Clock:
    return shared[1]


@pytest.fixture
async def control(shared: tuple[SimulatorServer, Clock]) -> AsyncIterator[httpx.AsyncClient]:
    """The control plane of a server that has forgotten the tests before."""
    base_url = f"{shared[0].base_url}/_simulator"
    async with httpx.AsyncClient(base_url=base_url, trust_env=False, verify=TLS) as client:
        (await client.post("/reset")).raise_for_status()
        yield client


@pytest.fixture
def server(
    shared: tuple[SimulatorServer, Clock],
    control: httpx.AsyncClient,  # noqa: ARG001 — it has made the server forget
) -> SimulatorServer:
    return shared[0]


@pytest.fixture
async def http(server: SimulatorServer) -> AsyncIterator[httpx.AsyncClient]:
    """A client with no vendor's manners, for what the SDKs do not show."""
    async with httpx.AsyncClient(base_url=server.base_url, trust_env=False, verify=TLS) as client:
        yield client


@pytest.fixture
async def openai(server: SimulatorServer) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(
        http_client=httpx2.AsyncClient(verify=TLS),
        api_key=environment.OPENAI_API_KEY,
        base_url=server.openai_base_url,
        max_retries=0,  # strict validation is of no use here: it refuses the SDK's own base64
    ) as client:
        yield client


@pytest.fixture
async def llama(server: SimulatorServer) -> AsyncIterator[AsyncLlamaCloud]:
    async with AsyncLlamaCloud(
        http_client=httpx.AsyncClient(verify=TLS),
        api_key=environment.LLAMA_CLOUD_API_KEY,
        base_url=server.llama_cloud_base_url,
        max_retries=0,
        _strict_response_validation=True,
    ) as client:
        yield client


@pytest.fixture
async def storage(server: SimulatorServer) -> AsyncIterator[AsyncStorageClient]:
    async with storage_client(server, environment.SUPABASE_SERVICE_ROLE_KEY) as client:
        yield client


@pytest.fixture
async def anonymous(server: SimulatorServer) -> AsyncIterator[AsyncStorageClient]:
    async with storage_client(server, environment.SUPABASE_ANON_KEY) as client:
        yield client


def storage_client(server: SimulatorServer, key: str) -> AsyncStorageClient:
    headers = {"apiKey": key, "Authorization": f"Bearer {key}"}
    http_client = httpx.AsyncClient(trust_env=False, verify=TLS)
    return AsyncStorageClient(
        f"{server.supabase_url}/storage/v1/", headers, http_client=http_client
    )


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
