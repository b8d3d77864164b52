"""The environments, and all in which they differ.

That is the file that is read, and which modes have to be allowed by name; every other setting has
the same default in each.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from gristmill.contract import ServiceMode

EnvironmentName = Literal["development", "test", "staging", "production"]

DEFAULT: Final = "development"


@dataclass(frozen=True, slots=True)
class Environment:
    """One of them; a mode in `allowances` is refused there unless that setting allows it."""

    name: EnvironmentName
    meant: str
    allowances: Mapping[ServiceMode, str] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """The name of its file, looked for in the current folder."""
        return f".env.{self.name}"


_ALL: Final = (
    Environment("development", "A machine of one's own; what holds if nothing is said."),
    Environment("test", "Automated tests: no key, and a home that is thrown away."),
    Environment(
        "staging", "The rehearsal: real services with keys, projects and a small limit of its own."
    ),
    Environment(
        "production",
        "Documents that count: no simulator answers unless somebody has said so.",
        {
            ServiceMode.MOCK: "allow_mock_in_production",
            ServiceMode.HYBRID: "allow_fallback_in_production",
        },
    ),
)
ENVIRONMENTS: Final[Mapping[str, Environment]] = {each.name: each for each in _ALL}
