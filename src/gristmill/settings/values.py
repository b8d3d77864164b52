"""What is said about settings: the words for each, where it came from, what is wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from pydantic import ByteSize, SecretStr

from gristmill.errors import Misconfigured

SIZES: Final = {"GiB": 2**30, "GB": 10**9, "MiB": 2**20, "MB": 10**6, "KiB": 2**10, "kB": 10**3}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. Never holds a secret.

    `setting` is the variable's or the file's name, `example` a line as a `.env` file has it.
    """

    setting: str
    wrong: str
    right: str
    example: str

    def __str__(self) -> str:
        return f"{self.setting}: {self.wrong} Right: {self.right}. Example: {self.example}"


class InvalidSettings(Misconfigured):
    """Settings are missing or wrong; `problems` holds all of them."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        count = "One setting is" if len(problems) == 1 else f"{len(problems)} settings are"
        super().__init__(
            f"{count} wrong." + "".join(f"\n- {problem}" for problem in problems),
            advice="Set them in the environment or in the .env file; see docs/configuration.md.",
        )
        self.problems = problems


class Source(StrEnum):
    """Where a setting's value comes from."""

    ENVIRONMENT = "environment"
    FILE = "file"
    DEFAULT = "default"
    CODE = "code"  # a program gave it to `Settings(...)`


@dataclass(frozen=True, slots=True)
class Reading:
    """What settings were read with: where relative paths start, and each field's variable.

    `environ` is where they can be read again, None if there is nowhere.
    """

    folder: Path
    origins: Mapping[str, tuple[str, Source]]
    environ: Mapping[str, str] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting as `config show` prints it; what is secret in `value` is masked."""

    name: str
    value: str
    source: Source
    meaning: str


@dataclass(frozen=True, slots=True)
class Setting:
    """The words for one setting; of its names, `name` wins over those in `also`."""

    name: str
    meaning: str
    right: str
    example: str
    also: tuple[str, ...] = ()
    secret: bool = False

    @property
    def variables(self) -> tuple[str, ...]:
        """Every variable that can set it, the one that wins first."""
        endings = ("", "_FILE") if self.secret else ("",)
        return tuple(name + ending for name in (self.name, *self.also) for ending in endings)

    def problem(
        self, wrong: str, *, variable: str = "", right: str = "", example: str = ""
    ) -> Problem:
        """With this setting's own words wherever none are given."""
        return Problem(
            setting=variable or self.name,
            wrong=wrong,
            right=right or self.right,
            example=f"{self.name}={example or self.example}",
        )


def as_text(value: object, variable: str) -> str:
    """A value as it is written into a variable; of a secret only the `variable` it is from."""
    match value:
        case None:
            return "not set"
        case SecretStr():
            return f"set (from {variable})"
        case bool():
            return "1" if value else "0"
        case ByteSize():
            return _size(value)
        case float():
            return f"{value:g}"
    return str(value)


def _size(count: int) -> str:
    exact = (f"{count // size}{unit}" for unit, size in SIZES.items() if count % size == 0)
    return next(exact, f"{count}B")
