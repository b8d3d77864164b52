"""`gristmill health` and `limits`: how their values look."""

import io
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from gristmill.cli import health, quotas
from gristmill.contract import Status
from gristmill.health.report import ServiceReport
from gristmill.health.snapshots import HealthChange
from gristmill.library.standing import CallsAtOnce, QuotaReport
from gristmill.quotas.report import Allowance, RateLimitUse

THEN = datetime(2026, 3, 31, 12, tzinfo=UTC)
WELL = ServiceReport(
    Status.HEALTHY,
    response_time=0.2013,
    reason="It answers and accepts the key.",
    endpoint="api.vendor.test",
    last_response_time=0.004,
    p95_response_time=12.34,
    calls=1234,
    breakers={"closed": 2},
    quota_left=0.925,
    budget_left=4_979_999_999,
)
ILL = ServiceReport(
    Status.UNHEALTHY,
    error_count=15,
    last_error="Down [again].",
    reason="It is down or cannot be reached. Down [again]. Try again later.",
    error_kind="Unavailable",
    endpoint="api.vendor.test",
    calls=15,
    errors={"Unavailable": 12, "Throttled": 3},
    last_error_at=THEN,
    breakers={"open": 1, "closed": 2},
)


def minutes_ago(minutes: int) -> datetime:
    return datetime.now(UTC) - timedelta(minutes=minutes)


def change(minute: int, reason: str = "Down.") -> HealthChange:
    at = datetime(2026, 3, 31, 12, minute, tzinfo=UTC)
    place = ("openai", "api.vendor.test")
    return HealthChange(at, *place, Status.HEALTHY, Status.UNHEALTHY, reason)


class Screen:
    """A terminal of so many columns."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
        self.console = Console(
            file=io.StringIO(), width=columns, force_terminal=True, color_system=None
        )
        for module in ("health", "quotas", "present"):
            monkeypatch.setattr(f"gristmill.cli.{module}.console", self.console)

    def lines(self) -> list[str]:
        return self.console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.fixture(params=[80, 120])
def screen(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Screen:
    return Screen(monkeypatch, request.param)


def test_a_service_is_one_line_on_every_terminal(screen):
    health._tell({"openai": WELL, "llamaparse": ILL}, [])
    lines = screen.lines()
    assert all(len(line) <= screen.console.width for line in lines)
    (well,) = (line for line in lines if line.startswith("openai "))
    for cell in ("healthy", "4 ms", "201 ms", "12 s", "closed", "92 %", "$4.97"):
        assert cell in well
    (ill,) = (
        line for line in lines if line.startswith("llamaparse  unhealthy"[:10]) and "15" in line
    )
    assert "open in 1 of 3" in " ".join(lines)
    assert "unhealthy" in ill


def test_what_troubles_a_service_is_told_with_the_kinds_of_errors_and_the_last_one(screen):
    ill = replace(ILL, last_error_at=minutes_ago(3))
    health._tell({"openai": WELL, "llamaparse": ill}, [])
    text = " ".join(" ".join(screen.lines()).split())
    assert "llamaparse It is down or cannot be reached. Down [again]. Try again later." in text
    assert "Unavailable 12, Throttled 3; the last one 3 min ago" in text


def test_changes_are_told_with_why_on_one_line_each_the_newest_few(screen):
    health._tell({"openai": WELL}, [change(n, "Down. " * 50) for n in range(20)])
    lines = screen.lines()
    assert all(len(line) <= screen.console.width for line in lines)
    found = [line for line in lines if line.startswith("12:")]
    assert len(found) == health.CHANGES
    assert all("healthy → unhealthy" in line for line in found)
    assert "12 others; --json has all" in " ".join(lines)


def test_where_nobody_looks_a_line_tells_each_new_status(capsys):
    lines = health.Lines()
    for report in (WELL, WELL, ILL, ILL, WELL):
        lines.tell({"openai": report})
    told = [line.split(" ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    assert told == [
        "openai healthy: It answers and accepts the key.",
        "openai unhealthy: It is down or cannot be reached. Down [again]. Try again later.",
        "openai healthy: It answers and accepts the key.",
    ]


@pytest.mark.parametrize(
    ("nano", "told"),
    [(0, "$0.00"), (1, "<$0.01"), (9_999_999, "<$0.01"), (1_239_999_999_999, "$1,239.99")],
)
def test_what_is_left_is_never_rounded_up(nano, told):
    assert health._cents(nano) == told


USE = RateLimitUse(
    service="openai",
    endpoint="api.vendor.test",
    pool="text-embedding-3-small",
    name="requests",
    unit="requests",
    set_to=Allowance(3000, 60.0),
    told=Allowance(10_000, 60.0),
    told_at=THEN,
    used=1500.4,
    next_turn=2.13,
    paused=0.0,
    waiting=3,
)


def test_a_rate_limit_is_told_with_what_it_is_and_who_waits(screen):
    paused = RateLimitUse(
        "llamaparse", "x", "", "requests", "requests", Allowance(20, 90.0), None, None, 0, 9.0, 9.0
    )
    at_once = (CallsAtOnce("supabase", "x", 16, 4), CallsAtOnce("llamaparse", "x", 1, 0))
    use = replace(USE, told_at=minutes_ago(2))
    quotas._tell(QuotaReport((use, paused), at_once, ("supabase",)))
    lines = screen.lines()
    text = " ".join(" ".join(lines).split())
    assert all(len(line) <= screen.console.width for line in lines)
    for cell in ("3,000/min", "1,500, 50 %", "in 2.1 s", "20/90 s", "paused, 9 s"):
        assert cell in text
    assert "supabase: no limit is set or told" in text
    assert "supabase: 16 calls at once, 4 more wait" in text
    assert "llamaparse: 1 call at once" in text
    assert "2 min ago" in text


@pytest.mark.parametrize(
    ("loaded", "unwanted"),
    [
        ("gristmill.cli.app", "{'prometheus_client', 'gristmill.health', 'rich.live'}"),
        ("gristmill.library", "{'prometheus_client', 'gristmill.library.metrics'}"),
    ],
)
def test_the_help_loads_nothing_of_health_and_only_metrics_load_their_client(loaded, unwanted):
    code = f"import sys, {loaded}; print(*{unwanted} & {{*sys.modules}})"
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "\n"
