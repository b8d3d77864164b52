"""The application, and the server that puts it on a loopback port."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.middleware import Middleware
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gristmill_simulators import environment, vendors
from gristmill_simulators.control import Control
from gristmill_simulators.delivery import TRANSPORT
from gristmill_simulators.gateway import Gateway
from gristmill_simulators.lock import locked
from gristmill_simulators.simulator import Simulator
from gristmill_simulators.vendors import Vendors

_OWNER_SECONDS = 10.0  # a predecessor on the same folder may take that long to end


def create_app(
    data_dir: Path,
    *,
    workers: int = 2,
    clock: Callable[[], float] = time.time,
    secret: str = "",
) -> Starlette:
    """The three vendors and the control plane over one data folder.

    The folder belongs to the application from its start to its end; a second one on the same
    folder waits a little and then fails with `lock.Held`. `workers` is how many documents are
    parsed at a time, each in its own process. With a `secret` all routes are below `/<secret>`.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            owner = locked(data_dir / "owner.lock", seconds=_OWNER_SECONDS)
            await asyncio.to_thread(stack.enter_context, owner)
            simulator = Simulator.open(data_dir, vendors.SCHEMA, clock)
            stack.push_async_callback(simulator.close)
            everything = Vendors(simulator, workers)
            stack.push_async_callback(everything.close)
            await everything.start()
            app.state.simulator, app.state.vendors = simulator, everything
            control = Control(simulator, everything)
            app.router.routes[:] = [*everything.routes(), *control.routes()]
            yield

    return Starlette(lifespan=lifespan, middleware=[Middleware(Gateway, secret)])


class _Protocol(HttpToolsProtocol):
    """Lets an operation break its own connection when a fault asks for it."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast("dict[str, Any]", self.scope)[TRANSPORT] = self.transport


class _Uvicorn(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals belong to the program around us


class SimulatorServer:
    """The simulators on a real socket of 127.0.0.1, for `async with` or, in a thread, `with`.

    Port 0 takes a free one; the addresses are known after entering. With a `secret` they have
    it as their path, and nothing else is answered.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = 0,
        workers: int = 2,
        clock: Callable[[], float] = time.time,
        secret: str = "",
    ) -> None:
        self.app = create_app(data_dir, workers=workers, clock=clock, secret=secret)
        self._root = f"/{secret}" if secret else ""
        self._port = port
        self._server = _Uvicorn(_config(self.app))
        self._task: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}{self._root}"

    @property
    def openai_base_url(self) -> str:
        return environment.openai_base_url(self.base_url)

    @property
    def llama_cloud_base_url(self) -> str:
        return environment.llama_cloud_base_url(self.base_url)

    @property
    def supabase_url(self) -> str:
        return environment.supabase_url(self.base_url)

    @property
    def simulator(self) -> Simulator:
        simulator: Simulator = self.app.state.simulator
        return simulator

    @property
    def vendors(self) -> Vendors:
        everything: Vendors = self.app.state.vendors
        return everything

    async def start(self) -> None:
        """Listen; raises OSError for a port in use and `lock.Held` for a folder in use."""
        listener = socket.create_server(("127.0.0.1", self._port), backlog=2048)
        # not left to uvicorn, which ends the whole process when it fails
        self._lifespan = self.app.router.lifespan_context(self.app)
        try:
            await self._lifespan.__aenter__()
        except BaseException:
            listener.close()
            raise
        self._port = listener.getsockname()[1]
        self._task = asyncio.create_task(self._serve(listener))
        # uvicorn tells of its start by this attribute only
        while not self._server.started and not self._task.done():  # noqa: ASYNC110
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Answer what is in flight, write down what is in memory, leave the folder."""
        if self._task is not None:
            self.simulator.activity.stopping = True
            self._server.should_exit = True
            await self._task

    async def _serve(self, listener: socket.socket) -> None:
        try:
            await self._server.serve([listener])
        finally:
            listener.close()
            await self._lifespan.__aexit__(None, None, None)

    async def wait(self) -> None:
        """Return when the server has ended."""
        if self._task is not None:
            await self._task

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def __enter__(self) -> Self:
        started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(started,), name="simulators")
        self._thread.start()
        started.result()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._loop is not None and self._thread is not None:
            asyncio.run_coroutine_threadsafe(self.stop(), self._loop).result()
            self._thread.join()

    def _run(self, started: "Future[None]") -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            try:
                await self.start()
            except BaseException as error:  # noqa: BLE001 — raised in the thread that waits
                started.set_exception(error)
                return
            started.set_result(None)
            await self.wait()

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve())


def _config(app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_Protocol,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=2,
    )
