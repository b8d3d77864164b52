"""The parts of `docs/simulators.md` that are made from the simulators themselves.

`python tests/support/simulators_page.py` writes them anew between their marks; the rest of the
page is written by hand and stays as it is.
"""

import asyncio
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from gristmill_simulators.control import Control
from gristmill_simulators.faults import KINDS, Fault
from gristmill_simulators.server import SimulatorServer
from gristmill_simulators.settings import Quotas, Settings, Transition

PAGE = Path(__file__).parent.parent.parent / "docs" / "simulators.md"
PACKAGES = {"OpenAI": "openai", "LlamaCloud": "llamacloud", "Supabase Storage": "supabase_storage"}
_MARK = re.compile(r"(<!-- made: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def renewed(page: str) -> str:
    """The page with each part as the simulators are now."""
    return _MARK.sub(lambda mark: f"{mark[1]}\n{_PARTS[mark[2]]()}\n{mark[4]}", page)


def outdated(page: str) -> list[str]:
    """The parts that the simulators have left behind."""
    return [mark[2] for mark in _MARK.finditer(page) if mark[3] != f"\n{_PARTS[mark[2]]()}\n"]


def _control() -> str:
    described = Control(None, None).described()  # type: ignore[arg-type]  # it asks neither
    return _table(("route", "does"), [(f"`{how} {path}`", does) for how, path, does in described])


def _kinds() -> str:
    rows = [
        (f"`{kind}`", ", ".join(f"`{name}`" for name in fields), meaning)
        for kind, (fields, meaning) in KINDS.items()
    ]
    return _table(("kind", "takes", "what the client sees"), rows)


def _fault_fields() -> str:
    common = ("route", "kind", "count", "after", "every", "probability", "seed")
    rows = [row for row in _fields(Fault) if row[0].strip("`") in common]
    return _table(("field", "allowed", "default", "meaning"), rows)


def _misbehaviours() -> str:
    known = asyncio.run(_described())["misbehaviours"]
    rows = [(f"`{one['what']}`", f"`{one['route']}`", one["meaning"]) for one in known]
    return _table(("what", "route", "the answer"), rows)


def _units() -> str:
    units = asyncio.run(_described())["units"]
    rows = [(name, ", ".join(f"`{unit}`" for unit in each)) for name, each in units.items()]
    return _table(("vendor", "units"), rows)


def _settings() -> str:
    models = {"transition": Transition, "quotas": Quotas}
    rows = []
    for row in _fields(Settings):
        name = row[0].strip("`")
        if name in models:
            rows += _fields(models[name], f"{name}.")
        elif name not in ("openai", "llamacloud", "supabase"):
            rows.append(row)
    return _table(("setting", "allowed", "default", "meaning"), rows)


def _switches() -> str:
    groups = [
        row
        for vendor in ("openai", "llamacloud", "supabase")
        for row in _fields(type(getattr(Settings(), vendor)), f"{vendor}.")
    ]
    return _table(("switch", "allowed", "default", "meaning and doubt"), groups)


def _faithful() -> str:
    return "\n".join(_of_vendor(title, package) for title, package in PACKAGES.items())


def _of_vendor(title: str, package: str) -> str:
    text = import_module(f"gristmill_simulators.{package}").__doc__ or ""
    sentence, faithful, rest = text.partition("\nFaithful:\n")
    first, not_faithful, second = rest.partition("\nNot faithful:\n")
    assert faithful, f"{package} does not say what is faithful"
    assert not_faithful, f"{package} does not say what is not"
    lists = (("Faithful", first), ("Not faithful", second))
    body = "".join(f"{name}:\n\n{each.strip()}\n\n" for name, each in lists)
    return f"### {title}\n\n{sentence.strip()}\n\n{body}".rstrip() + "\n"


_PARTS: dict[str, Callable[[], str]] = {
    "control": _control,
    "kinds": _kinds,
    "fault_fields": _fault_fields,
    "misbehaviours": _misbehaviours,
    "units": _units,
    "settings": _settings,
    "switches": _switches,
    "faithful": _faithful,
}


async def _described() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        async with SimulatorServer(Path(folder)) as server:
            return server.vendors.catalogue.described()


def _fields(model: type[BaseModel], prefix: str = "") -> list[tuple[str, str, str, str]]:
    schema = model.model_json_schema()
    said = _said_of_fields(model)
    return [
        (
            f"`{prefix}{name}`",
            _allowed(one),
            f"`{json.dumps(one['default'])}`" if "default" in one else "",
            one.get("description", said.get(name, "")),
        )
        for name, one in schema["properties"].items()
    ]


def _allowed(one: dict[str, Any]) -> str:
    """What JSON Schema allows, in a few words."""
    if "anyOf" in one:
        return " or ".join(dict.fromkeys(_allowed(each) for each in one["anyOf"]))
    if "enum" in one:
        return ", ".join(f"`{value}`" for value in one["enum"])
    names = {"boolean": "true, false", "array": "list", "object": "object", "string": "text"}
    kind = one.get("type", "object")
    return " ".join([names.get(kind, kind), *_bounds(one)])


def _bounds(one: dict[str, Any]) -> Iterator[str]:
    words = {"exclusiveMinimum": ">", "minimum": ">=", "maximum": "<=", "minLength": "length >="}
    for name, sign in words.items():
        if name in one:
            yield f"{sign} {one[name]:g}"


def _said_of_fields(model: type[BaseModel]) -> dict[str, str]:
    """Paragraphs of the docstring that begin with a field's name."""
    text = re.sub(r"\n +", "\n", model.__doc__ or "")
    found = re.finditer(r"^`(\w+)`[:,]? (.*?)(?=^`\w+`[:,]? |\Z)", text, re.DOTALL | re.MULTILINE)
    return {each[1]: each[2] for each in found}


def _table(names: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [names, ("---",) * len(names), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text("utf-8")), "utf-8")
