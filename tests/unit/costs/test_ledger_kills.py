"""A process killed at any moment of a paid call: nothing that was billed is forgotten."""

import subprocess
import sys
from pathlib import Path

from killed_calls import USED, WORST
from money import the_dead_are_done

from gristmill.contract import Origin
from gristmill.costs.audit import audit
from gristmill.costs.budgets import Limit, balances, set_limit
from gristmill.costs.ledger import Ledger
from gristmill.database.engine import Database

SMALL = 20  # nano-dollars for a token
SUPPORT = Path(__file__).parents[2] / "support"


async def states(database: Database) -> dict[str, str]:
    async with database.connection() as connection:
        cursor = await connection.execute("SELECT document_id, state FROM calls")
        return {row["document_id"]: row["state"] for row in await cursor.fetchall()}


async def test_a_call_killed_at_any_turn_is_held_before_it_leaves_and_counts_whatever_became_of_it(
    database: Database, conninfo: str, tmp_path: Path
) -> None:
    await set_limit(database, Origin.REAL, Limit("document", "total", 10**9))
    book = tmp_path / "book"
    command = [sys.executable, str(SUPPORT / "killed_calls.py"), conninfo, str(book)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    await the_dead_are_done(database)

    left = await states(database)
    billed = book.read_text().splitlines()
    documents = [f"d{turns}" for turns in range(int(ended.stdout) + 1)]
    assert len(billed) == len(set(billed))
    told = {(left.get(document), document in billed) for document in documents}
    # Killed before the hold, before the call, after the call, and not at all.
    assert told == {(None, False), ("held", False), ("held", True), ("posted", True)}

    ledger = Ledger(database)
    await ledger.assume_forgotten(seconds=0)
    spent = {balance.key: balance.spent for balance in await balances(database)}
    for document in documents:
        costs = {None: 0, "held": WORST * SMALL, "posted": USED * SMALL}
        assert spent.get(document, 0) == costs[left.get(document)]
    assert (await audit(database)).breaches == ()
    await ledger.close()
