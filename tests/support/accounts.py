"""The vendors a conformance test asks: simulators on a port, or the real ones with your keys."""

import os
from dataclasses import dataclass

import pytest

from gristmill_simulators import environment


@dataclass(frozen=True, slots=True)
class Account:
    """Addresses and keys, as an SDK wants them."""

    variables: dict[str, str]

    @classmethod
    def simulated(cls, base_url: str) -> "Account":
        return cls(environment.environment(base_url))

    @classmethod
    def real(cls) -> "Account":
        defaults = {
            "OPENAI_BASE_URL": "https://api.openai.com/v1",
            "LLAMA_CLOUD_BASE_URL": "https://api.cloud.llamaindex.ai",
        }
        return cls(defaults | dict(os.environ))

    def __getitem__(self, name: str) -> str:
        """A variable's value; without one the test is skipped, and says which it needs."""
        value = self.variables.get(name)
        if not value:
            pytest.skip(f"needs {name}; the real vendor bills what it is asked")
        return value
