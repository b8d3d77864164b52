"""LlamaCloud Parse (v2) and its files, as the official SDK and a careful client observe them.

Faithful:
- `files` create, list (filters, three orders, pages), query, retrieve and `expand=download_url`,
  content, delete; `parsing` create by file, by `source_url` on this machine and by multipart
  upload, get, list with all filters, cancel, delete, list_versions; `webhook_configs`;
  `configurations` of parse options; `projects` list and get; usage metrics of an organization, as
  rows and summed up; status codes, id shapes, `detail` error bodies, both 401 texts, 422 with
  `loc`, 410 and 404 for version 1;
- every field of a submission is checked as the SDK's types and docstrings say: unknown keys on
  all levels, a version of another tier, what a tier does not have, page ranges, limits of
  timeouts;
- documents are really parsed: PDF by liteparse, DOCX, PPTX, XLSX, ODT, ODP, ODS, EPUB, RTF, HTML,
  CSV and Markdown by small readers; `target_pages` (1-based) and `max_pages`; 64 KB of text a page,
  the rest is dropped;
- every value of `expand`, repeated or joined by commas; `items` are made from the page's
  Markdown: headings, text, tables with rows, CSV and HTML, nested lists, code, links, images;
  forms are made of lines to fill in and boxes to tick; result files come by presigned URLs that
  anybody can GET;
- protected, broken, empty, unsupported and too large files fail the job with the vendor's code;
- `PENDING -> RUNNING -> COMPLETED | FAILED | CANCELLED`; failed pages as entries and against
  `allowed_page_failure_ratio`; the job's own timeouts, else 30 minutes, in the time it pretends
  to take; expired files and presigned URLs;
- `usage.credits` is null until billing has settled, and agrees with the usage rows; credits by
  tier and page, one per sheet for spreadsheets, 5 more per page for `confidence_score_effort`, 10
  more per form page for `forms: enrich`; pages without a table at the price of cost_effective
  with the cost optimizer; the same bytes with the same options within 48 hours cost nothing,
  `disable_cache` neither reads nor fills the cache;
- webhooks in the background: six events in order, both formats, the vendor's headers,
  `LC-Signature` over the exact bytes, three attempts with 1 and 2 seconds between them and 30
  seconds each, any 2xx, no redirects; what a killed process did not deliver the next one does;
- the limits of the plans where one is switched on: requests a minute, uploads in 5 and 10
  seconds, 402 without credits; no `Retry-After` and no rate headers, as on the live service;
- a simulator is one region, `na` or `eu`; the other region's key is invalid. Two regions are two
  simulators;
- there is one project, 00000000-0000-4000-8000-51b01a7ed000, of one organization,
  00000000-0000-4000-8000-51b01a7e0c60; others are not found.

Not faithful:
- no model reads anything: all tiers give the same text, images have no words, pages of DOCX, ODT
  and HTML are breaks in the file or 3,000 characters, text keeps lines but no columns, items have
  no boxes, screenshots are white, a confidence is 0.97, or 0.5 for a page without words; other
  types of the vendor's list (old Office, iWork, SVG, sound, video) are unsupported;
- options that shape the output are checked and change the cache key, but not the text, but for
  `extract_printed_page_number`, `images_to_save`, `save_output_pdf` (PDF only, the source
  itself), `tables_as_spreadsheet` and stripped outputs; word boxes are never made; auto mode
  never triggers; chart parsing costs nothing;
- `source_url` is fetched from loopback addresses only, others are refused with 400; `http_proxy`
  is checked and not used;
- webhooks are accepted for, and by default only sent to, loopback addresses; what goes elsewhere
  is recorded as withheld (`refuse_local_webhooks` and `send_webhooks_anywhere` turn both around);
  events of one job to one webhook wait for each other;
- no plan limits anything by default; monthly windows, caps of projects and tags of usage are not
  simulated; batches, directories and the other products do not exist: 404;
- the switches (`/_simulator/settings`, `llamacloud`) hold what is not published: billing of
  failed and cancelled jobs, a hit's credits, error codes in messages, lifetime of results and
  URLs, names of result files, what a webhook's retry repeats and what is signed in `string`
  format;
- that lists are newest first, that a bad state is 409 and a refused webhook address 422, another
  project 404, `user_metadata` without limits, and that a result file's text is Markdown are
  assumptions.
"""
