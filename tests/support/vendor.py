"""What stands for real vendors in tests: the simulators, without the stamp that says so.

Its vectors point the other way, so that each tells by itself who made it, whatever is written
beside it.
"""

import base64
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
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


class _AsTheVendor:
    """Takes the stamp off each answer, and turns vectors around."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        held: list[Any] = []
        is_vectors = scope["path"].endswith("/embeddings")
        if is_vectors:  # plain, so that it can be changed
            headers = [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]
            scope = {**scope, "headers": headers}

        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = [pair for pair in message["headers"] if pair[0] != b"x-simulated"]
                message = {**message, "headers": headers}
            if not is_vectors:
                await send(message)
                return
            held.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                for each in _turned(held):
                    await send(each)

        await self._app(scope, receive, sent)


def _turned(messages: list[Any]) -> list[Any]:
    start, body = messages[0], b"".join(each.get("body", b"") for each in messages[1:])
    if start["status"] != 200:
        return messages
    answer = json.loads(body)
    for item in answer["data"]:
        vector = np.frombuffer(base64.b64decode(item["embedding"]), dtype="<f4")
        item["embedding"] = base64.b64encode((-vector).tobytes()).decode()
    body = json.dumps(answer).encode()
    headers = [pair for pair in start["headers"] if pair[0] != b"content-length"]
    headers.append((b"content-length", str(len(body)).encode()))
    return [{**start, "headers": headers}, {"type": "http.response.body", "body": body}]


class Vendor(SimulatorServer):
    """The three vendors on one port, as real as it gets here."""

    def __init__(self, data_dir: Path, **arguments: Any) -> None:
        super().__init__(data_dir, **arguments)
        config: uvicorn.Config = self._server.config
        config.app = _AsTheVendor(config.app)

    @property
    def host(self) -> str:
        return self.base_url.removeprefix("http://")

    def environment(self, folder: Path) -> dict[str, str]:
        """Addresses, keys and prices of it, as variables; the prices are kept in the folder."""
        prices = folder / "prices.toml"
        prices.write_text(PRICES.format(host=self.host))
        return {**environment(self.base_url), "GRISTMILL_PRICES_FILE": os.fspath(prices)}
