"""OpenAI's embeddings, with models, files, batches, usage and costs, as a careful client sees them.

Faithful:
- `POST /embeddings` with the four input shapes, `float` and `base64`, `dimensions` (cut and
  normalised again), the limits (2,048 inputs, 8,192 tokens each, 300,000 together), usage in exact
  cl100k tokens; `text-embedding-ada-002` answers as `text-embedding-ada-002-v2`;
- bodies indented by 2 spaces (errors by 4) with a final newline, gzip for clients that offer it,
  chunked; `x-request-id`, `openai-*` and `x-ratelimit-*` headers with Go durations, and none of
  them where the recordings have none (401, 404);
- every error of the vendor's table with its status, type and code, also those that only a fault
  brings; unknown addresses and wrong methods; wrong, missing and foreign keys, organisations and
  projects; `X-Client-Request-Id`;
- limits by tier, model, organisation and project: the limiter charges `floor(utf8 bytes / 4) + 1`
  from buckets that refill continuously, with the recorded wait times and texts, "Request too
  large" and `Retry-After`; the traffic ramp and limits of spending where a setting turns them on;
- `/models` with `shutdown_date`; `/files` with purposes, sizes, expiry and pages; `/batches` from
  `validating` to each of its ends, with errors by line, request counts, usage, output and error
  files, cancellation, expiry, the token queue, half the price; it goes on after a restart;
- `/organization/usage/embeddings` and `/organization/costs` for an administration key, in pages
  of buckets, grouped and filtered, late by `billing_delay_seconds`.

Not faithful:
- the vectors are made here: deterministic, of unit length, related texts near each other, but
  not the vendor's numbers;
- what is not known is a setting under `openai` with its reason: which check comes first, unknown
  fields, special tokens, what refusals consume, which hints a 429 carries, and others; texts that
  are only described (slow_down, the spend limits, too large or too many files, a bad
  `X-Client-Request-Id`), `too_many_tasks`, `too_many_inputs` and `invalid_method` of a batch, and
  the names of cost line items are our own words;
- one organisation, one project, one user, one key and one administration key; three models, all
  with the same limits; a batch for another endpoint finds no model;
- a batch's queue counts the limiter's estimate; lines that a cancelled batch did not run are not
  told; at most 1,000 errors of a batch are; the order of the output is shuffled by the batch's id;
- files are not looked into beyond the first line of a batch's input; fine-tuning, `/uploads`
  (files in parts), webhooks of batches and all other routes do not exist: 404;
- data residency (the hosts of regions) is not simulated, and nothing is slow
  unless a latency is set.
"""
