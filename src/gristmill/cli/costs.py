"""The arguments of `costs`; what it does is in `cli.spending`, loaded when it runs."""

from typing import Annotated

import typer

from gristmill.cli.run import run

app = typer.Typer(
    help="Tell what was spent, and on what.",
    invoke_without_command=True,
    rich_markup_mode=None,
    epilog="Example:  gristmill costs --by document --since 7d",
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for machines.")]


@app.callback()
def show(
    context: typer.Context,
    by: Annotated[
        str, typer.Option("--by", help="service, day, collection, document or model.")
    ] = "service",
    since: Annotated[
        str | None,
        typer.Option("--since", help="Calls since a date (2026-11-01, UTC), or 24h, 7d, 4w."),
    ] = None,
    *,
    csv: Annotated[bool, typer.Option("--csv", help="Print lines for a spreadsheet.")] = False,
    json: Json = False,
) -> None:
    """Tell what was spent, and on what.

    Simulated and real money are apart. What is not billed yet is told at its worst case.
    """
    if context.invoked_subcommand is None:
        from gristmill.cli.spending import Form, show

        run(show(by, since, Form(csv=csv, json=json)), as_json=json)


@app.command(epilog="Example:  gristmill costs verify || gristmill costs verify --json")
def verify(json: Json = False) -> None:
    """Add everything up anew, and compare it with the vendors' bills.

    Every balance is recomputed from the journal, and the journal held to its rules; then each
    vendor is asked what it has billed, where it tells. The exit code is 0 only if all agrees.
    """
    from gristmill.cli.verifying import verify

    run(verify(as_json=json), as_json=json)
