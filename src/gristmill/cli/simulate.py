"""`simulate`: the three vendors on one port."""

import asyncio
import sys
import tempfile
from pathlib import Path

from gristmill.cli.present import console, errors, one_line, print_json, tell_invalid


def simulate(port: int, data: Path | None, *, print_env: bool, as_json: bool) -> None:
    """Serves in the foreground until Ctrl-C, or prints a client's variables and ends."""
    from gristmill_simulators.environment import as_shell, environment
    from gristmill_simulators.lock import Held

    address = f"http://127.0.0.1:{port}"
    if print_env:
        if as_json:
            print_json(environment(address))
        else:
            sys.stdout.write(as_shell(address))
        return
    try:
        asyncio.run(_serve(port, data, as_json=as_json))
    except KeyboardInterrupt:
        errors.print("\nStopped.")
    except Held:
        reason = f"Other simulators use {data}. End those, or name another folder with --data."
        tell_invalid(reason, as_json=as_json)
        sys.exit(1)
    except OSError as error:
        reason = f"Port {port} cannot be used: {error.strerror or error}."
        tell_invalid(reason, as_json=as_json)
        sys.exit(1)


async def _serve(port: int, data: Path | None, *, as_json: bool) -> None:
    from gristmill_simulators.environment import environment
    from gristmill_simulators.server import SimulatorServer

    with tempfile.TemporaryDirectory(prefix="gristmill-simulators-") as scratch:
        async with SimulatorServer(data or Path(scratch), port=port) as server:
            if as_json:
                print_json({"base_url": server.base_url} | environment(server.base_url))
            else:
                _tell(server.base_url, port, data)
            await asyncio.Event().wait()


def _tell(address: str, port: int, data: Path | None) -> None:
    kept = f"kept in {one_line(str(data))}" if data else "gone at the end"
    console.print(f"Simulators of LlamaCloud, OpenAI and Supabase Storage: [bold]{address}[/]")
    console.print(f'For a client:  eval "$(gristmill simulate --port {port} --print-env)"')
    console.print(
        f"Their state is {kept}. Calls, faults and quotas: {address}/_simulator",
        soft_wrap=True,
    )
    console.print("Ctrl-C ends them.")
