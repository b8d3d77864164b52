"""Supabase Storage behind its gateway, as captured from the real server of 2026-08-21.

Faithful:
- served with and without `/storage/v1`; HTTP 400 with the true status as a string in the body,
  the captured error bodies, real 416 and 404 for unknown routes;
- JWTs signed with the project secret: `service_role` sees everything, any other role nothing
  but public buckets, refused per verb as row-level security does; opaque or broken keys;
- buckets: create, list, get, update, delete; objects: upload raw and multipart, upsert, PUT,
  GET and HEAD with ranges, ETag and conditions, info, list v1, copy, move, single and bulk delete;
- signed download URLs: HS256 tokens bound to bucket and key, with the captured refusals;
- `Id` stays and `version` changes when an object is overwritten; `text/html` is served as text;
- bodies go to disk as they come and are streamed from it.

Not faithful:
- there are no policies: nobody but `service_role` may write, list or sign;
- list v2, signed uploads, resumable uploads, the S3 protocol, image transformation, bucket
  emptying and the CDN do not exist yet: 404;
- a key may not contain `.` or `..` segments on any backend; keys are limited to 1,024 bytes;
- two overlapping first uploads of one key: here exactly one gets 200, there both may;
- the global size limit is 500 MiB; `x-robots-tag` is neither checked nor stored.
"""
