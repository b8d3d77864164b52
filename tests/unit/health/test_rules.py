"""Which status follows from what was heard, as a table."""

import pytest

from gristmill.contract import Status
from gristmill.health.findings import HEALTHY
from gristmill.health.heard import Count, Failure, Heard, Live, Outcome, Sample
from gristmill.health.rules import judge

OK = (Status.HEALTHY, "")
DOWN = (Status.UNHEALTHY, "Unavailable")
KEY = (Status.UNHEALTHY, "Unauthorized")
CREDIT = (Status.UNHEALTHY, "QuotaExhausted")
LIMIT = (Status.DEGRADED, "Throttled")
SETTING = (Status.UNCONFIGURED, "Misconfigured")
REASON = "What it means. What to do."


def heard(*outcomes, probe=False, apart=1.0, times=(), probed=()):
    """The newest outcome first, `apart` seconds between two; the newest alone may be a probe."""
    ages = [number * apart for number in range(len(outcomes))]
    failed = [(age, kind) for age, (_, kind) in zip(ages, outcomes, strict=True) if kind]
    return Heard(
        outcomes=tuple(
            Outcome(age, status, kind, is_probe=probe and not age)
            for age, (status, kind) in zip(ages, outcomes, strict=True)
        ),
        samples=tuple(
            Sample(1.0, seconds, is_probe)
            for many, is_probe in ((times, False), (probed, True))
            for seconds in many
        ),
        counts=tuple(
            Count(age, 1, {kind: 1} if kind else {})
            for age, (_, kind) in zip(ages, outcomes, strict=True)
        ),
        failure=Failure(failed[0][0], failed[0][1], "It said no.", REASON) if failed else None,
    )


CASES = [
    ("nothing was heard", heard(), Status.UNKNOWN, "Nothing was heard"),
    ("it answers", heard(OK), Status.HEALTHY, HEALTHY),
    ("a key is missing", heard(SETTING), Status.UNCONFIGURED, REASON),
    ("a key is missing, it was there before", heard(SETTING, OK, OK), Status.UNCONFIGURED, REASON),
    ("its first call fails", heard(DOWN), Status.UNHEALTHY, REASON),
    ("one call fails", heard(DOWN, *[OK] * 10), Status.HEALTHY, HEALTHY),
    ("two fail", heard(DOWN, DOWN, *[OK] * 10), Status.DEGRADED, "2 of its 12 calls"),
    ("three fail", heard(DOWN, DOWN, DOWN, *[OK] * 10), Status.UNHEALTHY, REASON),
    ("a probe fails", heard(DOWN, *[OK] * 10, probe=True), Status.UNHEALTHY, REASON),
    ("the key fails once", heard(KEY, *[OK] * 19), Status.HEALTHY, HEALTHY),
    ("the key fails twice", heard(KEY, KEY, *[OK] * 18), Status.UNHEALTHY, REASON),
    ("the credit fails twice", heard(CREDIT, CREDIT, *[OK] * 18), Status.UNHEALTHY, REASON),
    ("it answers again", heard(OK, *[DOWN] * 19), Status.DEGRADED, "19 of its 20 calls"),
    ("it answers for long", heard(*[OK] * 18, DOWN, DOWN), Status.DEGRADED, "2 of its 20 calls"),
    ("two fail of many", heard(*[OK] * 19, DOWN, DOWN), Status.HEALTHY, HEALTHY),
    ("they failed a minute ago", heard(OK, *[DOWN] * 4, apart=60.0), Status.HEALTHY, HEALTHY),
    ("every second one fails", heard(*[OK, DOWN] * 5), Status.DEGRADED, "5 of its 10 calls"),
    ("it was asked too fast", heard(LIMIT, OK), Status.DEGRADED, REASON),
    ("it was, a moment ago", heard(OK, OK, LIMIT), Status.DEGRADED, REASON),
    ("it was, a minute ago", heard(OK, LIMIT, apart=60.0), Status.HEALTHY, HEALTHY),
    ("too fast, and down", heard(DOWN, LIMIT, OK), Status.DEGRADED, "It is rate limited."),
    ("down, and too fast", heard(LIMIT, DOWN, DOWN, DOWN), Status.DEGRADED, REASON),
    ("calls are slow", heard(OK, times=[11.0] * 5), Status.DEGRADED, "It is slow: half"),
    ("one call is slow", heard(OK, times=[60.0, 1.0, 1.0, 1.0, 1.0]), Status.HEALTHY, HEALTHY),
    ("few calls are slow", heard(OK, times=[11.0] * 4), Status.HEALTHY, HEALTHY),
    ("a probe is slow", heard(OK, probed=[5.5]), Status.DEGRADED, "It is slow: it took 5.5 s"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_the_status_follows_from_what_was_heard(case):
    _, known, status, reason = case
    verdict = judge(known)
    assert (verdict.status, verdict.reason[: len(reason)]) == (status, reason)


def test_a_key_that_one_kind_of_call_lacks_the_right_to_use_is_told_by_the_share_that_fails():
    assert judge(heard(*[KEY, OK] * 10)).status is Status.DEGRADED


def test_a_service_that_one_process_leaves_alone_is_degraded():
    verdict = judge(heard(OK), [Live(), Live("open", 12.0), Live("half_open", 3.0)])
    assert verdict.status is Status.DEGRADED
    assert "left alone for 12 s more" in verdict.reason
    assert judge(heard(OK), [Live(), Live()]).status is Status.HEALTHY


def test_a_service_that_waits_for_a_first_call_after_that_is_not_left_alone_any_more():
    assert judge(heard(OK), [Live("open", 0.0)]).status is Status.HEALTHY
