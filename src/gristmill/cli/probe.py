"""`config check --probe`: what the keys may do, tried at the vendors for free."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.padding import Padding
from rich.table import Table

from gristmill.cli.present import console, one_line, plain, print_json, tell_table
from gristmill.library.probing import KeyCheck, Verdict, probe
from gristmill.settings import load_settings

WIDE: Final = 140  # columns from which a key fits into a row

_NEUTRAL: Final = frozenset({Verdict.NO_KEY, Verdict.LIMITED})
_COLUMNS: Final = ("service", "mode", "address", "verdict", "what the key may do", "advice")


async def check_keys(*, as_json: bool) -> int:
    """Tries each key that is set; 0 only if all that the modes need work."""
    checks = await probe(load_settings())
    if as_json:
        print_json({"problems": [], "keys": [_shown(each) for each in checks]})
    else:
        console.print("The settings are sound.\n")
        _tell(checks)
    return 0 if all(each.works for each in checks if each.needed) else 1


def _shown(check: KeyCheck) -> Mapping[str, Any]:
    return {**plain(check), "needed": check.needed, "works": check.works}


def _tell(checks: Sequence[KeyCheck]) -> None:
    if console.is_terminal and console.width < WIDE:
        for check in checks:
            _tell_lines(check)
        return
    table = Table(box=None, header_style="dim", padding=(0, 1))
    for name in _COLUMNS:
        table.add_column(name, overflow="fold", no_wrap=name in ("service", "mode", "verdict"))
    for check in checks:
        texts = (one_line(text) for text in (check.says, check.advice))
        table.add_row(check.service, check.mode, one_line(check.address), _verdict(check), *texts)
    tell_table(table)


def _tell_lines(check: KeyCheck) -> None:
    head = f"{check.service}  {check.mode}  {_verdict(check)}  {one_line(check.address)}"
    console.print(head.rstrip(), soft_wrap=True)
    for text in filter(None, (check.says, check.advice)):
        console.print(Padding(f"[dim]{one_line(text)}[/]", (0, 0, 0, 4)))


def _verdict(check: KeyCheck) -> str:
    if check.verdict in _NEUTRAL:
        return f"[yellow]{check.verdict}[/]"
    return f"[{'green' if check.works else 'red'}]{check.verdict}[/]"
