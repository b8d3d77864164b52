"""`mode`: which side of each service is asked, why, and switching it."""

from typing import Final

from rich.table import Table

from gristmill.cli.present import console, one_line, print_json, tell_table
from gristmill.contract import ServiceMode
from gristmill.errors import InvalidArgument
from gristmill.library import Gristmill
from gristmill.library.modes import ModeReport
from gristmill.system import SERVICES

MODES: Final = tuple(mode.value for mode in ServiceMode)
STYLES: Final = {
    ServiceMode.MOCK: "cyan",
    ServiceMode.REAL: "green",
    ServiceMode.HYBRID: "yellow",
}


async def mode(words: list[str], *, reset: bool, as_json: bool) -> int:
    """Prints the modes, after switching or resetting what is asked for."""
    services, wanted = _asked([word.lower() for word in words])
    if reset and wanted:
        raise InvalidArgument("Switch to a mode or --reset: choose one.")
    async with Gristmill() as mill:
        if wanted:
            await mill.switch_mode(wanted, *services)
        elif reset:
            await mill.reset_mode(*services)
        reports = await mill.modes()
    chosen = {name: each for name, each in reports.items() if not services or name in services}
    if as_json:
        print_json(chosen)
    else:
        _tell(chosen)
    return 1 if any(each.refused for each in chosen.values()) else 0


def _asked(words: list[str]) -> tuple[list[str], ServiceMode | None]:
    """The services and the mode among the words: `openai real`, `real`, `openai`, or none."""
    modes = [word for word in words if word in MODES]
    services = [word for word in words if word not in MODES]
    if len(modes) > 1 or (modes and words[-1] != modes[0]):
        raise InvalidArgument(f"Say the services, then one mode: {', '.join(MODES)}.")
    if unknown := [word for word in services if word not in SERVICES]:
        raise InvalidArgument(
            f"{unknown[0]!r} is neither a service ({', '.join(SERVICES)}) nor a mode"
            f" ({', '.join(MODES)})."
        )
    return services, ServiceMode(modes[0]) if modes else None


def _tell(reports: dict[str, ModeReport]) -> None:
    columns = ("service", "mode", "asks", "while that is down", "because")
    table = Table(*columns, box=None, header_style="bold")
    for name, each in reports.items():
        shown = f"[{STYLES[each.mode]}]{each.mode.value}[/]"
        stands_in = each.stands_in or ("waits" if each.mode is not ServiceMode.MOCK else "")
        table.add_row(
            name, shown, one_line(each.asks or "no address"), stands_in, one_line(each.explanation)
        )
    tell_table(table)
    for name, each in reports.items():
        if each.refused:
            console.print(f"[red]{name}[/]: {one_line(each.refused)}", soft_wrap=True)
