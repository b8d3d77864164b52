"""LlamaCloud Parse (v2) and its files, as the official SDK and a careful client observe them.

Faithful:
- `files` create, retrieve, delete; `parsing` create (JSON), get with `expand`, list with filters
  and pages, cancel, delete, list_versions; status codes, id shapes, `detail` error bodies,
  422 with `loc` for unknown keys, a bad tier, a version of another tier;
- documents are really parsed: PDF by liteparse, DOCX, PPTX, XLSX, HTML, CSV and Markdown by
  small readers; `target_pages` (1-based) and `max_pages`; a page without text has empty Markdown;
- protected, broken, empty, unsupported and too large files fail the job with the vendor's code at
  the start of `error_message`;
- `PENDING -> RUNNING -> COMPLETED | FAILED | CANCELLED`; `usage.credits` is null until billing
  has settled; credits by tier and page, one per sheet for spreadsheets, 5 more per page for
  `confidence_score_effort`; the same bytes with the same options within 48 hours cost nothing;
- no `Retry-After` and no rate headers, as on the live service.

Not faithful:
- no model reads anything: all tiers give the same text, images have no words, pages of DOCX and
  HTML are breaks in the file or 3,000 characters, `items` are empty, confidence is not scored;
- options that shape the output (`output_options`, `processing_options`, `crop_box`) are
  checked and change the cache key, but not the text; the cost optimizer saves nothing and chart
  parsing costs nothing;
- `expand` knows markdown, markdown_full, text, text_full, items, metadata, usage and
  job_metadata; every other value is a 400;
- `source_url`, `configuration_id` and `webhook_configuration_ids` are refused with 400, webhooks
  are checked and kept but not sent; `/parse/upload`, webhook configs, batches, usage metrics
  and presigned contents do not exist yet: 404;
- a failed or cancelled job costs nothing and a cache hit shows 0 credits: neither is published;
- that a failure's code comes first in `error_message`, that lists are newest first, that results
  are kept until a reset, and `user_metadata` without limits are assumptions.
"""
