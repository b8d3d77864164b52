"""Supabase Storage behind its gateway, as captured from the real server of 2026-08-21.

Faithful:
- `/supabase/storage/v1` is the gateway, which exchanges opaque `sb_secret_…` and
  `sb_publishable_…` keys and tells browsers that any page may read; `/supabase` is the server
  behind it, which knows JWTs alone;
- HTTP 400 with the true status as a string in the body, the captured error bodies, with or without
  `code`; real 403, 413, 416, 431, 500 and 404 for unknown routes, in both shapes;
- JWTs signed with the project secret; the roles `anon`, `authenticated` and `service_role`, `sub`
  as owner; row-level security by declared policies (`settings.supabase.policies`: by table, action,
  role and bucket; any row, own folder or own rows), refused per verb as Postgres makes it;
- JSON bodies are coerced and refused as Fastify does it, before the key is looked at;
- buckets: create, list, get, update, delete, empty (queued, with a lag), names, limits in all their
  forms, the asterisk that matches nothing, the field `type` by client version;
- lists: v1 (folders, case-folding, search, offsets) and v2 (byte order, delimiter, cursors), as the
  server's SQL does them, including the folders and files that it loses on its way;
- move and copy, also to other buckets, with metadata kept or changed; info; single and bulk delete;
- `/status`, `/version` and `/health`, which may be unhealthy;
- objects: upload raw and multipart, upsert, PUT; GET with one range, ETag and time conditions,
  `stale-while-revalidate` and `download=`; HEAD, which describes the row whatever part is asked
  for, and the true 416;
- uploads are checked in the server's order, before their bytes are taken; of two first uploads of
  one key at the same time both get 200; `x-robots-tag` is checked, stored and sent;
- signed download URLs: HS256 tokens bound to bucket, key and purpose, with the captured refusals
  in the server's order, `Expires` in place of Cache-Control, and its fault of signing a key with
  `?` so that the URL is refused;
- `/cdn` for the service role, `/s3` refusing in XML, `/render/image` a 404 as where it is off;
- signed upload URLs: tokens bound to one key, usable once unless they say upsert;
- resumable uploads (TUS 1.0.0), also signed: pieces, offsets from the disk after a crash, deferred
  length, expiry, termination, refusals in plain text with their true statuses;
- `Id` stays and `version` changes when an object is overwritten; `text/html` is served as text;
- bodies go to disk as they come and are streamed from it.

Not faithful:
- policies are the declared few, not SQL; JWTs are HS256 only;
- `last_accessed_at` is `created_at`; where the server sorts by its database's collation (buckets by
  name, folders in a list by time) bytes or lower case decide;
- analytics buckets, and limits on the length of a path parameter or the keys of one delete;
- resumable uploads: a second writer gets 423 at once, the first is not asked to give way; any size
  of piece is taken; the scheme of `Location` is the request's; expired uploads answer 410, and 404
  a day later;
- the S3 protocol refuses everybody, as where no S3 keys were made; nothing is cached, so a purge of
  the CDN forgets nothing; images are never transformed;
- times in conditions count in whole seconds, as on S3; the server's file backend compares
  milliseconds, and looks at If-Modified-Since even if the ETag differs;
- `Expires` ends with the year 9999; `transform` of a HEAD is neither checked nor told;
- a key may not contain `.` or `..` segments on any backend; keys are limited to 1,024 bytes;
- dates in `x-robots-tag` are ISO 8601 or RFC 5322; a form that breaks off or holds a second file
  is answered `No content provided`, or the second file is ignored.
"""
