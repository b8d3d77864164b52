"""The vector index: one partial expression index per embedding space, made when it pays."""

from typing import Final

from gristmill.database.engine import Connection, Database, Row

EXACT_BELOW: Final = 20_000  # rows; below that an exact scan is quick and finds everything
LOCK: Final = 7_266_512_302

# An index that a killed build left behind is invalid, and counts as missing.
_DUE: Final = """
SELECT s.id, s.dimensions FROM spaces s
WHERE (SELECT count(*) FROM (
        SELECT FROM chunks c WHERE c.space_id = s.id LIMIT %(most)s) sample) >= %(most)s
  AND NOT EXISTS (
        SELECT FROM pg_class k JOIN pg_index i ON i.indexrelid = k.oid
        WHERE k.relname = 'chunks_vector_' || s.id AND i.indisvalid)
"""


async def make_due_indexes(database: Database, *, rows: int = EXACT_BELOW) -> list[str]:
    """Builds what is due, without blocking writers; gives the names of the new indexes.

    One process at a time does it; for the others nothing is due meanwhile.
    """
    async with database.connection() as pooled:
        if not await _due(pooled, rows):
            return []
    # A concurrent build wants no transaction, and may take longer than a pool should lend.
    connection = await database.connect()
    try:
        cursor = await connection.execute("SELECT pg_try_advisory_lock(%s) AS got", (LOCK,))
        row = await cursor.fetchone()
        if row is None or not row["got"]:
            return []
        due = await _due(connection, rows)
        return [await _make(connection, space["id"], space["dimensions"]) for space in due]
    finally:
        await connection.close()


async def _due(connection: Connection, rows: int) -> list[Row]:
    return await (await connection.execute(_DUE, {"most": rows})).fetchall()


async def _make(connection: Connection, space: int, dimensions: int) -> str:
    name = f"chunks_vector_{space}"
    await connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}".encode())
    await connection.execute(
        f"CREATE INDEX CONCURRENTLY {name} ON chunks"
        f" USING hnsw ((vector::halfvec({dimensions})) halfvec_cosine_ops)"
        f" WHERE space_id = {space}".encode()
    )
    return name
