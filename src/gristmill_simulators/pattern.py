"""How faults and latencies name routes."""

from fnmatch import fnmatchcase


def fits(pattern: str, route: str) -> bool:
    """`openai.embeddings.create`, a beginning of it (`openai.embeddings`, `openai`), or a glob."""
    return route == pattern or route.startswith(f"{pattern}.") or fnmatchcase(route, pattern)
