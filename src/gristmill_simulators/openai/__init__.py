"""The OpenAI embeddings API, as a careful client can observe it.

Faithful:
- `POST /embeddings` with the four input shapes, `float` and `base64`, `dimensions` (cut and
  normalised again), the limits (2,048 inputs, 8,192 tokens each, 300,000 together) and the
  error bodies; `GET /models` and `GET /models/{id}`;
- bodies indented by 2 spaces (errors by 4) with a final newline, `x-request-id`, and
  `openai-*` and `x-ratelimit-*` headers with Go durations;
- usage in exact cl100k tokens; the limiter charges `floor(utf8 bytes / 4) + 1` instead, per
  model, from a bucket that refills continuously, with the recorded wait times and texts;
- `text-embedding-ada-002` answers as `text-embedding-ada-002-v2`.

Not faithful:
- the vectors are made here: deterministic, of unit length, related texts near each other, but
  not the vendor's numbers;
- the order of the checks, the texts for a missing key, an unknown field and bad `dimensions`,
  and all tiers being the same for every model, are assumptions;
- answers are never compressed; there is no organisation or project limit, no traffic ramp and
  no monthly spend limit (a fault gives their errors);
- Files and Batches do not exist yet: 404.
"""
