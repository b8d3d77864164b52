"""`metrics`: what Prometheus reads."""

import typer

from gristmill.library import Gristmill


async def metrics() -> int:
    """Prints the metrics of all processes."""
    async with Gristmill() as mill:
        typer.echo(await mill.metrics(), nl=False)
    return 0
