"""The command line: `gristmill --help`."""


def main() -> None:
    """Runs the command line."""
    from gristmill.cli.app import app

    app()
