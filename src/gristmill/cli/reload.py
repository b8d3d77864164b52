"""`config reload`: every process on the database reads its keys anew."""

from gristmill.cli.present import console, print_json
from gristmill.library import Gristmill


async def reload_keys(*, as_json: bool) -> int:
    """Asks them, if what is read here is right; the processes' own settings may be others."""
    async with Gristmill() as mill:
        found = await mill.reload_keys(everywhere=True)
    if as_json:
        print_json({"asked": True, "restart": found.restart})
    else:
        console.print("Every process on this database reads its keys anew with its next call.")
    return 0
