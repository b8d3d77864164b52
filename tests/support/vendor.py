"""What stands for real vendors in tests: the simulators, without the stamp that says so."""

import os
from pathlib import Path
from typing import Any

import uvicorn

from gristmill_simulators.environment import environment
from gristmill_simulators.server import SimulatorServer

PRICES = """
version = "test"
source = "a test"
[[price]]
service = "openai"
product = "text-embedding-3-small"
host = "{host}"
dollars_per_million_tokens = "0.02"
[[price]]
service = "llamaparse"
product = "credit"
host = "{host}"
dollars_per_thousand_credits = "1.25"
"""


class _Unstamped:
    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = [pair for pair in message["headers"] if pair[0] != b"x-simulated"]
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, sent if scope["type"] == "http" else send)


class Vendor(SimulatorServer):
    """The three vendors on one port, as real as it gets here."""

    def __init__(self, data_dir: Path, **arguments: Any) -> None:
        super().__init__(data_dir, **arguments)
        config: uvicorn.Config = self._server.config
        config.app = _Unstamped(config.app)

    @property
    def host(self) -> str:
        return self.base_url.removeprefix("http://")

    def environment(self, folder: Path) -> dict[str, str]:
        """Addresses, keys and prices of it, as variables; the prices are kept in the folder."""
        prices = folder / "prices.toml"
        prices.write_text(PRICES.format(host=self.host))
        return {**environment(self.base_url), "GRISTMILL_PRICES_FILE": os.fspath(prices)}
