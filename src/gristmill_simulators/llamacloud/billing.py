"""What a parse costs, and the rows that say so: one for each kind of event of a job."""

import sqlite3
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from gristmill_simulators.database import Database
from gristmill_simulators.llamacloud.pool import Read

SCHEMA = """
CREATE TABLE IF NOT EXISTS llama_bills (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, job_id TEXT NOT NULL,
    event_type TEXT NOT NULL, tier TEXT NOT NULL, file_type TEXT NOT NULL, value INTEGER NOT NULL,
    credits REAL NOT NULL, day TEXT NOT NULL, settles_at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS llama_bills_job ON llama_bills (job_id);
"""

# credits a page; vendor's pricing page, read 2026-10-07
CREDITS = {"fast": 1.0, "cost_effective": 3.0, "agentic": 10.0, "agentic_plus": 45.0}
_SHEET = 1.0  # a sheet of a spreadsheet, whatever the tier; the same page
_CONFIDENCE = 5.0  # a page more for confidence_score_effort; docstring of the SDK
_FORM = 10.0  # a form page more for forms=enrich; the pricing page, by a third party


@dataclass(frozen=True, slots=True)
class Line:
    """A kind of event with its number of pages and its credits."""

    event_type: str
    value: int
    credits: float


def lines(tier: str, options: dict[str, Any], read: Read, unbilled: set[int]) -> list[Line]:
    """The bill of a document; `unbilled` are numbers of pages that cost nothing."""
    pages = [number for number in read.numbers if number not in unbilled]
    return list(_lines(tier, options.get("processing_options", {}), read, pages))


def easy_pages(options: dict[str, Any], read: Read) -> list[int]:
    """Pages that the cost optimizer, if it is on, parses and bills at cost_effective."""
    optimizer = options.get("processing_options", {}).get("cost_optimizer", {})
    return list(read.easy) if optimizer.get("enable") else []


def total(bill: list[Line]) -> float:
    return sum(line.credits for line in bill)


def write(
    connection: sqlite3.Connection, job: sqlite3.Row | dict[str, Any], bill: list[Line], now: float
) -> None:
    """Keep the bill of a job that has ended at `now`; it outlives the job."""
    for line in bill:
        connection.execute(
            "INSERT INTO llama_bills (id, job_id, event_type, tier, file_type, value, credits, day,"
            " settles_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                str(uuid.uuid4()),
                job["id"],
                line.event_type,
                job["tier"],
                PurePosixPath(job["file_name"]).suffix[1:].lower() or "unknown",
                line.value,
                line.credits,
                datetime.fromtimestamp(now, UTC).date().isoformat(),
                now + job["billing_delay"],
            ),
        )


def used(database: Database) -> float:
    """Credits of all bills so far, settled or not."""
    row = database.read_one("SELECT sum(credits) AS credits FROM llama_bills")
    return float(row["credits"] or 0) if row is not None else 0.0


def billed(database: Database) -> dict[str, Any]:
    """Credits, pages and jobs: in all, and by tier."""
    rows = database.read(
        "SELECT tier, count(DISTINCT job_id) AS jobs, sum(credits) AS credits,"
        " sum(CASE event_type WHEN 'pages_parsed' THEN value ELSE 0 END) AS pages"
        " FROM llama_bills GROUP BY tier"
    )
    by_tier = {row["tier"]: {k: row[k] for k in ("jobs", "pages", "credits")} for row in rows}
    totals = {k: sum(tier[k] for tier in by_tier.values()) for k in ("jobs", "pages", "credits")}
    return {**totals, "by_tier": by_tier}


def _lines(tier: str, processing: dict[str, Any], read: Read, pages: list[int]) -> Iterator[Line]:
    easy = set(easy_pages({"processing_options": processing}, read))
    price = _SHEET if read.sheets else CREDITS[tier]
    cheap = _SHEET if read.sheets else CREDITS["cost_effective"]
    cost = sum(cheap if number in easy else price for number in pages)
    yield Line("pages_parsed", len(pages), cost)
    if processing.get("confidence_score_effort"):
        yield Line("confidence_score_high", len(pages), len(pages) * _CONFIDENCE)
    if processing.get("forms") == "enrich" and (forms := set(pages) & set(read.forms)):
        yield Line("form_parsing_pages", len(forms), len(forms) * _FORM)
