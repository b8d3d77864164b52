"""The environments, and all in which they differ.

That is the file that is read, and whether simulators may answer there; every other setting has the
same default in each.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

EnvironmentName = Literal["development", "test", "staging", "production"]

DEFAULT: Final = "development"


@dataclass(frozen=True, slots=True)
class Environment:
    """One of them; without `simulators` they answer only if they are allowed by name."""

    name: EnvironmentName
    meant: str
    simulators: bool = True

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
    Environment("production", "Documents that count.", simulators=False),
)
ENVIRONMENTS: Final[Mapping[str, Environment]] = {each.name: each for each in _ALL}
