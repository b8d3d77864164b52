"""A running simulator as tests see it: what was called, what was billed, what shall go wrong."""

from typing import Any

import httpx
from tls import TLS


class SimulatorControl:
    """The control plane of a simulator at `base_url`."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self._http = httpx.Client(base_url=f"{base_url}/_simulator", trust_env=False, verify=TLS)

    def close(self) -> None:
        self._http.close()

    def calls(self, route: str) -> int:
        """How often a route answered, or broke, so far."""
        summary = self._get("/calls/summary")
        return int(summary.get(route, {}).get("count", 0))

    def calls_of(self, vendor: str) -> int:
        """How often any of its routes did."""
        summary = self._get("/calls/summary")
        return sum(int(each["count"]) for name, each in summary.items() if name.startswith(vendor))

    def paid_calls(self) -> int:
        """How many requests there were that a vendor bills."""
        return self.calls("openai.embeddings.create") + self.calls("llamacloud.parsing.create")

    def billed(self) -> dict[str, Any]:
        return self._get("/billed")

    def fault(self, route: str, kind: str, **facts: object) -> None:
        self._post("/faults", {"route": route, "kind": kind, **facts})

    def clear_faults(self) -> None:
        self._http.delete("/faults").raise_for_status()

    def configure(self, **settings: object) -> None:
        self._post("/settings", settings)

    def reset(self) -> None:
        self._post("/reset", {})

    def _get(self, path: str) -> dict[str, Any]:
        return self._http.get(path).raise_for_status().json()

    def _post(self, path: str, body: object) -> None:
        self._http.post(path, json=body).raise_for_status()
