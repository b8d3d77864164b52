"""Times on the wire."""

from datetime import UTC, datetime


def moment(seconds: float | None) -> str | None:
    """ISO 8601 in UTC with microseconds and Z."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
