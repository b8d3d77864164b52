"""Durations as Go writes them."""

import math


def go_duration(seconds: float) -> str:
    """Go's text for a duration, cut to whole milliseconds: `6ms`, `2.812s`, `7m12s`, `1h0m0s`."""
    # a float just below a whole millisecond is that millisecond
    milliseconds = math.floor(seconds * 1000 + 1e-6)
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    minutes, rest = divmod(milliseconds, 60_000)
    whole, part = divmod(rest, 1000)
    text = f"{whole}.{part:03d}".rstrip("0") + "s" if part else f"{whole}s"
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text
