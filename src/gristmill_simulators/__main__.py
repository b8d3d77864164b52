"""`python -m gristmill_simulators`: the simulators in the foreground, for any client."""

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from pathlib import Path

import uvloop

from gristmill_simulators import background, environment
from gristmill_simulators.lock import Held
from gristmill_simulators.server import SimulatorServer


def main() -> int:
    """Parse the arguments, then serve until Ctrl-C, SIGTERM or, if asked, idleness."""
    arguments = _parser().parse_args()
    if arguments.print_env:
        if not arguments.port:
            _parser().error("--print-env needs a fixed --port")
        sys.stdout.write(environment.as_shell(f"http://127.0.0.1:{arguments.port}"))
        return 0
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(_serve(arguments))
        except (Held, OSError) as error:
            sys.stderr.write(f"gristmill simulators: {error}\n")
            return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m gristmill_simulators", description=__doc__)
    parser.add_argument("--port", type=int, default=9000, help="0 takes a free one")
    parser.add_argument("--data", type=Path, default=Path(".gristmill/simulators"))
    parser.add_argument("--workers", type=int, default=2, help="documents parsed at a time")
    parser.add_argument("--idle-seconds", type=float, default=None, help="end when idle so long")
    parser.add_argument("--address-file", type=Path, default=None, help="written once listening")
    parser.add_argument(
        "--secret-file", type=Path, default=None, help="answer only below the path that it holds"
    )
    parser.add_argument("--print-env", action="store_true", help="print shell exports and exit")
    return parser


async def _serve(arguments: argparse.Namespace) -> None:
    secret = "" if arguments.secret_file is None else arguments.secret_file.read_text("ascii")
    server = SimulatorServer(
        arguments.data, port=arguments.port, workers=arguments.workers, secret=secret
    )
    await server.start()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    watcher = None
    if arguments.address_file is not None:
        background.publish(arguments.address_file, server)
    if arguments.idle_seconds is not None:
        watcher = asyncio.create_task(
            background.end_when_idle(server, arguments.idle_seconds, stop)
        )
    # The log, whose end is told when a start fails, does not hold the secret.
    address = server.base_url.removesuffix(secret)
    sys.stdout.write(f"Simulators of LlamaCloud, OpenAI and Supabase: {address}\n")
    sys.stdout.flush()
    await stop.wait()
    if arguments.address_file is not None:
        background.withdraw(arguments.address_file, server)
    await server.stop()
    if watcher is not None:
        watcher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watcher


if __name__ == "__main__":
    sys.exit(main())
