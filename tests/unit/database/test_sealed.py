"""Nobody but the owner reads, changes or calls anything of the schema, whatever is added to it.

The roles are those that Supabase serves over HTTP; here they have far more than it grants them.
"""

from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg.rows import scalar_row

from gristmill.database.engine import Database
from gristmill.database.migrate import SEAL, migrate
from gristmill.errors import DatabaseUnavailable

ROLES = ("anon", "authenticated")

# As in a project of Supabase; and what some people add, to have every new table served.
PREPARE = """
GRANT USAGE ON SCHEMA public TO anon, authenticated;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON FUNCTIONS TO anon, authenticated;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO anon, authenticated;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO anon, authenticated;
ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO anon, authenticated;
ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO anon, authenticated;
"""

# Each line is something that stands open, by name; extensions' own functions only calculate.
OPEN = """
WITH roles (role) AS (SELECT unnest(%(roles)s::text[])),
ours AS (SELECT 'gristmill'::regnamespace AS schema)
SELECT format('%%s may use the schema', role) FROM roles, ours
WHERE has_schema_privilege(role, schema, 'USAGE, CREATE')
UNION ALL
SELECT format('%%s has rights on %%s', role, c.oid::regclass)
FROM roles, ours JOIN pg_class c ON c.relnamespace = schema
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND (
    has_table_privilege(role, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
    OR has_any_column_privilege(role, c.oid, 'SELECT, INSERT, UPDATE, REFERENCES'))
UNION ALL
SELECT format('%%s has rights on %%s', role, c.oid::regclass)
FROM roles, ours JOIN pg_class c ON c.relnamespace = schema
WHERE c.relkind = 'S' AND has_sequence_privilege(role, c.oid, 'USAGE, SELECT, UPDATE')
UNION ALL
SELECT format('%%s may call %%s', role, p.oid::regprocedure)
FROM roles, ours JOIN pg_proc p ON p.pronamespace = schema
WHERE has_function_privilege(role, p.oid, 'EXECUTE') AND NOT EXISTS (
    SELECT FROM pg_depend d
    WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
UNION ALL
SELECT format('%%s has no row level security', c.oid::regclass)
FROM ours JOIN pg_class c ON c.relnamespace = schema
WHERE c.relkind IN ('r', 'p') AND NOT c.relrowsecurity
UNION ALL
SELECT format('%%s lets rows through', p.polrelid::regclass)
FROM ours JOIN pg_class c ON c.relnamespace = schema JOIN pg_policy p ON p.polrelid = c.oid
UNION ALL
SELECT format('%%s reads with the rights of its owner', c.oid::regclass)
FROM ours JOIN pg_class c ON c.relnamespace = schema
WHERE c.relkind = 'm'
    OR (c.relkind = 'v' AND NOT coalesce('security_invoker=true' = ANY (c.reloptions), false))
UNION ALL
SELECT format('%%s runs with the rights of its owner, on any search path', p.oid::regprocedure)
FROM ours JOIN pg_proc p ON p.pronamespace = schema
WHERE p.prosecdef
    AND NOT coalesce(array_to_string(p.proconfig, ' ') LIKE '%%search_path=%%', false)
"""


def _make_roles(connection: psycopg.Connection, *roles: str) -> None:
    """Roles belong to the whole server, which other tests use as well."""
    for role in roles:
        if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).rowcount:
            connection.execute(f"CREATE ROLE {role} NOLOGIN")


@pytest.fixture
async def served(unmigrated: str) -> AsyncIterator[Database]:
    """A migrated database of a project whose default privileges give everything away."""
    with psycopg.connect(unmigrated, autocommit=True) as connection:
        _make_roles(connection, *ROLES)
        connection.execute(PREPARE)
    database = Database(unmigrated)
    await database.open()
    await migrate(database)
    yield database
    await database.close()


async def _stands_open(database: Database) -> list[str]:
    async with database.connection() as connection:
        cursor = connection.cursor(row_factory=scalar_row)
        await cursor.execute(OPEN, {"roles": list(ROLES)})
        return await cursor.fetchall()


async def test_nothing_of_the_schema_stands_open_to_anybody(served):
    assert await _stands_open(served) == []


@pytest.mark.parametrize(
    ("made", "opened"),
    [
        ("CREATE TABLE extra (x int)", "extra has no row level security"),
        ("CREATE TABLE extra (x int)", "anon has rights on extra"),
        ("CREATE SEQUENCE extra", "authenticated has rights on extra"),
        ("CREATE VIEW extra AS SELECT 1 AS x", "extra reads with the rights of its owner"),
        ("CREATE FUNCTION extra() RETURNS int LANGUAGE sql AS 'SELECT 1'", "anon may call extra()"),
        ("CREATE PROCEDURE extra() LANGUAGE sql AS 'SELECT 1'", "authenticated may call extra()"),
    ],
)
async def test_what_a_migration_adds_stands_open_until_it_is_sealed(served, made, opened):
    """So the test above would see it, and `migrate` closes it."""
    async with served.connection() as connection:
        await connection.execute(made)
        assert opened in await _stands_open(served)
        await connection.execute(SEAL)
    assert await _stands_open(served) == []


async def test_a_function_that_lends_its_owners_rights_on_any_search_path_is_seen(served):
    async with served.connection() as connection:
        await connection.execute(
            "CREATE PROCEDURE lend() LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'"
        )
        await connection.execute(SEAL)
    assert await _stands_open(served) == [
        "lend() runs with the rights of its owner, on any search path"
    ]


@pytest.mark.parametrize("role", ROLES)
async def test_even_a_schema_that_is_served_over_http_tells_and_does_nothing(served, role):
    """Somebody exposes the schema as Supabase's guide says, with USAGE for both roles."""
    async with served.connection() as connection:
        await connection.execute(f"GRANT USAGE ON SCHEMA gristmill TO {role}")
        await connection.execute(f"SET ROLE {role}")
        for attempt in (
            "SELECT * FROM gristmill.documents",
            "SELECT * FROM gristmill.procrastinate_jobs",
            "SELECT * FROM gristmill.calls",
            "INSERT INTO gristmill.events (document_id, status) VALUES ('d', 'ready')",
            "TRUNCATE gristmill.journal",
            "SELECT gristmill.wake('d', 'q')",
            "SELECT gristmill.procrastinate_cancel_job_v1(1, true, true)",
            "SELECT nextval('gristmill.chunks_id_seq')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await connection.execute(attempt)
        await connection.execute("RESET ROLE")


@pytest.fixture
async def tenants(unmigrated: str) -> AsyncIterator[Database]:
    """A database whose owner is no superuser, as hosted Postgres gives it; not migrated."""
    with psycopg.connect(unmigrated, autocommit=True) as connection:
        _make_roles(connection, "tenant")
        connection.execute(f'ALTER DATABASE "{connection.info.dbname}" OWNER TO tenant')
    database = Database(psycopg.conninfo.make_conninfo(unmigrated, options="-c role=tenant"))
    await database.open()
    yield database
    await database.close()


async def test_an_owner_that_is_no_superuser_keeps_its_own_rights(tenants, unmigrated):
    """The extension belongs to somebody else, who keeps it where Supabase does."""
    with psycopg.connect(unmigrated, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA extensions; GRANT USAGE ON SCHEMA extensions TO PUBLIC")
        connection.execute("CREATE EXTENSION vector SCHEMA extensions")
    await migrate(tenants)
    async with tenants.connection() as connection:
        await connection.execute("SELECT wake('d', 'q')")
        await connection.execute("SELECT '[1]'::halfvec <=> '[1]'::halfvec FROM documents, calls")
        cursor = await connection.execute("SELECT task_name FROM procrastinate_jobs")
        assert [row["task_name"] for row in await cursor.fetchall()] == ["advance"]


async def test_an_owner_that_may_not_install_pgvector_is_told_who_may(tenants):
    async with tenants.connection() as connection:
        trusted = await connection.execute(
            "SELECT FROM pg_available_extension_versions WHERE name = 'vector' AND trusted"
        )
    if trusted.rowcount:
        pytest.skip("this server lets every owner of a database install it")
    with pytest.raises(DatabaseUnavailable, match="may not") as caught:
        await migrate(tenants)
    assert "CREATE EXTENSION vector" in caught.value.advice
