"""The arguments of `collection`; what it does is in `cli.collections`, loaded when it runs."""

from typing import Annotated

import typer

from gristmill.cli.run import run

app = typer.Typer(
    help="Change a collection; gristmill collections lists them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def common() -> None:
    """Has commands, though it is only one."""


@app.command("make-real", epilog="Example:  gristmill collection make-real research --dry-run")
def make_real(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A simulated collection.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; nor does --json.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what it would cost; nothing is changed.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document, for machines.")
    ] = False,
) -> None:
    """Make a simulated collection real, and have the vendors read and embed it.

    Tells what that will cost, and asks. Its documents stay published, found by their words until
    they have real vectors. The exit code is that of ingest.
    """
    from gristmill.cli.collections import STOPPED, make_real

    command = make_real(name, yes=yes, dry_run=dry_run, as_json=json)
    run(command, as_json=json, stopped=STOPPED)
