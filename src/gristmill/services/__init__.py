"""One thin adapter a vendor, over the vendor's own SDK.

An adapter turns an operation, a frozen value, into one call of the SDK, the SDK's exceptions into
the errors of `gristmill.errors`, and the answer into a `Result` that says where it came from. It
holds no policy: no retry, no limit, no cache. The policies are layers around it.

    openai/        embeddings
    llamaparse/    files into Markdown
    supabase/      object storage
    adapter.py     Endpoint, and what the three adapters share
    failures.py    pure: from a vendor's error to ours; waiting times; masking of secrets
    http.py        the one HTTP pool that the three SDKs are given

Importing an adapter is cheap: it loads its SDK in a thread, with the first call.
"""
