"""The arguments of `budget`; what it does is in `cli.limits`, loaded when it runs."""

from typing import Annotated

import typer

from gristmill.cli.run import run

app = typer.Typer(
    help="Limit what may be spent, and see what is left.",
    invoke_without_command=True,
    rich_markup_mode=None,
    epilog="Example:  gristmill budget set --daily 5 --service openai=2/day --document 0.50",
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for machines.")]
OfOrigin = Annotated[
    str | None,
    typer.Option(
        "--origin", help="For real or simulated money; without it, for that of the present mode."
    ),
]


@app.callback()
def show(context: typer.Context, json: Json = False) -> None:
    """Show every limit: what is spent, held and left of it, and when it begins anew."""
    if context.invoked_subcommand is None:
        from gristmill.cli.limits import show

        run(show(as_json=json), as_json=json)


@app.command("set")
def set_limits(
    *,
    daily: Annotated[
        str | None, typer.Option("--daily", metavar="DOLLARS", help="For all, a day (UTC).")
    ] = None,
    monthly: Annotated[
        str | None, typer.Option("--monthly", metavar="DOLLARS", help="For all, a month (UTC).")
    ] = None,
    total: Annotated[
        str | None, typer.Option("--total", metavar="DOLLARS", help="For all, for ever.")
    ] = None,
    service: Annotated[
        list[str] | None,
        typer.Option(
            "--service", metavar="[NAME=]DOLLARS/PERIOD", help="For one service, or for each."
        ),
    ] = None,
    collection: Annotated[
        list[str] | None,
        typer.Option(
            "--collection", metavar="[NAME=]DOLLARS/PERIOD", help="For one collection, or for each."
        ),
    ] = None,
    document: Annotated[
        str | None, typer.Option("--document", metavar="DOLLARS", help="For each document.")
    ] = None,
    no_limit: Annotated[
        bool, typer.Option("--no-limit", help="Say that there is to be no limit for all.")
    ] = False,
    origin: OfOrigin = None,
    json: Json = False,
) -> None:
    """Set limits, or change them.

    A call whose worst case does not fit is not made; its document waits until there is room, and
    goes on by itself. The periods are day, month and total.
    """
    from gristmill.cli.limits import Asked, set_limits

    asked = Asked(
        daily, monthly, total, tuple(service or ()), tuple(collection or ()), document, no_limit
    )
    run(set_limits(asked, origin, as_json=json), as_json=json)


@app.command("clear")
def clear(
    names: Annotated[
        list[str],
        typer.Argument(metavar="LIMIT", help="As listed, such as global/day, service=openai/day."),
    ],
    origin: OfOrigin = None,
    json: Json = False,
) -> None:
    """Remove limits."""
    from gristmill.cli.limits import clear

    run(clear(names, origin, as_json=json), as_json=json)
