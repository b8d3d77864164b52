"""The transcripts in docs/modes.md.

python tests/support/modes_page.py      writes the page's outputs from a home of its own
"""

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from simulator import SimulatorControl
from transcripts import ROOT, rewritten, runner
from vendor import Vendor

from gristmill_simulators.server import SimulatorServer

PAGE: Final = ROOT / "docs" / "modes.md"
HOSTS: Final = {
    "openai": "api.openai.com",
    "llamaparse": "api.cloud.llamaindex.ai",
    "supabase": "project.supabase.co",
}
_DOWN: Final = {
    "the parser is down": ("llamacloud.files.create", "llamacloud.parsing.create"),
    "the model is down": ("openai.embeddings.create",),
}


def page_now(page: str, environment: Mapping[str, str], vendor: SimulatorControl) -> str:
    """The page as the commands print it, with this vendor in place of the real ones."""
    run = runner(
        {
            **environment,
            "GRISTMILL_MODE": "hybrid",
            "GRISTMILL_BUDGET": "5/day",
            "GRISTMILL_RETRY_SECONDS": "0",
            "GRISTMILL_RATE_LLAMAPARSE": "none",
        }
    )
    host = vendor.base_url.removeprefix("http://")

    def does(words: str) -> None:
        if words == "all is well":
            vendor.clear_faults()
            return
        for route in _DOWN[words]:
            vendor.fault(route, "status", status=503, count=None)

    return rewritten(page, lambda command: _as_published(run(command), host), does)


def _as_published(printed: str, host: str) -> str:
    """With the vendors' hosts where ours are, in columns as wide as those need."""
    wider = max(map(len, HOSTS.values())) - len(host)

    def line(text: str) -> str:
        text = re.sub(r"by \S+ at [-0-9]+ [:0-9]+ UTC", "by mill-1 at 2026-11-29 18:14 UTC", text)
        text = text.replace(" asks ", " asks " + " " * wider)
        text = re.sub(r"\d+ s ago +", "9 s ago  ", text)
        text = re.sub(r" since +", " since    ", text)
        service = next((each for each in HOSTS if each in text), "openai")
        cell = re.compile(rf"{re.escape(host)}(?P<padding> *)")
        return cell.sub(lambda found: _as_wide(HOSTS[service], found, wider), text)

    return "\n".join(_in_order([line(text) for text in printed.split("\n")]))


def _in_order(lines: list[str]) -> list[str]:
    """Documents that were ready at once may have been so in any order."""
    ready = sorted((text for text in lines if text.startswith("ready  ")), key=_name)
    return [ready.pop(0) if text.startswith("ready  ") else text for text in lines]


def _name(text: str) -> str:
    return text.split()[2]


def _as_wide(published: str, found: re.Match[str], wider: int) -> str:
    padded = len(found["padding"]) > 1
    return published.ljust(len(found[0]) + wider) if padded else published + found["padding"]


@contextmanager
def world() -> Iterator[tuple[dict[str, str], SimulatorControl]]:
    """A home, its simulators and a vendor, for as long as the page is written."""
    with (
        tempfile.TemporaryDirectory() as home,
        tempfile.TemporaryDirectory() as simulated,
        tempfile.TemporaryDirectory() as sold,
        SimulatorServer(Path(simulated)) as simulator,
        Vendor(Path(sold)) as vendor,
    ):
        control = SimulatorControl(vendor.base_url)
        yield (
            {
                "GRISTMILL_HOME": home,
                "GRISTMILL_SIMULATOR_URL": simulator.base_url,
                **vendor.environment(Path(sold)),
            },
            control,
        )
        control.close()


if __name__ == "__main__":
    with world() as (environment, control):
        PAGE.write_text(page_now(PAGE.read_text("utf-8"), environment, control), "utf-8")
