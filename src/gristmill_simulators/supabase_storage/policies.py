"""Row-level security: which rows the declared policies let a caller read and write."""

import sqlite3
from collections.abc import Mapping
from typing import Any, NamedTuple

from gristmill_simulators.simulator import Simulator
from gristmill_simulators.supabase_storage.access import Caller
from gristmill_simulators.supabase_storage.errors import denied
from gristmill_simulators.supabase_storage.switches import Action, Policy

Row = Mapping[str, Any] | sqlite3.Row  # an object's or a bucket's, stored or about to be


class Policies:
    """The policies of `settings.supabase.policies`, asked as Postgres asks its own."""

    def __init__(self, simulator: Simulator) -> None:
        self._settings = simulator.settings

    def allows(self, who: Caller, action: Action, row: Row) -> bool:
        """May `who` do this to a row of `storage.objects` (bucket_id, name, owner)?"""
        return self._any(who, action, _Subject("objects", row["bucket_id"], row))

    def allows_bucket(self, who: Caller, action: Action, row: Row) -> bool:
        """The same for a row of `storage.buckets` (id, owner)."""
        return self._any(who, action, _Subject("buckets", row["id"], row))

    def check_write(self, who: Caller, new: Row, old: Row | None, *, upsert: bool) -> None:
        """An upload, or what a copy or a signed upload makes. Raises StorageError (AccessDenied).

        A plain one needs INSERT. An upsert needs INSERT, SELECT and UPDATE, for a new key too:
        Postgres checks the policies of both halves of `INSERT … ON CONFLICT DO UPDATE`.
        """
        needed: list[tuple[Action, Row]] = [("insert", new)]
        if upsert:
            needed += [("select", new), ("update", new)]
        if upsert and old is not None:
            needed += [("select", old), ("update", old)]
        if not all(self.allows(who, action, row) for action, row in needed):
            raise denied()

    def _any(self, who: Caller, action: Action, subject: "_Subject") -> bool:
        return who.service or any(
            _applies(policy, who, action, subject)
            for policy in self._settings.current.supabase.policies
        )


class _Subject(NamedTuple):
    table: str
    bucket: str
    row: Row


def _applies(policy: Policy, who: Caller, action: Action, subject: _Subject) -> bool:
    return (
        policy.table == subject.table
        and action in policy.actions
        and who.role in policy.roles
        and policy.bucket in {None, subject.bucket}
        and _condition(policy, who, subject)
    )


def _condition(policy: Policy, who: Caller, subject: _Subject) -> bool:
    if policy.rows == "any":
        return True
    if not who.sub:  # auth.uid() is null, and null equals nothing
        return False
    if policy.rows == "owner":
        return bool(subject.row["owner"] == who.sub)
    name = subject.bucket if subject.table == "buckets" else subject.row["name"]
    folder, slash, _ = name.partition("/")
    return bool(slash) and folder == who.sub
