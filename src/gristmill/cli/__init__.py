"""The command line: `gristmill --help`."""

import atexit
import gc


def main() -> None:
    """Runs the command line."""
    # Imports make hundreds of thousands of objects that stay to the end. Looking for garbage among
    # them again and again, and once more at the exit, takes a quarter of the time of a search.
    gc.set_threshold(100_000, 20, 100)
    atexit.register(gc.freeze)
    from gristmill.cli.app import app

    app()
