"""Postgres: the embedded server, the pool, the schema."""
