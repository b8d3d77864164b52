"""Brings the schema up to date, at start, under a lock.

Plain numbered SQL files applied in one transaction each. A migration tool would bring an ORM with
it only to run these files; psycopg runs them as they are.
"""

from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import psycopg

from gristmill.database.engine import Connection, Database
from gristmill.errors import DatabaseUnavailable

# Any constant will do, as long as every process of every version takes the same.
LOCK: Final = 7_266_512_301
MIGRATIONS: Final = files("gristmill.database.migrations")

BOOTSTRAP: Final = """
CREATE SCHEMA IF NOT EXISTS gristmill;
CREATE TABLE IF NOT EXISTS gristmill.migrations (
    name text PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""

# Hosted Postgres may expose schemas over HTTP, to the roles that Supabase calls anon and
# authenticated; nobody but the owner has any business here. Everybody may call a new function,
# and default privileges may have given away what was just made, so all of it is taken back. What
# an extension brought is left as it is. A view reads with its owner's rights unless it is told.
SEAL: Final = """
DO $$
DECLARE
    item text;
    others text := (SELECT string_agg(format('%I', rolname), ', ') FROM pg_roles
        WHERE rolname IN ('anon', 'authenticated') AND rolname <> current_user);
BEGIN
    FOR item IN SELECT oid::regclass FROM pg_class
        WHERE relnamespace = 'gristmill'::regnamespace AND relkind IN ('r', 'p')
            AND NOT relrowsecurity
    LOOP
        EXECUTE 'ALTER TABLE ' || item || ' ENABLE ROW LEVEL SECURITY';
    END LOOP;
    FOR item IN SELECT oid::regclass FROM pg_class
        WHERE relnamespace = 'gristmill'::regnamespace AND relkind = 'v'
    LOOP
        EXECUTE 'ALTER VIEW ' || item || ' SET (security_invoker = true)';
    END LOOP;
    others := concat_ws(', ', 'PUBLIC', others);
    EXECUTE 'REVOKE ALL ON SCHEMA gristmill FROM ' || others;
    EXECUTE 'REVOKE ALL ON ALL TABLES IN SCHEMA gristmill FROM ' || others;
    EXECUTE 'REVOKE ALL ON ALL SEQUENCES IN SCHEMA gristmill FROM ' || others;
    FOR item IN SELECT oid::regprocedure FROM pg_proc
        WHERE pronamespace = 'gristmill'::regnamespace AND NOT EXISTS (
            SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = pg_proc.oid
                AND deptype = 'e')
    LOOP
        EXECUTE 'REVOKE ALL ON ROUTINE ' || item || ' FROM ' || others;
    END LOOP;
END $$
"""


async def migrate(database: Database) -> None:
    """Applies what is missing; does nothing, in one round trip, when all is there.

    Raises:
        DatabaseUnavailable: the schema is newer than this program, or pgvector is missing and
            cannot be added.
    """
    wanted = _wanted()
    async with database.connection() as connection:
        missing = await _missing(connection, wanted)
        if not missing:
            return
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            await _bootstrap(connection)
            for name in await _missing(connection, wanted):
                await _apply(connection, name)
            await connection.execute(SEAL)
        # Connections made before the extension was there do not know its type.
        await database.configure(connection)
        await database.pool.drain()


def _wanted() -> list[str]:
    return sorted(entry.name for entry in MIGRATIONS.iterdir() if entry.name.endswith(".sql"))


async def _missing(connection: Connection, wanted: list[str]) -> list[str]:
    """The migrations still to apply, the task engine's own among them, in order."""
    try:
        cursor = await connection.execute("SELECT name FROM gristmill.migrations")
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return [*wanted, "engine"]
    applied = {row["name"] for row in await cursor.fetchall()}
    _refuse_newer(applied, wanted)
    ours = [name for name in wanted if name not in applied]
    return ours + _missing_of_engine(applied)


def _refuse_newer(applied: set[str], wanted: list[str]) -> None:
    unknown = sorted(n for n in applied if n[:4].isdigit() and n not in wanted)
    if unknown:
        raise DatabaseUnavailable(
            f"The database was made by a newer Gristmill ({unknown[-1]} is unknown here).",
            advice="Upgrade this installation: pip install --upgrade gristmill.",
        )


def _engine_sql() -> Path:
    """Where the task engine keeps its SQL; found without importing it, which takes a while."""
    engine = find_spec("procrastinate")
    if engine is None or not engine.submodule_search_locations:
        raise AssertionError("procrastinate is a dependency")
    return Path(engine.submodule_search_locations[0], "sql")


def _engine_migrations() -> list[str]:
    entries = (_engine_sql() / "migrations").iterdir()
    return sorted(f"engine/{entry.name}" for entry in entries if entry.name.endswith(".sql"))


def _missing_of_engine(applied: set[str]) -> list[str]:
    if "engine" not in applied:
        return ["engine"]
    return [name for name in _engine_migrations() if name not in applied]


async def _bootstrap(connection: Connection) -> None:
    await connection.execute(BOOTSTRAP)
    try:
        await connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile) as error:
        raise DatabaseUnavailable(
            "The database server has no pgvector extension.",
            advice="Install pgvector >= 0.8 on the server, or unset DATABASE_URL.",
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseUnavailable(
            "The database has no pgvector yet, and this role may not add it.",
            advice="Have the server's administrator run once: CREATE EXTENSION vector;",
        ) from error


async def _apply(connection: Connection, name: str) -> None:
    await connection.execute(_text_of(name).encode())
    # The engine's whole schema stands for every migration that its release ships.
    names = [name, *_engine_migrations()] if name == "engine" else [name]
    await connection.cursor().executemany(
        "INSERT INTO migrations (name) VALUES (%s)", [(each,) for each in names]
    )


def _text_of(name: str) -> str:
    if name == "engine":
        return (_engine_sql() / "schema.sql").read_text(encoding="utf-8")
    if name.startswith("engine/"):
        return (_engine_sql() / "migrations" / name.removeprefix("engine/")).read_text("utf-8")
    return (MIGRATIONS / name).read_text(encoding="utf-8")
