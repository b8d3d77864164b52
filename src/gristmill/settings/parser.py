"""The parser's versions: which one is taken, and why `latest` is none."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator

# What the parser's `latest` stands for in each tier, by its SDK 2.19.
TIER_VERSIONS: Final = {
    "fast": "2026-06-15",
    "cost_effective": "2026-09-28",
    "agentic": "2026-10-16",
    "agentic_plus": "2026-09-28",
}


def dated(version: str) -> str:
    """A version that means the same tomorrow.

    `latest` is refused rather than looked up. A version is part of what names a parse, so the
    vendor moving it would silently have every document parsed, and paid, again; and nothing could
    be named at all while the vendor does not answer. Its documentation asks for dates as well.

    Raises:
        ValueError: it is no date; says why.
    """
    if version == "latest":
        raise ValueError(
            "The vendor moves `latest` on without notice, and documents would be parsed and paid"
            " again. Leave the setting out for the newest version that Gristmill knows."
        )
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", version):
        raise ValueError(f"{version[:32]!r} is no date.")
    return version


Version = Annotated[str, AfterValidator(dated)]
