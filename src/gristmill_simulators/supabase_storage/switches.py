"""What is not published or differs between servers of Supabase Storage: chosen at run time."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Action = Literal["select", "insert", "update", "delete"]
Role = Literal["anon", "authenticated"]

EVERY_ACTION: tuple[Action, ...] = ("select", "insert", "update", "delete")


class Policy(BaseModel):
    """One `CREATE POLICY` of row-level security, for the conditions that projects use most.

    `rows` is its condition: `any` (`true`), `own_folder` (`(storage.foldername(name))[1] =
    auth.uid()::text`, so an object that lies in no folder is nobody's) or `owner` (`owner_id =
    auth.uid()::text`). It holds for reading a row as for writing it (USING and WITH CHECK alike).
    `bucket` adds `bucket_id = '…'` (for the table of buckets `id = '…'`). Policies only add rights;
    `service_role` needs none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: Literal["objects", "buckets"] = "objects"
    actions: tuple[Action, ...] = EVERY_ACTION
    roles: tuple[Role, ...] = ("authenticated",)
    bucket: str | None = None
    rows: Literal["any", "own_folder", "owner"] = "any"


class Switches(BaseModel):
    """Each with the likelier value as its default, and the reason for the doubt.

    `policies`: what the project's owner has declared; a new project has none, so only
    `service_role` gets through.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    policies: tuple[Policy, ...] = ()
