"""Transcripts in docs/: the commands of a page and what they print, run anew.

    ```console
    $ gristmill ...          run among the samples; what follows is replaced by what it prints
    ```

Ids, times and places differ from run to run and are replaced by such that look alike. A comment
`<!-- does: words -->` is done where it stands, by whoever has the page rewritten.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
SAMPLES: Final = ROOT / "samples" / "documents"

_PARTS: Final = re.compile(r"(?<=```console\n)(.*?)(?=```)|<!-- does: (.*?) -->", re.DOTALL)
_IDS: Final = (
    "doc-k3v9q2m7xa",
    "doc-p8d4w6r1ze",
    "doc-t5h2n9c3yb",
    "doc-b7j1f4s8gu",
    "doc-m6x3e5k9qo",
)

Run = Callable[[str], str]


def rewritten(page: str, run: Run, does: Callable[[str], None] | None = None) -> str:
    """The page with the output of every `$ command` in it as it is now, in their order."""
    ids: dict[str, str] = {}

    def anew(part: re.Match[str]) -> str:
        if part[2] is None:
            return _answered(part[1], run, ids)
        if does is None:
            raise ValueError(f"nobody does {part[2]!r}")
        does(part[2])
        return part[0]

    return _PARTS.sub(anew, page)


def _answered(block: str, run: Run, ids: dict[str, str]) -> str:
    commands = [line[2:] for line in block.splitlines() if line.startswith("$ ")]
    return "".join(f"$ {command}\n{_alike(run(command), ids)}" for command in commands)


def _alike(printed: str, ids: dict[str, str]) -> str:
    def known(found: re.Match[str]) -> str:
        return ids.setdefault(found[0], _IDS[len(ids) % len(_IDS)])

    text = printed.replace(f"{SAMPLES}/", "")
    text = re.sub(r"doc-[a-z0-9]{10}", known, text)
    text = re.sub(r"\d+\.\d s\b", "1.5 s", text)
    text = re.sub(r"\bin \d+ (h|d|min|s)\b", r"in 9 \1", text)
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def runner(environment: Mapping[str, str]) -> Run:
    """Runs commands among the samples, as a person would."""
    binary = Path(sys.executable).with_name("gristmill")
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("GRISTMILL", "DATABASE"))}

    def run(command: str) -> str:
        words = command.split()
        if words[0] != "gristmill":
            raise ValueError(f"{command!r} is no command of ours")
        done = subprocess.run(
            [str(binary), *words[1:]],
            cwd=SAMPLES,
            env={**environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=100,
            check=False,
        )
        return done.stdout

    return run
