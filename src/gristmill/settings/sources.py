"""From the environment and the `.env` file to one value for each setting."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Final

from gristmill.settings.values import Problem, Setting, Source

OURS: Final = "GRISTMILL_"


@dataclass(frozen=True, slots=True)
class Layer:
    """The variables of one source; a higher layer hides those below."""

    source: Source
    variables: Mapping[str, str]

    def value(self, name: str) -> str:
        """The value without surrounding blanks; empty is as good as missing."""
        return self.variables.get(name, "").strip()


@dataclass(frozen=True, slots=True)
class Found:
    """A setting's raw value, the variable that it is from, and where that was set."""

    value: str
    variable: str
    source: Source


def read_file(path: Path) -> tuple[Layer, list[Problem]]:
    """The variables of a `.env` file, and what in it cannot be read. A missing file is empty."""
    problems: list[Problem] = []
    variables: dict[str, str] = {}
    try:
        for line, name, value in _assignments(path.read_text("utf-8-sig")):
            if value is None:
                problems.append(_unreadable(f"{path.name}, line {line}", "It assigns nothing."))
            else:
                variables[name] = value
    except FileNotFoundError:
        pass
    except (OSError, RuntimeError, UnicodeDecodeError) as error:
        problems.append(_unreadable(path.name, _why(error)))
    return Layer(Source.FILE, variables), problems


def _assignments(text: str) -> Iterator[tuple[int, str, str | None]]:
    """Line number, name and value of each assignment; None where there is no telling."""
    from dotenv.parser import parse_stream  # noqa: PLC0415 — 30 ms, and most runs have no file

    for binding in parse_stream(StringIO(text)):
        text = binding.original.string
        blank = text[: len(text) - len(text.lstrip())].count("\n")  # counted to what follows
        if binding.error or binding.key is not None:
            value = None if binding.error else binding.value
            yield binding.original.line + blank, binding.key or "", value


def _why(error: OSError | RuntimeError | UnicodeDecodeError) -> str:
    match error:
        case OSError():
            reason = error.strerror
        case UnicodeDecodeError():
            reason = "it is not UTF-8 text"
        case _:
            reason = "there is no home folder that ~ could stand for"
    return f"It cannot be read: {reason}."


def _unreadable(what: str, wrong: str) -> Problem:
    return Problem(what, wrong, "lines of NAME=value", "GRISTMILL_MODE=mock")


def find(setting: Setting, layers: Iterable[Layer], folder: Path) -> Found | Problem | None:
    """The highest layer's value for a setting, or why it cannot be had, or None if none has it."""
    for layer in layers:
        present = [name for name in setting.variables if layer.value(name)]
        if present:
            return _take(setting, layer, present, folder)
    return None


def _take(setting: Setting, layer: Layer, present: list[str], folder: Path) -> Found | Problem:
    name, value = present[0], layer.value(present[0])
    if f"{name}_FILE" in present:
        return setting.problem(f"{name} and {name}_FILE are both set.", right="one of the two")
    if not (setting.secret and name.endswith("_FILE")):
        return Found(value, name, layer.source)
    try:
        text = (folder / Path(value).expanduser()).read_text("utf-8-sig").strip()
    except (OSError, RuntimeError, UnicodeDecodeError) as error:
        return _no_secret(name, _why(error))
    return Found(text, name, layer.source) if text else _no_secret(name, "The file is empty.")


def _no_secret(name: str, wrong: str) -> Problem:
    example = f"{name}=/run/secrets/{name.removesuffix('_FILE').lower()}"
    return Problem(name, wrong, "the path of a file that holds nothing but the secret", example)


def unknown(settings: Iterable[Setting], layers: Iterable[Layer]) -> Iterator[Problem]:
    """Variables that look like ours and mean nothing, each with what was probably meant."""
    known = {name: setting for setting in settings for name in setting.variables}
    for layer in layers:
        for name in layer.variables:
            if name.upper().startswith(OURS) and name not in known:
                yield _unknown(name, known)


def _unknown(name: str, known: Mapping[str, Setting]) -> Problem:
    from difflib import get_close_matches  # noqa: PLC0415 — only a mistake needs it

    candidates = (name.upper(), name.upper().removeprefix(OURS))
    close = [near for each in candidates for near in get_close_matches(each, known, 1, 0.75)]
    if not close:
        right = "one of the names in docs/configuration.md, or none"
        return Problem(name, "There is no such setting.", right, "GRISTMILL_MODE=mock")
    example = f"{close[0]}={known[close[0]].example}"
    return Problem(name, "There is no such setting.", f"perhaps {close[0]}", example)
