"""Batches in the database: what is asked of them and how they change."""

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from gristmill_simulators.database import Database
from gristmill_simulators.openai import state
from gristmill_simulators.openai.batch_input import Checked
from gristmill_simulators.openai.batch_work import Done, Drafts
from gristmill_simulators.openai.files import BATCH_DAYS

UNFINISHED = "('validating', 'in_progress', 'finalizing', 'cancelling')"


def find(database: Database, batch_id: str) -> sqlite3.Row | None:
    return database.read_one("SELECT * FROM openai_batches WHERE id = ?", batch_id)


def unfinished(database: Database, batch_id: str) -> sqlite3.Row | None:
    return database.read_one(
        f"SELECT * FROM openai_batches WHERE id = ? AND status IN {UNFINISHED}", batch_id
    )


def all_unfinished(database: Database) -> list[sqlite3.Row]:
    return database.read(
        f"SELECT * FROM openai_batches WHERE status IN {UNFINISHED} ORDER BY sequence"
    )


def queued_tokens(database: Database, model: str) -> int:
    """Estimated input tokens of the batches of a model that wait or run."""
    row = database.read_one(
        f"SELECT total(queued_tokens) AS queued FROM openai_batches WHERE status IN {UNFINISHED}"
        " AND model = ?",
        model,
    )
    return 0 if row is None else int(row["queued"])


async def look(database: Database, batch_id: str) -> None:
    """Count a look at an unfinished batch."""
    await database.write(
        lambda connection: connection.execute(
            f"UPDATE openai_batches SET looks = looks + 1 WHERE id = ? AND status IN {UNFINISHED}",
            (batch_id,),
        )
    )


async def finalize(database: Database, batch_id: str, now: float) -> None:
    await database.write(
        lambda connection: connection.execute(
            "UPDATE openai_batches SET status = 'finalizing', finalizing_at = ?"
            " WHERE id = ? AND status = 'in_progress'",
            (now, batch_id),
        )
    )


async def cancel(database: Database, batch_id: str, now: float) -> None:
    """Looks are counted anew: `cancelling` has its own."""
    await database.write(
        lambda connection: connection.execute(
            "UPDATE openai_batches SET status = 'cancelling', cancelling_at = ?, looks = 0"
            " WHERE id = ? AND status IN ('validating', 'in_progress', 'finalizing')",
            (now, batch_id),
        )
    )


async def fail(
    database: Database, batch_id: str, errors: Sequence[dict[str, Any]], now: float
) -> None:
    told = orjson.dumps(list(errors))
    await database.write(
        lambda connection: connection.execute(
            "UPDATE openai_batches SET status = 'failed', failed_at = ?, errors = ?"
            " WHERE id = ? AND status = 'validating'",
            (now, told, batch_id),
        )
    )


async def accept(database: Database, batch_id: str, checked: Checked, now: float) -> None:
    await database.write(
        lambda connection: connection.execute(
            "UPDATE openai_batches SET status = 'in_progress', in_progress_at = ?, model = ?,"
            " total = ?, queued_tokens = ? WHERE id = ? AND status = 'validating'",
            (now, checked.model, len(checked.spans), checked.tokens, batch_id),
        )
    )


async def add(database: Database, row: sqlite3.Row, done: Done, now: float) -> None:
    """Note what a chunk has done, and bill it, in one transaction."""

    def work(connection: sqlite3.Connection) -> None:
        changed = connection.execute(
            "UPDATE openai_batches SET completed = completed + ?, failed = failed + ?,"
            " tokens = tokens + ?, output_bytes = output_bytes + ?, error_bytes = error_bytes + ?"
            f" WHERE id = ? AND status IN {UNFINISHED}",
            (
                done.completed,
                done.failed,
                done.tokens,
                done.output_bytes,
                done.error_bytes,
                row["id"],
            ),
        )
        if changed.rowcount and done.completed:
            state.add_bill(connection, row["model"], done.completed, done.tokens, now, batch=True)

    await database.write(work)


async def finish(
    database: Database, folders: state.Folders, row: sqlite3.Row, status: str, now: float
) -> None:
    """Make the drafts files of the project and enter the last state, in one transaction."""
    drafts = drafts_of(folders, row)
    expires = int(now) + (row["output_seconds"] or BATCH_DAYS * 86_400)
    sizes = {"output": drafts.output_bytes, "error": drafts.error_bytes}
    paths = {"output": drafts.output, "error": drafts.errors}
    ids = {kind: state.new_file_id() for kind, size in sizes.items() if size}
    for kind, file_id in ids.items():
        _link(paths[kind], folders.file(file_id), sizes[kind])

    def work(connection: sqlite3.Connection) -> None:
        changed = connection.execute(
            f"UPDATE openai_batches SET status = ?, {status}_at = ?, output_file_id = ?,"
            f" error_file_id = ? WHERE id = ? AND status IN {UNFINISHED}",
            (status, now, ids.get("output"), ids.get("error"), row["id"]),
        )
        for kind, file_id in ids.items() if changed.rowcount else ():
            new = {
                "id": file_id,
                "filename": f"{row['id']}_{kind}.jsonl",
                "purpose": "batch_output",
                "bytes": sizes[kind],
                "created_at": now,
                "expires_at": expires,
            }
            state.insert(connection, "openai_files", new)

    await database.write(work)
    for path in paths.values():
        path.unlink(missing_ok=True)


def drafts_of(folders: state.Folders, row: sqlite3.Row) -> Drafts:
    return Drafts(
        folders.draft(row["id"], "output"),
        folders.draft(row["id"], "error"),
        row["output_bytes"],
        row["error_bytes"],
    )


def _link(draft: Path, file: Path, size: int) -> None:
    # a second name, not a new one: after a crash the batch finds its draft again
    os.truncate(draft, size)
    os.link(draft, file)
