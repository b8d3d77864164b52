"""What is not published or differs between servers of Supabase Storage: chosen at run time."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

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
    `secret_keys`: the project's opaque keys (`sb_secret_…`) instead of the fixed one, for a
    rotation: a project may have several, and the gateway knows a deleted one no more.
    `global_file_size_limit`, in bytes: the project's setting, 50 MB on the free plan and up to
    500 GB on paid ones; 500 MiB lets a test upload what it likes and still meets a limit.
    `healthy`: false is a server that lives while its database is down: `/health` says so in a 200.
    `error_codes`: servers older than 2026-07-23 have no `code` in their error bodies.
    `empty_bucket_lag_seconds`: emptying is queued on hosted projects ("up to an hour"; what it
    usually takes is not published) and immediate where the queue is off.
    `empty_bucket_most`: the objects a bucket may hold to be emptied, a server's configuration.
    `cdn_purge`: a server that was told of no CDN refuses to purge one; hosted projects on the paid
    plans have one, and it is told.
    `standard_upload_size_limit`, in bytes: of an upload in one request. The vendor says 5 GB and
    not whether they are decimal; a server of one's own has none beside the global one.
    `signed_upload_lifetime_seconds`: 2 h on hosted projects, 60 s by a server's default.
    `resumable_lifetime_seconds`: 24 h on hosted projects, 1 h by a server's default.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    policies: tuple[Policy, ...] = ()
    secret_keys: tuple[str, ...] = ()
    global_file_size_limit: int = Field(default=500 * 1024 * 1024, ge=0)
    healthy: bool = True
    error_codes: bool = True
    empty_bucket_lag_seconds: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    empty_bucket_most: int = Field(default=200_000, ge=0)
    cdn_purge: bool = False
    standard_upload_size_limit: int = Field(default=5 * 1024**3, ge=0)
    signed_upload_lifetime_seconds: int = Field(default=7200, gt=0)
    resumable_lifetime_seconds: float = Field(default=86_400, gt=0, allow_inf_nan=False)
