"""`doctor`: is this installation sound, and what would mend it."""

import os
import platform
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

from gristmill.cli.present import console, escape, print_json
from gristmill.contract import Status
from gristmill.errors import GristmillError
from gristmill.settings import Settings, load_settings

LOW_BYTES = 1_000_000_000  # free disk below which a database may soon stand still


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    name: str
    ok: bool
    says: str
    advice: str = ""


async def doctor(*, as_json: bool) -> int:
    """Looks at everything and says what it saw; 0 only if all is well."""
    findings = []
    async for finding in _examine():
        findings.append(finding)
        if not as_json:
            _tell(finding)
    if as_json:
        print_json(findings)
    return 0 if all(finding.ok for finding in findings) else 1


def _tell(finding: Finding) -> None:
    mark = "[green]ok[/]  " if finding.ok else "[red]bad[/] "
    console.print(f"{mark} {finding.name:<12} {escape(finding.says)}", soft_wrap=True)
    if finding.advice:
        console.print(f"                  {escape(finding.advice)}", soft_wrap=True)


async def _examine() -> AsyncIterator[Finding]:
    yield _python()
    try:
        settings = load_settings()
    except GristmillError as error:
        yield Finding("settings", False, str(error), "gristmill config check tells each problem.")
        return
    yield Finding("settings", True, f"{settings.environment}, mode {settings.mode.value}")
    yield _home(settings)
    yield _prices(settings)
    async for finding in _parts(settings):
        yield finding


def _python() -> Finding:
    text = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Finding("python", sys.version_info >= (3, 11), text)


def _home(settings: Settings) -> Finding:
    home = settings.home
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    says = f"{home}, {free / 1e9:.1f} GB free"
    if not os.access(place, os.W_OK):
        return Finding("home", False, f"{place} cannot be written", "Set GRISTMILL_HOME.")
    advice = "" if free > LOW_BYTES else "Make room, or move GRISTMILL_HOME."
    return Finding("home", free > LOW_BYTES, says, advice)


def _prices(settings: Settings) -> Finding:
    from gristmill.costs.prices import table

    found = table(settings.prices_file)
    return Finding("prices", True, f"{len(found.prices)}, version {found.version}")


async def _parts(settings: Settings) -> AsyncIterator[Finding]:
    from gristmill.library import Gristmill

    try:
        async with Gristmill(settings) as mill:
            yield Finding("database", True, await mill.database_version())
            for name, health in (await mill.health()).items():
                good = health.status in (Status.HEALTHY, Status.DEGRADED)
                yield Finding(name, good, f"{health.status.value}: {health.reason}")
    except GristmillError as error:
        yield Finding("database", False, str(error), error.advice)
