"""`config check` and `config show`."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gristmill.settings.values import InvalidSettings, SettingRow

app = typer.Typer(
    help="Look at the settings and where each comes from.",
    no_args_is_help=True,
    epilog="Example:  gristmill config check",
)

WIDE = 120  # columns from which a setting fits into a row

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for machines.")]


@app.command(epilog="Example:  GRISTMILL_MODE=real gristmill config check --probe")
def check(
    *,
    probe: Annotated[
        bool, typer.Option("--probe", help="Try each key at its vendor, at no cost.")
    ] = False,
    json: Json = False,
) -> None:
    """Check every setting, and tell every problem at once.

    With --probe each key that is set is tried with a call that costs nothing, also of services
    whose mode is mock; the exit code is 0 only if all that the modes need work.
    """
    from gristmill.cli.present import console, print_json
    from gristmill.settings import InvalidSettings, load_settings

    try:
        load_settings()
    except InvalidSettings as error:
        _tell_problems(error, as_json=json)
        sys.exit(1)
    if probe:
        from gristmill.cli.probe import check_keys
        from gristmill.cli.run import run

        run(check_keys(as_json=json), as_json=json, stopped="Stopped; nothing was changed.")
    elif json:
        print_json({"problems": []})
    else:
        console.print("The settings are sound.")


def _tell_problems(error: "InvalidSettings", *, as_json: bool) -> None:
    from gristmill.cli.present import console, escape, print_json

    if as_json:
        print_json({"problems": error.problems})
        return
    for problem in error.problems:
        console.print(f"[red]{escape(problem.setting)}[/]  {escape(problem.wrong)}")
        console.print(f"    right:   {escape(problem.right)}")
        console.print(f"    example: {escape(problem.example)}\n")


@app.command(epilog="Example:  gristmill config show")
def show(json: Json = False) -> None:
    """Show every setting, its value, and where that comes from. Secrets are never shown."""
    from gristmill.cli.present import print_json, tell_error
    from gristmill.errors import GristmillError
    from gristmill.settings import load_settings

    try:
        rows = load_settings().describe()
    except GristmillError as error:
        tell_error(error, as_json=json)
        sys.exit(1)
    if json:
        print_json(rows)
        return
    _tell(rows)


@app.command(epilog="Example:  gristmill config reload")
def reload(json: Json = False) -> None:
    """Have every process read its keys anew, without stopping.

    From the .env file and the files that hold secrets: new calls use the new keys, calls under way
    finish with the old ones. SIGHUP does the same for one process.
    """
    from gristmill.cli.reload import reload_keys
    from gristmill.cli.run import run

    run(reload_keys(as_json=json), as_json=json)


def _tell(rows: "list[SettingRow]") -> None:
    from rich.table import Table

    from gristmill.cli.present import console, one_line, tell_table

    if console.is_terminal and console.width < WIDE:
        for row in rows:
            console.print(f"{row.name} = {one_line(row.value)}  ({row.source})", soft_wrap=True)
            console.print(f"    [dim]{one_line(row.meaning)}[/]")
        return
    table = Table(box=None, header_style="dim", padding=(0, 1))
    for name in ("setting", "value", "from", "meaning"):
        table.add_column(name, overflow="fold", no_wrap=name in ("setting", "from"))
    for row in rows:
        table.add_row(row.name, one_line(row.value), row.source, f"[dim]{one_line(row.meaning)}[/]")
    tell_table(table)
