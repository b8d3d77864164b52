"""Runs a command: its event loop, its errors and its end."""

import sys
from collections.abc import Coroutine
from typing import Any

import typer

INTERRUPTED = 130  # what shells expect after Ctrl-C


def version(value: bool) -> None:
    """Prints the version and ends, if asked."""
    if value:
        from importlib.metadata import version as installed_version

        typer.echo(f"gristmill {installed_version('gristmill')}")
        raise typer.Exit


def run(command: Coroutine[Any, Any, int], *, as_json: bool) -> None:
    """Runs a command to its end, and exits with its code.

    An error is told in a sentence with what to do, or as one JSON document; Ctrl-C ends cleanly.
    """
    import uvloop

    from gristmill.cli.present import tell_error, tell_invalid
    from gristmill.errors import GristmillError, InvalidArgument

    try:
        _configure_logs()
        code = uvloop.run(command)
    except InvalidArgument as error:
        tell_invalid(str(error), as_json=as_json)
        code = 2
    except GristmillError as error:
        tell_error(error, as_json=as_json)
        code = 1
    except KeyboardInterrupt:
        typer.echo("\nStopped. Nothing is lost: gristmill resume goes on.", err=True)
        code = INTERRUPTED
    finally:
        command.close()  # it has not begun if the settings are wrong
    sys.exit(code)


def _configure_logs() -> None:
    """Sends logs to standard error, if somebody asked for them: a command tells its own outcome."""
    from gristmill.settings import Source, load_settings
    from gristmill.telemetry.logging import configure

    settings = load_settings()
    rows = {row.name: row for row in settings.describe()}
    asked = rows["GRISTMILL_LOG_LEVEL"].source is not Source.DEFAULT
    as_json = settings.log_format == "json"
    configure(settings.log_level if asked else "CRITICAL", "json" if as_json else "console")
