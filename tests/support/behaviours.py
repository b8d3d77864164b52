"""The table of `docs/conformance.md`, read from the names of the tests in `tests/conformance`.

`make pages` writes it.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parent.parent / "conformance"
VENDORS = {"openai": "OpenAI", "llamacloud": "LlamaCloud", "supabase": "Supabase Storage"}
_SIMULATOR_ONLY = {"clock", "control", "http", "receiver", "server"}
_INTRODUCTION = """\
# Conformance

Each line is one test of `tests/conformance`: what a client of the vendor observes, through its official SDK,
unmodified, asynchronous and synchronous, over a socket. Every line holds against the simulators, in each
`make test`. `make live` asks the real vendors, with your keys, those marked so; it is billed. The others need
the clock, the faults or the records that only a simulator has.

This page is made from the tests, by `make pages`.
"""


@dataclass(frozen=True, slots=True)
class Behaviour:
    vendor: str
    topic: str
    sentence: str
    asks_real: bool


def behaviours() -> list[Behaviour]:
    return [each for path in sorted(TESTS.glob("test_*.py")) for each in _in(path)]


def as_markdown() -> str:
    return _INTRODUCTION + "".join(_section(name, title) for name, title in VENDORS.items())


def _in(path: Path) -> Iterator[Behaviour]:
    vendor, _, topic = path.stem.removeprefix("test_").partition("_")
    if vendor not in VENDORS:
        return
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test_"):
            fixtures = {argument.arg for argument in node.args.args}
            sentence = node.name.removeprefix("test_").replace("_", " ")
            yield Behaviour(vendor, topic, sentence, not fixtures & _SIMULATOR_ONLY)


def _section(vendor: str, title: str) -> str:
    found = [each for each in behaviours() if each.vendor == vendor]
    real = sum(each.asks_real for each in found)
    lines = [
        f"\n## {title}\n",
        f"{len(found)} behaviours, {real} of them also against the vendor.\n",
    ]
    lines += ["| topic | behaviour | real |", "|---|---|---|"]
    lines += [
        f"| {each.topic.replace('_', ' ')} | {each.sentence} | {'yes' if each.asks_real else ''} |"
        for each in found
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(as_markdown())
