"""The command line: `gristmill --help`."""

import atexit
import gc
import io
import sys
from types import TracebackType


def main() -> None:
    """Runs the command line."""
    # Imports make hundreds of thousands of objects that stay to the end. Looking for garbage among
    # them again and again, and once more at the exit, takes a quarter of the time of a search.
    gc.set_threshold(100_000, 20, 100)
    atexit.register(gc.freeze)
    _write_anything()
    sys.excepthook = _tell_mistake
    from gristmill.cli.app import app

    app()


def _write_anything() -> None:
    """What an output's encoding does not have is written as an escape; it is no reason to end."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _tell_mistake(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """A mistake of ours, as Python tells it; the texts in it may be anybody's."""
    from traceback import format_exception

    from gristmill.telemetry.masking import masked
    from gristmill.telemetry.printable import printable

    text = "".join(format_exception(kind, error, trace))
    sys.stderr.write(printable(masked(text), keep="\n"))
